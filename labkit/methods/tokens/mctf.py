"""Tokens that are alike, hardly looked at and still small become one, block by block, until a few stand for all cells.

Paper    Lee et al., "Multi-criteria Token Fusion with One-step-ahead Attention for Efficient Vision Transformers",
         CVPR 2024
Adds     three criteria at once for which tokens are fused; matching both ways; and the attention that the block itself
         is about to use, which says how much a token is looked at, and then mixes the fused tokens
Reads    a_j  = mean over heads and queries of A_j          A = softmax(Q Kᵀ / √d + log s)      b heads q k
         W_ij = ((cos(x_i, x_j) + 1) / 2)^(1/t1) · (u_i u_j)^(1/t2) · (v_i v_j)^(1/t3)          i even, j odd
                u = min a / a,  v = min s / s                s: how many cells a token stands for
         x'   = Σ a s x / Σ a s,  s' = Σ s                   over the tokens that become one
         A'   = columns added, rows averaged as x is;        x' = x' + A' V(x') W_O
         half of the r tokens go from an even place to an odd one, the rest from odd ones to even ones that still stand
Costs    n²/4 products of dim for W; afterwards r tokens fewer in the mixing, in the MLP, and in all later blocks
Departs  nothing of the method. Its fine-tuning, a student that fuses more beside a teacher that fuses less, is left
         out, and so is the variant that fuses a share of the tokens in three blocks
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.models.backbones.vit import Block, ViT
from labkit.paper import Paper, Size

PAPER = Paper(
    number=7,
    id="mctf",
    title="Multi-criteria Token Fusion with One-step-ahead Attention for Efficient Vision Transformers",
    year=2024,
    arxiv="2403.10030",
    claim="Which tokens may become one is told by more than their likeness: where attention and size count too, what "
    "matters stays apart, less is lost than by likeness alone, and two fifths of the multiplications can be saved.",
)

# DeiT with 16 tokens fewer in every block but the first.
SIZES = {
    "deit-t": Size({"dim": 192, "heads": 3}, 5_717_416, 0.7054e9, top1=72.7),
    "deit-s": Size({"dim": 384, "heads": 6}, 22_050_664, 2.5941e9, top1=80.1),
}

LEAST = 10
"""So many tokens are always left."""

Scores = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(tokens `b n c`, attention received `b n`, sizes `b n`) -> how well each even place goes with each odd one."""


@dataclass(frozen=True)
class Criteria:
    """W: how well two tokens go together, 0..1, by three criteria with their temperatures.

    An infinite temperature leaves a criterion out: to the power of 0 all are 1.
    """

    similarity: float = 1.0
    information: float = 20.0
    size: float = 40.0

    def __call__(
        self, x: Float[Tensor, "b n c"], received: Float[Tensor, "b n"], size: Float[Tensor, "b n"]
    ) -> Float[Tensor, "b even odd"]:
        unit = F.normalize(x, dim=-1)
        cosine = unit[:, ::2] @ unit[:, 1::2].mT
        alike = ((cosine + 1) / 2).clamp(min=0)  # rounding may leave the range
        spare = scarcity(received) ** (1 / self.information) * scarcity(size) ** (1 / self.size)
        return alike ** (1 / self.similarity) * spare[:, ::2, None] * spare[:, None, 1::2]


