"""Five mixers, none of them new, in one frame: nothing, a matrix of chance, a mean, a convolution, attention.

Paper    Yu et al., "MetaFormer Baselines for Vision", TPAMI 2024
Adds     IdentityFormer and RandFormer, how far the frame goes with no mixing or a meaningless one; ConvFormer and
         CAFormer, how far with mixers long known; StarReLU; a learned scale on the identity path of the last stages
Reads    x = r1 · x + mixer(norm(x)) ;  x = r2 · x + W2 StarReLU(W1 norm(x))          b h w c;  r only from stage 3 on
         StarReLU(u) = s · max(u, 0)² + b                                             s, b: one number each, learned
         identity  x            random  softmax(R) x, R uniform, drawn once           pooling  mean of 3 x 3, less x
         conv      W2 depthwise 7x7(StarReLU(W1 x))                                   attention  softmax(q kᵀ / √d) v
Costs    8 dim² multiplications a cell and block for the MLP; the mixer adds 0, n dim (random), 0, 4 dim² + 98 dim
         (conv), or 4 dim² + 2 n dim (attention); n cells
Departs  a random matrix is no parameter here: RandFormer-S12 holds 235,298 drawn numbers beside those counted. It
         belongs to the grid it was drawn for, so RandFormer takes pictures of one size
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.backbones.metaformer import Pooling
from labkit.models.layers import DropPath, OnMap
from labkit.models.mixers.plain import NoMixing, RandomMixing, SelfAttention
from labkit.models.scaffold import Norm, Patches, Scaffold, Scale, small_weights
from labkit.paper import Paper, Size

PAPER = Paper(
    number=61,
    id="metaformer_baselines",
    title="MetaFormer Baselines for Vision",
    year=2022,
    arxiv="2210.13452",
    claim="The frame has a floor: it works with nothing as its mixer, better with any mixer, even a random matrix, and "
    "best with two that everybody knows, convolutions below and attention above.",
)

# S12 and S18 of the paper, with their top-1 at 224 pixels.
SIZES = {
    "identity_s12": Size(
        {"mixers": ("identity", "identity", "identity", "identity"), "depths": (2, 2, 6, 2)},
        11_891_712,
        1.812e9,
        top1=74.6,
    ),
    "rand_s12": Size(
        {"mixers": ("identity", "identity", "random", "random"), "depths": (2, 2, 6, 2)},
        11_891_712,
        1.889e9,
        top1=76.6,
    ),
    "conv_s18": Size({"mixers": ("conv", "conv", "conv", "conv"), "head": "mlp"}, 26_774_448, 3.941e9, top1=83.0),
    "ca_s18": Size(
        {"mixers": ("conv", "conv", "attention", "attention"), "head": "mlp"}, 26_341_656, 4.107e9, top1=83.6
    ),
}
Mixer = Literal["identity", "random", "pooling", "conv", "attention"]


class StarReLU(nn.Module):
    """s · max(u, 0)² + b with two numbers, learned: 4 operations a value, where GELU takes 14.

    They start at 1 and 0. With s = 2 / √5 and b = -1 / √5 a normal u (mean 0, variance 1) would keep both.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, u: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return self.scale * u.relu().square() + self.offset


class StarMlp(nn.Module):
    """Two linear maps without bias and a StarReLU between: each token for itself."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim, bias=False)
        self.act = StarReLU()
        self.fc2 = nn.Linear(4 * dim, dim, bias=False)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return self.fc2(self.act(self.fc1(x)))


class SepConv(nn.Module):
    """Widen twice, look around in each channel (7 x 7), narrow: MobileNetV2's block as a mixer, `b h w c`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        wide = 2 * dim
        self.widen = nn.Linear(dim, wide, bias=False)
        self.act = StarReLU()
        self.around = OnMap(nn.Conv2d(wide, wide, 7, padding=3, groups=wide, bias=False))
        self.narrow = nn.Linear(wide, dim, bias=False)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return self.narrow(self.around(self.act(self.widen(x))))


class MapNorm(nn.Module):
    """Mean 0 and variance 1 over a picture's whole map, then a factor a channel and no offset: `b h w c`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(dim))

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return F.layer_norm(x, x.shape[1:], eps=1e-6) * self.factor


def token_norm(dim: int) -> nn.Module:
    """Each token's own norm, a factor a channel and no offset."""
    return nn.LayerNorm(dim, eps=1e-6, bias=False)


