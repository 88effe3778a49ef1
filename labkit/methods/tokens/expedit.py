"""Neighbours that are alike become one token for most blocks, and in the end each cell gets its own token back.

Paper    Liang et al., "Expediting Large-Scale Vision Transformer for Dense Prediction without Fine-tuning",
         NeurIPS 2022
Adds     two layers without parameters, put into a trained model as it is: one clusters tokens of nearby cells, the
         other makes a token for each cell again from what the later blocks made of the clusters
Reads    c     = means of x on a coarser grid; then five times:                             b m c
         a_im  = exp(-τ |x_i - c_m|²) / Σ_m …     over the 5 x 5 centres around the cell      b n m     rows sum to one
         c_m   = Σ_i a_im x_i / Σ_i a_im
         z     = LN(later blocks([class token; c]))                                         b 1+m c
         y_i   = Σ_m w_im z_m                     w: exp(-τ |x_i - c_m|²), the 20 largest, made to sum to one
Costs    12 n m dim multiplications for n cells and m centres, with five steps; the blocks between have m + 1 tokens
         instead of n + 1: their linear maps cost (m + 1) / (n + 1), their attention the square of that
Departs  weights sum to one, as the paper has them; the released code gives them the length one instead (`norm=2`),
         which makes y up to √20 times too long where centres are about equally far. The smallest distance is taken away
         before exp, which changes nothing but that no weight is lost to rounding; a centre that nothing goes to stays
         where it is. No decoder follows: the model's own head reads each cell
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from labkit.models.backbones.vit import ViT
from labkit.paper import Paper

PAPER = Paper(
    number=35,
    id="expedit",
    title="Expediting Large-Scale Vision Transformer for Dense Prediction without Fine-tuning",
    year=2022,
    arxiv="2210.01035",
    claim="Later blocks of a trained model may see clusters of tokens instead of all: with a third of the "
    "multiplications gone and nothing fine-tuned its answers hardly change, what cells get back is nearer to the whole "
    "model's than from a grid just as coarse, and clusters follow objects.",
)

SIZES = {}  # it has no model of its own

Shrink = Callable[[Tensor], Tensor]
"""Tokens of cells, `b h w c`, to those of fewer centres, `b rows columns c`."""
Restore = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(cells `b h w c`, centres `b rows columns c`, what became of the centres) to what becomes of the cells `b h w c`."""


def distances(x: Float[Tensor, "b n c"], centres: Float[Tensor, "b m c"]) -> Float[Tensor, "b n m"]:
    """The squared length of every difference, from 0 up."""
    squares = x.square().sum(dim=2)[..., None] + centres.square().sum(dim=2)[:, None]
    return (squares - 2 * x @ centres.mT).clamp(min=0)  # rounding may go below


