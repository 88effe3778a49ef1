"""What the frequency room does, as plain functions: a visit to a model, a photo and a band, its numbers and files."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from apps import links, visits
from apps.visits import Step
from labkit.data.images import photo_names
from labkit.probes.passband import filtered
from labkit.session.tunings import Crossover, Passed, Tuned, Tuning, band_of, crossings, heard, tuned
from labkit.viz import frequency as draw
from labkit.widgets.frequency import WHOLE, frequency_data

REMEMBERED = 6
"""How many photos and models stay read: a ring that is dragged asks about the same ones again and again."""


@dataclass(frozen=True)
class Place(links.Place):
    """What the room shows. The band is low < f <= high in cycles per pixel; `layer` None: where the view starts."""

    low: float = links.number(0.0, 0, WHOLE)
    high: float = links.number(WHOLE, 0, WHOLE)
    mean: bool = links.yes_or_no(True)
    layer: int | None = links.whole(None)
    head: int = links.whole(-1)
    sweep: bool = links.yes_or_no()

    def mended(self) -> tuple[Place, tuple[str, ...]]:
        if self.low < self.high:
            return self, ()
        said = f"The link's band runs from {self.low:g} to {self.high:g}; expected low below high; all of it is shown."
        return replace(self, low=0.0, high=WHOLE), (said,)


@dataclass(frozen=True)
class Seen(visits.Seen):
    """What was read of a model before a picture, what it says of the band, and of all cutoffs if asked."""

    place: Place
    tuned: Tuned
    passed: Passed
    crossing: Crossover | None = None


def visit(place: Place, own: Path | None = None) -> Iterator[Seen | Step]:
    """Read the photo, ask the model about the band, and with `sweep` about all cutoffs, step by step.

    Raises ValueError, one sentence fit for a screen: a bad picture, an unknown or unreadable model, missing weights.
    """
    tuned = _read(place, own)
    passed = heard(tuned.sitting, place.low, place.high, mean=place.mean)
    seen = Seen(settled(place, tuned.tuning), own, tuned, passed)
    if not place.sweep:
        yield seen
        return
    if place.mean not in tuned.crossings:
        yield replace(seen, place=replace(seen.place, sweep=False))  # the photo first; a stop leaves it so
        for share, crossing in crossings(tuned.sitting, mean=place.mean):
            yield Step(share, f"all photos, cut at {crossing.cutoffs[-1]:.3f} cycles per pixel")
        tuned.crossings[place.mean] = crossing
    yield replace(seen, crossing=tuned.crossings[place.mean])


def settled(place: Place, found: Tuning) -> Place:
    """The same place with layer and head in the range of what was read; else where the view starts."""
    layers = len(found.spectra)
    layer = place.layer if place.layer is not None and 0 <= place.layer < layers else layers // 2
    return replace(place, layer=layer, head=place.head if layer == place.layer else -1)


def move(place: Place, picked: dict[str, Any]) -> Place:
    """The place after the visitor's choice in the view; it asks for no sweep by itself."""
    return replace(_banded(place, picked), layer=int(picked["layer"]), head=int(picked["head"]))


def listen(place: Place, asked: dict[str, Any]) -> Place:
    """The place that the view wants an answer for."""
    return replace(_banded(place, asked), sweep=bool(asked["sweep"]))


def _banded(place: Place, asked: dict[str, Any]) -> Place:
    low, high = (round(min(max(float(asked[name]), 0.0), WHOLE), 4) for name in ("low", "high"))
    if not low < high:
        low, high = place.low, place.high
    return replace(place, low=low, high=high, mean=bool(asked["mean"]))


def shown(seen: Seen) -> tuple[dict[str, Any], list[bytes]]:
    """What the view is given."""
    place = seen.place
    return frequency_data(
        seen.tuned.sitting,
        seen.tuned.tuning,
        seen.passed,
        low=place.low,
        high=place.high,
        mean=place.mean,
        crossing=seen.crossing,
        weights=visits.weights_of(place),
    )


def model_names() -> list[str]:
    """What the menu offers: every model."""
    return visits.model_names()


# ---- what was read stays for a while

_kept: OrderedDict[tuple[str, str, str], Tuned] = OrderedDict()
_kept_lock = threading.Lock()


