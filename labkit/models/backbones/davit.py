"""Attention twice, in turn: cells ask the cells of their window, and then channels ask channels, over all cells.

Paper    Ding et al., "DaViT: Dual Attention Vision Transformers", ECCV 2022
Adds     channel group attention: each channel is a token, the whole map is what it says, so one step mixes everything
Reads    windows     y = softmax(q kᵀ / √d) v          q, k, v: b windows heads n d, a window's n cells for themselves
         channels    y = q Aᵀ,  A = softmax(kᵀ v / √d)          b heads d d, summed over all n cells
         block       x = x + near(x),  x = x + attention(norm(x)),  x = x + near(x),  x = x + MLP(norm(x))
Costs    4 dim² + 2 dim window² multiplications a cell for windows, 4 dim² + 2 dim d for channels; linear in the cells
Departs  nothing from the published code, where A comes of keys and values and is applied to the queries; drop path
         rises from pair to pair and not within one
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import DropPath, Mlp, OnMap
from labkit.models.mixers.plain import SelfAttention
from labkit.models.scaffold import Patches, PooledHead, Scaffold, small_weights
from labkit.paper import Paper, Size

PAPER = Paper(
    number=89,
    id="davit",
    title="DaViT: Dual Attention Vision Transformers",
    year=2022,
    arxiv="2204.03645",
    claim="Attention among channels sees the whole picture at a cost that is linear in its cells, and together with "
    "attention in windows it does better than either alone.",
)

# Table 1 of the paper; depths are pairs of blocks.
SIZES = {
    "tiny": Size({}, 28_360_168, 4.522e9, top1=82.8),
    "small": Size({"depths": (1, 1, 9, 1)}, 49_745_896, 8.773e9, top1=84.2),
}
WINDOW = 7


class WindowAttention(nn.Module):
    """Attention within squares of `window` x `window` cells: `b h w c -> b h w c`.

    Grids that the squares do not divide are filled up with zeros, which are asked like other cells, as published.
    """

    def __init__(self, dim: int, *, heads: int, window: int = WINDOW) -> None:
        super().__init__()
        self.window = window
        self.inside = SelfAttention(dim, heads=heads, qkv_bias=True)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        b, h, w, _ = x.shape
        x = F.pad(x, (0, 0, 0, -w % self.window, 0, -h % self.window))
        squares = rearrange(x, "b (i y) (j x) c -> (b i j) y x c", y=self.window, x=self.window)
        y = self.inside(squares)
        y = rearrange(y, "(b i j) y x c -> b (i y) (j x) c", b=b, i=x.shape[1] // self.window)
        return y[:, :h, :w]


class ChannelAttention(nn.Module):
    """Attention among the channels of a head, each of which says what it holds in all cells: `b h w c -> b h w c`."""

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(
                f"ChannelAttention(dim={dim}, heads={heads}): every head needs the same whole number of channels."
            )
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.attn = nn.Identity()  # named, so that it can be watched: `b heads d d`, of channels
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        h = x.shape[1]
        q, k, v = rearrange(self.qkv(x), "b h w (three heads d) -> three b heads (h w) d", three=3, heads=self.heads)
        attn = (k.mT @ v * self.scale).softmax(dim=-1)
        attn = self.attn(attn)
        return self.proj(rearrange(q @ attn.mT, "b heads (h w) d -> b h w (heads d)", h=h))


class DualBlock(nn.Module):
    """A look at the neighbours before each half, attention, then each cell for itself: `b h w c -> b h w c`."""

    def __init__(self, dim: int, *, mixer: nn.Module, drop_path: float = 0.0) -> None:
        super().__init__()
        self.near1 = OnMap(nn.Conv2d(dim, dim, 3, padding=1, groups=dim))
        self.norm1 = nn.LayerNorm(dim)
        self.mixer = mixer
        self.near2 = OnMap(nn.Conv2d(dim, dim, 3, padding=1, groups=dim))
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim)
        self.skip = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        x = x + self.near1(x)
        x = x + self.skip(self.mixer(self.norm1(x)))
        x = x + self.near2(x)
        return x + self.skip(self.mlp(self.norm2(x)))


def davit(
    *,
    dims: Sequence[int] = (96, 192, 384, 768),
    depths: Sequence[int] = (1, 1, 3, 1),
    heads: Sequence[int] = (3, 6, 12, 24),
    mixers: Sequence[Callable[..., nn.Module]] = (WindowAttention, ChannelAttention),
    drop_path: float = 0.0,
    classes: int = 1000,
) -> Scaffold:
    """DaViT-Tiny, or its frame with other mixers: one of depth is a block of each, made by `mixer(dim, heads=)`."""

    def block(stage: int, rate: float) -> nn.Module:
        dim = dims[stage]
        return nn.Sequential(
            *(DualBlock(dim, mixer=mixer(dim, heads=heads[stage]), drop_path=rate) for mixer in mixers)
        )

    def down(stage: int) -> nn.Module:
        before = dims[stage - 1]
        return nn.Sequential(nn.LayerNorm(before), Patches(before, dims[stage], kernel=2, stride=2))

    model = Scaffold(
        depths=depths,
        stem=Patches(3, dims[0], kernel=7, stride=4, padding=3, norm=nn.LayerNorm),
        down=down,
        block=block,
        head=PooledHead(dims[-1], classes),
        drop_path=drop_path,
    )
    return model.apply(small_weights)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two stages of one pair of blocks, on an odd, oblong picture."""
    return davit(dims=(8, 12), depths=(1, 1), heads=(2, 3), classes=5), torch.randn(2, 3, 35, 26)
