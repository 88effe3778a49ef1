"""What the compare room does, as plain functions: several models, each asked the same questions, cell after cell."""

from __future__ import annotations

import math
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path

from apps import links, visits
from apps.compare.instruments import ALWAYS, INSTRUMENTS, Instrument
from apps.compare.readings import Found
from apps.visits import Step
from labkit.session import Sitting
from labkit.taps import blocks

METHODS = (
    "gradcam",
    "layercam",
    "eigencam",
    "relevance",
    "gradient",
    "smoothgrad",
    "integrated-gradients",
    "occlusion",
    "rise",
)
"""How "what decided" may be asked here; the explain room has them all."""

MOST = 6
USUAL = ("lab/vit", "lab/resnet", "efficientnet_lite0")
RANDOM = "@random"
"""Behind a model's name: untrained, whatever the others are."""

NOTHING = "none"


def _names(text: str) -> str:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or len(names) >= MOST or any(len(name) > 200 for name in names):
        raise ValueError
    return ",".join(dict.fromkeys(names))


def _rows(text: str) -> str:
    asked = {name.strip() for name in text.split(",")}
    if asked == {NOTHING}:
        return NOTHING
    if not asked <= set(INSTRUMENTS):
        raise ValueError
    return ",".join(name for name in INSTRUMENTS if name in asked)


@dataclass(frozen=True)
class Place(links.Place):
    """Which models stand side by side, and what they are asked.

    beside        up to five more, with commas between; None: the usual ones. `name@random` is untrained
    instruments   names of INSTRUMENTS with commas between, or "none"
    depth         of the block whose field and mixing are shown, in percent: 0 = the first, 100 = the last
    """

    beside: str | None = links.readable(None, _names, f"one to {MOST - 1} models' names with commas between")
    instruments: str = links.readable(
        ",".join(INSTRUMENTS), _rows, f"some of {', '.join(INSTRUMENTS)} with commas between, or {NOTHING}"
    )
    method: str = links.one_of(*METHODS)
    depth: int = links.whole(50, 0, 100)
    seed: int = links.whole(0, 0, 9999)

    @property
    def others(self) -> tuple[str, ...]:
        """The models beside the first, each once."""
        named = USUAL if self.beside is None else tuple(self.beside.split(","))
        return tuple(name for name in named if name != self.model)

    @property
    def rows(self) -> dict[str, Instrument]:
        """The instruments asked for, then what is always asked."""
        asked = {} if self.instruments == NOTHING else {name: INSTRUMENTS[name] for name in self.instruments.split(",")}
        return {**asked, **ALWAYS}


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


def choose(place: Place, models: Sequence[str]) -> Place:
    """The place with other models beside the first; none at all brings the usual ones back."""
    names = [str(name).replace(",", " ").strip()[:200] for name in models]
    beside = ",".join(dict.fromkeys(name for name in names if name)) or None
    return replace(place, beside=None if beside == ",".join(replace(place, beside=None).others) else beside)


def change(place: Place, rows: Sequence[str], method: str, depth: float | None, seed: float | None) -> Place:
    """The place after a turn of the room's knobs."""
    return replace(
        place,
        instruments=_rows(",".join(rows)) if rows else NOTHING,
        method=method if method in METHODS else METHODS[0],
        depth=_within(depth, 0, 100, Place.depth),
        seed=_within(seed, 0, 9999, Place.seed),
    )


def _within(value: float | None, low: int, high: int, usual: int) -> int:
    """The value in its range; the usual one where there is none, as in a field that was emptied."""
    return usual if value is None or not math.isfinite(value) else int(min(max(value, low), high))


def _sit(place: Place, own: Path | None, name: str) -> Sitting | Refusal:
    try:
        return visits.sitting_of(_of_model(place, name), own)
    except ValueError as error:
        return Refusal(str(error))


def _of_model(place: Place, name: str) -> Place:
    """The same place before one model alone, which may be untrained by its name."""
    bare = name.removesuffix(RANDOM)
    return replace(place, model=bare, weights="none" if bare != name else place.weights)


def _column(place: Place, name: str, sitting: Sitting | Refusal | None) -> Column:
    """What stands over the column; without a sitting, of a model that is still to be opened."""
    alone = _of_model(place, name)
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
