"""Who mixes whom: the mixing of every block of a model before a photo, and attention taken apart."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from jaxtyping import Float
from torch import Tensor, nn

from labkit.probes.attention import AttentionMap, attention_maps
from labkit.probes.mixing import MixingMap, cells, check_site, mixing_maps
from labkit.probes.mixing_held import attention_parts
from labkit.probes.mixing_measures import MixingMeasures, measure_mixing
from labkit.session.sitting import Sitting
from labkit.taps import Site, Unreadable, blocks, layouts, sites

SIDE = 16
"""No more cells than this along a side: larger grids are seen in squares of tokens."""

SMALL = 96
"""Up to this many pixels a side a model is quick, and gets twice the probes."""

PARTS = ("attention", "values", "softmax", "layer")
"""Of an attention layer: the map A that is usually shown, the path through the values with A held fixed, the path
through the softmax, and the whole Jacobian, which is the sum of these two."""


@dataclass(frozen=True)
class Mixed:
    """One block's mixing.

    site      where the block lies
    map       its mixing map, on the CPU, at most SIDE cells along a side
    measures  the map in numbers
    skip      whether this is of the whole block y; else of what it adds, y - x
    """

    site: Site
    map: MixingMap
    measures: MixingMeasures
    skip: bool


@dataclass(frozen=True)
class Apart:
    """An attention layer taken apart: one map a name of PARTS, all of one picture.

    layer     its dotted name
    grid      (h, w) of queries and keys
    rows      `q k` each, on the CPU: norms, unit of y / unit of x; "attention": A itself, the mean
              of the heads, without prefix tokens
    own       the share of a row (0..1, the mean of all rows) that lies at the query's own place
    softmax   ‖softmax path‖ / (‖softmax path‖ + ‖value path‖) of the Jacobians, 0..1
    """

    layer: str
    grid: tuple[int, int]
    rows: dict[str, Float[Tensor, "q k"]]
    own: dict[str, float]
    softmax: float


def mixing_sites(sitting: Sitting) -> tuple[Site, ...]:
    """The blocks whose input and output lie on the picture. Raises Unreadable, Refused where there are none."""
    size = tuple(sitting.images.shape[-2:])
    with sitting.turn() as model:
        found = blocks(model, size)
    placed = tuple(site for site in found if site.before is not None)
    return placed or (check_site(found[0]),)


def probes_of(sitting: Sitting) -> int:
    """How many random probes a query the maps of this model are the mean of."""
    return 4 if is_small(sitting) else 2


def is_small(sitting: Sitting) -> bool:
    """Whether the model's pictures are at most SMALL pixels a side."""
    return max(sitting.images.shape[-2:]) <= SMALL


def mixtures(sitting: Sitting, *, skip: bool = False, first: int = 0) -> Iterator[dict[str, Mixed]]:
    """The mixing of each block, name -> Mixed: one more at each step, block number `first` first. What is known stays.

    skip   of the whole block, y; else of y - x wherever the block keeps its shape, since there the skip connection
           drowns the rest
    """
    there = mixing_sites(sitting)
    known = _known_of(sitting, f"block {skip}")
    for i in sorted(range(len(there)), key=lambda i: i != first):
        site = there[i]
        if site.name not in known:
            kept = (site.before.grid, site.before.channels) == (site.after.grid, site.after.channels)
            whole = skip or not kept
            how = {"probes": probes_of(sitting), "side": SIDE, "identity": whole}
            with sitting.turn() as model:
                (found,) = mixing_maps(model, sitting.images, layers=[site.name], **how)
            known[site.name] = Mixed(site, _here(found), measure_mixing(_here(found)), whole)
        yield {one.name: known[one.name] for one in there if one.name in known}


def attention_layers(sitting: Sitting) -> dict[str, str]:
    """Block -> its attention layer, where one stands by itself on the whole picture; windows inside a block do not."""
    size = tuple(sitting.images.shape[-2:])
    with sitting.turn() as model:
        placed = sites(model, size)
        try:
            there = layouts(model, size)
        except Unreadable:  # it mixes in another way
            return {}
        names = [name for name in there if name in placed and placed[name].before is not None]
        names = [name for name in names if placed[name].before.grid == placed[name].after.grid]
    found = {}
    for site in mixing_sites(sitting):
        inside = [name for name in names if name.startswith(f"{site.name}.")]
        found |= {site.name: inside[0]} if len(inside) == 1 else {}
    return found


def taken_apart(sitting: Sitting, *, first: str = "") -> Iterator[dict[str, Apart]]:
    """The attention layer in each block that has one, block -> Apart: one more at each step, `first` first."""
    layers = attention_layers(sitting)
    known = _known_of(sitting, "parts")
    maps: dict[str, AttentionMap] = {}
    for block in sorted(layers, key=lambda name: name != first):
        if block not in known:
            with sitting.turn() as model:
                maps = maps or {one.name: one for one in attention_maps(model, sitting.images)}
                layer = layers[block]
                parts = attention_parts(model, sitting.images, layer, probes=probes_of(sitting), side=SIDE)
            three = {"values": parts.held, "softmax": parts.softmax, "layer": parts.live}
            rows = {"attention": coarse_attention(maps[layer])}
            rows |= {name: _here(one).norms[0] for name, one in three.items()}
            own = {name: float((one.diagonal() / one.sum(dim=1)).mean()) for name, one in rows.items()}
            ordered = {name: rows[name] for name in PARTS}
            known[block] = Apart(layer, parts.live.grid, ordered, own, float(parts.share_of_softmax[0]))
        yield {name: known[name] for name in layers if name in known}


def coarse_attention(attention: AttentionMap, side: int = SIDE) -> Float[Tensor, "q k"]:
    """A between cells: what a cell's tokens give to another's, the mean over heads and the asking tokens of the cell.

    Rows sum to one less what prefix tokens get.
    """
    (grid, asking), (key_grid, asked) = (cells(one, side) for one in (attention.grid, attention.key_grid))
    dense = attention.dense()[0].mean(dim=0).float().cpu()[-len(asking) :, -len(asked) :]
    rows = dense.new_zeros(grid[0] * grid[1], dense.shape[1]).index_add(0, asking, dense)
    rows /= asking.bincount(minlength=len(rows))[:, None]
    return rows.new_zeros(len(rows), key_grid[0] * key_grid[1]).index_add(1, asked, rows)


def _here(found: MixingMap) -> MixingMap:
    squared, error = found.squared.float().cpu(), found.error.float().cpu()
    return MixingMap(found.name, squared, error, found.grid, found.key_grid, found.probes)


_known: WeakKeyDictionary[nn.Module, OrderedDict[tuple[str, str], dict]] = WeakKeyDictionary()
_known_lock = threading.Lock()
_MOST_KNOWN = 6


def _known_of(sitting: Sitting, what: str) -> dict:
    """What was found so far of this model and picture, to be filled further."""
    picture = hashlib.sha1(sitting.images.cpu().float().numpy().tobytes(), usedforsecurity=False).hexdigest()
    with _known_lock:
        of_model = _known.setdefault(sitting.opened.model, OrderedDict())
        found = of_model.setdefault((picture, what), {})
        of_model.move_to_end((picture, what))
        while len(of_model) > _MOST_KNOWN:
            of_model.popitem(last=False)
    return found
