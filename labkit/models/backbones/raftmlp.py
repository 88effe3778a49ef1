"""Cells are mixed along columns and then along rows, and a few channels are laid end to end, so that they mix as well.

Paper    Tatsunami & Taki, "RaftMLP: How Much Can Be Done Without Attention and with Less Spatial Locality?", ACCV 2022
Adds     raft-token-mixing: an MLP over a column (then a row) of r channels at once, shared by all columns and by all
         dim / r rafts; a grid of another size is resized to the one that was learned
Reads    x = x + columns(norm(x)),  x = x + rows(norm(x)),  x = x + MLP(norm(x))          b h w c, c = (r c')
         columns(x) = W2 GELU(W1 x)          b c' w (r h),  W1: 2 r h x r h,  W2: r h x 2 r h;  rows alike
Costs    4 r dim (h + w) multiplications a cell and 4 r² (h² + w²) weights for the mixing; an MLP as wide over all cells
         at once has 4 dim h w and 4 (h w)²
Departs  nothing we know of; drop path is off unless it is asked for
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import floordiv

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import DropPath, Mlp
from labkit.models.scaffold import Head, Scaffold
from labkit.paper import Paper, Size

PAPER = Paper(
    number=30,
    id="raftmlp",
    title="RaftMLP: How Much Can Be Done Without Attention and with Less Spatial Locality?",
    year=2021,
    arxiv="2108.04384",
    claim="Token mixing along columns and rows, with a few channels tied together, makes an MLP more accurate than "
    "mixing all cells at once, with fewer weights and multiplications.",
)

# Tables 1 and 3 of the paper; "12" is the flat one, as deep and wide as Mixer-B/16.
SIZES = {
    "s": Size({}, 9_868_768, 2.087e9, top1=76.1),
    "m": Size({"dims": (96, 192, 384, 768)}, 21_413_632, 4.267e9, top1=78.8),
    "l": Size({"dims": (128, 192, 512, 1024)}, 36_184_672, 6.544e9, top1=79.4),
    "12": Size({"dims": (768,), "depths": (12,), "kernels": ((16,),), "raft": 4}, 58_390_696, 12.024e9, top1=78.0),
}


class Patches(nn.Module):
    """Squares of several sizes around the same places, all projected to one token: `b h_in w_in dim_in -> b h w dim`.

    kernels   sides of the squares; the smallest is the stride, and a map that it does not divide is resized up first
    """

    def __init__(self, dim_in: int, dim: int, *, kernels: Sequence[int]) -> None:
        super().__init__()
        self.stride = min(kernels)
        self.cuts = nn.ModuleList(nn.Unfold(k, stride=self.stride, padding=(k - self.stride) // 2) for k in kernels)
        self.proj = nn.Linear(dim_in * sum(k * k for k in kernels), dim)

    def forward(self, x: Float[Tensor, "b h_in w_in c_in"]) -> Float[Tensor, "b h w c"]:
        h, w = (-(-side // self.stride) for side in x.shape[1:3])
        x = resized(x, (h * self.stride, w * self.stride))
        x = rearrange(x, "b h w c -> b c h w")
        pieces = torch.cat([cut(x) for cut in self.cuts], dim=1)
        return self.proj(rearrange(pieces, "b c (h w) -> b h w c", h=h))


class Raft(nn.Module):
    """Each column (or row), with `raft` channels laid end to end, through one MLP, and added: `b h w c -> b h w c`.

    down    True along columns, False along rows; `length` cells are in one
    """

    def __init__(self, dim: int, *, down: bool, length: int, raft: int, drop_path: float = 0.0) -> None:
        super().__init__()
        if dim % raft:
            raise ValueError(f"Raft(dim={dim}, raft={raft}): every raft ties as many channels; raft has to divide dim.")
        self.lines = "b c w (raft h)" if down else "b c h (raft w)"
        self.raft = raft
        self.norm = nn.LayerNorm(dim)
        self.mlp = Mlp(raft * length, ratio=2)
        self.skip = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        y = rearrange(self.norm(x), f"b h w (raft c) -> {self.lines}", raft=self.raft)
        y = rearrange(self.mlp(y), f"{self.lines} -> b h w (raft c)", raft=self.raft)
        return x + self.skip(y)


class RaftMixing(nn.Module):
    """Columns, then rows, on the grid that the weights belong to; other grids are resized there and back."""

    def __init__(self, dim: int, *, grid: tuple[int, int], raft: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.grid = grid
        self.columns = Raft(dim, down=True, length=grid[0], raft=raft, drop_path=drop_path)
        self.rows = Raft(dim, down=False, length=grid[1], raft=raft, drop_path=drop_path)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        here = tuple(x.shape[1:3])
        x = resized(x, self.grid)
        x = self.rows(self.columns(x))
        return resized(x, here)


class RaftBlock(nn.Module):
    """A mixing that has its own skips, then each cell for itself: `b h w c -> b h w c`."""

    def __init__(self, dim: int, *, mixer: nn.Module, drop_path: float = 0.0) -> None:
        super().__init__()
        self.mixer = mixer
        self.norm = nn.LayerNorm(dim)
        self.mlp = Mlp(dim)
        self.skip = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        x = self.mixer(x)
        return x + self.skip(self.mlp(self.norm(x)))


def resized(x: Float[Tensor, "b h_in w_in c"], grid: tuple[int, int]) -> Float[Tensor, "b h w c"]:
    """The map on another grid (bicubic), or as it is where it has this one."""
    if tuple(x.shape[1:3]) == grid:
        return x
    x = F.interpolate(rearrange(x, "b h w c -> b c h w"), size=grid, mode="bicubic", align_corners=False)
    return rearrange(x, "b c h w -> b h w c")


def raftmlp(
    *,
    dims: Sequence[int] = (64, 128, 256, 512),
    depths: Sequence[int] = (2, 2, 6, 2),
    kernels: Sequence[Sequence[int]] = ((4, 8), (2, 4), (2, 4), (2,)),
    raft: int = 2,
    pixels: int = 224,
    mixer: Callable[[int, tuple[int, int]], nn.Module] | None = None,
    drop_path: float = 0.0,
    classes: int = 1000,
) -> Scaffold:
    """RaftMLP-S, or the same frame with another mixing: `mixer(dim, grid)` makes one, with its skips.

    kernels   stage by stage, the squares that its tokens are made of
    raft      channels that are tied; `pixels`: the side of the pictures whose grids the weights belong to
    """
    strides = [min(sizes) for sizes in kernels]
    sides = list(accumulate(strides, floordiv, initial=pixels))[1:]

    def block(stage: int, rate: float) -> RaftBlock:
        dim, grid = dims[stage], (sides[stage], sides[stage])
        mixing = mixer(dim, grid) if mixer else RaftMixing(dim, grid=grid, raft=raft, drop_path=rate)
        return RaftBlock(dim, mixer=mixing, drop_path=rate)

    return Scaffold(
        depths=depths,
        stem=Patches(3, dims[0], kernels=kernels[0]),
        down=lambda stage: Patches(dims[stage - 1], dims[stage], kernels=kernels[stage]),
        block=block,
        head=Head(dims[-1], classes),
        drop_path=drop_path,
    )


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two stages of one block, on another grid than the weights'."""
    model = raftmlp(dims=(8, 12), depths=(1, 1), kernels=((4, 8), (2,)), pixels=32, classes=5)
    return model, torch.randn(2, 3, 35, 26)
