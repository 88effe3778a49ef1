"""A small network inside each block decides, cell by cell, how much of a linear map passes: a mixer as a gate.

Paper    Abdullah, Aydin, "NiNformer: A Network in Network Transformer with Token Mixing Generated Gating
         Function", 2024
Adds     a gate made by token mixing: the whole block of an MLP-Mixer runs inside the block, and what it makes is
         multiplied with the tokens, so that fixed weights mix each picture in its own way
Reads    y = norm(x)                            b h w c, n = h w cells
         z = y + W2 GELU(W1 norm(y))            W1: hidden x n, over the cells, one for all channels
         gate = z + W4 GELU(W3 norm(z))         W3: hidden x dim, over the channels
         x = x + gate ∘ (W y) ;  x = x + MLP(norm(x))       no sigmoid; both norms of x are one and the same
Costs    dim² + 4 hidden dim multiplications a cell for gate and map (attention: 4 dim² + 2 n dim), and 2 n hidden
         weights for a grid of n cells, which fits no other
Departs  without the dropout (one half) that the paper trains with
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import DropPath, Mlp
from labkit.models.mixers.tokens import TokenMlp
from labkit.models.scaffold import Block, Head, Patches, Scaffold, small_weights
from labkit.paper import Paper, Size

PAPER = Paper(
    number=69,
    id="ninformer",
    title="NiNformer: A Network in Network Transformer with Token Mixing Generated Gating Function",
    year=2024,
    arxiv="2403.02411",
    claim="A gate made by an MLP-Mixer inside the block makes the fixed mixing of the Mixer depend on the picture: "
    "more accurate than the Mixer and than attention, and cheaper than attention.",
)

# The model of the paper for CIFAR-10, at 32 pixels.
SIZES = {"cifar": Size({"dim": 256, "depth": 4, "hidden": 512, "classes": 10}, 2_652_170, 0.2189e9, pixels=32)}


def mixer_block(dim: int, *, grid: tuple[int, int], hidden: int) -> Block:
    """A block of the MLP-Mixer: over the cells, then over the channels, each with `hidden` numbers between."""
    cells = TokenMlp(grid=grid, ratio=hidden / (grid[0] * grid[1]))
    return Block(dim, mixer=cells, mlp=Mlp(dim, ratio=hidden / dim))


class Gating(nn.Module):
    """gate(x) ∘ (W x): `b h w c -> b h w c`.

    inner   makes the gate, any module `b h w c -> b h w c`
    """

    def __init__(self, dim: int, *, inner: nn.Module) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, dim)
        self.inner = inner
        self.gate = nn.Identity()  # named, so that it can be watched: `b h w c`, of either sign

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return self.gate(self.inner(x)) * self.proj(x)


class NinBlock(nn.Module):
    """x + mixer(norm(x)), then x + mlp(norm(x)), with one norm for both: `b h w c -> b h w c`."""

    def __init__(self, dim: int, *, mixer: nn.Module, mlp: nn.Module, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mixer = mixer
        self.mlp = mlp
        self.skip = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        x = x + self.skip(self.mixer(self.norm(x)))
        return x + self.skip(self.mlp(self.norm(x)))


class OneGrid(Scaffold):
    """The frame for mixers with weights for one grid: a picture that falls into another is refused by its size."""

    def __init__(self, *, grid: tuple[int, int], patch: int, **parts: Any) -> None:
        super().__init__(**parts)
        self.grid, self.patch = grid, patch

    def forward(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b classes"]:
        h, w = image.shape[2:]
        if (-(-h // self.patch), -(-w // self.patch)) != self.grid:
            rows, columns = self.grid
            raise ValueError(
                f"this model has weights for {rows} x {columns} cells of {self.patch} pixels a side, got a picture of "
                f"{h} x {w} pixels: resize it to {rows * self.patch} x {columns * self.patch}, or build the model with "
                f"grid=({-(-h // self.patch)}, {-(-w // self.patch)})."
            )
        return super().forward(image)


def ninformer(
    *,
    dim: int = 256,
    depth: int = 4,
    hidden: int = 512,
    grid: tuple[int, int] = (8, 8),
    patch: int = 4,
    mixer: Callable[[int], nn.Module] | None = None,
    drop_path: float = 0.0,
    classes: int = 1000,
) -> OneGrid:
    """The NiNformer of CIFAR, or the same frame with another mixer: `mixer(dim)` makes one, `b h w c -> b h w c`.

    grid    (rows, columns) of cells, `patch` pixels a side each: the pictures' size, and no other
    hidden  numbers inside each of the MLPs: over the cells, over the channels, and behind the gate
    """

    def gated(dim: int) -> nn.Module:
        return Gating(dim, inner=mixer_block(dim, grid=grid, hidden=hidden))

    model = OneGrid(
        grid=grid,
        patch=patch,
        depths=(depth,),
        stem=Patches(3, dim, kernel=patch, stride=patch),
        block=lambda stage, rate: NinBlock(
            dim, mixer=(mixer or gated)(dim), mlp=Mlp(dim, ratio=hidden / dim), drop_path=rate
        ),
        head=Head(dim, classes, norm=lambda dim: nn.Identity()),
        drop_path=drop_path,
    )
    return model.apply(small_weights)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two blocks on an odd, oblong picture of 5 x 7 cells."""
    return ninformer(dim=8, depth=2, hidden=16, grid=(5, 7), classes=5), torch.randn(2, 3, 19, 28)
