"""Query and key are added and not multiplied with each other: gates over cells and channels, at a convolution's price.

Paper    Zhang et al., "CAS-ViT: Convolutional Additive Self-attention Vision Transformers for Efficient Mobile
         Applications", 2024
Adds     the convolutional additive token mixer (CATM): what a query and a key say of a cell is summed, each having
         passed a gate over the cells and a gate over the channels, and the sum weighs the values
Reads    q, k, v = split(x W)                                   b h w c
         spatial(u) = u ∘ σ(W1 ReLU(BN(depthwise 3x3(u))))      one number a cell
         Φ(u)       = s ∘ σ(W2 mean over cells of s)            s = spatial(u); one number a channel
         mixer(x)   = depthwise 3x3(depthwise 3x3(Φq(q) + Φk(k)) ∘ v)
Costs    3 dim² + 38 dim multiplications a cell, linear in the cells; attention has 4 dim² + 2 n dim
Departs  the two heads (labels and a teacher) are averaged in training too; torch's defaults start the convolutions
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import DropPath, Mlp, OnMap, batch_norm
from labkit.models.scaffold import Patches, Scaffold, small_weights
from labkit.paper import Paper, Size

PAPER = Paper(
    number=68,
    id="casvit",
    title="CAS-ViT: Convolutional Additive Self-attention Vision Transformers for Efficient Mobile Applications",
    year=2024,
    arxiv="2408.03703",
    claim="Context over the whole picture needs no affinities between pairs of tokens: gates over cells and over "
    "channels, added up for query and key, give it at linear cost and keep up with attention.",
)

# Table 1 of the paper.
SIZES = {
    "xs": Size({"dims": (48, 56, 112, 220), "depths": (2, 2, 4, 2)}, 3_200_700, 0.547e9, top1=78.3),
    "s": Size({"dims": (48, 64, 128, 256), "depths": (3, 3, 6, 3)}, 5_764_224, 0.912e9, top1=80.9),
    "m": Size({"dims": (64, 96, 192, 384), "depths": (3, 3, 6, 3)}, 12_421_520, 1.860e9, top1=82.8),
    "t": Size({"dims": (96, 128, 256, 512), "depths": (3, 3, 6, 3)}, 21_763_120, 3.557e9, top1=83.9),
}


class CellGate(nn.Module):
    """One factor a cell, 0..1, from its 3 x 3 neighbours: `b c h w -> b c h w`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm = nn.BatchNorm2d(dim)
        self.one = nn.Conv2d(dim, 1, 1, bias=False)
        self.gate = nn.Identity()  # named, so that it can be watched: `b 1 h w`, 0..1

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        score = self.one(self.norm(self.around(x)).relu())
        return x * self.gate(score.sigmoid())


class ChannelGate(nn.Module):
    """One factor a channel, 0..1, from the mean over the picture: `b c h w -> b c h w`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(dim, dim, 1, bias=False)
        self.gate = nn.Identity()  # named, so that it can be watched: `b c 1 1`, 0..1

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        score = self.mix(x.mean(dim=(2, 3), keepdim=True))
        return x * self.gate(score.sigmoid())


class AdditiveMixer(nn.Module):
    """The convolutional additive token mixer: `b h w c -> b h w c`.

    cells, channels   whether query and key pass the gate over the cells, and the one over the channels
    """

    def __init__(self, dim: int, *, cells: bool = True, channels: bool = True) -> None:
        super().__init__()
        self.qkv = nn.Conv2d(dim, 3 * dim, 1, bias=False)
        self.query, self.key = (
            nn.Sequential(CellGate(dim) if cells else nn.Identity(), ChannelGate(dim) if channels else nn.Identity())
            for _ in range(2)
        )
        self.weigh = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.weights = nn.Identity()  # named, so that they can be watched: `b c h w`, of either sign
        self.proj = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        q, k, v = self.qkv(rearrange(x, "b h w c -> b c h w")).chunk(3, dim=1)
        weights = self.weights(self.weigh(self.query(q) + self.key(k)))
        return rearrange(self.proj(weights * v), "b c h w -> b h w c")


class CasBlock(nn.Module):
    """Near neighbours, then the mixer, then each cell for itself, as three branches: `b h w c -> b h w c`."""

    def __init__(self, dim: int, *, mixer: nn.Module, drop_path: float = 0.0) -> None:
        super().__init__()
        self.local = OnMap(
            nn.Sequential(
                nn.Conv2d(dim, dim, 1),
                nn.BatchNorm2d(dim),
                nn.Conv2d(dim, dim, 3, padding=1, groups=dim),
                nn.GELU(),
                nn.Conv2d(dim, dim, 1),
            )
        )
        self.norm1 = batch_norm(dim)
        self.mixer = mixer
        self.norm2 = batch_norm(dim)
        self.mlp = Mlp(dim)
        self.skip = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        x = x + self.local(x)
        x = x + self.skip(self.mixer(self.norm1(x)))
        return x + self.skip(self.mlp(self.norm2(x)))


class TwoHeads(nn.Module):
    """A norm, the mean over the map, and the mean of two linear maps, of which one learned from a teacher."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.norm = batch_norm(dim)
        self.fc = nn.Linear(dim, classes)
        self.teacher = nn.Linear(dim, classes)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b classes"]:
        x = self.norm(x).mean(dim=(1, 2))
        return (self.fc(x) + self.teacher(x)) / 2


def casvit(
    *,
    dims: Sequence[int] = (48, 56, 112, 220),
    depths: Sequence[int] = (2, 2, 4, 2),
    mixer: Callable[[int, int], nn.Module] = lambda stage, dim: AdditiveMixer(dim),
    drop_path: float = 0.0,
    classes: int = 1000,
) -> Scaffold:
    """CAS-ViT-XS, or the same frame with another mixer: `mixer(stage, dim)` makes one, `b h w c -> b h w c`."""

    def down(dim_in: int, dim: int) -> Patches:
        return Patches(dim_in, dim, kernel=3, stride=2, padding=1, norm=batch_norm)

    model = Scaffold(
        depths=depths,
        stem=nn.Sequential(down(3, dims[0] // 2), nn.ReLU(), down(dims[0] // 2, dims[0]), nn.ReLU()),
        down=lambda stage: down(dims[stage - 1], dims[stage]),
        block=lambda stage, rate: CasBlock(dims[stage], mixer=mixer(stage, dims[stage]), drop_path=rate),
        head=TwoHeads(dims[-1], classes),
        drop_path=drop_path,
    )
    return model.apply(small_weights)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two stages of one block on an odd, oblong picture."""
    return casvit(dims=(8, 12), depths=(1, 1), classes=5), torch.randn(2, 3, 35, 26)
