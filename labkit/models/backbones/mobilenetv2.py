"""Thin between the blocks, wide inside them, and nothing bent where it is thin: ReLU would destroy what it holds.

Paper    Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018
Adds     the inverted residual: widen, look around in each channel, narrow again, with the skip between the thin ends;
         and the linear bottleneck: no activation behind the narrowing
Reads    u = ReLU6(BN(widen x))                      b c h w -> b tc h w
         v = ReLU6(BN(depthwise 3x3, stride s (u)))
         y = BN(narrow v)                            b tc h w -> b c' h w, linear
         x + y where s = 1 and c = c', else y
Costs    t c (c + 9 + c') multiplications a cell
Departs  without the dropout (0.2) before the last linear map
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import ConvBn
from labkit.paper import Paper, Size

PAPER = Paper(
    number=51,
    id="mobilenetv2",
    title="MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    year=2018,
    arxiv="1801.04381",
    claim="ReLU destroys what few channels hold and spares what many hold, so a block that is thin at its ends and "
    "wide inside must stay linear where it is thin, and sees better so.",
)

# Table 4 of the paper for top-1, its width multiplier for the smaller one.
SIZES = {
    "1.0": Size({}, 3_504_872, 0.3008e9, top1=72.0),
    "0.35": Size({"width": 0.35}, 1_677_128, 0.0593e9),
}

ROWS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Widening, channels, blocks, stride of the first of them: table 2 of the paper."""


class InvertedResidual(nn.Module):
    """Widen by `expand`, look around, narrow: `b c h w`; a skip where the shape stays.

    linear   no activation at the thin end, as the paper asks; False puts a ReLU6 there, for comparison
    """

    def __init__(self, dim_in: int, dim: int, *, expand: int, stride: int = 1, linear: bool = True) -> None:
        super().__init__()
        wide = expand * dim_in
        self.widen = ConvBn(dim_in, wide, then=nn.ReLU6()) if expand > 1 else nn.Identity()
        self.around = ConvBn(wide, wide, 3, stride=stride, groups=wide, then=nn.ReLU6())
        self.narrow = ConvBn(wide, dim, then=None if linear else nn.ReLU6())
        self.same = stride == 1 and dim_in == dim

    def forward(self, x: Float[Tensor, "b c_in h_in w_in"]) -> Float[Tensor, "b c h w"]:
        y = self.narrow(self.around(self.widen(x)))
        return x + y if self.same else y


class MobileNetV2(nn.Module):
    """`b 3 H W`, any size, to `b classes`: a stem, the blocks, one wide layer, the mean, a linear map."""

    def __init__(
        self, rows: Sequence[tuple[int, int, int, int]], *, width: float, linear: bool, stem_stride: int, classes: int
    ) -> None:
        super().__init__()
        before = rounded(32 * width)
        self.stem = ConvBn(3, before, 3, stride=stem_stride, then=nn.ReLU6())
        self.blocks = nn.Sequential()
        for expand, channels, repeats, stride in rows:
            dim = rounded(channels * width)
            for first in (True, *[False] * (repeats - 1)):
                one = InvertedResidual(before, dim, expand=expand, stride=stride if first else 1, linear=linear)
                self.blocks.append(one)
                before = dim
        wide = 4 * rounded(rows[-1][1] * max(width, 1.0))
        self.last = ConvBn(before, wide, then=nn.ReLU6())
        self.head = nn.Linear(wide, classes)

    def forward(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b classes"]:
        x = self.last(self.blocks(self.stem(image)))
        return self.head(x.mean(dim=(2, 3)))


def rounded(channels: float, *, to: int = 8) -> int:
    """The nearest multiple of 8, at least 8, and never less than nine tenths of what was asked for."""
    near = max(to, int(channels + to / 2) // to * to)
    return near + to if near < 0.9 * channels else near


def mobilenetv2(
    *,
    rows: Sequence[tuple[int, int, int, int]] = ROWS,
    width: float = 1.0,
    linear: bool = True,
    stem_stride: int = 2,
    classes: int = 1000,
) -> MobileNetV2:
    """MobileNetV2; `rows` are (widening, channels, blocks, stride), `width` multiplies all channels."""
    if width <= 0:
        raise ValueError(f"mobilenetv2(width={width:g}): expected a factor above 0, such as 0.35 or 1.4.")
    model = MobileNetV2(rows, width=width, linear=linear, stem_stride=stem_stride, classes=classes)
    return model.apply(_start)


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: three blocks, one with a skip, on an odd, oblong picture."""
    return mobilenetv2(rows=((1, 8, 1, 1), (3, 16, 2, 2)), width=0.5, classes=5), torch.randn(2, 3, 35, 26)
