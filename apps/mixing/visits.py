"""What the mixing room does, as plain functions: two models, one photo, who mixes whom in every block of both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from apps import links, visits
from apps.visits import Step
from labkit.session import sit
from labkit.session.mixtures import (
    PARTS,
    SIDE,
    attention_layers,
    is_small,
    mixing_sites,
    mixtures,
    probes_of,
    taken_apart,
)
from labkit.viz.mixing import Series, mixing_chart
from labkit.widgets.mixing import Side, mixing_data

MEASURES = ("nmi", "distance", "reach", "entropy", "own", "area")


@dataclass(frozen=True)
class Place(links.Place):
    """What the room shows: a second model, and a place on the photo (shares of its height and width).

    `layer` and `other_layer` None: the middle one. `reverse`: where the place goes, not what it is made of. `skip`: the
    whole block, not only what it adds. `shown`: the block, or a part of its attention layer.
    """

    other: str = links.name("lab/resnet", "a model")
    other_weights: str = links.one_of("default", "none")
    down: float = links.number(0.5, 0, 1)
    across: float = links.number(0.5, 0, 1)
    layer: int | None = links.whole(None)
    other_layer: int | None = links.whole(None)
    reverse: bool = links.yes_or_no()
    skip: bool = links.yes_or_no()
    shown: str = links.one_of("block", *PARTS)
    scale: str = links.one_of("linear", "log")


@dataclass(frozen=True)
class Seen(visits.Seen):
    """What was seen of the two models so far."""

    place: Place
    sides: tuple[Side, Side]


def visit(place: Place, own: Path | None = None) -> Iterator[Seen | Step]:
    """Open both models and read their mixing: the chosen blocks first, then all, then attention taken apart.

    Raises ValueError, one sentence fit for a screen: a bad picture, an unknown or unreadable model, missing weights.
    """
    photo = visits.photo_of(place, own)
    asked = ((place.model, place.weights), (place.other, place.other_weights))
    sittings = [sit(name, photo, weights=None if weights == "none" else weights) for name, weights in asked]
    titles = [name + (", untrained" if weights == "none" else "") for name, weights in asked]
    sides = [
        Side(sitting, title, mixing_sites(sitting), attention_layers(sitting), {}, {})
        for sitting, title in zip(sittings, titles, strict=True)
    ]
    place = settled(place, [len(side.sites) for side in sides])
    chosen = (place.layer, place.other_layer)
    quick = all(is_small(sitting) for sitting in sittings)

    for i, first in enumerate(chosen):
        if not quick:
            yield Step(None, f"{titles[i]}: the block that is shown")
        sides[i] = replace(sides[i], mixed=next(mixtures(sittings[i], skip=place.skip, first=first)))
    yield Seen(place, own, (sides[0], sides[1]))

    for i, first in enumerate(chosen):
        for done, mixed in enumerate(mixtures(sittings[i], skip=place.skip, first=first), 1):
            sides[i] = replace(sides[i], mixed=mixed)
            yield Step((i + done / len(sides[i].sites)) / 2, f"{titles[i]}: who mixes whom, block after block")
    yield Seen(place, own, (sides[0], sides[1]))

    if not any(side.attention for side in sides):
        return
    for i, first in enumerate(chosen):
        for done, apart in enumerate(taken_apart(sittings[i], first=sides[i].sites[first].name), 1):
            sides[i] = replace(sides[i], apart=apart)
            yield Step((i + done / len(sides[i].attention)) / 2, f"{titles[i]}: attention, taken apart")
    yield Seen(place, own, (sides[0], sides[1]))


def settled(place: Place, counts: list[int]) -> Place:
    """The same place with both blocks in the range of their model; the middle one where there is none."""
    wished = zip((place.layer, place.other_layer), counts, strict=True)
    layer, other = (at if at is not None and 0 <= at < count else count // 2 for at, count in wished)
    return replace(place, layer=layer, other_layer=other)


# ---- what the page is given


def view_of(seen: Seen) -> tuple[dict[str, Any], list[bytes | None], dict[str, Any]]:
    """Head, bodies and state for the view."""
    place = seen.place
    looked_at = (place.model, place.weights, place.other, place.other_weights, place.image, str(seen.own))
    head, bodies = mixing_data(seen.sides, skip=place.skip, key="|".join(looked_at))
    layers = [place.layer, place.other_layer]
    state = {"place": [place.down, place.across], "layers": layers, "reverse": place.reverse}
    return head, bodies, state | {"shown": place.shown, "scale": place.scale}


def move(place: Place, picked: dict[str, Any]) -> Place:
    """The place after the visitor's choice in the view."""
    down, across = (round(float(share), 5) for share in picked["place"])
    layer, other = picked["layers"]
    place = replace(place, down=down, across=across, layer=layer, other_layer=other)
    return replace(place, reverse=bool(picked["reverse"]), shown=picked["shown"], scale=picked["scale"])


def to(place: Place, asked: dict[str, Any]) -> Place:
    """The place when the visitor asks for the skip connection, or for none."""
    return replace(move(place, asked), skip=bool(asked["skip"]))


def numbers(seen: Seen) -> dict[str, Any]:
    """One row a model and block, with what they are about and the unit of each number."""
    units = {"distance": "cells of the grid", "entropy": "nats"}
    units |= dict.fromkeys(("nmi", "reach", "own", "area", "softmax", "own_values", "own_softmax"), "0..1")
    probes = [probes_of(side.sitting) for side in seen.sides]
    about = {"image": seen.picture_name, "probes": probes, "most_cells_a_side": SIDE}
    return {**asdict(seen.place), **about, "units": units, "rows": rows(seen)}


def rows(seen: Seen) -> list[dict[str, object]]:
    """One row a model and block; None where a number is not defined or not yet known."""
    return [_row(side, site.name) for side in seen.sides for site in side.sites]


def _row(side: Side, name: str) -> dict[str, object]:
    mixed, apart = side.mixed.get(name), side.apart.get(name)
    row: dict[str, object] = {"model": side.title, "block": name}
    row |= {"measured": mixed and ("y" if mixed.skip else "y - x"), "grid": mixed and "{}x{}".format(*mixed.map.grid)}
    row |= {what: mixed and _number(getattr(mixed.measures, what)) for what in MEASURES}
    row |= {"pattern": mixed and mixed.measures.pattern(), "softmax": apart and _number(apart.softmax)}
    return row | {f"own_{part}": apart and _number(apart.own[part]) for part in ("values", "softmax")}


def _number(value: Any) -> float | None:
    return round(float(value), 5) if math.isfinite(float(value)) else None


def parcel(seen: Seen, kind: str) -> Path:
    """Write one download ("mixing.png", "numbers.csv" or "numbers.json") to a file of its own."""
    return visits.parcel(seen, kind, {"mixing.png": figure}, rows=rows, numbers=numbers)


def figure(seen: Seen) -> Figure:
    """All blocks of both models on the plane of NMI and reach."""
    models = {}
    for side in seen.sides:
        found = [side.mixed[site.name].measures for site in side.sites if site.name in side.mixed]
        name = side.title if side.title not in models else f"{side.title} (again)"
        models[name] = Series(*(np.array([float(getattr(one, what)) for one in found]) for what in ("nmi", "reach")))
    what = "whole blocks" if seen.place.skip else "what each block adds"
    return mixing_chart(models, title=f"{seen.picture_name}: how far each block reaches, and for whom; {what}")
