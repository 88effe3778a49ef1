"""Half of the features are cheap copies of the other half; a gate along rows and columns lends them a wider view.

Paper    Tang et al., "GhostNetV2: Enhance Cheap Operation with Long-Range Attention", NeurIPS 2022
Adds     decoupled fully connected (DFC) attention: a gate for each cell, gathered along its row and then along its
         column, over the features that GhostNet makes cheaply from others
Reads    p = ReLU(BN(1x1 x)),  ghost(x) = [p, ReLU(BN(depthwise 3x3 p))]         b c h w
         g = column(row(BN(1x1 mean 2x2 x)))                 row: depthwise 1 x 5, column: depthwise 5 x 1, with norms
         out = ghost(x) ∘ up(σ(g))                           up: the nearest, to the size of x
         With 2w - 1 and 2h - 1 taps, row and column are full: their product is one matrix over all cells, T_h ⊗ T_w
Costs    a quarter of (c c' + 10 c') multiplications a cell for the gate
Departs  nothing of the released code, whose gate has 5 taps at half the resolution where the paper's text has full rows
         and columns; without the dropout (0.2) before the last linear map
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import ConvBn
from labkit.paper import Paper, Size

PAPER = Paper(
    number=2,
    id="ghostnetv2",
    title="GhostNetV2: Enhance Cheap Operation with Long-Range Attention",
    year=2022,
    arxiv="2211.12905",
    claim="A gate gathered along the row and then along the column gives cheap local features a long range, for few "
    "multiplications, and makes them see better.",
)

# Table 2 of the paper for top-1.
SIZES = {
    "1.0": Size({}, 6_156_908, 167.05e6, top1=75.3),
    "1.3": Size({"width": 1.3}, 8_960_404, 269.3e6),
    "1.6": Size({"width": 1.6}, 12_392_698, 398.6e6),
}

ROWS = (
    ((3, 16, 16, 0, 1),),
    ((3, 48, 24, 0, 2),),
    ((3, 72, 24, 0, 1),),
    ((5, 72, 40, 0.25, 2),),
    ((5, 120, 40, 0.25, 1),),
    ((3, 240, 80, 0, 2),),
    ((3, 200, 80, 0, 1), (3, 184, 80, 0, 1), (3, 184, 80, 0, 1), (3, 480, 112, 0.25, 1), (3, 672, 112, 0.25, 1)),
    ((5, 672, 160, 0.25, 2),),
    ((5, 960, 160, 0, 1), (5, 960, 160, 0.25, 1), (5, 960, 160, 0, 1), (5, 960, 160, 0.25, 1)),
)
"""Stage by stage, blocks of (kernel, channels inside, channels, share of squeeze and excitation, stride)."""


class DfcGate(nn.Module):
    """What a cell's row and its column say of it: `b c_in h w -> b c h w`, each number 0..1.

    taps   cells along the row, and along the column, that are gathered; odd. 2 w - 1 are a full row of w cells
    half   gather on 2 x 2 cells together; what is left over at the lower and right edge is then not seen
    """

    def __init__(self, dim_in: int, dim: int, *, taps: int = 5, half: bool = True) -> None:
        super().__init__()
        if taps % 2 == 0:
            raise ValueError(f"DfcGate(taps={taps}): expected an odd number, so that a cell lies in the middle.")
        self.half = half
        self.mix = ConvBn(dim_in, dim)
        self.row = ConvBn(dim, dim, (1, taps), groups=dim)
        self.column = ConvBn(dim, dim, (taps, 1), groups=dim)
        self.gate = nn.Identity()  # named, so that it can be watched: `b c h w`, 0..1

    def forward(self, x: Float[Tensor, "b c_in h w"]) -> Float[Tensor, "b c h w"]:
        if min(x.shape[-2:]) < 2:
            raise ValueError(
                f"DfcGate gathers 2 x 2 cells, got a map of {x.shape[-2]} x {x.shape[-1]}: give a larger picture."
            )
        y = F.avg_pool2d(x, 2) if self.half else x
        y = self.column(self.row(self.mix(y))).sigmoid()
        return self.gate(F.interpolate(y, size=x.shape[-2:], mode="nearest"))


class Ghost(nn.Module):
    """Half of the channels by a 1 x 1 convolution, the others from these by a depthwise one: `b c_in h w -> b c h w`.

    gate   what all are multiplied by, made from the input; None: nothing, as in GhostNet
    """

    def __init__(self, dim_in: int, dim: int, *, active: bool = True, gate: nn.Module | None = None) -> None:
        super().__init__()
        self.dim = dim
        half = math.ceil(dim / 2)
        self.primary = ConvBn(dim_in, half, then=nn.ReLU() if active else None)
        self.cheap = ConvBn(half, half, 3, groups=half, then=nn.ReLU() if active else None)
        self.gate = gate

    def forward(self, x: Float[Tensor, "b c_in h w"]) -> Float[Tensor, "b c h w"]:
        p = self.primary(x)
        y = torch.cat([p, self.cheap(p)], dim=1)[:, : self.dim]
        return y if self.gate is None else y * self.gate(x)


class Excite(nn.Module):
    """Squeeze and excitation: one factor a channel, 0..1, from the mean over the picture; `b c h w`."""

    def __init__(self, dim: int, *, share: float) -> None:
        super().__init__()
        hidden = divisible(dim * share)
        self.squeeze = nn.Conv2d(dim, hidden, 1)
        self.excite = nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        hidden = self.squeeze(x.mean(dim=(2, 3), keepdim=True)).relu()
        return x * F.hardsigmoid(self.excite(hidden))


class GhostBlock(nn.Module):
    """Widen by a ghost module, halve the grid where asked, excite, narrow by another one; `b c h w`.

    gate   what the wide features are multiplied by; the thin ones have none
    """

    def __init__(
        self,
        dim_in: int,
        wide: int,
        dim: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        excite: float = 0,
        gate: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.widen = Ghost(dim_in, wide, gate=gate)
        self.halve = ConvBn(wide, wide, kernel, stride=stride, groups=wide) if stride > 1 else nn.Identity()
        self.excite = Excite(wide, share=excite) if excite else nn.Identity()
        self.narrow = Ghost(wide, dim, active=False)
        self.skip: nn.Module = nn.Identity()
        if stride > 1 or dim_in != dim:
            self.skip = nn.Sequential(ConvBn(dim_in, dim_in, kernel, stride=stride, groups=dim_in), ConvBn(dim_in, dim))

    def forward(self, x: Float[Tensor, "b c_in h_in w_in"]) -> Float[Tensor, "b c h w"]:
        y = self.excite(self.halve(self.widen(x)))
        return self.narrow(y) + self.skip(x)


class GhostNetV2(nn.Module):
    """`b 3 H W`, of at least 32 pixels a side at the published sizes, to `b classes`."""

    def __init__(
        self, rows: Sequence[Sequence[tuple]], *, width: float, plain: int, taps: int, wide: int, classes: int
    ) -> None:
        super().__init__()
        before = divisible(16 * width)
        self.stem = ConvBn(3, before, 3, stride=2, then=nn.ReLU())
        self.blocks = nn.Sequential()
        inside = before
        for kernel, inside, channels, excite, stride in (row for stage in rows for row in stage):
            inside, dim = divisible(inside * width), divisible(channels * width)
            gate = DfcGate(before, inside, taps=taps) if len(self.blocks) >= plain else None
            self.blocks.append(GhostBlock(before, inside, dim, kernel=kernel, stride=stride, excite=excite, gate=gate))
            before = dim
        self.last = ConvBn(before, inside, then=nn.ReLU())
        self.hidden = nn.Linear(inside, wide)
        self.head = nn.Linear(wide, classes)

    def forward(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b classes"]:
        x = self.last(self.blocks(self.stem(image)))
        x = self.hidden(x.mean(dim=(2, 3))).relu()
        return self.head(x)


def divisible(channels: float, *, by: int = 4) -> int:
    """The nearest multiple of 4, at least 4, and never less than nine tenths of what was asked for."""
    near = max(by, int(channels + by / 2) // by * by)
    return near + by if near < 0.9 * channels else near


def ghostnetv2(
    *,
    rows: Sequence[Sequence[tuple]] = ROWS,
    width: float = 1.0,
    plain: int = 2,
    taps: int = 5,
    wide: int = 1280,
    classes: int = 1000,
) -> GhostNetV2:
    """GhostNetV2: the first `plain` blocks without a gate; `taps` as for DfcGate, `width` multiplies the channels."""
    return GhostNetV2(rows, width=width, plain=plain, taps=taps, wide=wide, classes=classes)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: a plain block, a gated one, one that halves; odd and oblong."""
    rows = (((3, 8, 8, 0, 1),), ((3, 12, 8, 0.25, 1), (5, 16, 12, 0, 2)))
    return ghostnetv2(rows=rows, plain=1, wide=16, classes=5), torch.randn(2, 3, 35, 26)
