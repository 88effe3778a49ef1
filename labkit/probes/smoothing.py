"""Over-smoothing for the eye: behind every block, which tokens are alike; and what changes when blocks are left out.

The measures are those of `similarity`, over all tokens. The matrices are for looking at: of a large grid they hold
single tokens, evenly chosen, and no averages, which would be more alike than the tokens are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.probes.effect import changed, divergence, probability, turned
from labkit.probes.inputs import Refused
from labkit.probes.layers import Layer, run, sites_of
from labkit.probes.similarity import Smoothness, centred, cosines, measure
from labkit.taps import skipping

SIDE = 16
"""At most so many tokens a side are in a matrix."""


@dataclass(frozen=True)
class Alike:
    """The tokens behind one block.

    measures       over all tokens; see `similarity.Smoothness`
    most           the largest effective rank there could be: the smaller of tokens and channels
    grid           (h, w) of the tokens in the matrices: of each of h x w equal cells the token in its middle
    raw, centred   their cosines, -1..1, row by row; `centred`: with the mean of all tokens taken away first
    """

    measures: Smoothness
    most: int
    grid: tuple[int, int]
    raw: Float[Tensor, "b n n"]
    centred: Float[Tensor, "b n n"]


@dataclass(frozen=True)
class Effect:
    """What leaving blocks out does to the answer; one number an image.

    label           the class that the whole model says
    before, after   its probability with all blocks and without these, 0..1
    kl              KL(before ‖ after) of the class distributions, in nats
    turned          mean cosine of the last block's tokens with and without, -1..1: 1 = none has turned
    changed         relative change of those tokens, 0 = none
    """

    label: Int64[Tensor, "b"]
    before: Float[Tensor, "b"]
    after: Float[Tensor, "b"]
    kl: Float[Tensor, "b"]
    turned: Float[Tensor, "b"]
    changed: Float[Tensor, "b"]


@dataclass(frozen=True)
class Depth:
    """One pass: what the model says, and its tokens behind every block, in forward order."""

    output: Tensor
    layers: tuple[Alike, ...]


@dataclass(frozen=True)
class Smoothing:
    """The pass of the whole model, and where blocks were left out a second one.

    optional   for each block whether it can be left out
    skipped    the blocks that were left out, counted from 0
    without    the pass without them; behind such a block its tokens are those it was given. None if none was
    effect     None if none was, or if the model gives no classes
    """

    optional: tuple[bool, ...]
    whole: Depth
    skipped: tuple[int, ...] = ()
    without: Depth | None = None
    effect: Effect | None = None

    @property
    def shown(self) -> Depth:
        """The pass without the blocks left out, if any was."""
        return self.without or self.whole


def optional(model: nn.Module, images: Float[Tensor, "b 3 height width"]) -> tuple[bool, ...]:
    """For each block whether it can be left out: it keeps the shape of what it is given. Raises as `reading` does."""
    return tuple(site.before == site.after for site in sites_of(model, images))


def reading(
    model: nn.Module, images: Float[Tensor, "b 3 height width"], *, skip: Sequence[int] = ()
) -> Iterator[float | Smoothing]:
    """Read all blocks; with `skip`, also without these. Yields the share that is done after each, at last the answer.

    Raises Refused for images that the model cannot take and blocks that it cannot do without, and Unreadable when
    nothing in it lies on the picture.
    """
    free = optional(model, images)
    skip = tuple(sorted(set(skip)))
    for block in skip:
        if not 0 <= block < len(free) or not free[block]:
            can = ", ".join(str(i) for i, one in enumerate(free) if one)
            raise Refused(
                f"block {block} cannot be left out of this {type(model).__name__}; these can: {can or 'none'}."
            )
    yield 0.0
    passes = [run(model, images)]
    if skip:
        yield 0.2
        with skipping(model, [passes[0][1][block].name for block in skip]):
            passes.append(run(model, images))
    depths: list[Depth] = []
    for output, found in passes:
        same = skip[0] if depths else 0  # before the first block that is left out all is as it was
        layers = [*depths[0].layers[:same]] if depths else []
        for layer in found[same:]:
            yield 0.4 + 0.6 * (len(depths) + len(layers) / len(found)) / len(passes)
            layers.append(alike(layer))
        depths.append(Depth(output, tuple(layers)))
    if skip:
        yield Smoothing(free, depths[0], skip, depths[1], _effect(*passes))
    else:
        yield Smoothing(free, depths[0])


@torch.no_grad()
def alike(layer: Layer, *, side: int = SIDE) -> Alike:
    """The measures of one block over all its tokens, and the cosines of at most side x side of them."""
    tokens = layer.tokens
    grid = tuple(min(size, -(-size // -(-size // side))) for size in layer.grid)
    shown = middles(layer.grid, grid).to(tokens.device)
    return Alike(
        measures=measure(layer),
        most=min(tokens.shape[1:]),
        grid=grid,
        raw=cosines(tokens[:, shown]),
        centred=cosines(centred(tokens)[:, shown]),
    )


def middles(grid: tuple[int, int], fewer: tuple[int, int]) -> Int64[Tensor, "n"]:
    """Which tokens of a grid, row by row, lie in the middles of as many equal cells as a grid of `fewer` has."""
    rows, columns = (((torch.arange(few) + 0.5) * size / few).long() for size, few in zip(grid, fewer, strict=True))
    return (rows[:, None] * grid[1] + columns).flatten()


@torch.no_grad()
def _effect(whole: tuple[Tensor, Sequence[Layer]], without: tuple[Tensor, Sequence[Layer]]) -> Effect | None:
    (before, layers), (after, others) = whole, without
    if not isinstance(before, Tensor) or before.ndim != 2:
        return None
    label = before.argmax(dim=1)
    tokens, without_them = layers[-1].tokens, others[-1].tokens
    return Effect(
        label=label,
        before=probability(before, label),
        after=probability(after, label),
        kl=divergence(before, after),
        turned=turned(tokens, without_them),
        changed=changed(tokens, without_them),
    )
