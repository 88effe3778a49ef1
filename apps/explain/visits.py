"""What the explain room does, as plain functions: two methods, one class, their maps, curves, numbers and files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from apps import links, visits
from apps.visits import Step
from labkit.session.explanations import METHODS, Explained, Pair, pairs
from labkit.viz.faithfulness import Line
from labkit.viz.faithfulness import curves as draw_curves
from labkit.viz.saliency import side_by_side
from labkit.widgets.explain import TITLES, UNITS, explain_data

WAYS = ("deletion", "insertion")
MOST_MASKS = 20_000


@dataclass(frozen=True)
class Place(links.Place):
    """What the room shows. `target` None: the likeliest class; `step` is the film's, `divider` and `blend` are 0..1."""

    left: str = links.one_of("gradcam", *(name for name in METHODS if name != "gradcam"))
    right: str = links.one_of("rise", *(name for name in METHODS if name != "rise"))
    target: int | None = links.whole(None, 0)
    masks: int = links.whole(1000, 32, MOST_MASKS)
    seed: int = links.whole(0, 0)
    divider: float = links.number(0.5, 0, 1)
    blend: float = links.number(0.65, 0, 1)
    way: str = links.one_of(*WAYS)
    step: int = links.whole(0, 0)


@dataclass(frozen=True)
class Seen(visits.Seen):
    """What two methods found so far."""

    place: Place
    pair: Pair


def visit(place: Place, own: Path | None = None) -> Iterator[Seen | Step]:
    """Open the model, ask it by both methods and play both films; RISE is shown again and again as it converges.

    Raises ValueError, one sentence fit for a screen: a bad picture, an unknown model, a method that does not fit it.
    """
    sitting = visits.sitting_of(place, own)
    work = pairs(sitting, (place.left, place.right), target=place.target, masks=place.masks, seed=place.seed)
    for step in work:
        yield Seen(settled(place, step), own, step) if isinstance(step, Pair) else Step(*step)


def settled(place: Place, pair: Pair) -> Place:
    """The same place with the class that is explained, and a step that the film has."""
    films = [one.film for one in pair.sides if one.film]
    step = min(place.step, len(films[0].curves.share) - 1) if films else place.step
    return replace(place, target=pair.target, step=step)


def view_of(seen: Seen) -> tuple[dict[str, Any], list[bytes | None], dict[str, Any]]:
    """Head, bodies and state for the view."""
    place = seen.place
    key = "|".join((place.model, place.weights, place.image, str(seen.own)))
    head, bodies = explain_data(seen.pair, masks=place.masks, seed=place.seed, key=key)
    return head, bodies, {name: getattr(place, name) for name in ("divider", "blend", "way", "step")}


def move(place: Place, picked: dict[str, Any]) -> Place:
    """The place after the visitor's hand moved in the view; methods, class and masks are not chosen by this."""
    divider, blend = (round(float(picked[name]), 3) for name in ("divider", "blend"))
    return replace(place, divider=divider, blend=blend, way=picked["way"], step=int(picked["step"]))


def asked(place: Place, wish: dict[str, Any]) -> Place:
    """The place when the visitor asks for other methods, another class, more or other masks."""
    chosen = {name: wish[name] for name in ("left", "right", "target", "masks", "seed")}
    return replace(move(place, wish), **chosen)


# ---- numbers and files


def numbers(seen: Seen) -> dict[str, Any]:
    """What each method found, with the areas under its curves and the unit of each number; the curves as rows."""
    pair = seen.pair
    classes = [{"class": one.index, "name": one.name, "probability": one.chance} for one in pair.classes]
    sides = {name: _side(one) for name, one in zip(("left", "right"), pair.sides, strict=True)}
    return {**asdict(seen.place), "image": seen.picture_name, "classes": classes, "sides": sides, "rows": rows(seen)}


def _side(one: Explained) -> dict[str, Any]:
    found: dict[str, Any] = {"method": one.method, "unit": UNITS[one.method], "layer": one.saliency.layer}
    found |= {"note": one.saliency.note, "grid": list(one.raw.shape)}
    found |= {"lowest": float(one.raw.min()), "highest": float(one.raw.max())}
    if one.masks:
        found |= {"masks": one.masks[0], "masks_asked": one.masks[1]}
        found["largest_error_of_range"] = one.trail[-1][1] if one.trail else None
    if one.film:
        areas = one.film.curves
        found |= {"deletion_area": float(areas.deletion_area[0]), "insertion_area": float(areas.insertion_area[0])}
    return found


def rows(seen: Seen) -> list[dict[str, object]]:
    """One row a side and step: the share of the pixels that is changed, and the probabilities; none before the film."""
    found = []
    for side, one in zip(("left", "right"), seen.pair.sides, strict=True):
        if one.film:
            curves = one.film.curves
            steps = zip(curves.share.tolist(), curves.deletion[0].tolist(), curves.insertion[0].tolist(), strict=True)
            start = {"side": side, "method": one.method}
            found += [{**start, "changed": a, "deletion": b, "insertion": c} for a, b, c in steps]
    return found


def parcel(seen: Seen, kind: str) -> Path:
    """Write one download ("maps.png", "curves.png", "numbers.csv" or "numbers.json") to a file of its own."""
    return visits.parcel(seen, kind, {"maps.png": maps, "curves.png": curves}, rows=rows, numbers=numbers)


def maps(seen: Seen) -> Figure:
    """Both maps over the photo: what speaks for the class, each in shares of its own scale."""
    sitting = seen.pair.sitting
    heats = {
        f"{i + 1} · {TITLES[one.method]}": [_heat(one, sitting.picture.size)] for i, one in enumerate(seen.pair.sides)
    }
    return side_by_side([np.asarray(sitting.picture.convert("RGB"))], heats, title=_title(seen))


def _heat(one: Explained, size: tuple[int, int]) -> np.ndarray:
    if one.signed:
        return one.saliency.display((size[1], size[0]))[0].numpy()
    low, high = one.scale
    shown = one.saliency.signed((size[1], size[0]))[0].numpy()
    return ((shown - low) / (high - low)).clip(0, 1) if high > low else np.zeros_like(shown)


def curves(seen: Seen) -> Figure:
    """Deletion and insertion of both methods."""
    films = {f"{i + 1} · {TITLES[one.method]}": one.film for i, one in enumerate(seen.pair.sides) if one.film}
    panels = {
        way: {
            name: Line(film.curves.share.numpy(), getattr(film.curves, way)[0].numpy()) for name, film in films.items()
        }
        for way in WAYS
    }
    notes = {"deletion": "lower is better", "insertion": "higher is better"}
    return draw_curves(panels, notes=notes, across={"deletion": "gone", "insertion": "back"}, title=_title(seen))


def _title(seen: Seen) -> str:
    name = next(one.name for one in seen.pair.classes if one.index == seen.pair.target)
    return f"{seen.place.model}, {seen.picture_name}: {name}"
