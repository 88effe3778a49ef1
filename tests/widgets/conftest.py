"""Hand-made attention maps of every kind that a browser must read: global, windowed with padding, pooled keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from PIL import Image

from labkit.probes.attention import AttentionMap, measure
from labkit.session import Look
from labkit.taps import PADDING


def _rows(*shape: int, seed: int) -> torch.Tensor:
    dice = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(shape, generator=dice)).softmax(dim=-1)


def global_map(grid: tuple[int, int] = (3, 5), prefix: int = 2, heads: int = 3) -> AttentionMap:
    """Class and register tokens before a 3 x 5 grid; the class token takes nearly all of every row of head 0."""
    tokens = torch.cat([-1 - torch.arange(prefix), torch.arange(grid[0] * grid[1])])[None]
    weights = _rows(1, 1, heads, tokens.shape[1], tokens.shape[1], seed=1)
    weights[:, :, 0] *= 0.006
    weights[:, :, 0, :, 0] += 0.994
    return AttentionMap("blocks.0.attn", weights, grid, grid, tokens, tokens)


def window_map(heads: int = 2) -> AttentionMap:
    """A 3 x 5 grid in windows of 2 x 3: 2 x 2 windows of six places, padded below and right, in reverse."""
    places = torch.full((4, 6), PADDING)
    for row in range(3):
        for column in range(5):
            window, place = row // 2 * 2 + column // 3, row % 2 * 3 + column % 3
            places[window, place] = row * 5 + column
    places = places.flip(1)
    return AttentionMap("stages.0.attn", _rows(1, 4, heads, 6, 6, seed=2), (3, 5), (3, 5), places, places)


def pooled_map(heads: int = 2) -> AttentionMap:
    """Queries on 4 x 6, keys pooled to 2 x 3, no prefix."""
    queries, keys = torch.arange(24)[None], torch.arange(6)[None]
    return AttentionMap("pvt.attn", _rows(1, 1, heads, 24, 6, seed=3), (4, 6), (2, 3), queries, keys)


def class_map(heads: int = 2) -> AttentionMap:
    """Class attention, as at the end of CaiT: the class token alone asks, a 3 x 5 grid answers."""
    keys = torch.cat([torch.tensor([-1]), torch.arange(15)])[None]
    return AttentionMap("cls.attn", _rows(1, 1, heads, 1, 16, seed=4), (3, 5), (3, 5), torch.tensor([[-1]]), keys)


KINDS: dict[str, Callable[[], AttentionMap]] = {
    "global": global_map,
    "window": window_map,
    "pooled": pooled_map,
    "class": class_map,
}


@pytest.fixture(params=KINDS)
def attention(request: pytest.FixtureRequest) -> AttentionMap:
    return KINDS[request.param]()


@pytest.fixture
def seen() -> Look:
    """A look with a layer of each kind."""
    maps = tuple(make() for make in KINDS.values())
    dice = torch.randint(0, 256, (40, 40, 3), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)
    picture = Image.fromarray(dice.numpy())
    return Look("toy", picture, picture, maps, tuple(map(measure, maps)), (("cat", 0.75), ("dog", 0.25)), 0.01)
