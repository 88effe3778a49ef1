"""Who looks at whom: the attention of any model, placed on the picture and measured head by head.

Sources
  distance   Raghu et al., "Do Vision Transformers See Like Convolutional Neural Networks?", NeurIPS 2021
  NMI        Park et al., "What Do Self-Supervised Vision Transformers Learn?", ICLR 2023, section 3
  patterns   Zhang et al., "UNIP: Rethinking Pre-trained Attention Patterns for Infrared Semantic Segmentation",
             ICLR 2025: local, hybrid and global layers, the hybrid one at an NMI of 0.09
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.probes.inputs import check_call
from labkit.taps import PADDING, evaluating, layouts, reading

Pattern = Literal["local", "hybrid", "global"]


@dataclass(frozen=True)
class AttentionMap:
    """One layer's attention, and where on the picture its rows and columns lie.

    name       dotted name of the attention module
    weights    `b windows heads q k`, each row a distribution over all its keys; a global layer has one window
    grid       (h, w) of the queries' grid; `key_grid` of the keys' (coarser where keys are pooled, as in PVT)
    queries    `windows q`: cell on the grid, counted row by row; -1 - i for prefix token i (the class token is -1);
               PADDING for places outside the picture
    keys       `windows k`: the same on the key grid
    """

    name: str
    weights: Float[Tensor, "b windows heads q k"]
    grid: tuple[int, int]
    key_grid: tuple[int, int]
    queries: Int64[Tensor, "windows q"]
    keys: Int64[Tensor, "windows k"]

    @property
    def heads(self) -> int:
        return self.weights.shape[2]

    @property
    def prefix(self) -> int:
        """How many tokens without a place (class, distillation, register) can be looked at."""
        return int(((self.keys < 0) & (self.keys != PADDING)).sum(dim=1).max())

    def dense(self) -> Float[Tensor, "b heads n_q n_k"]:
        """The whole matrix, prefix tokens first, then the cells row by row; zero between windows.

        Mind its size: a Swin stage of 56 x 56 tokens has 3,136² entries a head.
        """
        b, heads = len(self.weights), self.heads
        asking, asked = _count(self.queries, self.grid), _count(self.keys, self.key_grid)
        rows = _place(self.queries, _prefix(self.queries), asking)
        columns = _place(self.keys, _prefix(self.keys), asked)
        target = rows[:, :, None] * (asked + 1) + columns[:, None, :]
        full = self.weights.new_zeros(b, heads, (asking + 1) * (asked + 1))
        source = self.weights.permute(0, 2, 1, 3, 4).reshape(b, heads, -1)
        full = full.index_add(2, target.flatten().to(full.device), source)
        return full.view(b, heads, asking + 1, asked + 1)[:, :, :asking, :asked]


@dataclass(frozen=True)
class Bands:
    """Which NMI is called what: below `hybrid[0]` global, above `hybrid[1]` local, between them hybrid.

    UNIP picks the layer whose NMI is nearest 0.09 as the hybrid one and finds any target in 0.06..0.12 to give the same
    layers: that range is the default band. On a 14 x 14 grid a Gaussian of 3 patches has 0.16, of 5 patches 0.05.
    """

    hybrid: tuple[float, float] = (0.06, 0.12)

    def __post_init__(self) -> None:
        low, high = self.hybrid
        if not 0 <= low <= high <= 1:
            raise ValueError(f"Bands(hybrid={self.hybrid}): expected 0 <= low <= high <= 1, the range of the NMI.")

    def name(self, nmi: float) -> Pattern | None:
        """The pattern's name; None for NaN, where no patch asks."""
        low, high = self.hybrid
        if nmi != nmi:
            return None
        return "global" if nmi < low else "local" if nmi > high else "hybrid"


@dataclass(frozen=True)
class HeadMeasures:
    """What one layer's heads do, each number `b heads`, over the patches alone (rows renormalised without prefix).

    nmi        normalised mutual information between query and key positions, 0..1: 1 = every query looks at its own
               place, 0 = all queries look at the same places
    distance   mean distance from a query to what it looks at, in patches of the query grid; 0 = itself
    entropy    of the rows, in nats; 0 = one key, log(keys) = all alike
    prefix     the share of attention that patches give to prefix tokens, 0..1

    NaN where no patch asks (class attention).
    """

    nmi: Float[Tensor, "b heads"]
    distance: Float[Tensor, "b heads"]
    entropy: Float[Tensor, "b heads"]
    prefix: Float[Tensor, "b heads"]
    bands: Bands = Bands()

    def patterns(self) -> tuple[Pattern | None, ...]:
        """The pattern of each head, from its NMI averaged over the batch."""
        return tuple(self.bands.name(value) for value in self.nmi.mean(dim=0).tolist())

    def pattern(self) -> Pattern | None:
        """The pattern of the layer, from its NMI averaged over heads and batch, as UNIP does."""
        return self.bands.name(self.nmi.mean().item())


def attention_maps(model: nn.Module, images: Float[Tensor, "b 3 height width"]) -> tuple[AttentionMap, ...]:
    """The attention of every layer, in forward order, in eval mode and without a graph.

    Raises Refused for images that the model cannot take, and labkit.taps.Unreadable when the model shows no attention.
    """
    return attend(model, images)[1]


