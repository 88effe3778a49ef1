"""The wall as HTML, cell by cell: what the page's script puts into a table."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from apps import links
from apps.compare.instruments import Instrument
from apps.compare.readings import BANDS, Found
from apps.compare.visits import Column, Refusal, Seen
from apps.rooms import TITLES
from labkit.viz import cells
from labkit.viz.mixing import FLOOR
from labkit.viz.theme import PATTERNS, colour_table, percent

BARS = {
    "parameters": ("parameters", "parameters"),
    "multiply-adds": ("multiply-adds", "MACs a picture"),
    "time": ("time", "time a picture"),
    "weights": ("weights", "weights, in memory"),
    "kept for training": ("kept for training", "kept for training"),
    "at most on the GPU": ("at most on the GPU", "at most on the GPU"),
}

CLOSED = '<p class="cm-not">It could not be opened.</p>'


def wall(seen: Seen) -> dict[str, Any]:
    """All that is on the wall: `columns` and `rows` as HTML, the models `beside`, how many cells are still `open`."""
    rows = []
    for name, instrument in seen.place.rows.items():
        found = [seen.cells.get((name, i)) for i in range(len(seen.columns))]
        common = limits(name, found)
        rows.append(
            {
                "id": name,
                "head": _head(name, instrument, common),
                "cells": [
                    CLOSED if column.why else cell(name, instrument, one, common, _door(seen, instrument, column))
                    for one, column in zip(found, seen.columns, strict=True)
                ],
            }
        )
    caption = f"{len(seen.columns)} models before {seen.picture_name}: one instrument a row, one model a column."
    return {
        "caption": escape(caption),
        "beside": list(seen.place.others),
        "columns": [_column(column) for column in seen.columns],
        "rows": rows,
        "open": seen.open,
    }


def limits(name: str, found: Sequence[Found | Refusal | None]) -> tuple:
    """What the cells of a row must agree on before they are drawn: a colour scale, or the longest bars."""
    there = [one for one in found if isinstance(one, Found)]
    if name == "frequency" and there:
        values = np.concatenate([ring[1:] for one in there for ring in one.series["radial"]])
        low, high = np.quantile(values, [0.02, 0.98])
        return float(low), float(high)
    if name == "cost":
        return tuple(max((one.numbers[bar][0] for one in there if bar in one.numbers), default=0) for bar in BARS)
    return ()


def cell(name: str, instrument: Instrument, found: Found | Refusal | None, common: tuple, door: str) -> str:
    """One cell: its picture as a door to the room of this instrument, and the words below."""
    if found is None:
        return '<p class="cm-wait"></p>'
    if isinstance(found, Refusal):
        return f'<p class="cm-not">{escape(found.short)}</p>'
    drawn = picture(name, instrument, found, common)
    if door and drawn:
        drawn = f'<a href="{escape(door)}">{drawn}</a>'
    note = f'<p class="cm-note">{escape(found.note)}</p>' if found.note else ""
    return f"{drawn}<p>{escape(found.said)}</p>{note}"


@lru_cache(maxsize=600)
def picture(name: str, instrument: Instrument, found: Found, common: tuple) -> str:
    """What stands above the words of a cell."""
    words = f"{instrument.title}: {found.said}"
    if name == "cost":
        return _bars(found, common)
    if name == "answer":
        return _top(found)
    if name == "attention":
        return cells.strip(found.series["nmi"], bands=BANDS, words=words)
    if name == "similarity":
        return cells.curve(found.series["mean"], found.series["quantiles"], words=words)
    if name == "frequency":
        pixels = cells.spectrum(found.series["radial"], found.series["grids"], common)
        return f'<img class="cm-cells" src="{_png(pixels)}" alt="{escape(words)}">'
    return f'<img src="{_jpeg(found.pixels)}" alt="{escape(words)}">'


def _column(column: Column) -> str:
    told = "random weights" if column.weights == "none" else "trained"
    size = f"{column.pixels} px, {column.blocks} blocks, {told}" if column.pixels else "opening …"
    return f"{escape(column.name)}<small>{escape(Refusal(column.why).short) if column.why else size}</small>"


def _head(name: str, instrument: Instrument, common: tuple) -> str:
    reads = f"<span>{escape(instrument.reads)}</span>"
    asks = f"<b>{escape(instrument.title)}</b> <i>{escape(instrument.asks)}</i>"
    return f'<div class="cm-head">{asks}{reads}{_scale(name, common)}</div>'


def _scale(name: str, common: tuple) -> str:
    """The colours of a row, with the numbers at both ends."""
    if name in ("explain", "field"):
        return _ramp("0", "100 % of the map's largest")
    if name == "mixing":
        return _ramp(f"≤ {percent(FLOOR)}", "100 % of the framed token")
    if name == "cost":
        return "<span>Bars are on one scale along the row.</span>"
    if name == "frequency" and common:
        return _ramp(f"{common[0]:.1f}", f"{common[1]:.1f} nats")
    if name == "attention":
        marks = "".join(
            f'<span class="cm-key">{cells.strip([np.array([at])], bands=BANDS, words=pattern)}{escape(pattern)}: '
            f"{escape(PATTERNS[pattern].meaning)}</span>"
            for pattern, at in (("local", 1.0), ("hybrid", sum(BANDS) / 2), ("global", 0.0))
        )
        return f'<span class="cm-keys">{marks}</span>'
    return ""


def _ramp(low: str, high: str) -> str:
    stops = ", ".join("#{:02x}{:02x}{:02x}".format(*colour) for colour in colour_table()[::17].tolist())
    return (
        f'<span class="cm-ramp">{low}<i style="background:linear-gradient(90deg, {stops})" aria-hidden="true"></i>'
        f"{high}</span>"
    )


def _bars(found: Found, longest: tuple) -> str:
    rows = []
    for (name, (_, label)), most in zip(BARS.items(), longest, strict=True):
        if name not in found.numbers:
            continue
        value = found.numbers[name][0]
        text = short(value) + ("B" if found.numbers[name][1].startswith("bytes") else "")
        if name == "time":
            low, high = (found.numbers[f"time, {end} quartile"][0] for end in ("lower", "upper"))
            text = f"{value:.3g} ms ({low:.3g} to {high:.3g})"
        share = 100 * value / most if most else 0
        rows.append(f'<dt>{label}</dt><dd>{text}<i style="width:{share:.1f}%"></i></dd>')
    return f'<dl class="cm-bars">{"".join(rows)}</dl>'


def short(value: float) -> str:
    """Three digits and a letter: 22.1 M, 1.26 G."""
    for power, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * power:
            return f"{float(f'{value / power:.3g}'):g} {letter}"
    return f"{value:.3g} "


def _top(found: Found) -> str:
    rows = "".join(
        f'<dt>{escape(name)}</dt><dd>{percent(chance)}<i style="width:{100 * chance:.1f}%"></i></dd>'
        for name, chance in found.series["top"]
    )
    return rows and f'<dl class="cm-bars cm-top">{rows}</dl>'


def _door(seen: Seen, instrument: Instrument, column: Column) -> str:
    """The room of this instrument, with the same model and photo; none for a picture that no link can carry."""
    if instrument.room not in TITLES or seen.own or column.why:
        return ""
    alone = links.Place(column.name, column.weights, seen.place.image)
    return f"/{instrument.room}/{links.address(alone)}"


def _png(pixels: np.ndarray) -> str:
    return _file(pixels, "png")


def _jpeg(pixels: np.ndarray) -> str:
    return _file(pixels, "jpeg", quality=86)


def _file(pixels: np.ndarray, kind: str, **options: Any) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
