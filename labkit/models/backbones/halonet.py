"""Attention in blocks that look over their edge: a whole block of queries shares one window of keys, its halo included.

Paper    Vaswani et al., "Scaling Local Self-Attention for Parameter Efficient Visual Backbones", CVPR 2021
Adds     blocked local attention: the window of keys is cut out once a block and not once a cell
Reads    block of b x b queries, window of (b + 2 halo)² keys around it
         attn = softmax(q · k / √d + q · row[Δy] + q · column[Δx])          b heads blocks q k
         y = attn v,  stride 2: every other query of every other row        b h w c
Costs    2 dim (w² + 2 w - 1) + 3 dim² multiplications a cell, w = b + 2 halo; each key is copied (w / b)² times
Departs  with stride 2 a query keeps its true distance to the keys (timm counts the queries as if they stood side by
         side); grids that blocks do not divide are filled up with zeros, which are looked at as those outside are
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import batch_norm
from labkit.paper import Paper, Size

PAPER = Paper(
    number=79,
    id="halonet",
    title="Scaling Local Self-Attention for Parameter Efficient Visual Backbones",
    year=2021,
    arxiv="2103.12731",
    claim="Attention reaches further without more weights, where a convolution has to pay for each cell, and so the "
    "better backbone for its number of parameters has local attention in place of 3 x 3 convolutions.",
)

# Table 2 of the paper as timm builds it: rb is a block's width behind it, the third depth is l3.
SIZES = {
    "h0": Size({"depths": (3, 3, 7, 3), "rb": 0.5}, 5_500_952, 2.353e9, pixels=256, top1=77.9),
    "h1": Size({"depths": (3, 3, 10, 3), "rb": 1.0}, 8_100_056, 2.988e9, pixels=256, top1=79.9),
    "h2": Size({"depths": (3, 3, 11, 3), "rb": 1.25}, 9_404_312, 3.313e9, pixels=256),
}


class Distances(nn.Module):
    """What a query adds for a key's distance in rows and in columns, both tables learned.

    block, window   cells along a side of the queries' block and of the keys' window; `stride` of the queries
    """

    def __init__(self, dim: int, *, block: int, window: int, stride: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(2 * window - 1, dim) * dim**-0.5)
        self.columns = nn.Parameter(torch.randn(2 * window - 1, dim) * dim**-0.5)
        side, queries = torch.arange(window), torch.arange(0, block, stride)
        self.register_buffer("away", window - 1 + side - queries[:, None], persistent=False)

    def forward(self, q: Float[Tensor, "b heads blocks q d"]) -> Float[Tensor, "b heads blocks q k"]:
        q = rearrange(q, "b heads blocks (y x) d -> b heads blocks y x d", y=len(self.away))
        down = torch.take_along_dim(q @ self.rows.T, rearrange(self.away, "y i -> 1 1 1 y 1 i"), dim=-1)
        right = torch.take_along_dim(q @ self.columns.T, rearrange(self.away, "x j -> 1 1 1 1 x j"), dim=-1)
        both = down[..., :, None] + right[..., None, :]
        return rearrange(both, "b heads blocks y x i j -> b heads blocks (y x) (i j)")


class HaloAttention(nn.Module):
    """Attention of blocks to their windows: `b h_in w_in dim -> b h w dim`; with stride 2 the grid is halved.

    block   cells along a side of the squares that share a window; `halo`: how far the window looks over their edge
    """

    def __init__(self, dim: int, *, heads: int = 8, block: int = 8, halo: int = 3, stride: int = 1) -> None:
        super().__init__()
        if dim % heads or block % stride:
            raise ValueError(
                f"HaloAttention(dim={dim}, heads={heads}, block={block}, stride={stride}): every head needs the same "
                "whole number of channels, and every block of queries the same whole number of strides."
            )
        self.heads, self.block, self.halo, self.stride = heads, block, halo, stride
        self.scale = (dim // heads) ** -0.5
        self.q = nn.Linear(dim, dim, bias=False)
        self.kv = nn.Linear(dim, 2 * dim, bias=False)
        self.distances = Distances(dim // heads, block=block, window=block + 2 * halo, stride=stride)
        self.attn = nn.Identity()  # named, so that it can be watched: `b heads blocks q k`

    def forward(self, x: Float[Tensor, "b h_in w_in c"]) -> Float[Tensor, "b h w c"]:
        h, w = (-(-side // self.stride) for side in x.shape[1:3])
        x = F.pad(x, (0, 0, 0, -x.shape[2] % self.block, 0, -x.shape[1] % self.block))
        rows, columns = (side // self.block for side in x.shape[1:3])
        q = self.q(x[:, :: self.stride, :: self.stride])
        q = rearrange(q, "b (i y) (j x) (heads d) -> b heads (i j) (y x) d", i=rows, j=columns, heads=self.heads)
        k, v = rearrange(
            self.windows(self.kv(x)), "b i j (heads two d) y x -> two b heads (i j) (y x) d", two=2, heads=self.heads
        )
        attn = (q @ k.mT * self.scale + self.distances(q)).softmax(dim=-1)
        attn = self.attn(attn)
        y = rearrange(attn @ v, "b heads (i j) (y x) d -> b (i y) (j x) (heads d)", i=rows, y=self.block // self.stride)
        return y[:, :h, :w]

    def windows(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b i j c y x"]:
        """The windows of all blocks; outside of the picture are zeros."""
        x = F.pad(x, (0, 0, self.halo, self.halo, self.halo, self.halo))
        window = self.block + 2 * self.halo
        return x.unfold(1, window, self.block).unfold(2, window, self.block)


class HaloBlock(nn.Module):
    """A residual bottleneck around a mixer that may halve the grid: `b h_in w_in dim_in -> b h w dim`."""

    def __init__(self, dim_in: int, dim: int, *, inside: int, mixer: nn.Module, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.enter = nn.Sequential(nn.Linear(dim_in, inside, bias=False), batch_norm(inside), nn.ReLU())
        self.mixer = mixer
        self.leave = nn.Sequential(batch_norm(inside), nn.ReLU(), nn.Linear(inside, dim, bias=False), batch_norm(dim))
        same = stride == 1 and dim_in == dim
        self.short = nn.Identity() if same else nn.Sequential(nn.Linear(dim_in, dim, bias=False), batch_norm(dim))

    def forward(self, x: Float[Tensor, "b h_in w_in c_in"]) -> Float[Tensor, "b h w c"]:
        y = self.leave(self.mixer(self.enter(x)))
        return F.relu(y + self.short(x[:, :: self.stride, :: self.stride]))


class HaloNet(nn.Module):
    """`b 3 H W`, any size, to `b classes`: a stem of stride 4, stages of blocks, the mean, a linear map."""

    def __init__(
        self,
        *,
        dims: Sequence[int],
        depths: Sequence[int],
        rb: float,
        mixer: Callable[[int, int], nn.Module],
        classes: int,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, dims[0], 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(dims[0]),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.stages = nn.Sequential()
        before = dims[0]
        for stage, (inside, depth) in enumerate(zip(dims, depths, strict=True)):
            dim = int(inside * rb)
            blocks = nn.Sequential()
            for index in range(depth):
                stride = 2 if stage and not index else 1
                blocks.append(HaloBlock(before, dim, inside=inside, mixer=mixer(inside, stride), stride=stride))
                before = dim
            self.stages.append(blocks)
        self.head = nn.Linear(before, classes)

    def forward(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b classes"]:
        x = rearrange(self.stem(image), "b c h w -> b h w c")
        x = self.stages(x)
        return self.head(x.mean(dim=(1, 2)))


def halonet(
    *,
    dims: Sequence[int] = (64, 128, 256, 512),
    depths: Sequence[int] = (3, 3, 10, 3),
    rb: float = 1.0,
    block: int = 8,
    halo: int = 3,
    heads: int = 8,
    mixer: Callable[[int, int], nn.Module] | None = None,
    classes: int = 1000,
) -> HaloNet:
    """HaloNet-H1, or the same frame with another mixer: `mixer(dim, stride)` makes one, `b h w dim -> b h w dim`.

    dims   channels inside the bottlenecks, where the mixer is; `rb` times as many are behind them
    """

    def attention(dim: int, stride: int) -> nn.Module:
        return HaloAttention(dim, heads=heads, block=block, halo=halo, stride=stride)

    return HaloNet(dims=dims, depths=depths, rb=rb, mixer=mixer or attention, classes=classes)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: a stage of one block and a halving, on an odd, oblong picture."""
    return halonet(dims=(8, 16), depths=(1, 1), block=2, halo=1, heads=2, classes=5), torch.randn(2, 3, 35, 26)