def attend(model: nn.Module, images: Float[Tensor, "b 3 height width"]) -> tuple[Tensor, tuple[AttentionMap, ...]]:
    """What the model returns for the images, and its attention maps, from one forward pass; see `attention_maps`."""
    check_call(model, images)
    places = layouts(model, tuple(images.shape[-2:]))
    with torch.no_grad(), evaluating(model), reading(model, "b heads q k") as found:
        output = model(images)
    return output, placed(found, places, batch=len(images))


def placed(found: dict[str, Tensor], places: dict, *, batch: int) -> tuple[AttentionMap, ...]:
    """Raw maps, windows folded into the batch, with the places that the dry run found for them."""
    return tuple(
        AttentionMap(
            name,
            # Windowed models put the windows of one picture next to each other in the batch.
            attn.reshape(batch, len(places[name].queries), *attn.shape[1:]),
            *(places[name].grid, places[name].key_grid, places[name].queries, places[name].keys),
        )
        for name, attn in found.items()
    )


@torch.no_grad()
def measure(attention: AttentionMap, *, bands: Bands = Bands()) -> HeadMeasures:
    """NMI, distance, entropy and prefix share of every head; see HeadMeasures for units."""
    weights, queries, keys = attention.weights.float(), attention.queries, attention.keys
    asks = (queries >= 0).to(weights)  # windows q
    looked = (keys >= 0).to(weights)  # windows k
    share = asks / asks.sum()  # p(q), uniform over the patches that ask
    mass = torch.einsum("bwhqk,wk->bwhq", weights, looked).clamp_min(torch.finfo(weights.dtype).tiny)

    # The matrices are large, so each sum is one pass, and all share one scratch matrix. Rows are renormalised on the
    # way: with p = w / mass, -Σ p log p = log mass - Σ(w log w) / mass.
    scratch = weights.clamp_min(torch.finfo(weights.dtype).tiny).log_().mul_(weights)
    row_entropy = mass.log() - torch.einsum("bwhqk,wk->bwhq", scratch, looked) / mass
    steps = torch.mul(weights, distances(attention).to(weights)[None, :, None], out=scratch).sum(dim=-1) / mass
    marginal = _marginal(
        torch.einsum("bwhqk,bwhq->bwhk", weights, share[None, :, None] / mass), keys, attention.key_grid
    )

    given = torch.einsum("bwhq,wq->bh", row_entropy, share)
    key_entropy = torch.special.entr(marginal).sum(dim=-1)
    scale = (torch.log(asks.sum()) * key_entropy).sqrt()
    nmi = torch.where(scale > 0, (key_entropy - given) / scale.clamp_min(1e-12), torch.zeros_like(given))
    return HeadMeasures(
        nmi=nmi.clamp(0, 1) + 0 * given,
        distance=torch.einsum("bwhq,wq->bh", steps, share),
        entropy=given.clamp_min(0) + 0 * given,
        prefix=1 - torch.einsum("bwhq,wq->bh", mass / weights.sum(dim=-1), share),
        bands=bands,
    )


def distances(attention: AttentionMap) -> Float[Tensor, "windows q k"]:
    """Distance from each query to each key, centre to centre, in patches of the query grid; 0 at prefix and padding."""
    rows, columns = (side / keys for side, keys in zip(attention.grid, attention.key_grid, strict=True))
    device = attention.weights.device
    asking = _centres(attention.queries, attention.grid, (1.0, 1.0)).to(device)
    asked = _centres(attention.keys, attention.key_grid, (rows, columns)).to(device)
    both = (attention.queries >= 0)[:, :, None] & (attention.keys >= 0)[:, None, :]
    return torch.cdist(asking, asked, compute_mode="donot_use_mm_for_euclid_dist") * both.to(device)


def _marginal(mass: Tensor, keys: Tensor, key_grid: tuple[int, int]) -> Float[Tensor, "b heads cells"]:
    """p(k): the mass `b windows heads k` at the keys of each window, gathered onto the key grid."""
    b, _, heads = mass.shape[:3]
    cells = keys.clamp_min(0).flatten().to(mass.device)
    on_cells = mass * (keys >= 0).to(mass)[None, :, None]
    per_window = on_cells.transpose(1, 2).reshape(b, heads, -1)
    return mass.new_zeros(b, heads, key_grid[0] * key_grid[1]).index_add(2, cells, per_window)


def _centres(cells: Tensor, grid: tuple[int, int], scale: tuple[float, float]) -> Float[Tensor, "windows n 2"]:
    inside = cells.clamp_min(0)
    row, column = inside // grid[1], inside % grid[1]
    return torch.stack([(row + 0.5) * scale[0], (column + 0.5) * scale[1]], dim=-1)


def _prefix(cells: Tensor) -> int:
    return int(((cells < 0) & (cells != PADDING)).sum(dim=1).max())


def _count(cells: Tensor, grid: tuple[int, int]) -> int:
    return _prefix(cells) + grid[0] * grid[1]


def _place(cells: Tensor, prefix: int, last: int) -> Tensor:
    """Row numbers in the dense matrix: prefix tokens first, then cells, and padding in one row too many."""
    places = torch.where(cells >= 0, cells + prefix, -1 - cells)
    return torch.where(cells == PADDING, torch.full_like(places, last), places)
