"""How alike a model's tokens become with depth: over-smoothing, measured six ways on the output of every block.

Sources
  cosine, same and different   Ru et al., "Token Contrast for Weakly-Supervised Semantic Segmentation", CVPR 2023; we
                               take the plain cosine, not its absolute value, and no pair of a token with itself
  effective rank               Roy & Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007

The mean cosine alone is a poor yardstick: one direction that all tokens share (a bias) lifts it to 1 while the rest of
each token still tells objects apart. So it comes with the spread once the mean token is taken away, with the rank, and,
where a mask is given, with the gap between pairs on the same object and pairs on different ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.probes.frequency import high_frequency
from labkit.probes.inputs import Refused, check_call, check_mask
from labkit.probes.layers import Layer, layers

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 40
"""How many bars the histogram has, from -1 to 1."""

MOST = 512
"""Up to so many tokens the quantiles and the histogram are taken over all pairs, beyond it over a seeded sample."""


@dataclass(frozen=True)
class Likeness:
    """The cosines of all pairs of different tokens, one number an image, -1..1: 1 = all point the same way.

    mean        of all pairs, exact
    spread      their standard deviation, of all pairs; 0..1, to within 0.0005 where it is nearly 0
    quantiles   at QUANTILES, over the pairs of at most MOST tokens (a seeded sample of them on larger grids)
    histogram   share of the pairs in each of BINS equal bins from -1 to 1, of the same tokens; sums to 1
    """

    mean: Float[Tensor, "b"]
    spread: Float[Tensor, "b"]
    quantiles: Float[Tensor, "b quantiles"]
    histogram: Float[Tensor, "b bins"]


@dataclass(frozen=True)
class Gap:
    """The mean cosine of pairs with the same label and of pairs with different labels, `b` each.

    NaN where a picture has no such pair. `gap` is their difference: how well the tokens still tell objects apart, at
    most 2, about 0 when not at all.
    """

    same: Float[Tensor, "b"]
    different: Float[Tensor, "b"]

    @property
    def gap(self) -> Float[Tensor, "b"]:
        return self.same - self.different


@dataclass(frozen=True)
class Smoothness:
    """What one block's tokens have become; one number an image unless said otherwise.

    name, grid       the block and its (h, w) in cells
    raw              the tokens' cosines as they are
    centred          the same with the mean token taken away. The mean is then near -1/(n - 1) by construction: read the
                     spread and the quantiles
    effective_rank   1..min(n, c): in how many directions the tokens lie; see `effective_rank`
    high_frequency   0..1: share of the variance over the map beyond half of Nyquist
    prefix           `b prefix`, -1..1: mean cosine of each prefix token (the class token first) with the patches
    objects          same against different, when a mask was given
    """

    name: str
    grid: tuple[int, int]
    raw: Likeness
    centred: Likeness
    effective_rank: Float[Tensor, "b"]
    high_frequency: Float[Tensor, "b"]
    prefix: Float[Tensor, "b prefix"]
    objects: Gap | None = None


def smoothness(
    model: nn.Module, images: Float[Tensor, "b 3 height width"], *, mask: Tensor | None = None
) -> tuple[Smoothness, ...]:
    """Measure the tokens behind every block, in forward order, from one pass.

    mask   `b height width`, boolean, in the pixels that the model sees: the object. A cell belongs to it when at least
           half of its pixels do

    Raises Refused for bad images or masks, and Unreadable when nothing in the model lies on the picture.
    """
    check_call(model, images)
    if mask is not None:
        check_mask(mask, images)
    return tuple(measure(layer, mask=mask) for layer in layers(model, images))


@torch.no_grad()
def measure(layer: Layer, *, mask: Tensor | None = None) -> Smoothness:
    """All measures of one layer; see `smoothness`."""
    tokens = layer.tokens
    return Smoothness(
        name=layer.name,
        grid=layer.grid,
        raw=likeness(tokens),
        centred=likeness(centred(tokens)),
        effective_rank=effective_rank(tokens),
        high_frequency=high_frequency(layer.map),
        prefix=(directions(layer.prefix) @ directions(tokens).mT).mean(dim=-1),
        objects=None if mask is None else gap(tokens, cells_of(mask.to(tokens.device), layer.grid)),
    )


def directions(tokens: Float[Tensor, "*lead n c"]) -> Float[Tensor, "*lead n c"]:
    """Each token at length 1; a zero token stays zero, so that its cosine with anything is 0."""
    length = tokens.norm(dim=-1, keepdim=True)
    return tokens / torch.where(length > 0, length, 1)


def centred(tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
    """The tokens less their mean; what is no more than rounding error becomes zero, so that it points nowhere."""
    rest = tokens - tokens.mean(dim=1, keepdim=True)
    noise = 8 * torch.finfo(tokens.dtype).eps * tokens.norm(dim=-1, keepdim=True)
    return rest * (rest.norm(dim=-1, keepdim=True) > noise)


def cosines(tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n n"]:
    """The cosine of every pair of tokens, -1..1: the similarity matrix. Mind its size: n² entries an image."""
    unit = directions(tokens)
    return (unit @ unit.mT).clamp(-1, 1)


@torch.no_grad()
def likeness(tokens: Float[Tensor, "b n c"]) -> Likeness:
    """Mean, spread, quantiles and histogram of the cosines of all pairs of different tokens; see Likeness."""
    _several(tokens)
    n = tokens.shape[1]
    unit = directions(tokens)
    squared = unit.square().sum(dim=-1, dtype=torch.float64)  # 1, or 0 for a zero token: the pairs with oneself
    pairs = n * (n - 1)
    # Σ cos = |Σ u|² and Σ cos² = |U Uᵀ|² = |Uᵀ U|², less what each token has with itself: where there are too many
    # tokens for a matrix of all pairs, the mean and the spread need none.
    matrix = unit @ unit.mT if n <= MOST else unit.mT @ unit
    mean = (unit.sum(dim=1, dtype=torch.float64).square().sum(dim=-1) - squared.sum(dim=-1)) / pairs
    mean_square = (matrix.square().sum(dim=(1, 2), dtype=torch.float64) - squared.square().sum(dim=-1)) / pairs
    spread = (mean_square - mean.square()).clamp_min(0).sqrt()
    shown = matrix if n <= MOST else cosines(_sample(tokens))
    quantiles, histogram = zip(*map(_distribution, shown), strict=True)
    return Likeness(
        mean.clamp(-1, 1).to(tokens.dtype), spread.to(tokens.dtype), torch.stack(quantiles), torch.stack(histogram)
    )


def _sample(tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b most c"]:
    chosen = torch.randperm(tokens.shape[1], generator=torch.Generator().manual_seed(0))[:MOST]
    return tokens[:, chosen.sort().values.to(tokens.device)]


def _distribution(matrix: Float[Tensor, "n n"]) -> tuple[Tensor, Tensor]:
    row, column = torch.triu_indices(*matrix.shape, offset=1, device=matrix.device)
    pairs = matrix[row, column].clamp(-1, 1)
    at = torch.tensor(QUANTILES, dtype=pairs.dtype, device=pairs.device)
    bins = ((pairs + 1) * (BINS / 2)).long().clamp_max(BINS - 1)
    counts = torch.zeros(BINS, dtype=pairs.dtype, device=pairs.device).index_add(0, bins, torch.ones_like(pairs))
    return torch.quantile(pairs, at), counts / len(pairs)


@torch.no_grad()
def gap(tokens: Float[Tensor, "b n c"], labels: Int64[Tensor, "b n"]) -> Gap:
    """The mean cosine of pairs of tokens with the same label and with different ones.

    labels   0, 1, …: which object each token lies on, the ground being one of them; below 0: left out
    """
    if labels.shape != tokens.shape[:2]:
        raise Refused(f"expected one label a token, {tuple(tokens.shape[:2])}, got {tuple(labels.shape)}.")
    member = F.one_hot(labels.clamp_min(0)).double() * (labels >= 0)[..., None]  # b n labels
    unit = directions(tokens.double()) * (labels >= 0)[..., None]
    count = member.sum(dim=1)
    itself = unit.square().sum(dim=(1, 2))
    sums = member.mT @ unit  # b labels c: |Σ u|² once more
    same = sums.square().sum(dim=(1, 2)) - itself
    every = unit.sum(dim=1).square().sum(dim=-1) - itself
    n = count.sum(dim=1)
    same_pairs = (count * (count - 1)).sum(dim=1)
    return Gap(_ratio(same, same_pairs, tokens), _ratio(every - same, n * (n - 1) - same_pairs, tokens))


def cells_of(mask: Tensor, grid: tuple[int, int]) -> Int64[Tensor, "b n"]:
    """1 where at least half of a cell's pixels (of `b height width`) lie on the object, 0 elsewhere; row by row."""
    return (F.adaptive_avg_pool2d(mask[:, None].float(), grid) >= 0.5).flatten(1).long()


