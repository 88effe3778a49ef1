"""What a mixing map says in numbers: the same for an attention head, a convolution, a pooling or a state-space scan."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.probes.attention import Bands, Pattern, distances, measure
from labkit.probes.extent import area
from labkit.probes.mixing import MixingMap

BANDS = Bands()


@dataclass(frozen=True)
class MixingMeasures:
    """One block's mixing in numbers, each `b`, over rows of shares (norms that sum to one).

    nmi        normalised mutual information between query and key places, 0..1: 1 = each its own, 0 = all the same
    distance   mean distance from a query to what it is made of, in cells of the query grid; 0 = itself
    reach      distance / that of rows in which all keys count alike; 0 = itself, 1 = everywhere, on any grid
    entropy    of the rows, in nats; 0 = one key, log(keys) = all alike
    own        the share of the cell at the query's own place (summed over them where the keys are finer), 0..1
    area       the share of the picture that holds half of a row, the strongest cells first, 0..1

    NaN where some query depends on nothing.
    """

    nmi: Float[Tensor, "b"]
    distance: Float[Tensor, "b"]
    reach: Float[Tensor, "b"]
    entropy: Float[Tensor, "b"]
    own: Float[Tensor, "b"]
    area: Float[Tensor, "b"]
    bands: Bands = BANDS

    def pattern(self) -> Pattern | None:
        """local, hybrid or global, by the NMI averaged over the batch. The bands belong to grids of about 14 x 14."""
        return self.bands.name(self.nmi.mean().item())


@torch.no_grad()
def measure_mixing(mixing: MixingMap, *, bands: Bands = BANDS) -> MixingMeasures:
    """NMI, distance, reach, entropy, own share and area of one mixing map; see MixingMeasures for units."""
    attention = mixing.attention()
    found = measure(attention, bands=bands)
    steps = distances(attention)[0]
    shares = mixing.shares
    even = steps.mean().to(shares)
    return MixingMeasures(
        nmi=found.nmi[:, 0],
        distance=found.distance[:, 0],
        reach=found.distance[:, 0] / even if even > 0 else torch.zeros_like(found.distance[:, 0]),
        entropy=found.entropy[:, 0],
        own=(shares * _own(mixing).to(shares)).sum(dim=-1).mean(dim=-1),
        area=area(shares, 0.5).mean(dim=-1),
        bands=bands,
    )


def _own(mixing: MixingMap) -> Float[Tensor, "q k"]:
    """1 where the key's centre lies in the query's cell, or the query's centre in the key's."""
    inside = []
    for side, keys in zip(mixing.grid, mixing.key_grid, strict=True):
        q, k = (torch.arange(count) for count in (side, keys))
        here = ((q + 0.5) * keys / side).floor()[:, None] == k[None]
        inside.append(here | (((k + 0.5) * side / keys).floor()[None] == q[:, None]))
    rows, columns = inside
    return (rows[:, None, :, None] & columns[None, :, None, :]).reshape(rows.shape[0] * columns.shape[0], -1).float()
