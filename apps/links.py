"""Where a visitor stands, as an address: nothing of it lies on the server, so it opens on another machine too.

A room's place is a frozen dataclass on top of `Place`; each field says how it is read from a link:

    class Pinned(Place):
        layer: int | None = whole(None)        # None: where the room would start by itself
        reverse: bool = yes_or_no()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, TypeVar
from urllib.parse import urlencode

LARGEST = 10**7


def readable(default: Any, read: Callable[[str], Any], expected: str) -> Any:
    """A field that a link may set: `read` takes the text of the link, or raises ValueError; it expected `expected`."""
    return field(default=default, metadata={"read": read, "expected": expected})


def whole(default: int | None, low: int = -LARGEST, high: int = LARGEST) -> Any:
    """A whole number from `low` to `high`."""

    def read(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    limits = "" if (low, high) == (-LARGEST, LARGEST) else f" from {low} to {high}"
    return readable(default, read, f"a whole number{limits}")


def number(default: float | None, low: float, high: float) -> Any:
    """A number from `low` to `high`."""

    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return readable(default, read, f"a number from {low:g} to {high:g}")


def one_of(default: str, *others: str) -> Any:
    """One of some words."""
    words = (default, *others)

    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return readable(default, read, f"{', '.join(words[:-1])} or {words[-1]}")


def yes_or_no(default: bool = False) -> Any:
    """Yes or no, in a link 1 or 0."""

    def read(text: str) -> bool:
        if text not in ("0", "1"):
            raise ValueError
        return text == "1"

    return readable(default, read, "0 or 1")


def name(default: str, what: str) -> Any:
    """A name of up to 200 letters."""

    def read(text: str) -> str:
        if not text.strip() or len(text) > 200:
            raise ValueError
        return text.strip()

    return readable(default, read, f"{what}'s name")


@dataclass(frozen=True)
class Place:
    """What every room knows of a visitor: which model, with which weights, sees which photo."""

    model: str = name("lab/vit", "a model")
    weights: str = one_of("default", "none")
    image: str = name("chelsea", "a photo")

    def mended(self) -> tuple[Place, tuple[str, ...]]:
        """The place with what does not go together put right, and one sentence for each thing that was."""
        return self, ()


P = TypeVar("P", bound=Place)
CARRIED = ("model", "weights", "image")
"""What a visitor takes along from room to room."""


def address(place: Place) -> str:
    """ "?model=lab%2Fvit&image=coffee&layer=3": what differs from the start, and always model and image."""
    said = {}
    for one in fields(place):
        value = getattr(place, one.name)
        if value is not None and (one.name in ("model", "image") or value != one.default):
            said[one.name] = str(int(value)) if isinstance(value, bool) else str(value)
    return "?" + urlencode(said)


def place_from(kind: type[P], query: Mapping[str, str]) -> tuple[P, tuple[str, ...]]:
    """The place of a room that an address names, and one sentence for each part of it that could not be used."""
    place, complaints = kind(), []
    for one in fields(kind):
        if one.name not in query:
            continue
        try:
            place = replace(place, **{one.name: one.metadata["read"](query[one.name])})
        except ValueError:
            complaints.append(_complaint(one, query[one.name]))
    place, more = place.mended()
    return place, (*complaints, *more)


def _complaint(one: Field, text: str) -> str:
    return f"The link says {one.name}={text[:40]!r}: expected {one.metadata['expected']}; the usual one is shown."
