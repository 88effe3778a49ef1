"""How far the units of a model can see, and how far one of them does: every layer, for one place on the picture."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.data.images import open_image, photo_names
from labkit.probes.receptive_field import FieldMeasures, effective_fields, measure_field
from labkit.probes.receptive_theory import TheoreticalField, theoretical_fields
from labkit.session.sitting import Sitting
from labkit.taps import Site, blocks

PARTS = (0.5, 0.9, 0.99)
"""The shares of the heat whose squares are measured."""

OVER = ("photo", "photos", "noise")
"""What a field may be the mean over: this photo alone, all photos of the lab, random inputs."""

HOW = "abs"
"""For one photo the sign does not matter: a pixel that holds a unit down is seen, too. See effective_fields."""

SMALL = 96
"""Up to this many pixels a side all is quick: every layer at once, and squares beyond the border too."""

NOISES, BATCH = 8, 4
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Horizon:
    """What the units of one layer can see at most.

    site      where the layer lies on the picture
    field     the field of its middle unit
    measured  whether it was followed beyond the picture's border
    """

    site: Site
    field: TheoreticalField
    measured: bool

    @property
    def kind(self) -> str:
        """ "square": its size is known; "everything": all of any picture; "cut": larger than the picture shows."""
        if self.field.size is not None:
            return "square"
        return "everything" if self.field.whole and (self.measured or self.site.after.axes == "b n c") else "cut"

    def unit_at(self, place: tuple[float, float]) -> tuple[int, int]:
        """The unit (row, column) over a place given as shares (0..1) of the picture's height and width."""
        row, column = (min(n - 1, int(at * n)) for at, n in zip(place, self.site.after.grid, strict=True))
        return row, column

    def box(self, unit: tuple[int, int]) -> Box | None:
        """First and last row and column + 1 of a unit's square (top, left, bottom, right), in pixels, beyond the
        border too; None where fields do not slide or have no size."""
        size, jump, start = self.field.size, self.field.jump, self.field.start
        if size is None or start is None:
            return None
        top, left = (round(s + u * j) for s, u, j in zip(start, unit, jump, strict=True))
        return top, left, top + size[0], left + size[1]


@dataclass(frozen=True)
class UnitField:
    """What the unit over a place sees in one layer.

    horizon   what it can see at most
    unit      (row, column) on the layer's grid
    heat      `height width`, how much each pixel moves it; see labkit.probes.receptive_field.EffectiveField
    box       (top, left, bottom, right) in pixels: its square, which may go beyond the picture; where squares do not
              slide, the pixels that any of its gradient reaches
    centre    the pixel (row, column) around which `measures` draw their squares: the middle of its theoretical square
              if that lies in the picture, else of its cell
    measures  the size of the heat, for PARTS
    own       the share of the heat (0..1) that lies in the unit's own cell, picture / grid; NaN without heat
    """

    horizon: Horizon
    unit: tuple[int, int]
    heat: Float[Tensor, "height width"]
    box: Box
    centre: tuple[int, int]
    measures: FieldMeasures
    own: float


_known: OrderedDict[tuple[str, tuple[int, int]], dict[str, Horizon]] = OrderedDict()
_known_lock = threading.Lock()
_MOST_KNOWN = 32


def horizons(sitting: Sitting, *, beyond: bool = True) -> Iterator[tuple[Horizon, ...]]:
    """How far the units of each block can see: first as far as the picture shows it; then, with `beyond`, again and
    again with one more of the squares that its border cuts. What was found for a model stays known.

    Raises labkit.taps.Unreadable for models whose blocks cannot be placed.
    """
    size = tuple(sitting.images.shape[-2:])
    key = sitting.name, size
    known = _known.get(key)
    if known is None:
        with sitting.turn() as model:
            fields = theoretical_fields(model, size, beyond=False)
            known = {
                site.name: Horizon(site, field, False) for site, field in zip(blocks(model, size), fields, strict=True)
            }
        _keep(key, known)
    yield tuple(known.values())
    for name in [name for name, one in known.items() if one.kind == "cut" and not one.measured] if beyond else ():
        with sitting.turn() as model:
            (field,) = theoretical_fields(model, size, layers=[name])
        known = {**known, name: Horizon(known[name].site, field, True)}
        _keep(key, known)
        yield tuple(known.values())


def is_small(sitting: Sitting) -> bool:
    """Whether the model's pictures are at most SMALL pixels a side."""
    return max(sitting.images.shape[-2:]) <= SMALL


