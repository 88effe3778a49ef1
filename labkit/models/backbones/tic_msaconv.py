"""Attention that is used like a convolution: a window around each cell, of any dilation and stride, on any picture.

Paper    Zhang et al., "TiC: Exploring Vision Transformer in Convolution", 2023
Adds     MSA-Conv: what a convolution's window holds is weighed by attention first, then the convolution is taken
Reads    a[p, δ] = softmax over δ of q[p] · k[p + δ] / √d          b heads n kernel²
         y[p] = x[p] + Σ_δ a[p, δ] v[p + δ],  out = ReLU(conv(y))          b h w c
         shift: a head's keys and values come from s cells further up, down, left or right, around the border
         pooling: the means of m x m parts of the picture are asked with the neighbours
Costs    (3 + kernel²) dim² + 2 kernel² dim multiplications a cell, whatever the picture's size
Departs  there is code of the operation alone, with one head: shifts, pooling and the net are our reading; cells outside
         of the picture are asked with a key of 0, as in that code; we norm before each operation, and drop nothing
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import OnMap
from labkit.models.scaffold import Head, Patches, Scaffold
from labkit.paper import Paper

PAPER = Paper(
    number=4,
    id="tic_msaconv",
    title="TiC: Exploring Vision Transformer in Convolution",
    year=2023,
    arxiv="2310.04134",
    claim="Attention within a convolution's window takes pictures of any size with the weights it has, at a cost that "
    "is linear in them, and keeps up with attention over the whole picture once shifts and pooling widen its view.",
)
WAYS = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""Rows and columns towards which the heads look, in turn."""


class WindowedAttention(nn.Module):
    """Every cell asks the cells of its window: `b h w c -> b h w c`.

    kernel    cells along a side of the window, odd; `dilation` cells apart
    shift     so many cells further up, down, left and right the windows of the heads lie, in turn, around the border
    pooled    means of so many parts along each side of the picture are asked too; 0: none
    """

    def __init__(
        self, dim: int, *, kernel: int = 3, dilation: int = 1, heads: int = 1, shift: int = 0, pooled: int = 0
    ) -> None:
        super().__init__()
        if dim % heads or kernel % 2 == 0:
            raise ValueError(
                f"WindowedAttention(dim={dim}, heads={heads}, kernel={kernel}): every head needs the same whole number "
                "of channels, and a window its middle: an odd kernel."
            )
        self.heads, self.kernel, self.dilation, self.shift, self.pooled = heads, kernel, dilation, shift, pooled
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.attn = nn.Identity()  # named, so that it can be watched: `b heads n keys`, the window first

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        h = x.shape[1]
        q, k, v = rearrange(self.qkv(x), "b h w (three heads d) -> three b heads d h w", three=3, heads=self.heads)
        q = rearrange(q, "b heads d h w -> b heads (h w) d")
        near_k, near_v = self.window(self.shifted(k)), self.window(self.shifted(v))
        scores = [torch.einsum("bhnd,bhnkd->bhnk", q, near_k)]
        if self.pooled:
            far_k, far_v = self.parts(k), self.parts(v)
            scores.append(q @ far_k.mT)
        attn = (torch.cat(scores, dim=-1) * self.scale).softmax(dim=-1)
        near, far = self.attn(attn).tensor_split([self.kernel**2], dim=-1)
        y = torch.einsum("bhnk,bhnkd->bhnd", near, near_v)
        if self.pooled:
            y = y + far @ far_v
        return rearrange(y, "b heads (h w) d -> b h w (heads d)", h=h)

    def shifted(self, x: Float[Tensor, "b heads d h w"]) -> Float[Tensor, "b heads d h w"]:
        """What a head asks about, moved so that the cell it looks towards comes to where it looks from."""
        if not self.shift:
            return x
        ways = [WAYS[head % 4] for head in range(self.heads)]
        moved = [
            one.roll((-self.shift * down, -self.shift * right), dims=(2, 3))
            for one, (down, right) in zip(x.unbind(1), ways, strict=True)
        ]
        return torch.stack(moved, dim=1)

    def window(self, x: Float[Tensor, "b heads d h w"]) -> Float[Tensor, "b heads n k d"]:
        """The cells of all windows; outside of the picture are zeros."""
        padding = self.kernel // 2 * self.dilation
        cells = F.unfold(x.flatten(1, 2), self.kernel, dilation=self.dilation, padding=padding)
        return rearrange(cells, "b (heads d k) n -> b heads n k d", heads=self.heads, k=self.kernel**2)

    def parts(self, x: Float[Tensor, "b heads d h w"]) -> Float[Tensor, "b heads m d"]:
        means = F.adaptive_avg_pool2d(x.flatten(1, 2), self.pooled)
        return rearrange(means, "b (heads d) y x -> b heads (y x) d", heads=self.heads)


class MsaConv(nn.Module):
    """Attention within windows, added, then a convolution and ReLU: `b h_in w_in dim_in -> b h w dim`.

    attention   of `dim_in` channels; `kernel` and `stride` are the convolution's
    """

    def __init__(self, dim_in: int, dim: int, *, attention: nn.Module, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.attention = attention
        self.conv = OnMap(nn.Conv2d(dim_in, dim, kernel, stride=stride, padding=kernel // 2, bias=False))

    def forward(self, x: Float[Tensor, "b h_in w_in c_in"]) -> Float[Tensor, "b h w c"]:
        x = x + self.attention(x)
        return self.conv(x).relu()


def tic_msaconv(
    *,
    dims: Sequence[int] = (64, 128, 256, 512),
    depths: Sequence[int] = (2, 2, 6, 2),
    attention: Callable[[int], nn.Module] = lambda dim: WindowedAttention(dim, heads=4, shift=4, pooled=2),
    classes: int = 1000,
) -> Scaffold:
    """A net of MSA-Conv, which alone halves its maps too; `attention(dim)` makes what weighs the windows."""

    def one(dim_in: int, dim: int, stride: int) -> nn.Module:
        return nn.Sequential(nn.LayerNorm(dim_in), MsaConv(dim_in, dim, attention=attention(dim_in), stride=stride))

    return Scaffold(
        depths=depths,
        stem=Patches(3, dims[0], kernel=4, stride=4),
        down=lambda stage: one(dims[stage - 1], dims[stage], 2),
        block=lambda stage, rate: one(dims[stage], dims[stage], 1),
        head=Head(dims[-1], classes),
    )


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two stages of one block on an odd, oblong picture."""
    return tic_msaconv(dims=(8, 12), depths=(1, 1), classes=5), torch.randn(2, 3, 35, 26)
