"""Tuning and crossover: the same numbers as the instruments they stand on, and limit cases computed by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from labkit.models.backbones.vit import ViT
from labkit.probes.crossover import Crossover, crossover, cutoffs
from labkit.probes.filters import attention_responses, conv_responses
from labkit.probes.frequency import spectra
from labkit.probes.inputs import Refused
from labkit.probes.passband import Passband, filtered, high_pass, low_pass
from labkit.probes.tuning import band_of, evenly, passed, tuning


class Small(nn.Module):
    """A stem, two blocks of a kernel each, a head: 3 colours, 14 x 18 pixels, 5 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 4, stride=2, padding=1)
        self.blocks = nn.Sequential(*(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.GELU()) for _ in range(2)))
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean(dim=(2, 3)))


@pytest.fixture
def small() -> nn.Module:
    return Small().eval()


IMAGES = torch.randn(3, 3, 14, 18, generator=torch.Generator().manual_seed(2))


def test_it_is_what_the_instruments_say_one_by_one(small: nn.Module) -> None:
    found = tuning(small, IMAGES, most=3)
    torch.testing.assert_close(found.output, small(IMAGES))
    for ours, theirs in zip(found.spectra, spectra(small, IMAGES), strict=True):
        torch.testing.assert_close(ours.radial, theirs.radial)
    kernels = conv_responses(small, IMAGES)
    assert [one.name for one in found.filters] == [one.name for one in kernels]
    for ours, theirs in zip(found.filters, kernels, strict=True):
        assert (ours.shown, ours.of, ours.kind) == ((0, 2, 3), 4, "convolution")
        torch.testing.assert_close(ours.gain, theirs.gain[[0, 2, 3]])
        torch.testing.assert_close(ours.radial, theirs.radial[[0, 2, 3]])
    assert [one.name for one in found.spectra] == [one.name for one in found.filters]  # each block is one kernel
    assert [one.block for one in found.filters] == [0, 1, 2]


def test_heads_are_the_rows_of_attention() -> None:
    torch.manual_seed(0)
    model = ViT(dim=12, depth=2, heads=3, classes=5, image=24, patch=4).eval()
    images = torch.randn(1, 3, 24, 24)
    *found, patches = tuning(model, images, most=2).filters
    for layer, (ours, theirs) in enumerate(zip(found, attention_responses(model, images), strict=True)):
        assert (ours.kind, ours.block, ours.of, ours.shown) == ("attention", layer, 3, (0, 2))
        torch.testing.assert_close(ours.gain, theirs.gain[[0, -1]])
        torch.testing.assert_close(ours.gain[:, 0, 0], torch.ones(2))  # rows sum to one
    assert (patches.kind, patches.block, patches.of) == ("convolution", None, 12)  # before the blocks


def test_the_filtered_picture_goes_through_the_same_model(small: nn.Module) -> None:
    band = band_of(0.1, 0.3, mean=True)
    found = passed(small, IMAGES, band)
    torch.testing.assert_close(found.output, small(filtered(IMAGES, band)))
    torch.testing.assert_close(found.spectra[1].radial, spectra(small, filtered(IMAGES, band))[1].radial)
    whole = passed(small, IMAGES, band_of(0, 0.7072))
    torch.testing.assert_close(whole.output, small(IMAGES), atol=1e-5, rtol=1e-5)


