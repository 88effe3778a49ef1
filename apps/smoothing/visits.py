"""What the over-smoothing room does, as plain functions: a visit to a model with a photo, its numbers and files."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from apps import links, visits
from apps.visits import Step
from labkit.session.smoothings import Alike, Smoothed, Smoothing, smoothing_steps
from labkit.widgets import smoothing_figures as figures

PATIENCE_S = 0.5
"""Before that a visit to a small model shows no progress: it is over soon."""

SMALL = 4_000_000
"""Models of up to so many parameters are small."""


def _blocks(text: str) -> str:
    found = sorted({int(part) for part in text.split("-")}) if text else []
    if any(not 0 <= block < 1000 for block in found):
        raise ValueError
    return "-".join(map(str, found))


@dataclass(frozen=True)
class Place(links.Place):
    """What the room shows. `layer` and `query` None: where it would start; `skip`: "1-3", the blocks left out."""

    layer: int | None = links.whole(None)
    query: int | None = links.whole(None)
    centred: bool = links.yes_or_no()
    skip: str = links.readable("", _blocks, "numbers of blocks, such as 1-3")
    range: float = links.number(1.0, 0.1, 1)

    @property
    def skipped(self) -> tuple[int, ...]:
        return tuple(map(int, self.skip.split("-"))) if self.skip else ()


@dataclass(frozen=True)
class Seen(visits.Seen):
    """What was read of the model and the picture, and where the visitor stands."""

    place: Place
    smoothed: Smoothed

    @property
    def found(self) -> Smoothing:
        return self.smoothed.found


def visit(place: Place, own: Path | None = None) -> Iterator[Seen | Step]:
    """Open the model, read all blocks, with and without those that are left out, and bring the place into range.

    Raises ValueError, one sentence fit for a screen: a bad picture, an unknown or unreadable model, missing weights.
    """
    sitting = visits.sitting_of(place, own)
    small = sum(weights.numel() for weights in sitting.opened.model.parameters()) <= SMALL
    shows_from = time.perf_counter() + PATIENCE_S * small
    for step in smoothing_steps(sitting, place.skipped):
        if isinstance(step, Smoothed):
            yield Seen(settled(place, step.found), own, step)
        elif time.perf_counter() >= shows_from:
            yield Step(step, "comparing the tokens of all layers")


def settled(place: Place, found: Smoothing) -> Place:
    """The same place with layer, query and blocks in the range of what was read; else where the view starts."""
    layers = found.shown.layers
    kept = place.layer is not None and 0 <= place.layer < len(layers)
    layer = place.layer if kept else len(layers) - 1
    h, w = layers[layer].grid
    fits = kept and place.query is not None and 0 <= place.query < h * w
    query = place.query if fits else h // 2 * w + w // 2
    return replace(place, layer=layer, query=query, skip="-".join(map(str, found.skipped)))


def move(place: Place, picked: dict[str, Any]) -> Place:
    """The place after the visitor's choice in the view; other blocks are not left out by this."""
    chosen = {name: picked[name] for name in ("layer", "query", "centred")}
    return replace(place, **chosen, range=round(float(picked["range"]), 2))


def without(place: Place, asked: dict[str, Any]) -> Place:
    """The place with the blocks left out that the view asks for."""
    return replace(move(place, asked), skip=_blocks(str(asked["skip"])))


def model_names() -> list[str]:
    """What the menu offers: whatever has blocks that lie on the picture."""
    return visits.model_names()


def numbers(seen: Seen) -> dict[str, Any]:
    """One row a layer, what the model says with all blocks and without some, and what that does to the answer."""
    found, effect = seen.found, seen.found.effect
    place = {**asdict(seen.place), "image": seen.picture_name}
    lost = None
    if effect is not None:
        names = ("before", "after", "kl", "turned", "changed")
        lost = {name: _number(getattr(effect, name)) for name in names}
        lost["category"] = dict(enumerate(seen.smoothed.sitting.opened.categories)).get(int(effect.label[0]))
    units = {
        "cosine": "-1..1, of two different tokens",
        "effective_rank": "directions",
        "high_frequency": "share of the variance",
        "kl": "nats",
    }
    return {
        **place,
        "top": _top(seen),
        "skipped": list(found.skipped),
        "effect": lost,
        "units": units,
        "rows": rows(seen),
    }


def rows(seen: Seen) -> list[dict[str, object]]:
    """One row a layer; where blocks are left out, with the mean cosine and the rank of the whole model beside it."""
    return [
        {
            "layer": index,
            "name": one.measures.name,
            "grid": "{}x{}".format(*one.measures.grid),
            "left_out": index in seen.found.skipped,
            **_measures(one),
            "cosine_with_all_blocks": _number(whole.measures.raw.mean),
            "effective_rank_with_all_blocks": _number(whole.measures.effective_rank),
        }
        for index, (one, whole) in enumerate(zip(seen.found.shown.layers, seen.found.whole.layers, strict=True))
    ]


def _measures(one: Alike) -> dict[str, object]:
    found = one.measures
    return {
        "cosine": _number(found.raw.mean),
        "cosine_spread": _number(found.raw.spread),
        "centred_spread": _number(found.centred.spread),
        "effective_rank": _number(found.effective_rank),
        "most_rank": one.most,
        "high_frequency": _number(found.high_frequency),
        "class_token": _number(found.prefix[:, 0]) if found.prefix.shape[1] else None,
    }


def _number(values: Tensor) -> float | None:
    """The first picture's number; None where it is not defined."""
    value = float(values[0])
    return value if math.isfinite(value) else None


def _top(seen: Seen) -> list[dict[str, object]]:
    return [
        {"category": category, "probability": chance, "without": bool(index)}
        for index, top in enumerate(seen.smoothed.answers)
        for category, chance in top
    ]


def parcel(seen: Seen, kind: str) -> Path:
    """Write one download ("figure.png", "matrices.png", "numbers.csv" or "numbers.json") to a file of its own."""
    return visits.parcel(seen, kind, {"figure.png": by_depth, "matrices.png": matrices}, rows=rows, numbers=numbers)


def by_depth(seen: Seen) -> Figure:
    """The curves of all blocks, with and without those that are left out."""
    return figures.by_depth(seen.smoothed)


def matrices(seen: Seen) -> Figure:
    """Every block's matrix of token similarities."""
    return figures.matrices(seen.smoothed, centred=seen.place.centred)
