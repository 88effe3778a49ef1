"""What the rooms share, as plain functions: a photo by its name, the models on the menu, words and files for a page."""

from __future__ import annotations

import difflib
import html
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL.Image import Image

from apps.links import Place
from apps.posters import square
from labkit import pretrained
from labkit.data.images import BadImage, open_image, photo_names
from labkit.session import Sitting, as_csv, sit
from labkit.widgets.packing import data_url


@dataclass(frozen=True)
class Seen:
    """What a visit found: where the visitor stands now, and the visitor's own picture if it was one.

    A room adds what it read: `class Heat(Seen): maps: …`.
    """

    place: Place
    own: Path | None

    @property
    def picture_name(self) -> str:
        return self.own.stem if self.own else self.place.image


@dataclass(frozen=True)
class Step:
    """How far a long visit has come: a share 0..1 of the work (None where nobody knows), and what is being done."""

    share: float | None
    words: str


def photo_of(place: Place, own: Path | None) -> str | Path:
    """The visitor's own picture, else the photo the place names; ValueError where no photo has that name."""
    if own is None and place.image not in photo_names():
        # Only names: a link must not open files of this machine.
        near = difflib.get_close_matches(place.image, photo_names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(photo_names())}."
        raise ValueError(f"there is no photo {place.image[:60]!r}; {hint}")
    return own or place.image


def weights_of(place: Place) -> str | None:
    """The weights a place asks for, as `labkit.pretrained.load` takes them."""
    return None if place.weights == "none" else place.weights


def sitting_of(place: Place, own: Path | None, *, model: str | None = None) -> Sitting:
    """The place's model (or `model`) before its photo.

    Raises ValueError, one sentence fit for a screen: a bad picture, an unknown or unreadable model, missing weights.
    """
    return sit(model or place.model, photo_of(place, own), weights=weights_of(place))


def model_names(*words: str) -> list[str]:
    """What a menu offers, the lab's own first; with `words`, only names that hold one of them."""
    names = [*(f"lab/{name}" for name in pretrained.lab_names()), *(f"timm/{name}" for name in pretrained.TIMM_SHOWN)]
    return [name for name in names if not words or any(word in name for word in words)]


# ---- files to take home


def parcel(
    seen: Seen,
    kind: str,
    pictures: Mapping[str, Callable[[Any], Figure | Image]],
    *,
    rows: Callable[[Any], Sequence[Mapping[str, object]]],
    numbers: Callable[[Any], dict[str, Any]],
) -> Path:
    """One download in a file of its own: two visitors never write the same one.

    kind      what it is and how it ends: one of `pictures`, "numbers.csv" (the rows) or "numbers.json"
    pictures  what each picture is drawn by
    """
    stem = f"labkit-{seen.place.model}-{seen.picture_name}-{kind}".replace("/", "-").replace(" ", "-")
    path = Path(tempfile.mkdtemp(dir=_parcels().name)) / stem
    if kind in pictures:
        picture = pictures[kind](seen)
        (picture.savefig if isinstance(picture, Figure) else picture.save)(path)
    elif kind == "numbers.csv":
        path.write_text(as_csv(rows(seen)), encoding="utf-8")
    else:
        path.write_text(json.dumps(numbers(seen), indent=1), encoding="utf-8")
    return path


@cache
def _parcels() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="labkit-parcels-")


# ---- words on the page


def alert(sentence: str) -> str:
    """A message that is seen, and that a screen reader says at once; empty for none."""
    sentence = sentence[:1].upper() + sentence[1:]
    return f'<div class="lab-alert" role="alert">{html.escape(sentence)}</div>' if sentence else ""


def progress_bar(step: Step) -> str:
    """How far a visit has come, as a bar with words."""
    known = "" if step.share is None else f' value="{step.share:.3f}"'
    words = html.escape(step.words)
    return f'<div class="lab-step" role="status"><progress max="1"{known} aria-label="{words}"></progress>{words}</div>'


def verdict(top: Sequence[tuple[str, float]], note: str, *, place: Place) -> str:
    """What the model takes the picture for, with a bar each, and a note beneath."""
    bars = "".join(
        f'<li><span>{html.escape(name)}</span><b>{chance:.0%}</b><i style="width:{100 * chance:.1f}%"></i></li>'
        for name, chance in top
    )
    named = f'<ol class="lab-top">{bars}</ol>' if bars else '<p class="lab-note">This model names no categories.</p>'
    random = "Random weights: untrained, so these names are noise. " if place.weights == "none" else ""
    return f'{named}<p class="lab-note">{random}{html.escape(note)}</p>'


def link_note(seen: Seen) -> str:
    """What the link cannot do, if anything."""
    if seen.own is None:
        return ""
    name = html.escape(seen.place.image)
    return f'<p class="lab-note">A link cannot carry your own picture: it opens with {name}.</p>'


@cache
def photo_wall() -> str:
    """One button a photo; a file that is no picture has none."""
    buttons = []
    for photo in photo_names():
        try:
            small = square(open_image(photo), side=112)
        except BadImage:
            continue
        name = html.escape(photo)
        buttons.append(
            f'<button type="button" data-photo="{name}" aria-pressed="false" title="{name}">'
            f'<img src="{data_url(small, lossless=False)}" alt="{name}"></button>'
        )
    return f'<div class="lab-photos" role="group" aria-label="photos">{"".join(buttons)}</div>'