@torch.no_grad()
def effective_rank(tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b"]:
    """exp(-Σ p ln p) with p = σ / Σσ, the singular values of the tokens `n c` as they are (not squared, not centred).

    1 when all tokens lie on one line, r when they lie evenly in r directions, at most min(n, c); 0 for zero tokens.
    """
    x = tokens.double()
    gram = x @ x.mT if x.shape[1] < x.shape[2] else x.mT @ x
    squared = torch.linalg.eigvalsh(gram).clamp_min(0)
    # What rounding leaves of a zero becomes 1e-8 under the root: it is cut first.
    cut = torch.finfo(x.dtype).eps * max(x.shape[1:]) * squared.amax(dim=-1, keepdim=True)
    values = torch.where(squared > cut, squared, 0).sqrt()
    total = values.sum(dim=-1, keepdim=True)
    share = values / torch.where(total > 0, total, 1)
    rank = torch.special.entr(share).sum(dim=-1).exp()
    return torch.where(total[:, 0] > 0, rank, 0).to(tokens.dtype)


def _ratio(total: Tensor, count: Tensor, like: Tensor) -> Tensor:
    return torch.where(count > 0, total / count.clamp_min(1), torch.nan).to(like.dtype)


def _several(tokens: Tensor) -> None:
    if tokens.shape[1] < 2:
        raise Refused(
            f"expected tokens `b n c` with n of at least 2, got {tuple(tokens.shape)}: a single token has nobody to be "
            "like; choose an earlier layer."
        )