class StarBlock(nn.Module):
    """The frame's block, `b h w c -> b h w c`.

    keep   what the identity path is multiplied with at first, channel by channel, and learned; None: no such factor
    """

    def __init__(
        self, dim: int, *, mixer: nn.Module, norm: Norm, keep: float | None = None, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1 = norm(dim)
        self.mixer = mixer
        self.keep1 = nn.Identity() if keep is None else Scale(dim, keep)
        self.norm2 = norm(dim)
        self.mlp = StarMlp(dim)
        self.keep2 = nn.Identity() if keep is None else Scale(dim, keep)
        self.skip = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        x = self.keep1(x) + self.skip(self.mixer(self.norm1(x)))
        x = self.keep2(x) + self.skip(self.mlp(self.norm2(x)))
        return x


class Mean(nn.Module):
    """Over the map: `b h w c -> b c`."""

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b c"]:
        return x.mean(dim=(1, 2))


class SquaredReLU(nn.Module):
    def forward(self, u: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return u.relu().square()


def head_of(head: Literal["linear", "mlp"], dim: int, classes: int) -> nn.Module:
    """The mean of the map and its norm, then one linear map, or two with a squared ReLU and a norm between."""
    mean = (Mean(), nn.LayerNorm(dim, eps=1e-6))
    if head == "linear":
        return nn.Sequential(*mean, nn.Linear(dim, classes))
    wide = 4 * dim
    hidden = (nn.Linear(dim, wide), SquaredReLU(), nn.LayerNorm(wide, eps=1e-6))
    return nn.Sequential(*mean, *hidden, nn.Linear(wide, classes))


def mixer_of(name: str, dim: int, *, grid: tuple[int, int], head_dim: int) -> nn.Module:
    """The mixer of this name. Raises ValueError for a name that is none."""
    match name:
        case "identity":
            return NoMixing()
        case "random":
            return RandomMixing(grid=grid, draw=torch.rand)
        case "pooling":
            return Pooling()
        case "conv":
            return SepConv(dim)
        case "attention":
            return SelfAttention(dim, heads=max(1, dim // head_dim), bias=False)
    raise ValueError(f"no mixer here is called {name!r}: expected {', '.join(get_args(Mixer))}, one for each stage.")


def metaformer_baselines(
    *,
    mixers: Sequence[Mixer] = ("conv", "conv", "attention", "attention"),
    dims: Sequence[int] = (64, 128, 320, 512),
    depths: Sequence[int] = (3, 3, 9, 3),
    head: Literal["linear", "mlp"] = "linear",
    head_dim: int = 32,
    picture: tuple[int, int] = (224, 224),
    drop_path: float = 0.0,
    classes: int = 1000,
) -> Scaffold:
    """CAFormer-S18, or the same frame with another mixer a stage.

    head_dim   channels of a head of attention
    picture    (height, width) in pixels of the pictures that random matrices are drawn for
    """
    if not len(mixers) == len(dims) == len(depths):
        raise ValueError(
            f"metaformer_baselines(mixers={tuple(mixers)}, dims={tuple(dims)}, depths={tuple(depths)}): each stage has "
            "one mixer, one width and one depth; give as many of each."
        )

    def block(stage: int, rate: float) -> StarBlock:
        mixer = mixer_of(mixers[stage], dims[stage], grid=grid_of(picture, stage), head_dim=head_dim)
        norm = token_norm if mixers[stage] in ("conv", "attention") else MapNorm
        return StarBlock(dims[stage], mixer=mixer, norm=norm, keep=1.0 if stage >= 2 else None, drop_path=rate)

    model = Scaffold(
        depths=depths,
        stem=Patches(3, dims[0], kernel=7, stride=4, padding=2, norm=token_norm),
        down=lambda stage: nn.Sequential(
            token_norm(dims[stage - 1]), Patches(dims[stage - 1], dims[stage], kernel=3, stride=2, padding=1)
        ),
        block=block,
        head=head_of(head, dims[-1], classes),
        drop_path=drop_path,
    )
    return model.apply(small_weights)


def grid_of(picture: tuple[int, int], stage: int) -> tuple[int, int]:
    """(rows, columns) of cells in a stage: a stem of 7 x 7 at every fourth pixel, then halvings, rounded up."""
    h, w = (-(-((side - 3) // 4 + 1) // 2**stage) for side in picture)
    return h, w


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: a convolution, a mean and attention on an odd, oblong picture."""
    mixers, dims = ("conv", "pooling", "attention"), (8, 16, 24)
    model = metaformer_baselines(mixers=mixers, dims=dims, depths=(1, 1, 1), head="mlp", head_dim=12, classes=5)
    return model, torch.randn(2, 3, 35, 26)
