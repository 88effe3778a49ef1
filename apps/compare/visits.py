"""What the compare room does, as plain functions: several models, each asked the same questions, cell after cell."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path

from apps import visits
from apps.compare.places import MOST, Place, before
from apps.compare.readings import Found
from apps.visits import Step
from labkit.session import Sitting
from labkit.taps import blocks


@dataclass(frozen=True)
class Column:
    """One model on the wall; `why` says in a sentence why it could not be opened, and is empty where it could.

    pixels   a side of the picture that it takes; 0 until it is open
    """

    name: str
    weights: str
    why: str = ""
    pixels: int = 0
    blocks: int = 0


@dataclass(frozen=True)
class Refusal:
    """An instrument that does not fit a model, and why, in a sentence or two."""

    why: str

    @property
    def short(self) -> str:
        """The first sentence, without what stands in brackets."""
        text = re.sub(r" \([^()]*\)", "", self.why.split(". ")[0])
        text = text if text.endswith(("?", ".")) else f"{text}."
        return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Seen(visits.Seen):
    """The wall as far as it has come: what is not in `cells` has not been asked yet."""

    place: Place
    columns: tuple[Column, ...]
    cells: dict[tuple[str, int], Found | Refusal] = field(default_factory=dict)

    @property
    def open(self) -> int:
        """How many cells are still to come."""
        return len(self.place.rows) * len(self.columns) - sum(row in self.place.rows for row, _ in self.cells)


def visit(place: Place, own: Path | None = None) -> Iterator[Seen | Step]:
    """Open the models and ask them, row by row; gives a Seen after every cell, and a Step before it.

    Raises ValueError, one sentence fit for a screen, for a bad picture or when the first model cannot be opened; what
    goes wrong with one of the others stands in its column.
    """
    if 1 + len(place.others) > MOST:
        raise ValueError(f"{1 + len(place.others)} models are too many for one wall: choose {MOST} at most.")
    names = (place.model, *place.others)
    sittings: list[Sitting | Refusal] = [visits.sitting_of(place, own)]
    seen = Seen(place, own, tuple(_column(place, name, sitting) for name, sitting in zip_longest(names, sittings)))
    yield seen
    for name in place.others:
        yield Step(0, f"opening {name} …")
        sittings.append(_sit(place, own, name))
    columns = [_column(place, name, sitting) for name, sitting in zip(names, sittings, strict=True)]
    seen = replace(seen, columns=tuple(columns))
    seen = replace(seen, cells=_remembered(seen))
    yield seen
    todo = [(row, i) for row in place.rows for i in range(len(columns)) if (row, i) not in seen.cells]
    for done, (row, i) in enumerate(todo):
        instrument = place.rows[row]
        yield Step(done / len(todo), f"{columns[i].name}: {instrument.title.lower().rstrip('?')} …")
        seen = replace(seen, cells={**seen.cells, (row, i): _ask(seen, row, i, sittings[i])})
        yield seen


def _sit(place: Place, own: Path | None, name: str) -> Sitting | Refusal:
    try:
        return visits.sitting_of(before(place, name), own)
    except ValueError as error:
        return Refusal(str(error))


def _column(place: Place, name: str, sitting: Sitting | Refusal | None) -> Column:
    """What stands over the column; without a sitting, of a model that is still to be opened."""
    alone = before(place, name)
    if sitting is None:
        return Column(alone.model, alone.weights)
    if isinstance(sitting, Refusal):
        return Column(alone.model, alone.weights, why=sitting.why)
    size = tuple(sitting.images.shape[-2:])
    try:
        with sitting.turn() as model:
            many = len(blocks(model, size))
    except ValueError:
        many = 0  # its instruments will say why
    return Column(alone.model, alone.weights, pixels=size[0], blocks=many)


def _ask(seen: Seen, row: str, i: int, sitting: Sitting | Refusal) -> Found | Refusal:
    if isinstance(sitting, Refusal):
        return sitting
    try:
        with sitting.turn() as model:
            found = seen.place.rows[row].read(sitting, model, seen.place)
    except ValueError as error:
        found = Refusal(str(error))
    if _lasts(seen, row):
        _remember(_key(seen, row, i), found)
    return found


# ---- what has been found once is not computed again

REMEMBERED = 300
_known: OrderedDict[tuple, Found | Refusal] = OrderedDict()
_known_lock = threading.Lock()


def _lasts(seen: Seen, row: str) -> bool:
    """A visitor's own picture leaves no trace, and a time is measured anew."""
    return seen.own is None and row != "cost"


def _key(seen: Seen, row: str, i: int) -> tuple:
    column = seen.columns[i]
    knobs = tuple(getattr(seen.place, name) for name in seen.place.rows[row].knobs)
    return row, column.name, column.weights, seen.place.image, knobs


def _remember(key: tuple, found: Found | Refusal) -> None:
    with _known_lock:
        _known[key] = found
        _known.move_to_end(key)
        while len(_known) > REMEMBERED:
            _known.popitem(last=False)


def _remembered(seen: Seen) -> dict[tuple[str, int], Found | Refusal]:
    wanted = [(row, i) for row in seen.place.rows if _lasts(seen, row) for i in range(len(seen.columns))]
    with _known_lock:
        return {cell: _known[key] for cell in wanted if (key := _key(seen, *cell)) in _known}
