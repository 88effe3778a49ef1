"""The mixing map: from which input tokens a block makes each output token, read off its Jacobian, for any token mixer.

    M[q, k] = ‖∂y_q / ∂x_k‖_F          y = block(x), tokens or cells of a map, c channels each

An attention matrix is one way to write down who listens to whom; a convolution, a pooling, a filter in Fourier space or
a state-space scan has such a matrix too. This one is the same object for all of them. Ours; it rests on

  probing   Hutchinson, "A stochastic estimator of the trace of the influence matrix", Comm. Statist. 1989: with random
            signs v, E ‖Jᵀv‖² = ‖J‖_F². One backward pass asks for one query, and many run in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.probes.attention import AttentionMap
from labkit.probes.inputs import Refused, check_call
from labkit.probes.pullback import Pullback
from labkit.taps import Form, Site, blocks, calls, evaluating, site_of

EXACT = 0
"""`probes=EXACT`: every row of the Jacobian, channels times tokens of them."""


@dataclass(frozen=True)
class MixingMap:
    """One block's mixing, for b pictures. Queries are cells of the output, keys cells of the input, row by row.

    name       dotted name of the block
    squared    ‖∂y_q / ∂x_k‖_F², >= 0: how far output q moves when input k does; unit of y / unit of x, squared
    error      standard error of `squared` over the probes: 0 where it is exact, NaN after one probe
    grid       (h, w) of the queries; `key_grid` of the keys. A cell is one token, or a square of them on large grids
    probes     random probes averaged; 0: exact
    """

    name: str
    squared: Float[Tensor, "b q k"]
    error: Float[Tensor, "b q k"]
    grid: tuple[int, int]
    key_grid: tuple[int, int]
    probes: int = EXACT

    @property
    def norms(self) -> Float[Tensor, "b q k"]:
        """M itself. Of an estimate it is a little low (the root of a mean), by about (error / squared)² / 8."""
        return self.squared.sqrt()

    @property
    def shares(self) -> Float[Tensor, "b q k"]:
        """The norms with rows that sum to one, as attention has them; NaN where a query depends on nothing.

        Norms and not their squares, so that one attention head with A held fixed gives back its own rows.
        """
        return self.norms / self.norms.sum(dim=-1, keepdim=True)

    def attention(self) -> AttentionMap:
        """The shares as the map of one attention head, for every measure that reads one."""
        queries, keys = (torch.arange(h * w)[None] for h, w in (self.grid, self.key_grid))
        return AttentionMap(self.name, self.shares[:, None, None], self.grid, self.key_grid, queries, keys)

    def coarser(self, side: int) -> MixingMap:
        """The same map on cells so large that no more than `side` of them lie along a side; of exact maps only.

        Squares add up: the Jacobian between two groups of tokens is made of the blocks between their tokens.
        """
        if self.probes:
            raise Refused(
                f"coarser({side}): this is an estimate, whose errors do not add up; ask for it with side={side}."
            )
        (grid, queries), (key_grid, keys) = (cells(one, side) for one in (self.grid, self.key_grid))
        queries, keys = queries.to(self.squared.device), keys.to(self.squared.device)
        rows = self.squared.new_zeros(len(self.squared), grid[0] * grid[1], self.squared.shape[2])
        rows = rows.index_add(1, queries, self.squared)
        squared = rows.new_zeros(*rows.shape[:2], key_grid[0] * key_grid[1]).index_add(2, keys, rows)
        return replace(self, squared=squared, error=torch.zeros_like(squared), grid=grid, key_grid=key_grid)


def mixing_maps(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    *,
    layers: Sequence[str | nn.Module] | None = None,
    probes: int = 4,
    seed: int = 0,
    side: int = 16,
    identity: bool = True,
) -> tuple[MixingMap, ...]:
    """The mixing map of each block (or of the `layers` named), for these images, in eval mode; see `mixing_map`.

    Raises Refused for images the model cannot take, for a layer whose input or output has no place on the picture, and
    where `identity=False` has no identity to leave out; labkit.taps.Unreadable for a layer that is not there.
    """
    check_call(model, images)
    size = tuple(images.shape[-2:])
    chosen = blocks(model, size) if layers is None else [site_of(model, layer, size) for layer in layers]
    chosen = [check_site(site) for site in chosen]
    with evaluating(model):
        made = calls(model, [site.name for site in chosen], images)
        return tuple(
            mixing_map(
                *(made[site.name], made[site.name].x),
                before=site.before,
                after=site.after,
                probes=probes,
                seed=seed,
                side=side,
                identity=identity,
                name=site.name,
            )
            for site in chosen
        )


def check_site(site: Site) -> Site:
    """The site, or Refused when what goes into it has no place on the picture, so that it mixes no tokens."""
    if site.before is None:
        raise Refused(
            f"what goes into {site.name!r} ({site.kind}) does not lie on the picture: choose a block, whose input and "
            "output are both maps or tokens."
        )
    return site


def mixing_map(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    before: Form,
    after: Form,
    probes: int = 4,
    seed: int = 0,
    side: int = 16,
    identity: bool = True,
    name: str = "",
) -> MixingMap:
    """M[q, k] = ‖∂y_q / ∂x_k‖_F of y = function(x), picture by picture; prefix tokens are held as they are.

    x          b values of the form `before`; the function gives b values of the form `after`, none mixed with another
    probes     random signs a query: unbiased for the squared norm, exact where the Jacobian is diagonal in the channels
               (pooling, depthwise convolution). EXACT (0): every row, channels x tokens backward passes
    seed       of the signs; nobody else's dice are touched
    side       grids with more cells along a side are looked at in squares of tokens, so that no more than this remain
    identity   False: of y - x, the branch alone where the block is y = x + branch(x)
    """
    if probes < 0 or side < 1:
        raise Refused(f"mixing_map(probes={probes}, side={side}): expected probes >= 0 (0 is exact) and side >= 1.")
    if not identity and (before.grid, before.channels) != (after.grid, after.channels):
        raise Refused(
            f"identity=False: {name or 'the function'} turns {before.channels} channels on {before.grid} into "
            f"{after.channels} on {after.grid}, so there is no identity in it to leave out."
        )
    (grid, asking), (key_grid, asked) = cells(after.grid, side), cells(before.grid, side)
    queries, keys = grid[0] * grid[1], key_grid[0] * key_grid[1]
    entries = len(asking) * after.channels
    with torch.inference_mode(False), torch.enable_grad():
        pull = Pullback(function, x, before=before, after=after, wanted=probes * queries or entries)
        asking, asked = asking.to(x.device), asked.to(x.device)
        found = x.new_zeros(max(probes, 1) * queries, len(x), keys)
        for places, seeds in _signs(pull, asking, queries, probes, seed) if probes else _units(pull, asking):
            gradients = pull(seeds)
            if not identity:
                gradients = gradients - seeds
            squares = gradients.square().sum(dim=-1)
            found.index_add_(0, places, squares.new_zeros(len(seeds), len(x), keys).index_add(2, asked, squares))
        found = found.view(-1, queries, len(x), keys).transpose(1, 2)
        spread = found.std(dim=0) if probes > 1 else torch.full_like(found[0], torch.nan if probes else 0.0)
        return MixingMap(name, found.mean(dim=0), spread / max(probes, 1) ** 0.5, grid, key_grid, probes)


def cells(grid: tuple[int, int], side: int) -> tuple[tuple[int, int], Int64[Tensor, "n"]]:
    """The grid in square cells, at most `side` along a side (the last may be cut), and the cell of each token."""
    step = -(-max(grid) // side)
    coarse = (-(-grid[0] // step), -(-grid[1] // step))
    row, column = (torch.arange(length) // step for length in grid)
    return coarse, (row[:, None] * coarse[1] + column).flatten()


def _signs(
    pull: Pullback, asking: Tensor, queries: int, probes: int, seed: int
) -> Iterator[tuple[Int64[Tensor, "rows"], Float[Tensor, "rows b n c"]]]:
    """(probe · queries + query of each row, random signs on that query's tokens and 0 elsewhere)."""
    dice = torch.Generator(asking.device).manual_seed(seed)
    # One field of signs a probe serves all queries: no two of them share a token.
    signs = torch.randint(0, 2, (probes, *pull.shape), generator=dice, device=asking.device).to(pull.dtype) * 2 - 1
    for places in torch.arange(probes * queries, device=asking.device).split(pull.rows):
        here = asking == (places % queries)[:, None]
        yield places, signs[places // queries] * here[:, None, :, None]


def _units(pull: Pullback, asking: Tensor) -> Iterator[tuple[Int64[Tensor, "rows"], Float[Tensor, "rows b n c"]]]:
    """(query of each row, a one in one channel of one of its tokens)."""
    b, n, c = pull.shape
    for entries in torch.arange(n * c, device=asking.device).split(pull.rows):
        seeds = torch.zeros(len(entries), n * c, dtype=pull.dtype, device=asking.device)
        seeds.scatter_(1, entries[:, None], 1.0)
        yield asking[entries // c], seeds.view(-1, 1, n, c).expand(-1, b, -1, -1)
