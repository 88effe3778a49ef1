"""Where tokens and pictures lie among each other: principal components, colours from them, and nearest neighbours.

Source of the colours: Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", TMLR 2024, figure 1:
the first three components of the patches as red, green and blue, the ground first taken away by the first component.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from labkit.probes.inputs import Refused
from labkit.probes.similarity import directions

CHUNK = 1024
"""How many queries are compared with everything at once."""


@dataclass(frozen=True)
class Projection:
    """Vectors in their principal axes.

    points   `n k`: coordinates, in the vectors' own unit, centred; the first has the largest variance
    axes     `k c`: orthonormal directions, each with its largest entry positive, so that runs agree
    mean     `c`: what was taken away first
    share    `k`: share of the variance that each axis holds, 0..1, falling; 0 where the vectors do not vary
    """

    points: Float[Tensor, "n k"]
    axes: Float[Tensor, "k c"]
    mean: Float[Tensor, "c"]
    share: Float[Tensor, "k"]

    def __call__(self, vectors: Float[Tensor, "*lead c"]) -> Float[Tensor, "*lead k"]:
        """Other vectors in the same axes."""
        return (vectors - self.mean) @ self.axes.T


@dataclass(frozen=True)
class Neighbours:
    """The nearest vectors of each query, the nearest first; a vector is not its own neighbour.

    index    `q k`: which they are
    cosine   `q k`: how near, -1..1
    """

    index: Int64[Tensor, "q k"]
    cosine: Float[Tensor, "q k"]


@torch.no_grad()
def pca(vectors: Float[Tensor, "n c"], components: int = 2) -> Projection:
    """The first principal components, exact, in float64 within.

    Raises Refused for fewer than two vectors, or more components than n or c.
    """
    n, c = vectors.shape
    if n < 2 or not 1 <= components <= min(n, c):
        raise Refused(
            f"pca(components={components}) of {n} vectors with {c} entries: expected at least 2 vectors, and 1 to "
            "min(vectors, entries) components."
        )
    x = vectors.double()
    mean = x.mean(dim=0)
    x = x - mean
    # The smaller of the two Gram matrices has the same spectrum as x, and is cheap where n or c is small.
    if c <= n:
        squared, axes = torch.linalg.eigh(x.T @ x)
        axes = axes.T.flip(0)[:components]
    else:
        squared, left = torch.linalg.eigh(x @ x.T)
        axes = _orthonormal(x.T @ left.flip(1)[:, :components]).T
    squared = squared.flip(0)[:components].clamp_min(0)
    total = x.square().sum()
    largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
    axes = axes * torch.where(largest < 0, -1, 1)
    # What rounding leaves of equal vectors is not variance.
    varies = total > (8 * torch.finfo(vectors.dtype).eps) ** 2 * n * mean.square().sum()
    points = x @ axes.T * varies
    share = torch.where(varies, squared / total.clamp_min(torch.finfo(x.dtype).tiny), 0)
    return Projection(*(one.to(vectors.dtype) for one in (points, axes, mean, share)))


@torch.no_grad()
def colours(tokens: Float[Tensor, "b n c"], *, keep: Bool[Tensor, "b n"] | None = None) -> Float[Tensor, "b n 3"]:
    """Each token as a colour: its first three principal components as red, green and blue, 0..1.

    keep   the tokens to be coloured (see `foreground`); the axes are found from them alone, and the others are NaN

    All pictures of the batch share the axes and the scale, so equal colours are equal tokens. Each component runs from
    its 1st to its 99th percentile; one that does not vary is 0.5. Raises Refused where fewer than 3 tokens are kept.
    """
    b, n, c = tokens.shape
    chosen = torch.ones(b, n, dtype=torch.bool, device=tokens.device) if keep is None else keep
    kept = tokens[chosen]
    if len(kept) < 3 or c < 3:
        raise Refused(f"colours need at least 3 tokens with 3 channels, got {len(kept)} with {c}: keep more of them.")
    points = pca(kept, 3).points
    order = points.sort(dim=0).values
    low, high = (order[round(q * (len(order) - 1))] for q in (0.01, 0.99))
    scaled = torch.where(high > low, (points - low) / (high - low).clamp_min(torch.finfo(points.dtype).tiny), 0.5)
    out = tokens.new_full((b, n, 3), torch.nan)
    out[chosen] = scaled.clamp(0, 1)
    return out


@torch.no_grad()
def facing(colours: Float[Tensor, "b h w 3"], like: Float[Tensor, "b rows columns 3"]) -> Float[Tensor, "b h w 3"]:
    """The colours of a layer, each channel mirrored (1 - x) where it runs against that of another layer.

    The sign of a principal component means nothing: with `like`, the colours of the layer before, pictures of several
    layers do not flip from one to the next. Places without a colour (NaN) stay so, and count as 0.5.
    """
    grid = tuple(map(min, colours.shape[1:3], like.shape[1:3]))
    here, there = (
        F.adaptive_avg_pool2d(one.nan_to_num(0.5).movedim(-1, 1), grid).transpose(0, 1).flatten(1)
        for one in (colours, like)
    )
    together = ((here - here.mean(dim=1, keepdim=True)) * there).sum(dim=1)
    return torch.where(together < 0, 1 - colours, colours)


@torch.no_grad()
def foreground(tokens: Float[Tensor, "b n c"], grid: tuple[int, int]) -> Bool[Tensor, "b n"]:
    """The tokens on one side of their picture's first principal component: the side that is rarer along the border.

    A guess that suits pictures with one thing in the middle; `~foreground(…)` is the rest. None where nothing varies.
    """
    b, n, _ = tokens.shape
    if n != grid[0] * grid[1]:
        raise Refused(f"{n} tokens do not fill a grid of {grid[0]} x {grid[1]}.")
    side = torch.stack([pca(one, 1).points for one in tokens]).view(b, *grid)
    border = torch.ones(grid, dtype=torch.bool, device=tokens.device)
    border[1:-1, 1:-1] = False
    above = side > 0
    crowded = above[:, border].float().mean(dim=1) > 0.5
    return torch.where(crowded[:, None, None], side < 0, above).flatten(1)


@torch.no_grad()
def nearest(vectors: Float[Tensor, "n c"], k: int = 5, *, queries: Float[Tensor, "q c"] | None = None) -> Neighbours:
    """The k vectors with the highest cosine, exact, for each query; by default for each vector among the others.

    Vectors of the same cosine come in any order. Raises Refused when there are not k (others) to choose from.
    """
    among = len(vectors) - (queries is None)
    if not 1 <= k <= among:
        raise Refused(f"nearest(k={k}): expected 1 to {among}, as many as there are to choose from.")
    unit = directions(vectors)
    asking = unit if queries is None else directions(queries)
    index, cosine = [], []
    for start in range(0, len(asking), CHUNK):
        near = asking[start : start + CHUNK] @ unit.T
        if queries is None:
            near.diagonal(offset=start).fill_(-torch.inf)
        top = near.topk(k, dim=1)
        index.append(top.indices)
        cosine.append(top.values.clamp(-1, 1))
    return Neighbours(torch.cat(index), torch.cat(cosine))


def pooled(tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b c"]:
    """One vector a picture: the mean of its tokens, each at length 1, so that no outlier speaks for all."""
    return F.normalize(tokens, dim=-1).mean(dim=1)


def _orthonormal(columns: Tensor) -> Tensor:
    # Where the vectors lie in fewer dimensions than asked for, a column is nearly zero: QR still gives a direction.
    return torch.linalg.qr(columns).Q