def test_the_mean_has_its_own_switch() -> None:
    mean = IMAGES.mean(dim=(2, 3), keepdim=True)
    for low, high in ((0.0, 0.2), (0.1, 0.4), (0.2, 0.7072), (0.0, 0.7072)):
        with_it, without = (filtered(IMAGES, band_of(low, high, mean=keeps)) for keeps in (True, False))
        torch.testing.assert_close(with_it - without, mean.expand_as(IMAGES), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(without.mean(dim=(2, 3)), torch.zeros(3, 3), atol=1e-6, rtol=0)
    assert band_of(0, 0.7072, mean=True) == Passband(mean=True)
    torch.testing.assert_close(
        filtered(IMAGES, Passband(above=0.2, mean=True)), filtered(IMAGES, high_pass(0.2)) + mean, atol=1e-5, rtol=1e-5
    )
    with pytest.raises(Refused, match="above less than below"):
        band_of(0.3, 0.3)


def test_evenly_takes_first_and_last() -> None:
    assert evenly(5, 12) == (0, 1, 2, 3, 4)
    assert evenly(100, 3) == (0, 50, 99)
    assert evenly(1, 3) == (0,)


class Waves(nn.Module):
    """Says 0 where the picture's energy lies in coarse waves, 1 where it lies in fine ones, 2 where there is none."""

    def __init__(self, border: float) -> None:
        super().__init__()
        self.border = border

    def forward(self, x: Tensor) -> Tensor:
        bands = (low_pass(self.border), high_pass(self.border))
        wave = [filtered(x, band).square().mean(dim=(1, 2, 3)) for band in bands]
        return torch.stack([*wave, torch.full_like(wave[0], 1e-3)], dim=1)


def waves(k: float, side: int = 32) -> Tensor:
    return torch.cos(2 * math.pi * k * torch.arange(side) / side).expand(1, 3, side, side)


def test_an_answer_stays_with_the_half_that_holds_its_wave() -> None:
    pictures = torch.cat([waves(2), waves(10)])
    at = (0.03, 0.1, 0.2, 0.4)
    stream = list(crossover(Waves(0.2), pictures, at, mean=False))
    assert [len(one.cutoffs) for one in stream] == [1, 2, 3, 4]
    last = stream[-1]
    assert last.label.tolist() == [0, 1]
    # The waves lie at 2/32 = 0.0625 and 10/32 = 0.31.
    assert (last.coarse_says == last.label).tolist() == [[False, False], [True, False], [True, False], [True, True]]
    assert (last.fine_says == last.label).tolist() == [[True, True], [False, True], [False, True], [False, False]]
    assert last.coarse_stays.tolist() == [0, 0.5, 0.5, 1]
    assert last.where == pytest.approx(0.2)
    torch.testing.assert_close(last.sure, Waves(0.2)(pictures).softmax(dim=1).amax(dim=1))


def test_the_mean_passes_on_both_sides_or_on_neither(small: nn.Module) -> None:
    *_, with_it = crossover(small, IMAGES, (0.2,), mean=True)
    *_, without = crossover(small, IMAGES, (0.2,), mean=False)
    for found, keeps in ((with_it, True), (without, False)):
        for half, band in ((found.coarse, band_of(0, 0.2, mean=keeps)), (found.fine, band_of(0.2, 0.7072, mean=keeps))):
            answer = small(filtered(IMAGES, band)).softmax(dim=1).gather(1, found.label[:, None])[:, 0]
            torch.testing.assert_close(half[0], answer)


def _with_shares(coarse: list[float], fine: list[float]) -> Crossover:
    at = tuple(0.1 * 2**i for i in range(len(coarse)))
    says = [torch.tensor([[0 if k < 4 * one else 1 for k in range(4)] for one in some]) for some in (coarse, fine)]
    label = torch.zeros(4, dtype=torch.long)
    zero = torch.zeros(len(coarse), 4)
    return Crossover(at, label, torch.ones(4), zero, zero, *says)


def test_where_they_cross_is_read_off_a_line() -> None:
    assert _with_shares([0, 0.5], [0.5, 0]).where == pytest.approx(0.1 * math.sqrt(2))
    assert _with_shares([0.25, 0.75, 1], [0.25, 0.25, 0]).where == pytest.approx(0.1)
    assert math.isnan(_with_shares([1, 1], [0.5, 0.25]).where)
    assert math.isnan(_with_shares([1, 1], [1, 1]).where)


def test_cutoffs_run_from_the_first_waves_to_nyquist() -> None:
    found = cutoffs(64)
    assert len(found) == 10
    assert found[0] == pytest.approx(1.5 / 64)
    assert found[-1] == pytest.approx(0.5)
    ratios = [b / a for a, b in pairwise(found)]
    assert max(ratios) == pytest.approx(min(ratios))


def test_what_cannot_be_asked_is_said(small: nn.Module) -> None:
    with pytest.raises(Refused, match="at least one cutoff"):
        next(crossover(small, IMAGES, ()))
    with pytest.raises(Refused, match=r"images\.to\(torch\.float32\)"):
        next(crossover(small, IMAGES.double(), (0.1,)))
    with pytest.raises(Refused):
        next(crossover(nn.Sequential(small.stem, small.blocks), IMAGES, (0.1,)))
