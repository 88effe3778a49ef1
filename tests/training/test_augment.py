"""Views against a slow reading of their definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from labkit.training.augment import random_view


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramps(b: int, h: int, w: int) -> torch.Tensor:
    """Rows in the first channel, columns in the second, a constant in the third."""
    images = torch.zeros(b, 3, h, w, dtype=torch.uint8)
    images[:, 0] = (torch.arange(h) * 200 // h)[:, None]
    images[:, 1] = torch.arange(w) * 90 // w
    images[:, 2] = 128
    return images


@pytest.mark.parametrize("min_area", [0.35, 1.0])
def test_a_view_is_a_crop_mirrored_and_relit(min_area: float) -> None:
    """Pixel by pixel in float64, with the same draws; the outermost pixels, where reflection sets in, left out."""
    b, side = 6, 20
    images = torch.randint(256, (b, 3, side, side), generator=generator(1), dtype=torch.uint8)
    views = random_view(images, size=side, min_area=min_area, rng=generator(2)).double().numpy()

    rng = generator(2)

    def draw(low: float, high: float) -> list[float]:
        return torch.empty(b).uniform_(low, high, generator=rng).tolist()

    area, log_aspect = draw(min_area, 1), draw(math.log(3 / 4), math.log(4 / 3))
    mirror, right, down = draw(0, 1), draw(-1, 1), draw(-1, 1)
    contrast, brightness = draw(0.75, 1.25), draw(-0.12, 0.12)
    pixels = images.double().numpy() / 255
    for n in range(b):
        height = min(1.0, math.sqrt(area[n]) * math.exp(-log_aspect[n] / 2))
        width = min(1.0, math.sqrt(area[n]) * math.exp(log_aspect[n] / 2))
        plain = np.zeros((3, side, side))
        for i in range(side):
            for j in range(side):
                u, v = (2 * j + 1) / side - 1, (2 * i + 1) / side - 1
                x = width * u * (-1 if mirror[n] < 0.5 else 1) + (1 - width) * right[n]
                y = height * v + (1 - height) * down[n]
                column, row = ((x + 1) * side - 1) / 2, ((y + 1) * side - 1) / 2
                column, row = min(max(column, 0), side - 1), min(max(row, 0), side - 1)
                top, left = min(int(row), side - 2), min(int(column), side - 2)
                p, q = row - top, column - left
                patch = pixels[n, :, top : top + 2, left : left + 2]
                plain[:, i, j] = np.einsum("cij,i,j->c", patch, [1 - p, p], [1 - q, q])
        mean = views[n].mean(axis=(1, 2), keepdims=True) - brightness[n]
        back = (views[n] - mean - brightness[n]) / contrast[n] + mean
        np.testing.assert_allclose(back[:, 1:-1, 1:-1], plain[:, 1:-1, 1:-1], atol=1e-4)


def test_half_of_the_views_are_mirrored() -> None:
    views = random_view(ramps(400, 16, 16), size=16, min_area=0.5, rng=generator())
    rightwards = views[:, 1, :, -1].mean(dim=1) > views[:, 1, :, 0].mean(dim=1)
    assert 160 < rightwards.sum() < 240  # 200 +- 4 standard deviations
    downwards = views[:, 0, -1].mean(dim=1) > views[:, 0, 0].mean(dim=1)
    assert downwards.all()  # never upside down


def test_light_moves_a_plain_surface_by_its_brightness_alone() -> None:
    surface = torch.full((50, 3, 12, 12), 128, dtype=torch.uint8)
    views = random_view(surface, size=12, min_area=0.35, rng=generator())
    moved = views - 128 / 255
    assert (moved - moved[:, :1, :1, :1]).abs().max() < 1e-5
    assert moved.abs().max() <= 0.12 + 1e-5
    assert moved.max() > 0.1
    assert moved.min() < -0.1


def test_shrinking_does_not_alias() -> None:
    """A fine checkerboard shrunk four times is grey, not a coarser checkerboard."""
    fine = ((torch.arange(64)[:, None] + torch.arange(64)) % 2 * 255).to(torch.uint8).expand(4, 3, 64, 64)
    views = random_view(fine, size=16, min_area=0.9, rng=generator())
    assert views[:, :, 2:-2, 2:-2].std(dim=(2, 3)).max() < 0.02


def test_the_same_generator_gives_the_same_views() -> None:
    one, two = (random_view(ramps(3, 16, 16), size=16, min_area=0.4, rng=generator(9)) for _ in range(2))
    assert torch.equal(one, two)