def inputs(sitting: Sitting, over: str = "photo") -> Float[Tensor, "b 3 height width"]:
    """The pictures to take the mean over, as the model takes them; `over` is one of OVER. Noise is always the same."""
    if over == "photo":
        return sitting.images
    if over == "noise":
        dice = torch.Generator().manual_seed(0)
        return torch.randn(NOISES, *sitting.images.shape[1:], generator=dice).to(sitting.images)
    if over != "photos":
        raise ValueError(f"over={over!r}: expected one of {', '.join(OVER)}.")
    return torch.stack([sitting.opened.transform(open_image(name)) for name in photo_names()]).to(sitting.images)


def heats(
    sitting: Sitting, units: Mapping[str, tuple[int, int]], images: Float[Tensor, "b 3 height width"]
) -> Iterator[tuple[float, dict[str, Float[Tensor, "height width"]]]]:
    """The effective field of one unit a layer (layer -> unit), as the mean of the pictures, and the share (0..1) of the
    work that is done. Before the last step layers may be missing, and the means are those of the pictures so far."""
    together: dict[tuple[int, int], list[str]] = {}  # one forward pass serves all layers that share a unit
    for name, unit in units.items():
        together.setdefault(unit, []).append(name)
    sums: dict[str, Tensor] = {}
    batches = images.split(BATCH)
    for i, some in enumerate(batches):
        for j, (unit, names) in enumerate(together.items()):
            with sitting.turn() as model:
                found = effective_fields(model, some, layers=names, unit=unit, how=HOW)
            for one in found:
                heat = one.heat.sum(dim=0).float().cpu()
                sums[one.layer] = sums[one.layer] + heat if i else heat
            done = min(len(images), (i + 1) * BATCH)
            share = (i + (j + 1) / len(together)) / len(batches)
            yield share, {name: sums[name] / done for name in units if name in sums}


def unit_field(horizon: Horizon, unit: tuple[int, int], heat: Float[Tensor, "height width"]) -> UnitField:
    """A unit's heat with what it can see at most, and the sizes of both."""
    size = tuple(heat.shape)
    box = horizon.box(unit)
    cell = [(u * side / n, (u + 1) * side / n) for u, side, n in zip(unit, size, horizon.site.after.grid, strict=True)]
    # Strides shift fields off the middle of their cell; where theory knows by how much, squares are drawn around that.
    middle = [(box[i] + box[i + 2]) / 2 for i in (0, 1)] if box else [sum(ends) / 2 for ends in cell]
    if any(not 0 <= at < side for at, side in zip(middle, size, strict=True)):
        middle = [sum(ends) / 2 for ends in cell]
    centre = (int(middle[0]), int(middle[1]))
    total = float(heat.sum())
    (top, bottom), (left, right) = ([round(end) for end in ends] for ends in cell)
    own = float(heat[top:bottom, left:right].sum()) / total if total else float("nan")
    measures = measure_field(heat, centre=centre, parts=PARTS)
    return UnitField(horizon, unit, heat, box or _reached(heat), centre, measures, own)


def fields(
    sitting: Sitting,
    place: tuple[float, float] = (0.5, 0.5),
    *,
    over: str = "photo",
    layers: Sequence[str] | None = None,
    beyond: bool = True,
) -> tuple[UnitField, ...]:
    """The field of the unit over `place` (shares of the picture's height and width) in each block, or in `layers`."""
    *_, found = horizons(sitting, beyond=beyond)
    found = [one for one in found if layers is None or one.site.name in layers]
    units = {one.site.name: one.unit_at(place) for one in found}
    *_, (_, heat) = heats(sitting, units, inputs(sitting, over))
    return tuple(unit_field(one, units[one.site.name], heat[one.site.name]) for one in found)


def _reached(heat: Tensor) -> Box:
    """The smallest box around all pixels with any heat; the whole picture where there is none."""
    rows, columns = ((heat > 0).any(dim=axis).nonzero().flatten() for axis in (1, 0))
    if not len(rows):
        return 0, 0, heat.shape[0], heat.shape[1]
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _keep(key: tuple[str, tuple[int, int]], known: dict[str, Horizon]) -> None:
    with _known_lock:
        _known[key] = known
        _known.move_to_end(key)
        while len(_known) > _MOST_KNOWN:
            _known.popitem(last=False)