def scarcity(x: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """1 for the smallest of a picture, 1/2 for what is twice as large, and so on."""
    return x.amin(dim=1, keepdim=True) / x


def match(scores: Float[Tensor, "b even odd"], count: int) -> Int64[Tensor, "b n"]:
    """The new place of each token when `count` of them go into others; nothing goes into the first, nor it into any.

    The places are those of the even tokens that still stand, in their order, then those of the odd ones.
    """
    b, even, odd = scores.shape
    half = count // 2
    places = torch.arange(even + odd, device=scores.device)
    scores = scores.index_fill(1, places[:1], -torch.inf)  # the class token
    into = places.repeat(b, 1)  # until the end, the even ones come first

    best, partner = scores.max(dim=2)
    gone = best.topk(half, dim=1).indices
    into = into.scatter(1, gone, even + partner.gather(1, gone))

    scores = scores.scatter(1, gone[..., None].expand(-1, -1, odd), -torch.inf)
    best, partner = scores.max(dim=1)
    gone = best.topk(count - half, dim=1).indices
    into = into.scatter(1, even + gone, partner.gather(1, gone))

    into = into.gather(1, into)  # what a token went into may have gone further
    stands = into == places
    place = (stands.cumsum(dim=1) - 1).gather(1, into)
    return place[:, places // 2 + even * (places % 2)]


def added(x: Float[Tensor, "b n *rest"], place: Int64[Tensor, "b n"], *, count: int) -> Float[Tensor, "b m *rest"]:
    """The sum of what comes to each of the `count` places."""
    index = place.view(*place.shape, *(1,) * (x.ndim - 2)).expand_as(x)
    return x.new_zeros(len(x), count, *x.shape[2:]).scatter_add(1, index, x)


def averaged(
    x: Float[Tensor, "b n *rest"], weight: Float[Tensor, "b n"], place: Int64[Tensor, "b n"], *, count: int
) -> Float[Tensor, "b m *rest"]:
    """The mean, by weight, of what comes to each of the `count` places."""
    weight = weight.view(*weight.shape, *(1,) * (x.ndim - 2))
    return added(weight * x, place, count=count) / added(weight, place, count=count)


@dataclass(frozen=True)
class Tokens:
    """Tokens on their way through the blocks, the class token first.

    size    how many of the first tokens each stands for: they add up to the number of these
    place   which one stands for each of the first tokens
    """

    x: Float[Tensor, "b n c"]
    size: Float[Tensor, "b n"]
    place: Int64[Tensor, "b first"]


class Mctf(nn.Module):
    """A ViT that fuses tokens on the way: `b 3 H W` to `b classes` logits, like the model itself.

    fuse     how many tokens each block does away with
    scores   how well two tokens go together
    """

    def __init__(self, vit: ViT, *, fuse: Sequence[int], scores: Scores = Criteria()) -> None:
        super().__init__()
        if len(fuse) != len(vit.blocks) or min(fuse) < 0:
            raise ValueError(f"Mctf(fuse={fuse}): expected a number from 0 for each of the {len(vit.blocks)} blocks.")
        self.vit = vit
        self.fuse = tuple(fuse)
        self.scores = scores

    def forward(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b classes"]:
        return self.vit.head(self.vit.norm(self.fused(image).x)[:, 0])

    def fused(self, image: Float[Tensor, "b 3 height width"]) -> Tokens:
        """What leaves the last block, and which of the picture's cells each token stands for."""
        x = self.vit.embed(image)
        size = torch.ones_like(x[..., 0])
        tokens = Tokens(x, size, torch.arange(x.shape[1], device=x.device).repeat(len(x), 1))
        for block, count in zip(self.vit.blocks, self.fuse, strict=True):
            tokens = through(block, tokens, count=count, scores=self.scores)
        return tokens


def through(block: Block, tokens: Tokens, *, count: int, scores: Scores) -> Tokens:
    """One block, which fuses `count` of its tokens (fewer, where too few would be left) before it mixes them."""
    x, size, place = tokens.x, tokens.size, tokens.place
    dim, n = x.shape[2], x.shape[1]
    weights, biases = block.attn.qkv.weight, block.attn.qkv.bias

    qk = F.linear(block.norm1(x), weights[: 2 * dim], biases[: 2 * dim])
    q, k = rearrange(qk, "b n (two heads d) -> two b heads n d", two=2, heads=block.attn.heads)
    attn = (q @ k.mT * block.attn.scale + size.log()[:, None, None]).softmax(dim=-1)

    count = max(0, min(count, (n - 1) // 2, n - LEAST))
    if count:
        received = attn.mean(dim=(1, 2))
        with torch.no_grad():
            goes = match(scores(x, received, size), count)
        left, weight = n - count, received * size
        x = averaged(x, weight, goes, count=left)
        attn = averaged(rearrange(attn, "b heads q k -> b q heads k"), weight, goes, count=left)
        attn = added(rearrange(attn, "b q heads k -> b k heads q"), goes, count=left)
        attn = rearrange(attn, "b k heads q -> b heads q k")
        size, place = added(size, goes, count=left), goes.gather(1, place)

    v = F.linear(block.norm1(x), weights[2 * dim :], biases[2 * dim :])
    v = rearrange(v, "b n (heads d) -> b heads n d", heads=block.attn.heads)
    mixed = rearrange(block.attn.attn(attn) @ v, "b heads n d -> b n (heads d)")
    x = x + block.skip(block.attn.proj(mixed))
    x = x + block.skip(block.mlp(block.norm2(x)))
    return Tokens(block.tokens(x), size, place)


def mctf(*, dim: int = 192, depth: int = 12, heads: int = 3, fuse: int = 16, classes: int = 1000) -> Mctf:
    """DeiT-T with so many tokens fewer in every block but the first."""
    return Mctf(ViT(dim=dim, depth=depth, heads=heads, classes=classes), fuse=(0, *(fuse,) * (depth - 1)))


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: a grid of 5 x 4 cells, of 21 tokens 14 are left."""
    vit = ViT(dim=8, depth=3, heads=2, classes=5, image=15, patch=3)
    return Mctf(vit, fuse=(0, 4, 3)), torch.randn(2, 3, 15, 12)
