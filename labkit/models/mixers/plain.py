"""The plain mixers: nothing at all, a convolution a channel, a fixed random matrix, attention.

They are what a new mixer is measured against, each as simple as it can be.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import OnMap
from labkit.taps import Tap


class NoMixing(nn.Module):
    """Hands its tokens on; the block then mixes nothing. (Not nn.Identity: it takes the place of a mixer by name.)"""

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return x


class Depthwise(nn.Module):
    """A convolution of each channel for itself, `kernel x kernel`, zero-padded: fixed weights, near neighbours."""

    def __init__(self, dim: int, *, kernel: int = 3) -> None:
        super().__init__()
        self.conv = OnMap(nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim))

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return self.conv(x)


class RandomMixing(nn.Module):
    """All tokens of a grid mixed by one matrix that is drawn once and never learned; its rows sum to one.

    Yu et al., CVPR 2022, table 5, ask how much of a transformer is left with it. It belongs to one grid (h, w).

    draw   (rows, columns) -> what the softmax is taken of; torch.rand makes a matrix that is nearly an average
    """

    def __init__(self, *, grid: tuple[int, int], draw: Callable[[int, int], Tensor] = torch.randn) -> None:
        super().__init__()
        self.grid = grid
        n = grid[0] * grid[1]
        self.register_buffer("matrix", draw(n, n).softmax(dim=-1))

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        h, w = x.shape[1:3]
        if (h, w) != self.grid:
            raise ValueError(
                f"RandomMixing was drawn for a grid of {self.grid[0]} x {self.grid[1]}, got {h} x {w}: its matrix "
                "has no other size; build it for the grid of your pictures."
            )
        mixed = torch.einsum("qk,bkc->bqc", self.matrix, rearrange(x, "b h w c -> b (h w) c"))
        return rearrange(mixed, "b (h w) c -> b h w c", h=h)


class SelfAttention(nn.Module):
    """Every token asks all others: softmax(Q Kᵀ / √d) V, without positions.

    bias   that the last linear map has one; `qkv_bias`: the first
    """

    def __init__(self, dim: int, *, heads: int, bias: bool = True, qkv_bias: bool = False) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(
                f"SelfAttention(dim={dim}, heads={heads}): every head needs the same whole number of channels."
            )
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.attn = Tap("b heads q k")
        self.proj = nn.Linear(dim, dim, bias=bias)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        h = x.shape[1]
        q, k, v = rearrange(self.qkv(x), "b h w (three heads d) -> three b heads (h w) d", three=3, heads=self.heads)
        attn = (q @ k.transpose(-2, -1) * self.scale).softmax(dim=-1)
        attn = self.attn(attn)
        return self.proj(rearrange(attn @ v, "b heads (h w) d -> b h w (heads d)", h=h))
