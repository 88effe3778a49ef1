"""What the attention app does, as plain functions: a visit to a model with a photo, its numbers, files and words."""

from __future__ import annotations

import difflib
import html
import json
import tempfile
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from apps.places import Place
from labkit import pretrained
from labkit.data.images import photo_names
from labkit.probes.attention import Bands
from labkit.session import Look, as_csv, look
from labkit.widgets import figures
from labkit.widgets.attention import opening

TRANSFORMERS = ("vit", "deit", "swin", "pvt")
"""The names in `labkit models` that have attention to show; any other name may be typed."""


@dataclass(frozen=True)
class Seen:
    """A look, where the visitor stands in it, and the visitor's own picture if it was one."""

    look: Look
    place: Place
    own: Path | None = None

    @property
    def picture_name(self) -> str:
        return self.own.stem if self.own else self.place.image


def visit(place: Place, *, own: Path | None = None) -> Seen:
    """Open the model, look at the photo (or at the visitor's own picture) and bring the place into range.

    Raises ValueError, one sentence fit for a screen: a bad picture, an unknown or unreadable model, missing weights.
    """
    if own is None and place.image not in photo_names():
        # Only names: a link must not open files of this machine.
        near = difflib.get_close_matches(place.image, photo_names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(photo_names())}."
        raise ValueError(f"there is no photo {place.image[:60]!r}; {hint}")
    weights = None if place.weights == "none" else place.weights
    found = look(place.model, own or place.image, weights=weights, bands=Bands(place.bands))
    return Seen(found, settled(place, found), own)


def settled(place: Place, found: Look) -> Place:
    """The same place with layer, head and query in the range of this look; what does not fit, where views start."""
    start = opening(found, layer=place.layer)
    kept = start["layer"] == place.layer
    layer = found.maps[start["layer"]]
    head = place.head if -1 <= place.head < layer.weights.shape[2] else -1
    asking = set(layer.queries.unique().tolist())
    query = place.query if kept and place.query in asking else start["query"]
    return replace(place, layer=start["layer"], head=head, query=query)


def move(place: Place, picked: dict) -> Place:
    """The place after the visitor's choice in the view."""
    low, high = picked["bands"]
    chosen = {name: picked[name] for name in ("layer", "head", "query", "reverse")}
    return replace(place, **chosen, low=round(float(low), 4), high=round(float(high), 4))


def model_names() -> list[str]:
    """What the menu offers: the lab's own first."""
    names = [*(f"lab/{name}" for name in pretrained.lab_names()), *(f"timm/{name}" for name in pretrained.TIMM_SHOWN)]
    return [name for name in names if any(word in name for word in TRANSFORMERS)]


def numbers_csv(seen: Seen) -> str:
    """One row a layer and head: layer, head, nmi, distance (patches), entropy (nats), pattern."""
    return as_csv(_rows(seen))


def numbers_json(seen: Seen) -> str:
    """The same rows, with what they are about: model, picture, place, band, the five likeliest categories."""
    about = asdict(seen.place)
    about["image"] = seen.picture_name
    top = [{"category": category, "probability": chance} for category, chance in seen.look.top]
    units = {"nmi": "0..1", "distance": "patches", "entropy": "nats"}
    return json.dumps({**about, "top": top, "units": units, "rows": _rows(seen)}, indent=1)


def _rows(seen: Seen) -> list[dict[str, object]]:
    return seen.look.with_bands(Bands(seen.place.bands)).rows()


def parcel(seen: Seen, kind: str) -> Path:
    """Write one download (figure, heads, csv or json) to a file of its own."""
    place = settled(seen.place, seen.look)
    seen = replace(seen, place=place, look=seen.look.with_bands(Bands(place.bands)))
    stem = f"labkit-{place.model}-{seen.picture_name}-{kind}".replace("/", "-").replace(" ", "-")
    path = (
        Path(tempfile.mkdtemp(dir=_parcels().name)) / f"{stem}{'.png' if kind in ('figure', 'heads') else '.' + kind}"
    )
    if kind == "figure":
        figures.overview(seen.look, layer=place.layer, head=place.head, query=place.query).savefig(path)
    elif kind == "heads":
        figures.attention_grid(seen.look, layer=place.layer, query=place.query).savefig(path)
    else:
        path.write_text(numbers_csv(seen) if kind == "csv" else numbers_json(seen), encoding="utf-8")
    return path


@cache
def _parcels() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="labkit-parcels-")


# ---- words on the page


def alert(sentence: str) -> str:
    """A message that is seen, and that a screen reader says at once; empty for none."""
    sentence = sentence[:1].upper() + sentence[1:]
    return f'<div class="lab-alert" role="alert">{html.escape(sentence)}</div>' if sentence else ""


def verdict(seen: Seen) -> str:
    """What the model takes the picture for, and what was read."""
    maps = seen.look.maps
    bars = "".join(
        f'<li><span>{html.escape(name)}</span><b>{chance:.0%}</b><i style="width:{100 * chance:.1f}%"></i></li>'
        for name, chance in seen.look.top
    )
    named = f'<ol class="lab-top">{bars}</ol>' if bars else '<p class="lab-note">This model names no categories.</p>'
    note = "Random weights: untrained, so these names are noise. " if seen.place.weights == "none" else ""
    shape = f"{len(maps)} layers, {sum(one.weights.shape[2] for one in maps)} heads, {_grids(seen.look)}"
    return f'{named}<p class="lab-note">{note}{shape}; read in {seen.look.seconds:.2f} s.</p>'


def _grids(found: Look) -> str:
    """ "14 × 14 cells", or "56 × 56 to 7 × 7 cells" for a pyramid."""
    first, last = (f"{h} × {w}" for h, w in (found.maps[0].grid, found.maps[-1].grid))
    return f"{first} cells" if first == last else f"{first} to {last} cells"


def link_note(seen: Seen) -> str:
    """What the link cannot do, if anything."""
    if seen.own is None:
        return ""
    return (
        f'<p class="lab-note">A link cannot carry your own picture: it opens with {html.escape(seen.place.image)}.</p>'
    )
