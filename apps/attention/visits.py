"""What the attention room does, as plain functions: a visit to a model with a photo, its numbers and files."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from apps import links, visits
from labkit.probes.attention import Bands
from labkit.session import Look, look
from labkit.widgets import figures
from labkit.widgets.attention import opening
from labkit.widgets.figures import MEAN

TRANSFORMERS = ("vit", "deit", "swin", "pvt")
"""The names in `labkit models` that have attention to show; any other name may be typed."""


@dataclass(frozen=True)
class Place(links.Place):
    """What the attention room shows. `layer` and `query` None: where the view would start by itself."""

    layer: int | None = links.whole(None)
    head: int = links.whole(MEAN)
    query: int | None = links.whole(None)
    reverse: bool = links.yes_or_no()
    low: float = links.number(0.06, 0, 1)
    high: float = links.number(0.12, 0, 1)

    @property
    def bands(self) -> tuple[float, float]:
        return self.low, self.high

    def mended(self) -> tuple[Place, tuple[str, ...]]:
        if self.low <= self.high:
            return self, ()
        usual = Place()
        said = f"The link's band runs from {self.low} down to {self.high}; the usual one is shown."
        return replace(self, low=usual.low, high=usual.high), (said,)


@dataclass(frozen=True)
class Seen(visits.Seen):
    """A look, and where the visitor stands in it."""

    place: Place
    look: Look


def visit(place: Place, own: Path | None = None) -> Seen:
    """Open the model, look at the photo (or at the visitor's own picture) and bring the place into range.

    Raises ValueError, one sentence fit for a screen: a bad picture, an unknown or unreadable model, missing weights.
    """
    photo = visits.photo_of(place, own)
    found = look(place.model, photo, weights=visits.weights_of(place), bands=Bands(place.bands))
    return Seen(settled(place, found), own, found)


def settled(place: Place, found: Look) -> Place:
    """The same place with layer, head and query in the range of this look; what does not fit, where views start."""
    start = opening(found, layer=place.layer)
    kept = start["layer"] == place.layer
    layer = found.maps[start["layer"]]
    head = place.head if -1 <= place.head < layer.weights.shape[2] else -1
    asking = set(layer.queries.unique().tolist())
    query = place.query if kept and place.query in asking else start["query"]
    return replace(place, layer=start["layer"], head=head, query=query)


def move(place: Place, picked: dict[str, Any]) -> Place:
    """The place after the visitor's choice in the view."""
    low, high = picked["bands"]
    chosen = {name: picked[name] for name in ("layer", "head", "query", "reverse")}
    return replace(place, **chosen, low=round(float(low), 4), high=round(float(high), 4))


def model_names() -> list[str]:
    """What the menu offers: what has attention to show."""
    return visits.model_names(*TRANSFORMERS)


def numbers(seen: Seen) -> dict[str, Any]:
    """One row a layer and head, with what they are about: model, picture, place, band, the five likeliest."""
    top = [{"category": category, "probability": chance} for category, chance in seen.look.top]
    units = {"nmi": "0..1", "distance": "patches", "entropy": "nats"}
    return {**asdict(seen.place), "image": seen.picture_name, "top": top, "units": units, "rows": rows(seen)}


def rows(seen: Seen) -> list[dict[str, object]]:
    """One row a layer and head: layer, head, nmi, distance (patches), entropy (nats), pattern."""
    return seen.look.with_bands(Bands(seen.place.bands)).rows()


def parcel(seen: Seen, kind: str) -> Path:
    """Write one download ("figure.png", "heads.png", "numbers.csv" or "numbers.json") to a file of its own."""
    place = settled(seen.place, seen.look)
    seen = replace(seen, place=place, look=seen.look.with_bands(Bands(place.bands)))
    return visits.parcel(seen, kind, {"figure.png": overview, "heads.png": heads}, rows=rows, numbers=numbers)


def verdict(seen: Seen) -> str:
    """What the model takes the picture for, and what was read."""
    maps = seen.look.maps
    shape = f"{len(maps)} layers, {sum(one.weights.shape[2] for one in maps)} heads, {_grids(seen.look)}"
    return visits.verdict(seen.look.top, f"{shape}; read in {seen.look.seconds:.2f} s.", place=seen.place)


def _grids(found: Look) -> str:
    """ "14 × 14 cells", or "56 × 56 to 7 × 7 cells" for a pyramid."""
    first, last = (f"{h} × {w}" for h, w in (found.maps[0].grid, found.maps[-1].grid))
    return f"{first} cells" if first == last else f"{first} to {last} cells"


def overview(seen: Seen) -> Figure:
    """The photo with the attention of the query, its layer and all heads' measures."""
    place = seen.place
    return figures.overview(seen.look, layer=place.layer, head=place.head, query=place.query)


def heads(seen: Seen) -> Figure:
    """What every head of the layer looks at from the query."""
    return figures.attention_grid(seen.look, layer=seen.place.layer, query=seen.place.query)
