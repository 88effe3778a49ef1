"""What the receptive-field room does, as plain functions: two models, one place on the photo, every layer's field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from apps import links, visits
from apps.visits import Step
from labkit.session import sit
from labkit.session.fields import OVER, PARTS, Horizon, UnitField, heats, horizons, inputs, is_small, unit_field
from labkit.viz.receptive_field import fields_over_photo
from labkit.widgets.field import Side, field_data

MOST_DRAWN = 6
SCALES = ("log", "linear")


@dataclass(frozen=True)
class Place(links.Place):
    """What the room shows: a second model, and a place on the photo (shares of its height and width).

    `layer` and `other_layer` None: the middle one. `part` is the share of the heat, in percent, whose square is drawn.
    `beyond` says that squares are to be followed beyond the picture also where that takes long.
    """

    other: str = links.name("lab/resnet", "a model")
    other_weights: str = links.one_of("default", "none")
    down: float = links.number(0.5, 0, 1)
    across: float = links.number(0.5, 0, 1)
    layer: int | None = links.whole(None)
    other_layer: int | None = links.whole(None)
    over: str = links.one_of(*OVER)
    scale: str = links.one_of(*SCALES)
    part: str = links.one_of("90", "50", "99")
    beyond: bool = links.yes_or_no()


@dataclass(frozen=True)
class Seen(visits.Seen):
    """What was seen of the two models so far."""

    place: Place
    sides: tuple[Side, Side]

    @property
    def cut(self) -> bool:
        """Whether there is a square that was not followed beyond the picture's border."""
        return any(_waits(one) for side in self.sides for one in side.horizons)


def visit(place: Place, own: Path | None = None) -> Iterator[Seen | Step]:
    """Open both models and see with the units over the place: chosen layers first, then all, then beyond the border.

    Raises ValueError, one sentence fit for a screen: a bad picture, an unknown or unreadable model, missing weights.
    """
    photo = visits.photo_of(place, own)
    asked = ((place.model, place.weights), (place.other, place.other_weights))
    sittings = [sit(name, photo, weights=None if weights == "none" else weights) for name, weights in asked]
    near = [next(horizons(sitting, beyond=False)) for sitting in sittings]
    place = settled(place, near)
    titles = [name + (", untrained" if weights == "none" else "") for name, weights in asked]
    sides = [Side(sitting, title, found, {}) for sitting, title, found in zip(sittings, titles, near, strict=True)]
    quick = all(is_small(sitting) for sitting in sittings)
    for i, chosen in enumerate((place.layer, place.other_layer)) if not quick else ():
        yield Step(None, f"{titles[i]}: the layer that is shown")
        sides[i] = _final(_heated(sides[i], [sides[i].horizons[chosen]], place, "photo"))
    if not quick:
        yield Seen(place, own, (sides[0], sides[1]))
    for i in (0, 1):
        for share, side in _heated(sides[i], sides[i].horizons, place, place.over):
            sides[i] = side
            if not quick or place.over != "photo":
                yield Step((i + share) / 2, f"{side.title}: {_OVER_WORDS[place.over]}")
    seen = Seen(place, own, (sides[0], sides[1]))
    yield seen
    yield from _beyond(seen)


_OVER_WORDS = {
    "photo": "the field in every layer",
    "photos": "the mean over all photos",
    "noise": "the mean over random inputs",
}


