"""What a single mixer is asked: of which cells it makes one, and what it costs on a grid."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from labkit.probes.mixing import mixing_map
from labkit.taps import Form


def row_of(
    mixer: nn.Module, x: Float[Tensor, "1 h w c"], *, cell: tuple[int, int], probes: int = 16
) -> Float[Tensor, "h w"]:
    """The share that each cell of x has in one cell (row, column) of the output; they sum to one."""
    row, column = cell

    def asked(x: Tensor) -> Tensor:
        return mixer(x)[:, row : row + 1, column : column + 1]

    _, h, w, c = x.shape
    before, after = Form("b h w c", (h, w), c), Form("b h w c", (1, 1), c)
    return mixing_map(asked, x, before=before, after=after, probes=probes, side=max(h, w)).shares.view(h, w)


def macs_of(maker: Callable[[int], nn.Module], *, dim: int, cells: int) -> int:
    """Multiply-adds of the mixer that `maker(dim)` makes, on a square grid of so many cells."""
    side = math.isqrt(cells)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        maker(dim)(torch.empty(1, side, side, dim))
    return counter.get_total_flops() // 2
