"""Sounds, films and series as pictures, by hand; the net is UniRepLKNet's; and large kernels see further."""

from __future__ import annotations

import math

import pytest
import torch

from labkit.experiments.unireplknet_universal import ASKED, Odds, cues, series, shape_bias, sounds
from labkit.models.backbones.unireplknet import unireplknet
from labkit.models.backbones.unireplknet_universal import (
    series_as_picture,
    sound_as_picture,
    unireplknet_universal,
    video_as_picture,
)
from labkit.probes.receptive_field import effective_fields


def test_a_look_at_a_sound_is_a_windowed_fourier_sum():
    wave = torch.randn(2, 50, dtype=torch.float64)
    picture = sound_as_picture(wave, window=12, hop=7)
    assert picture.shape == (2, 3, 7, 1 + 50 // 7)
    assert torch.equal(picture[:, 0], picture[:, 2])
    look, frequency = 2, 4  # in the middle of the sound, where no edge is mirrored
    total = 0j
    for n in range(12):
        window = math.sin(math.pi * n / 12) ** 2
        turn = complex(math.cos(2 * math.pi * frequency * n / 12), -math.sin(2 * math.pi * frequency * n / 12))
        total += window * wave[1, look * 7 + n - 6].item() * turn
    assert picture[1, 0, frequency, look].item() == pytest.approx(math.log(1 + abs(total)))


def test_a_steady_tone_is_one_row_and_louder_is_brighter():
    time = torch.arange(640.0)
    tone = (2 * math.pi * 0.25 * time).sin()[None]
    picture = sound_as_picture(torch.cat([tone, 2 * tone]), window=64, hop=32)[:, 0]
    assert (picture[0, :, 1:-1].argmax(dim=0) == 16).all(), "a quarter of a turn a sample, of 32 rows up to one half"
    assert (picture[1, 16] > picture[0, 16]).all()


def test_a_films_pictures_are_read_as_a_page():
    frames = torch.arange(6.0).view(1, 6, 1, 1, 1).expand(1, 6, 3, 2, 5)
    page = video_as_picture(frames, columns=3)
    assert page.shape == (1, 3, 4, 15)
    assert page[0, 0, ::2, ::5].tolist() == [[0, 1, 2], [3, 4, 5]]
    frames = torch.randn(2, 4, 3, 5, 6)
    assert torch.equal(video_as_picture(frames, columns=2)[:, :, 5:, :6], frames[:, 2])


def test_a_series_has_a_row_a_node_around_its_own_mean():
    picture = series_as_picture(torch.tensor([[[1.0, 10], [2, 20], [6, 60]]]))
    assert picture[0, 1].tolist() == [[-2, -1, 3], [-20, -10, 30]]


def test_it_is_unireplknet_with_a_plan_of_kernels():
    shape = {"dims": (8, 16), "depths": (1, 2), "classes": 5}
    torch.manual_seed(1)
    ours = unireplknet_universal(**shape, kernels=(3, 9), scale=0.5).eval()
    torch.manual_seed(1)
    theirs = unireplknet(**shape, kernels=((3,), (9,)), scale=0.5).eval()
    x = torch.randn(2, 3, 37, 26)
    assert torch.equal(ours(x), theirs(x))
    with torch.device("meta"):
        published = unireplknet_universal()
    assert sum(p.numel() for p in published.parameters()) == 4_437_300


@pytest.mark.parametrize(("kernel", "reach"), [(3, 1), (7, 3)])
def test_a_block_sees_as_far_as_its_kernel(kernel, reach):
    """The gates of the channels and GRN look at the whole picture, but only the kernel shifts anything: gates held."""
    model = unireplknet_universal(dims=(8,), depths=(1,), kernels=(kernel,), scale=1.0).eval()
    block = model.stages[0][0]
    x = torch.randn(1, 15, 17, 8, requires_grad=True)
    block.around(x)[0, 7, 8].sum().backward()
    seen = x.grad[0].abs().sum(dim=-1) > 0
    assert seen.sum() == (2 * reach + 1) ** 2
    assert seen[7 - reach : 8 + reach, 8 - reach : 9 + reach].all()


def test_large_kernels_see_further_from_the_same_start():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 96, 96)
    widths = []
    for kernel in (3, 13):
        model = unireplknet_universal(dims=(8, 8), depths=(1, 2), kernels=(3, kernel), scale=1.0).eval()
        (one,) = effective_fields(model, x, layers=["stages.1.2"], how="abs")
        far = (torch.arange(96) - one.centre[1]).abs()
        widths.append(((one.mean.sum(dim=0) * far).sum() / one.mean.sum()).item())
    assert widths[1] > 1.3 * widths[0]


def test_cues_agree_in_the_lesson_and_are_at_odds_outside_it():
    book, odds = cues(0)
    assert (odds.shapes != odds.textures).all()
    assert len(book.labels) + len(book.answers) + len(odds.shapes) == 2000
    assert 0.2 < (len(book.labels) + len(book.answers)) / 2000 < 0.3
    assert set(book.answers.tolist()) == {0, 1, 2, 3}


def test_the_bias_counts_decisions_for_either_by_hand():
    odds = Odds(torch.zeros(5, 3, 1, 1), torch.tensor([0, 0, 1, 2, 3]), torch.tensor([1, 1, 0, 0, 0]))
    said = torch.nn.functional.one_hot(torch.tensor([0, 1, 0, 0, 2]), 4)  # shape, texture, texture, texture, neither
    assert shape_bias(lambda images: said, odds) == 0.25


def test_sounds_and_series_are_what_their_labels_say():
    book = sounds()
    assert book.images.shape == (2 * ASKED, 3, 32, 32)
    pitch = book.images[:, 0, :, 2:-2].argmax(dim=1).float()
    rise = pitch[:, -9:].median(dim=1).values - pitch[:, :9].median(dim=1).values
    means = [rise[book.labels == one].mean().item() for one in range(4)]
    assert means[0] > 3
    assert means[1] < -3
    assert abs(means[2]) < 1
    book = series()
    assert book.images.shape == (2 * ASKED, 3, 16, 64)
    together = book.images[:, 0].mean(dim=1).square().mean(dim=1)
    assert together[book.labels == 2].mean() > 3 * together[book.labels != 2].mean(), "only these shake at once"


def test_what_cannot_be_is_refused_by_name():
    with pytest.raises(ValueError, match=r"window=64.*30 samples are too few"):
        sound_as_picture(torch.zeros(1, 30), window=64, hop=8)
    with pytest.raises(ValueError, match=r"columns=4.*6 pictures do not fill"):
        video_as_picture(torch.zeros(1, 6, 3, 2, 2), columns=4)
