"""What a mixer, or a model, is asked: of which cells it makes one, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from labkit.experiments._lessons import seeded
from labkit.probes.mixing import mixing_map
from labkit.probes.speed import exponent
from labkit.taps import Form
from labkit.viz import experiments as draw


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


def macs(model: nn.Module, x: Tensor) -> int:
    """Multiply-adds of the model or part for x, with those of whatever makes its tokens fewer on the way."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(x)
    return counter.get_total_flops() // 2


@dataclass(frozen=True)
class Growth:
    """Multiply-adds of mixers of `dim` channels on grids of so many cells: by name, one for each grid."""

    dim: int
    cells: Sequence[int]
    macs: dict[str, list[int]]

    @property
    def powers(self) -> dict[str, float]:
        """The power of the cells with which each grows."""
        return {name: exponent(self.cells, counts) for name, counts in self.macs.items()}

    def figure(self) -> Figure:
        """A curve for each, both axes logarithmic: a power is a slope."""
        return draw.curves(
            self.cells,
            {f"{name}: cells to the power of {power:.2f}": self.macs[name] for name, power in self.powers.items()},
            across="cells of the grid",
            up=f"multiply-adds of one mixer, {self.dim} channels",
            logarithmic=True,
            title="What a larger picture costs",
        )


def growth(makers: Mapping[str, Callable[[int], nn.Module]], *, dim: int, cells: Sequence[int]) -> Growth:
    """What the mixers that each `maker(dim)` makes cost on square grids of so many cells."""

    def counted(maker: Callable[[int], nn.Module]) -> list[int]:
        with torch.device("meta"):
            mixer = maker(dim)
            return [macs(mixer, torch.empty(1, math.isqrt(n), math.isqrt(n), dim)) for n in cells]

    return Growth(dim, cells, {name: counted(maker) for name, maker in makers.items()})


def fresh(
    maker: Callable[[int], nn.Module], *, dim: int, side: int, seed: int
) -> tuple[nn.Module, Float[Tensor, "1 side side dim"]]:
    """The mixer that `maker(dim)` makes, and a map of noise for it."""
    with seeded(seed):
        return maker(dim), torch.randn(1, side, side, dim)
