"""The fields of one place in every layer, on a small net of known squares."""

from __future__ import annotations

import threading

import pytest
import torch
from PIL import Image
from torch import nn

from labkit.data.transforms import Transform
from labkit.pretrained import Pretrained
from labkit.probes.receptive_field import effective_fields
from labkit.probes.receptive_theory import theoretical_fields
from labkit.session import Sitting
from labkit.session import fields as session


class Convs(nn.Module):
    """Squares of 3, 7 and 11 pixels; jumps of 1, 2 and 2; starts at -1, -3 and -5."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        convs = [nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 4, 5, 2, 2), nn.Conv2d(4, 4, 3, 1, 1)]
        self.blocks = nn.Sequential(*convs)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.blocks(x).mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def sitting() -> Sitting:
    transform = Transform(size=20, mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0))
    opened = Pretrained("toy", Convs().eval(), transform, ("a", "b"))
    picture = Image.new("RGB", (26, 20))
    images = torch.randn(1, 3, 20, 26, generator=torch.Generator().manual_seed(1))
    return Sitting("toy fields", opened, images, picture, picture, threading.Lock())


def test_every_unit_has_the_square_of_the_theory(sitting: Sitting) -> None:
    *_, found = session.horizons(sitting)
    assert [one.field.size for one in found] == [(3, 3), (7, 7), (11, 11)]
    assert [one.kind for one in found] == ["square"] * 3
    for one in found:
        for place in ((0.5, 0.5), (0.0, 0.99), (0.7, 0.2)):
            unit = one.unit_at(place)
            (theory,) = theoretical_fields(sitting.opened.model, (20, 26), layers=[one.site.name], unit=unit)
            top, left, bottom, right = (max(0, end) for end in one.box(unit))
            seen = torch.zeros(20, 26, dtype=torch.bool)
            seen[top:bottom, left:right] = True
            assert torch.equal(seen, theory.pixels), (one.site.name, unit)


def test_without_strips_a_field_that_the_border_cuts_has_no_size(sitting: Sitting) -> None:
    names = ["blocks.0", "blocks.1", "blocks.2"]
    near = theoretical_fields(sitting.opened.model, (7, 7), layers=names, beyond=False)
    far = theoretical_fields(sitting.opened.model, (7, 7), layers=names)
    assert [one.size for one in near] == [(3, 3), None, None]
    assert [one.size for one in far] == [(3, 3), (7, 7), (11, 11)]


def test_a_place_is_the_unit_over_it_and_its_edges_belong_to_it(sitting: Sitting) -> None:
    *_, found = session.horizons(sitting)
    assert found[1].site.after.grid == (10, 13)
    assert [found[1].unit_at(place) for place in ((0, 0), (1, 1), (0.45, 0.5), (0.0999, 0.99))] == [
        (0, 0),
        (9, 12),
        (4, 6),
        (0, 12),
    ]


def test_heats_are_those_of_the_probe_and_their_mean(sitting: Sitting) -> None:
    images = session.inputs(sitting, "noise")
    assert torch.equal(images, session.inputs(sitting, "noise"))
    units = {"blocks.0": (3, 4), "blocks.2": (3, 4), "blocks.1": (8, 1)}
    shares, founds = zip(*session.heats(sitting, units, images), strict=True)
    assert list(shares) == [0.25, 0.5, 0.75, 1.0]  # two batches of noise, two units
    assert list(founds[0]) == ["blocks.0", "blocks.2"]
    for name, unit in units.items():
        (one,) = effective_fields(sitting.opened.model, images, layers=[name], unit=unit, how=session.HOW)
        torch.testing.assert_close(founds[-1][name], one.mean)


def test_a_field_knows_its_middle_and_what_its_own_cell_holds(sitting: Sitting) -> None:
    found = session.fields(sitting, (0.5, 0.5))
    for one, middle in zip(found, ((10, 13), (10, 12), (10, 12)), strict=True):
        assert one.centre == middle
        assert 0 < one.own < 1
        assert int(one.measures.side[-1]) <= one.horizon.field.size[0]
    one = found[1]
    u, v = one.unit
    expected = one.heat[2 * u : 2 * u + 2, 2 * v : 2 * v + 2].sum() / one.heat.sum()
    assert one.own == pytest.approx(float(expected))


def test_where_nothing_moves_the_unit_there_is_no_number(sitting: Sitting) -> None:
    *_, found = session.horizons(sitting)
    cold = session.unit_field(found[2], (0, 0), torch.zeros(20, 26))
    assert cold.own != cold.own
    assert cold.box == found[2].box((0, 0))


def test_a_mean_over_something_else_is_refused_in_a_sentence(sitting: Sitting) -> None:
    with pytest.raises(ValueError, match="over='dreams': expected one of photo, photos, noise"):
        session.inputs(sitting, "dreams")