def within_reach(cells: tuple[int, int], grid: tuple[int, int], *, window: int) -> Bool[Tensor, "n m"]:
    """Whether a cell may join a centre: at most `window // 2` rows and columns of centres from the one over it."""
    near = []
    for size, count in zip(cells, grid, strict=True):
        over = torch.arange(size) * count // size
        near.append((over[:, None] - torch.arange(count)).abs() <= window // 2)
    rows, columns = near
    return (rows[:, None, :, None] & columns[None, :, None, :]).flatten(2).flatten(0, 1)


@dataclass(frozen=True)
class Clustering:
    """Tokens of cells become those of `grid` (rows, columns) centres, each of neighbours that are alike.

    tau      how sharply a token chooses: 0 not at all; per squared length of tokens, so it depends on the model
    window   among how many rows and columns of centres a token chooses; odd
    steps    how often centres move; after 0 they are the means of squares
    """

    grid: tuple[int, int]
    tau: float = 0.02
    window: int = 5
    steps: int = 5

    def __post_init__(self) -> None:
        if min(self.grid) < 1 or self.tau < 0 or self.window % 2 == 0 or self.steps < 0:
            raise ValueError(f"{self}: expected centres, tau and steps from 0 up, and an odd window.")

    def __call__(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b rows columns c"]:
        """Raises ValueError for more centres than cells, along either side."""
        h, w = x.shape[1:3]
        if self.grid[0] > h or self.grid[1] > w:
            raise ValueError(f"{self} got {h} x {w} cells: give it fewer centres, or a larger picture.")
        cells = x.flatten(1, 2)
        centres = rearrange(F.adaptive_avg_pool2d(x.movedim(-1, 1), self.grid), "b c h w -> b (h w) c")
        for _ in range(self.steps):
            shares = self.shares(x, centres)
            total = shares.sum(dim=1)[..., None]
            moved = shares.mT @ cells / total.clamp(min=torch.finfo(x.dtype).tiny)
            centres = torch.where(total > 0, moved, centres)  # one that nothing goes to stays
        return centres.unflatten(1, self.grid)

    def shares(self, x: Float[Tensor, "b h w c"], centres: Float[Tensor, "b m c"]) -> Float[Tensor, "b n m"]:
        """How much of each cell goes to each centre, 0..1; rows sum to one."""
        near = within_reach(tuple(x.shape[1:3]), self.grid, window=self.window).to(x.device)
        nearness = -self.tau * distances(x.flatten(1, 2), centres)
        return nearness.masked_fill(~near, -torch.inf).softmax(dim=2)

    def owners(self, x: Float[Tensor, "b h w c"]) -> Int64[Tensor, "b n"]:
        """The centre, counted row by row, that each cell gives the most of itself in the end."""
        return self.shares(x, self(x).flatten(1, 2)).argmax(dim=2)


@dataclass(frozen=True)
class Reconstruction:
    """What becomes of a cell is a mean of what became of the centres, by how near they were to it before.

    tau    how sharply a cell chooses: 0 not at all
    keep   how many centres count, the nearest; more where several are just as near as the last of them
    norm   1: weights sum to one, as in the paper; 2: their squares do, as in the released code
    """

    tau: float = 0.02
    keep: int = 20
    norm: int = 1

    def __post_init__(self) -> None:
        if self.tau < 0 or self.keep < 1 or self.norm not in (1, 2):
            raise ValueError(f"{self}: expected tau from 0 up, at least one centre to keep, and a norm of 1 or 2.")

    def __call__(
        self,
        x: Float[Tensor, "b h w c"],
        centres: Float[Tensor, "b rows columns c"],
        refined: Float[Tensor, "b rows columns c"],
    ) -> Float[Tensor, "b h w c"]:
        far = distances(x.flatten(1, 2), centres.flatten(1, 2))
        weights = (-self.tau * (far - far.amin(dim=2, keepdim=True))).exp()
        least = far.topk(min(self.keep, far.shape[2]), dim=2, largest=False).values[..., -1:]
        weights = F.normalize(weights * (far <= least), p=self.norm, dim=2)
        return (weights @ refined.flatten(1, 2)).unflatten(1, x.shape[1:3])


class Expedit(nn.Module):
    """A trained ViT whose blocks from `location` on see few tokens: `b 3 H W` to the logits of cells, `b classes h w`.

    location   how many blocks see all tokens, 0 to all of them
    shrink     what makes few tokens of many; the class token passes by
    restore    what makes many of few again, behind the last norm
    """

    def __init__(self, vit: ViT, *, location: int, shrink: Shrink, restore: Restore = Reconstruction()) -> None:
        super().__init__()
        if not 0 <= location <= len(vit.blocks):
            raise ValueError(
                f"Expedit(location={location}): the model has {len(vit.blocks)} blocks; expected 0 to that."
            )
        self.vit = vit
        self.location = location
        self.shrink = shrink
        self.restore = restore

    def forward(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b classes h w"]:
        x = self.early(image)
        x = self.late(x, columns=image.shape[-1] // self.vit.patch)
        cells = self.vit.head(x[:, 1:])
        return rearrange(cells, "b (h w) k -> b k h w", w=image.shape[-1] // self.vit.patch)

    def early(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b n c"]:
        """The tokens that are clustered, the class token first."""
        return self.vit.blocks[: self.location](self.vit.embed(image))

    def late(self, x: Float[Tensor, "b n c"], *, columns: int) -> Float[Tensor, "b n c"]:
        """The last tokens, normalised, made from what `early` gives of a picture of so many columns of cells."""
        cells = rearrange(x[:, 1:], "b (h w) c -> b h w c", w=columns)
        centres = self.shrink(cells)
        few = torch.cat([x[:, :1], centres.flatten(1, 2)], dim=1)
        few = self.vit.norm(self.vit.blocks[self.location :](few))
        cells = self.restore(cells, centres, few[:, 1:].unflatten(1, centres.shape[1:3]))
        return torch.cat([few[:, :1], cells.flatten(1, 2)], dim=1)


def saved_in_blocks(*, cells: int, centres: int, dim: int, depth: int, location: int) -> float:
    """The share of all blocks' multiplications that clusters save from block `location` on; below 0 they cost more."""

    def block(tokens: int) -> int:
        return 12 * dim**2 * tokens + 2 * dim * tokens**2

    less = (depth - location) * (block(cells + 1) - block(centres + 1))
    return (less - 12 * cells * centres * dim) / (depth * block(cells + 1))


def expedit(
    *,
    dim: int = 1024,
    depth: int = 24,
    heads: int = 16,
    image: int = 640,
    location: int = 10,
    grid: tuple[int, int] = (28, 28),
    tau: float = 0.02,
    classes: int = 150,
) -> Expedit:
    """The paper's Segmenter, ViT-L/16 for 40 x 40 cells, with the ViT's head on each cell instead of a decoder."""
    vit = ViT(dim=dim, depth=depth, heads=heads, image=image, classes=classes)
    return Expedit(vit, location=location, shrink=Clustering(grid, tau=tau), restore=Reconstruction(tau=tau))


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: 5 x 4 cells, of which 3 x 2 clusters are made after one block."""
    vit = ViT(dim=8, depth=3, heads=2, classes=5, image=15, patch=3)
    return Expedit(vit, location=1, shrink=Clustering((3, 2))), torch.randn(2, 3, 15, 12)
