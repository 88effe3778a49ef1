"""Spectra of features against plain loops over a DFT, on odd and oblong grids, at limit cases, and by hand."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import timm
import torch

from labkit.models.backbones.vit import ViT
from labkit.probes.frequency import high_frequency, spectra, spectrum
from labkit.probes.inputs import Refused
from labkit.probes.layers import layers
from labkit.probes.rings import diagonal, frequencies, radius, ring_means, whole_plane

GRIDS = [(3, 5), (4, 6), (5, 4), (7, 7), (2, 9), (1, 8), (8, 8)]


def dft(values: np.ndarray) -> dict[tuple[int, int], complex]:
    """The whole plane, by the definition."""
    h, w = values.shape
    return {
        (u, v): sum(
            values[r, c] * cmath.exp(-2j * cmath.pi * (u * r / h + v * c / w)) for r in range(h) for c in range(w)
        )
        for u in range(h)
        for v in range(w)
    }


def distance(u: int, v: int, grid: tuple[int, int]) -> float:
    """Cycles per cell, each side counted from the nearer end."""
    return math.hypot(*(min(k, side - k) / side for k, side in zip((u, v), grid, strict=True)))


@pytest.mark.parametrize("grid", GRIDS)
def test_rings_gather_the_whole_plane(grid):
    values = np.random.default_rng(0).normal(size=grid)
    plane = {place: abs(value) for place, value in dft(values).items()}
    half = torch.fft.rfft2(torch.from_numpy(values)).abs()
    whole = whole_plane(half, grid)
    assert whole.shape == grid
    for (u, v), value in plane.items():
        assert whole[u, v].item() == pytest.approx(value, abs=1e-9)
    sums: dict[int, list[float]] = {}
    for (u, v), value in plane.items():
        sums.setdefault(math.floor(distance(u, v, grid) * max(grid) + 0.5 + 1e-9), []).append(value)
    assert sorted(sums) == list(range(len(sums)))  # no ring is empty
    assert frequencies(grid).tolist() == pytest.approx([ring / max(grid) for ring in sorted(sums)])
    assert ring_means(half, grid).tolist() == pytest.approx([np.mean(sums[ring]) for ring in sorted(sums)])


def test_a_wave_lies_in_its_own_ring_whichever_way_it_runs():
    rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(20.0), indexing="ij")
    for wave in (torch.cos(2 * math.pi * rows / 4), torch.cos(2 * math.pi * columns / 4)):  # a quarter cycle per cell
        means = ring_means(torch.fft.rfft2(wave).abs(), (12, 20))
        assert frequencies((12, 20))[means.argmax()].item() == pytest.approx(0.25)
    assert radius((12, 20)).max().item() == pytest.approx(0.5**0.5)


def park_and_kim(latent: torch.Tensor) -> torch.Tensor:
    """The steps of the paper's notebook, for a square map: log-amplitude, roll to the centre, mean, half diagonal."""
    f = (torch.fft.fft2(latent).abs() + 1e-6).log()
    h, w = f.shape[-2:]
    mean = torch.roll(f, (h // 2, w // 2), dims=(2, 3)).mean(dim=(0, 1))
    half = mean.diag()[h // 2 :]
    return half - half[0]


@pytest.mark.parametrize("side", [7, 14])
def test_the_half_diagonal_is_park_and_kims(side):
    maps = torch.randn(3, 5, side, side) + 2
    found = spectrum(maps)
    torch.testing.assert_close(found.diagonal.mean(0), park_and_kim(maps), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.delta.mean(), park_and_kim(maps)[-1], atol=1e-5, rtol=1e-5)
    assert found.steps[0] == 0
    assert found.steps[-1].item() == pytest.approx(6 / 7)


def test_on_an_oblong_grid_the_diagonal_is_that_of_frequencies():
    half = torch.fft.rfft2(torch.randn(6, 12)).abs()
    # (k/6, k/6) cycles per cell: row k of 6, column 2k of 12.
    torch.testing.assert_close(diagonal(half, (6, 12)), torch.stack([half[k, 2 * k] for k in range(3)]))


@pytest.mark.parametrize("grid", GRIDS)
def test_log_amplitude_by_the_definition(grid):
    maps = torch.randn(2, 3, *grid) + 1
    found = spectrum(maps, name="toy")
    n = math.prod(grid)
    for image in range(2):
        rings: dict[int, list[float]] = {}
        for channel in maps[image].double().numpy():
            for (u, v), value in dft(channel).items():
                ring = math.floor(distance(u, v, grid) * max(grid) + 0.5 + 1e-9)
                rings.setdefault(ring, []).append(math.log((abs(value) + 1e-6) / n))
        expected = [np.mean(rings[ring]) for ring in sorted(rings)]
        np.testing.assert_allclose(found.radial[image], expected, atol=2e-4)
        f = np.array([ring / max(grid) for ring in sorted(rings)])
        for name, inside in (("low", (f > 0) & (f < 1 / 6)), ("mid", (f >= 1 / 6) & (f < 1 / 3)), ("high", f >= 1 / 3)):
            value = getattr(found.bands, name)[image].item()
            if inside.any():
                assert value == pytest.approx(np.mean(np.array(expected)[inside]), abs=2e-4)
            else:
                assert math.isnan(value)


def test_by_hand():
    # 3 + cos(π column): the mean is 3, and the wave at Nyquist has amplitude 1 on a grid of 2 x 4.
    maps = (3 + torch.tensor([1.0, -1.0, 1.0, -1.0]).expand(1, 1, 2, 4)).contiguous()
    found = spectrum(maps)
    assert found.radial[0, 0].item() == pytest.approx(math.log(3), abs=1e-5)
    assert found.frequencies.tolist() == [0, 0.25, 0.5, 0.75]
    # The ring at 0.5 holds the column's Nyquist (amplitude 1) and the row's (nothing): and (0.5, ±0.25) is at 0.56.
    assert found.radial[0, 2].item() == pytest.approx((math.log(1) + 3 * math.log(1e-6 / 8)) / 4, rel=1e-3)
    assert found.high.item() == 1
    assert found.delta.isnan().all()


def test_high_frequency_fixes_its_scale():
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(12.0), indexing="ij")
    checkerboard = (-1.0) ** (rows + columns)
    wave = torch.cos(2 * math.pi * columns / 12)
    maps = torch.stack([checkerboard + 5, wave, checkerboard + wave, torch.full((8, 12), 7.3)])[:, None]
    shares = high_frequency(maps)
    # The checkerboard has variance 1, the wave ½: together ⅔ of it is fine.
    assert shares.tolist() == pytest.approx([1, 0, 2 / 3, 0], abs=1e-5)
    noise = high_frequency(torch.randn(1, 64, 33, 47))
    assert noise.item() == pytest.approx(1 - math.pi / 16, abs=0.01)
    assert high_frequency(maps, beyond=0.75).tolist() == [0, 0, 0, 0]


def test_the_share_is_that_of_the_variance():
    maps = torch.randn(1, 3, 5, 6) + 4
    total = above = 0.0
    for channel in maps[0].double().numpy():
        for (u, v), value in dft(channel).items():
            total += abs(value) ** 2 * ((u, v) != (0, 0))
            above += abs(value) ** 2 * (distance(u, v, (5, 6)) > 0.25)
    assert high_frequency(maps).item() == pytest.approx(above / total, abs=1e-5)


def test_every_layer_without_its_prefix_tokens():
    vit = ViT(dim=12, depth=2, heads=2, classes=4, image=16, patch=4).train()
    images = torch.randn(2, 3, 12, 20)
    with torch.inference_mode():
        found = spectra(vit, images)
    assert vit.training
    assert [(one.name, one.grid) for one in found] == [("blocks.0", (3, 5)), ("blocks.1", (3, 5))]
    torch.testing.assert_close(found[1].radial, spectrum(layers(vit, images)[1].map).radial)
    assert found[0].slope.shape == (2,)


def test_a_constant_image_has_no_nan():
    model = timm.create_model("test_convnext", num_classes=5)
    for one in spectra(model, torch.zeros(1, 3, 64, 96)):
        assert one.radial.isfinite().all()
        assert one.high.isfinite().all()


def test_a_single_cell_is_refused():
    with pytest.raises(Refused, match=r"more than one cell, got \(2, 3, 1, 1\): one cell has no frequencies"):
        spectrum(torch.ones(2, 3, 1, 1))
