"""The frequencies of a grid, sorted into rings: right for oblong and odd grids, and out to the corners.

A real map's spectrum is symmetric, so only the half plane `h half` with half = w // 2 + 1 is ever computed (as
`torch.fft.rfft2` gives it); a coefficient that stands for two counts twice.

Frequencies are in cycles per cell: 0 is the mean, 0.5 is Nyquist (one cell light, one cell dark) along a row or column,
√½ = 0.71 is the checkerboard in the corner. Times two, they are in units of π.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

Grid = tuple[int, int]


def radius(grid: Grid) -> Float64[Tensor, "h half"]:
    """How far each coefficient of the half plane lies from zero frequency, in cycles per cell: 0..√½."""
    h, w = grid
    rows = torch.fft.fftfreq(h, dtype=torch.float64)
    columns = torch.fft.rfftfreq(w, dtype=torch.float64)
    return torch.hypot(rows[:, None], columns[None, :])


def multiplicity(grid: Grid) -> Float64[Tensor, "half"]:
    """How many coefficients of the whole plane each column of the half plane stands for: 1 or 2."""
    w = grid[1]
    own_mirror = torch.tensor([2 * column % w == 0 for column in range(w // 2 + 1)])
    return torch.where(own_mirror, 1.0, 2.0).double()


def frequencies(grid: Grid) -> Float64[Tensor, "rings"]:
    """The middle of each ring in cycles per cell: 0, 1/m, 2/m, … with m the longer side; none of the rings is empty."""
    return torch.arange(int(_ring(grid).max()) + 1, dtype=torch.float64) / max(grid)


def ring_means(half: Float[Tensor, "*lead h half"], grid: Grid) -> Float[Tensor, "*lead rings"]:
    """The mean over each ring; a coefficient belongs to the ring whose middle is nearest."""
    return half.flatten(-2) @ _averages(grid, half.dtype, half.device)


def diagonal(half: Float[Tensor, "*lead h half"], grid: Grid) -> Float[Tensor, "*lead steps"]:
    """The values at frequencies (k/m, k/m) for k = 0, 1, … below m/2, with m the shorter side: mean to near (π, π).

    Where a side is longer than m, the nearest of its frequencies is taken.
    """
    h, w = grid
    at = torch.arange((min(grid) + 1) // 2, dtype=torch.float64) / min(grid)
    row, column = ((at * side + 0.5).floor().long() for side in (h, w))
    return half[..., row, column]


def whole_plane(half: Float[Tensor, "*lead h half"], grid: Grid) -> Float[Tensor, "*lead h w"]:
    """The whole plane of a symmetric spectrum, zero frequency first."""
    mirrored = half[..., 1 : (grid[1] + 1) // 2].flip(-1, -2).roll(1, -2)  # (-row, -column)
    return torch.cat([half, mirrored], dim=-1)


def _ring(grid: Grid) -> Int64[Tensor, "h half"]:
    # The small term keeps halves that rounding has pushed down in the upper ring, as their mirror images are.
    return (radius(grid) * max(grid) + 0.5 + 1e-9).floor().long()


@lru_cache(maxsize=64)
def _averages(grid: Grid, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "coefficients rings"]:
    member = torch.nn.functional.one_hot(_ring(grid)).double() * multiplicity(grid)[None, :, None]
    member = member.flatten(0, 1)
    return (member / member.sum(dim=0)).to(device, dtype)
