"""Where a visitor stands, as an address: nothing of it lies on the server, so it opens on another machine too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from urllib.parse import urlencode

from labkit.widgets.figures import MEAN


@dataclass(frozen=True)
class Place:
    """What the attention app shows. `layer` and `query` None: where the app would start by itself."""

    model: str = "lab/vit"
    weights: str = "default"
    image: str = "chelsea"
    layer: int | None = None
    head: int = MEAN
    query: int | None = None
    reverse: bool = False
    low: float = 0.06
    high: float = 0.12

    @property
    def bands(self) -> tuple[float, float]:
        return self.low, self.high


START = Place()


def address(place: Place) -> str:
    """ "?model=lab%2Fvit&image=coffee&layer=3": what differs from the start, and always model and image."""
    said = {}
    for field in fields(Place):
        value = getattr(place, field.name)
        if field.name in ("model", "image") or value != getattr(START, field.name):
            said[field.name] = {True: "1", False: "0"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    return "?" + urlencode({name: value for name, value in said.items() if value})


def place_from(query: Mapping[str, str]) -> tuple[Place, tuple[str, ...]]:
    """The place that an address names, and one sentence for each part of it that could not be used."""
    place, complaints = START, []
    for name, (read, expected) in _READERS.items():
        if name not in query:
            continue
        try:
            place = replace(place, **{name: read(query[name])})
        except ValueError:
            complaints.append(
                f"The link says {name}={query[name][:40]!r}: expected {expected}; the usual one is shown."
            )
    if place.low > place.high:
        complaints.append(f"The link's band runs from {place.low} down to {place.high}; the usual one is shown.")
        place = replace(place, low=START.low, high=START.high)
    return place, tuple(complaints)


def _whole(text: str) -> int:
    value = int(text)
    if abs(value) > 10**7:
        raise ValueError
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value


def _name(text: str) -> str:
    if not text.strip() or len(text) > 200:
        raise ValueError
    return text.strip()


def _one_of(*words: str):
    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return read


_READERS = {
    "model": (_name, "a model's name"),
    "weights": (_one_of("default", "none"), "default or none"),
    "image": (_name, "a photo's name"),
    "layer": (_whole, "a whole number"),
    "head": (_whole, "a whole number"),
    "query": (_whole, "a whole number"),
    "reverse": (lambda text: _one_of("0", "1")(text) == "1", "0 or 1"),
    "low": (_share, "a number from 0 to 1"),
    "high": (_share, "a number from 0 to 1"),
}