def settled(place: Place, found: list[tuple[Horizon, ...]]) -> Place:
    """The same place with both layers in the range of their model; the middle one where there is none."""
    wished = zip((place.layer, place.other_layer), found, strict=True)
    layer, other = (at if at is not None and 0 <= at < len(layers) else len(layers) // 2 for at, layers in wished)
    return replace(place, layer=layer, other_layer=other)


def _heated(side: Side, layers: tuple[Horizon, ...] | list[Horizon], place: Place, over: str) -> Iterator:
    """(share of the work, the side with the fields of these layers), as far as they are known."""
    units = {one.site.name: one.unit_at((place.down, place.across)) for one in layers}
    for share, found in heats(side.sitting, units, inputs(side.sitting, over)):
        known = {
            one.site.name: unit_field(one, units[one.site.name], found[one.site.name])
            for one in layers
            if one.site.name in found
        }
        yield share, replace(side, fields={**side.fields, **known})


def _final(work: Iterator) -> Side:
    *_, (_, side) = work
    return side


def _beyond(seen: Seen) -> Iterator[Seen | Step]:
    """Follow the squares that the border cuts, layer after layer, and measure the heat around their true middles."""
    sides = list(seen.sides)
    for i, side in enumerate(seen.sides):
        waiting = sum(_waits(one) for one in side.horizons)
        if not waiting or not (is_small(side.sitting) or seen.place.beyond):
            continue
        further = horizons(side.sitting)
        next(further)  # what is known already
        for step in range(waiting):
            yield Step(step / waiting, f"{side.title}: how far its squares reach beyond the picture")
            found = next(further, None)
            sides[i] = replace(side, horizons=found) if found else sides[i]
        sides[i] = _measured_anew(sides[i])
        yield replace(seen, sides=(sides[0], sides[1]))


def _waits(horizon: Horizon) -> bool:
    return horizon.kind == "cut" and not horizon.measured


def _measured_anew(side: Side) -> Side:
    again = {
        one.site.name: unit_field(one, side.fields[one.site.name].unit, side.fields[one.site.name].heat)
        for one in side.horizons
    }
    return replace(side, fields=again)


# ---- what the page is given


def view_of(seen: Seen) -> tuple[dict[str, Any], list[bytes | None], dict[str, Any]]:
    """Head, bodies and state for the view."""
    place = seen.place
    at = [place.down, place.across]
    looked_at = (place.model, place.weights, place.other, place.other_weights, place.image, str(seen.own), place.over)
    head, bodies = field_data(seen.sides, place=at, key="|".join(looked_at))
    part = PARTS.index(int(place.part) / 100)
    return head, bodies, {"place": at, "layers": [place.layer, place.other_layer], "scale": place.scale, "part": part}


def move(place: Place, picked: dict[str, Any]) -> Place:
    """The place after the visitor's choice in the view."""
    layer, other = picked["layers"]
    part = f"{round(100 * PARTS[picked['part']])}"
    return replace(to(place, picked), layer=layer, other_layer=other, scale=picked["scale"], part=part)


def to(place: Place, asked: dict[str, Any]) -> Place:
    """The place when the visitor asks for another unit."""
    down, across = (round(float(share), 5) for share in asked["place"])
    layer, other = asked["layers"]
    return replace(place, down=down, across=across, layer=layer, other_layer=other)


def numbers(seen: Seen) -> dict[str, Any]:
    """One row a model and layer, with what they are about and the unit of each number."""
    pixels = ("most_rows", "most_columns", "jump_rows", "jump_columns", "sigma_rows", "sigma_columns")
    units = {name: "pixels" for name in (*pixels, *(f"side{round(100 * part)}" for part in PARTS))}
    units |= {"own": "share of the heat", "kind": "square, everything, or cut by the picture's border"}
    return {**asdict(seen.place), "image": seen.picture_name, "units": units, "rows": rows(seen)}


def rows(seen: Seen) -> list[dict[str, object]]:
    """One row a model and layer; None where a number is not defined or not yet known."""
    return [_row(side, one) for side in seen.sides for one in side.horizons]


def _row(side: Side, horizon: Horizon) -> dict[str, object]:
    size, jump = horizon.field.size or (None, None), horizon.field.jump
    row: dict[str, object] = {"model": side.title, "layer": horizon.site.name, "kind": horizon.kind}
    row |= {"most_rows": size[0], "most_columns": size[1], "jump_rows": jump[0], "jump_columns": jump[1]}
    found = side.fields.get(horizon.site.name)
    warm = found is not None and bool(found.heat.sum() > 0)
    row |= {"unit_row": found and found.unit[0], "unit_column": found and found.unit[1]}
    for i, part in enumerate(PARTS):
        row[f"side{round(100 * part)}"] = int(found.measures.side[i]) if warm else None
    sigma = [round(float(width), 3) for width in found.measures.width] if warm else (None, None)
    return row | {"own": round(found.own, 5) if warm else None, "sigma_rows": sigma[0], "sigma_columns": sigma[1]}


def parcel(seen: Seen, kind: str) -> Path:
    """Write one download ("fields.png", "numbers.csv" or "numbers.json") to a file of its own."""
    return visits.parcel(seen, kind, {"fields.png": figure}, rows=rows, numbers=numbers)


def figure(seen: Seen) -> Figure:
    """Up to MOST_DRAWN layers of each model, spread over the depth: heat, framed by what the unit can see at most."""
    drawn = []
    for side in seen.sides:
        found = [side.fields[one.site.name] for one in side.horizons if one.site.name in side.fields]
        most = min(MOST_DRAWN, len(found))
        picked = sorted({round(at) for at in np.linspace(0, len(found) - 1, most)})
        drawn += [(side.title, found[at]) for at in picked]
    return fields_over_photo(
        np.asarray(seen.sides[0].sitting.picture.convert("RGB")),
        [one.heat.numpy() for _, one in drawn],
        [_pixels(one) for _, one in drawn],
        names=[f"{title}\n{one.horizon.site.name}" for title, one in drawn],
        notes=[f"{_most(one)}; half in {int(one.measures.side[0])} px" for _, one in drawn],
        title=f"{seen.picture_name}: what the unit over one place can see (framed), and does see (heat)",
    )


def _pixels(field: UnitField) -> np.ndarray:
    top, left, bottom, right = (max(0, end) for end in field.box)
    seen = np.zeros(field.heat.shape, dtype=bool)
    seen[top:bottom, left:right] = True
    return seen


def _most(field: UnitField) -> str:
    size = field.horizon.field.size
    return f"at most {max(size)} px" if size else field.horizon.kind