def _read(place: Place, own: Path | None) -> Tuned:
    key = (place.model, place.weights, str(visits.photo_of(place, own)))
    with _kept_lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    found = tuned(visits.sitting_of(place, own))
    with _kept_lock:
        # What was asked at all cutoffs is about the model alone: another photo of the same model knows it already.
        known = next((kept.crossings for there, kept in _kept.items() if there[:2] == key[:2]), found.crossings)
        _kept[key] = replace(found, crossings=known)
        while len(_kept) > REMEMBERED:
            _kept.popitem(last=False)
        return _kept[key]


# ---- numbers and files


def numbers(seen: Seen) -> dict[str, Any]:
    """One row a layer, with what they are about: model, picture, band, answers before and after, cutoffs if asked."""
    top, after = (
        [{"category": category, "probability": chance} for category, chance in seen.tuned.sitting.top(output)]
        for output in (seen.tuned.tuning.output, seen.passed.output)
    )
    units = {"low": "cycles per pixel", "low_band, mid_band, high_band": "nats", "high_share": "of variance"}
    crossing = None if seen.crossing is None else _crossing(seen.crossing)
    told = {**asdict(seen.place), "image": seen.picture_name, "top": top, "top_passed": after, "units": units}
    return {**told, "crossing": crossing, "rows": rows(seen)}


def _crossing(found: Crossover) -> dict[str, Any]:
    where = found.where
    return {
        "cutoffs": list(found.cutoffs),
        "coarse_stays": found.coarse_stays.tolist(),
        "fine_stays": found.fine_stays.tolist(),
        "where": None if where != where else where,
        "photos": list(photo_names()),
    }


def rows(seen: Seen) -> list[dict[str, object]]:
    """One row a layer: log-amplitude in three bands (nats), share of the variance that is fine; then the filtered."""
    table = []
    for layer, (whole, part) in enumerate(zip(seen.tuned.tuning.spectra, seen.passed.spectra, strict=True)):
        row: dict[str, object] = {"layer": layer, "name": whole.name, "grid": "{}x{}".format(*whole.grid)}
        for ending, one in (("", whole), ("_passed", part)):
            bands = zip(("low_band", "mid_band", "high_band"), one.bands, strict=True)
            row |= {f"{name}{ending}": _number(value) for name, value in bands}
            row[f"high_share{ending}"] = _number(one.high)
        table.append(row)
    return table


def _number(value: torch.Tensor) -> float | None:
    number = float(value[0])
    return None if number != number else number


def parcel(seen: Seen, kind: str) -> Path:
    """Write one download: "spectra.png", "filters.png", "passed.png", "numbers.csv" or "numbers.json"."""
    pictures = {"spectra.png": _spectra, "filters.png": _filters, "passed.png": what_passes}
    return visits.parcel(seen, kind, pictures, rows=rows, numbers=numbers)


def _spectra(seen: Seen) -> Any:
    radial = [one.radial[0].cpu().numpy() for one in seen.tuned.tuning.spectra]
    grids = [one.grid for one in seen.tuned.tuning.spectra]
    return draw.amplitude_heat(radial, grids=grids, title=f"{seen.place.model} · {seen.picture_name}")


def _filters(seen: Seen) -> Any:
    filters = seen.tuned.tuning.filters
    if not filters:
        raise ValueError(f"{seen.place.model} has no filters to draw: no attention, no kernel wider than a cell.")
    radial, at = ([getattr(one, what).cpu().numpy() for one in filters] for what in ("radial", "frequencies"))
    title = f"{seen.place.model} · {seen.picture_name}"
    return draw.responses(radial, at, names=[one.name for one in filters], title=title)


def what_passes(seen: Seen) -> Image.Image:
    """The filtered photo in the pixels that the model gets; what leaves 0..255 is clipped, as on the screen."""
    place, transform = seen.place, seen.tuned.sitting.opened.transform
    band = band_of(place.low, place.high, mean=place.mean)
    std, mean = (torch.tensor(values).view(3, 1, 1) for values in (transform.std, transform.mean))
    pixels = filtered(seen.tuned.sitting.images, band)[0].float().cpu() * std + mean
    return Image.fromarray((255 * pixels).round().clamp(0, 255).byte().permute(1, 2, 0).numpy().astype(np.uint8))
