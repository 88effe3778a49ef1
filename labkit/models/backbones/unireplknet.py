"""A large kernel learns with small dilated ones beside it; when the lesson is over they fold into it and are gone.

Paper    Ding et al., "UniRepLKNet: A Universal Perception Large-Kernel ConvNet for Audio, Video, Point Cloud,
         Time-Series and Image Recognition", CVPR 2024
Adds     dilated re-parameterisation: a small kernel that takes every r-th cell is a large one with zeros between its
         taps, so it can be added to the large one; and a plan: few large kernels, small ones and 1 x 1 for the depth
Reads    K(x) = BN(depthwise k x k (x)) + Σ over (j, r) of BN(depthwise j x j, every r-th cell (x))      b c h w
         u = SE(BN(K(x))),  SE(u) = u ∘ σ(W2 ReLU(W1 mean over cells of u))                              b h w c
         y = x + γ BN(W4 GRN(GELU(W3 u)))
         GRN(u) = (α n + 1) u + β,  n = |u| over the cells / its mean over the channels
         folded: K and its norm are one k x k kernel and a bias, β, BN and γ go into W4 and a bias
Costs    (k² + Σ j²) dim + 8 dim² multiplications a cell while it learns, k² dim + 8 dim² folded
Departs  torch's defaults start all weights, from which a small net learns sooner than from the code's deviation of
         0.02; the sizes are those of the folded form, as published
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from itertools import cycle

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import DropPath, OnMap
from labkit.models.scaffold import Patches, PooledHead, Scaffold, Scale
from labkit.paper import Paper, Size

PAPER = Paper(
    number=10,
    id="unireplknet",
    title="UniRepLKNet: A Universal Perception Large-Kernel ConvNet for Audio, Video, Point Cloud, Time-Series and "
    "Image Recognition",
    year=2023,
    arxiv="2311.15599",
    claim="A large kernel learns better with small dilated kernels beside it, and afterwards all of them are one "
    "kernel: the same answers, from fewer parameters and multiplications.",
)

# Top-1 as published, of the folded form.
SIZES = {
    "a": Size({"dims": (40, 80, 160, 320)}, 4_437_300, 0.640e9, top1=77.0),
    "f": Size({"dims": (48, 96, 192, 384)}, 6_235_216, 0.905e9, top1=78.6),
    "p": Size({"dims": (64, 128, 256, 512)}, 10_741_704, 1.573e9, top1=80.2),
    "n": Size({"dims": (80, 160, 320, 640), "depths": (2, 2, 8, 2)}, 18_318_560, 2.767e9, top1=81.6),
    "t": Size(
        {"dims": (80, 160, 320, 640), "depths": (3, 3, 18, 3), "kernels": ((3,), (13,), (13, 3), (13,))},
        31_037_980,
        4.899e9,
        top1=83.2,
    ),
}

BRANCHES = {
    7: ((5, 1), (3, 2), (3, 3)),
    9: ((5, 1), (5, 2), (3, 3), (3, 4)),
    11: ((5, 1), (5, 2), (3, 3), (3, 4), (3, 5)),
    13: ((5, 1), (7, 2), (3, 3), (3, 4), (3, 5)),
}
"""Beside a large kernel: (cells a side, every how many cells) of the small ones. Smaller kernels stand alone."""
Branches = Sequence[tuple[int, int]]
token_norm = partial(nn.LayerNorm, eps=1e-6)


class DilatedKernel(nn.Module):
    """A large depthwise kernel with small dilated ones beside it, each with its norm: `b c h w -> b c h w`.

    branches   (cells a side, every how many cells) of the small ones, none wider than the large one
    """

    def __init__(self, dim: int, kernel: int, branches: Branches) -> None:
        super().__init__()
        for side, rate in branches:
            if (span := rate * (side - 1) + 1) > kernel:
                raise ValueError(f"DilatedKernel(kernel={kernel}): the branch {(side, rate)} is wider, {span} cells.")
        self.parts = nn.ModuleList(
            nn.Sequential(depthwise(dim, side, rate=rate), nn.BatchNorm2d(dim))
            for side, rate in ((kernel, 1), *branches)
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return sum(part(x) for part in self.parts)

    @torch.no_grad()
    def kernels(self) -> tuple[Float[Tensor, "parts c 1 k k"], Float[Tensor, "parts c"]]:
        """The large kernel and then each branch, as kernels of one size that need no norm; and the bias of each."""
        plain = [normed(norm, spread(conv.weight, conv.dilation[0])) for conv, norm in self.parts]
        side = self.parts[0][0].kernel_size[0]
        weights = [F.pad(weight, ((side - weight.shape[-1]) // 2,) * 4) for weight, _ in plain]
        return torch.stack(weights), torch.stack([bias for _, bias in plain])


class Excite(nn.Module):
    """Squeeze and excitation: one factor a channel, 0..1, from the mean over the picture; `b h w c`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(dim, dim // 4)
        self.excite = nn.Linear(dim // 4, dim)
        nn.init.zeros_(self.squeeze.bias)  # what comes is normed, its means near 0: a bias would shut units for all
        self.gate = nn.Identity()  # named, so that it can be watched: `b 1 1 c`, 0..1

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        hidden = self.squeeze(x.mean(dim=(1, 2), keepdim=True)).relu()
        return x * self.gate(self.excite(hidden).sigmoid())


class ResponseNorm(nn.Module):
    """Louder channels get louder, `b h w c`; the identity at first (GRN; Woo et al., "ConvNeXt V2", CVPR 2023)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        loud = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        y = (self.weight * loud / (loud.mean(dim=-1, keepdim=True) + 1e-6) + 1) * x
        return y if self.bias is None else y + self.bias


class UniBlock(nn.Module):
    """Look around, weigh the channels, think about each cell: one branch, `b h w c -> b h w c`.

    branches   of the dilated kernel; none: a plain depthwise one
    scale      what the branch is multiplied with at first, channel by channel, and learned
    """

    def __init__(
        self, dim: int, *, kernel: int, branches: Branches = (), scale: float = 1e-6, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.around = OnMap(DilatedKernel(dim, kernel, branches) if branches else depthwise(dim, kernel))
        self.norm1 = OnMap(nn.BatchNorm2d(dim))
        self.excite = Excite(dim)
        self.widen = nn.Linear(dim, 4 * dim)
        self.respond = ResponseNorm(4 * dim)
        self.narrow = nn.Linear(4 * dim, dim, bias=False)
        self.norm2 = OnMap(nn.BatchNorm2d(dim))
        self.scale = Scale(dim, scale)
        self.skip = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        y = self.excite(self.norm1(self.around(x)))
        y = self.respond(F.gelu(self.widen(y)))
        y = self.scale(self.norm2(self.narrow(y)))
        return x + self.skip(y)

    @torch.no_grad()
    def fold(self) -> None:
        """Become one kernel without norms, in place, that answers as this block does in eval mode."""
        if isinstance(self.norm1, nn.Identity):
            return
        around = self.around.part
        if isinstance(around, DilatedKernel):
            conv = around.parts[0][0]
            weight, bias = (one.sum(dim=0) for one in around.kernels())
        else:
            conv, weight, bias = around, around.weight, 0.0
        weight, bias = normed(self.norm1.part, weight, bias)
        conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
        narrow, factor = self.narrow, self.scale.factor
        weight, bias = normed(self.norm2.part, narrow.weight, narrow.weight @ self.respond.bias)
        narrow.weight, narrow.bias = nn.Parameter(factor[:, None] * weight), nn.Parameter(factor * bias)
        self.around, self.respond.bias = OnMap(conv), None
        self.norm1 = self.norm2 = self.scale = nn.Identity()


def depthwise(dim: int, kernel: int, *, rate: int = 1) -> nn.Conv2d:
    """A kernel a channel over every `rate`-th cell, zeros around; no bias: a norm follows, or folding gives one."""
    if kernel % 2 == 0:
        raise ValueError(f"a kernel of {kernel} cells a side has no cell in its middle; try {kernel + 1}.")
    return nn.Conv2d(dim, dim, kernel, padding=rate * (kernel // 2), dilation=rate, groups=dim, bias=False)


def spread(kernel: Float[Tensor, "c 1 j j"], rate: int) -> Float[Tensor, "c 1 k k"]:
    """A kernel over every `rate`-th cell, as one over all cells: zeros between its taps, k = rate (j - 1) + 1."""
    side = rate * (kernel.shape[-1] - 1) + 1
    wide = kernel.new_zeros(*kernel.shape[:2], side, side)
    wide[..., ::rate, ::rate] = kernel
    return wide


def normed(
    norm: nn.BatchNorm2d, weight: Float[Tensor, "c *rest"], bias: Float[Tensor, "c"] | float = 0.0
) -> tuple[Float[Tensor, "c *rest"], Float[Tensor, "c"]]:
    """The weight and the bias of a map with this norm behind it, as the norm is in eval mode."""
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    return factor.view(-1, *(1,) * (weight.ndim - 1)) * weight, factor * (bias - norm.running_mean) + norm.bias


def fold(model: Scaffold) -> Scaffold:
    """A copy of the model with all its blocks folded, whose answers are those of the model in eval mode."""
    model = deepcopy(model)
    for part in list(model.modules()):
        if isinstance(part, UniBlock):
            part.fold()
    return model


def unireplknet(
    *,
    dims: Sequence[int] = (40, 80, 160, 320),
    depths: Sequence[int] = (2, 2, 6, 2),
    kernels: Sequence[Sequence[int]] = ((3,), (13,), (13,), (13,)),
    branches: Mapping[int, Branches] = BRANCHES,
    folded: bool = True,
    scale: float = 1e-6,
    drop_path: float = 0.0,
    classes: int = 1000,
) -> Scaffold:
    """UniRepLKNet-A, folded; `folded=False` gives the form that learns, and `fold(model)` folds it afterwards.

    kernels    for each stage the sides that its blocks have in turn, again from the first when all have had their turn
    branches   for each side the small kernels beside it; a side that is not there stands alone
    """
    if len(kernels) < len(depths):
        raise ValueError(f"unireplknet: {len(depths)} stages, but kernels= has sides for {len(kernels)} of them.")

    def down(dim_in: int, dim: int) -> Patches:
        return Patches(dim_in, dim, kernel=3, stride=2, padding=1, norm=token_norm)

    turns = [cycle(sides) for sides in kernels]

    def block(stage: int, rate: float) -> UniBlock:
        kernel = next(turns[stage])
        return UniBlock(dims[stage], kernel=kernel, branches=branches.get(kernel, ()), scale=scale, drop_path=rate)

    model = Scaffold(
        depths=depths,
        stem=nn.Sequential(down(3, dims[0] // 2), nn.GELU(), down(dims[0] // 2, dims[0])),
        down=lambda stage: down(dims[stage - 1], dims[stage]),
        block=block,
        head=PooledHead(dims[-1], classes, norm=token_norm),
        drop_path=drop_path,
    )
    return fold(model) if folded else model


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: a small kernel and a dilated one, on an odd, oblong picture."""
    model = unireplknet(dims=(8, 16), depths=(1, 1), kernels=((3,), (7,)), folded=False, classes=5)
    return model, torch.randn(2, 3, 35, 26)
