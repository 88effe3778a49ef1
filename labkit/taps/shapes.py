"""Which axes of a tensor are the picture's: told by its shape and the picture's proportions, not by names."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor

MOST_PREFIX_TOKENS = 16


def sides_of(shape: tuple[int, ...], image: tuple[int, int]) -> list[tuple[int, int]]:
    """The (h, w) that a 4-d tensor can mean, channels first or last, if they have the picture's proportions."""
    if len(shape) != 4:
        return []
    return [(h, w) for h, w in (shape[2:4], shape[1:3]) if h * w > 1 and _proportional(h, w, image)]


def split_tokens(count: int, sides: list[tuple[int, int]]) -> tuple[tuple[int, int], int] | None:
    """`count` tokens as (grid, prefix tokens), by the latest map that fits; None when none does."""
    for h, w in sides:
        if 0 <= count - h * w <= min(MOST_PREFIX_TOKENS, h * w):
            return (h, w), count - h * w
    return None


def as_map(value: Tensor, sides: list[tuple[int, int]]) -> Tensor:
    """`b c h w` from a map in either order, or from tokens by the grid they were cut from."""
    if value.ndim == 3:
        split = split_tokens(value.shape[1], sides)
        if split is None:
            raise ValueError(f"{value.shape[1]} tokens fit none of the grids met before them ({sides[:4]}).")
        (h, _), prefix = split
        return rearrange(value[:, prefix:], "b (h w) c -> b c h w", h=h)
    return rearrange(value, "b h w c -> b c h w") if _channels_last(value, sides) else value


def as_tokens(value: Tensor, sides: list[tuple[int, int]]) -> Tensor:
    """`b n c` from tokens as they are, or from a map row by row."""
    return value if value.ndim == 3 else rearrange(as_map(value, sides), "b c h w -> b (h w) c")


def _channels_last(value: Tensor, sides: list[tuple[int, int]]) -> bool:
    return tuple(value.shape[1:3]) in sides and tuple(value.shape[2:4]) not in sides


def _proportional(h: int, w: int, image: tuple[int, int]) -> bool:
    # Every halving rounds up or down, so the shorter side may be one cell off.
    height, width = image
    expected = h * width / height
    return h <= height and w <= width and abs(w - expected) <= max(1.0, width / height)
