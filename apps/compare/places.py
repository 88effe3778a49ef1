"""Where a visitor of the compare room stands: which models, asked what; and where a turn of a knob leads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from apps import links
from apps.compare.instruments import ALWAYS, INSTRUMENTS, Instrument

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


def before(place: Place, name: str) -> Place:
    """The same place before one model alone, which may be untrained by its name."""
    bare = name.removesuffix(RANDOM)
    return replace(place, model=bare, weights="none" if bare != name else place.weights)


def _within(value: float | None, low: int, high: int, usual: int) -> int:
    """The value in its range; the usual one where there is none, as in a field that was emptied."""
    return usual if value is None or not math.isfinite(value) else int(min(max(value, low), high))
