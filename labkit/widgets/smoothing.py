"""The live view of over-smoothing, `smoothing.js`: which patches are alike behind every block, in both hosts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from labkit.session.smoothings import Alike, Effect, Smoothed
from labkit.viz.depth import SIGNED
from labkit.viz.theme import colour_table
from labkit.widgets.packing import data_url
from labkit.widgets.view import View, text_of

FULL = 32767
"""A cosine of 1, as it travels."""


class SmoothingView(View, view="smoothing"):
    """Point at a patch and see its likes; move the layer, take blocks out.

    In `state`: `layer` and `query` (a cell of the shown grid, row by row), `centred`, `range` (the cosine at the end of
    the colours) and `skip` ("1-3": the blocks that are left out).
    """


def smoothing_data(seen: Smoothed) -> tuple[dict[str, Any], list[bytes]]:
    """What a view is shown: its head, and the cosines of each block."""
    sitting, found = seen.sitting, seen.found
    blocks = zip(found.shown.layers, found.optional, strict=True)
    head = {
        "model": sitting.name,
        "picture": data_url(sitting.picture),
        "colours": text_of(colour_table(SIGNED).tobytes()),
        "layers": [{**_measures(layer), "optional": optional} for layer, optional in blocks],
        "whole": [_measures(layer) for layer in found.whole.layers] if found.skipped else None,
        "skipped": list(found.skipped),
        "answers": [[[category, round(chance, 5)] for category, chance in top] for top in seen.answers],
        "effect": None if found.effect is None else _effect(sitting.opened.categories, found.effect),
    }
    return head, [pack_cosines(layer) for layer in found.shown.layers]


def pack_cosines(layer: Alike) -> bytes:
    """The cosines `raw` and then `centred` of the first picture: int16, little-endian, FULL = 1.

    Of each symmetric matrix row by row what lies up to the diagonal, the diagonal included.
    """
    parts = []
    for matrix in (layer.raw[0], layer.centred[0]):
        values = np.asarray(matrix.detach().cpu(), dtype=np.float64)
        lower = values[np.tril_indices(len(values))]
        parts.append(np.rint(FULL * lower).astype("<i2").tobytes())
    return b"".join(parts)


def _measures(layer: Alike) -> dict[str, Any]:
    one = layer.measures
    return {
        "name": one.name,
        "grid": list(one.grid),
        "shown": list(layer.grid),
        "raw": _likeness(one.raw),
        "centred": _likeness(one.centred),
        "rank": _number(one.effective_rank[0]),
        "most": layer.most,
        "high": _number(one.high_frequency[0]),
        "cls": _number(one.prefix[0, 0]) if one.prefix.shape[1] else None,
    }


def _likeness(likeness: Any) -> dict[str, Any]:
    quantiles = [_number(value) for value in likeness.quantiles[0]]
    return {"mean": _number(likeness.mean[0]), "spread": _number(likeness.spread[0]), "quantiles": quantiles}


def _effect(categories: tuple[str, ...], effect: Effect) -> dict[str, Any]:
    label = int(effect.label[0])
    named = categories[label] if label < len(categories) else f"class {label}"
    numbers = {name: _number(getattr(effect, name)[0]) for name in ("before", "after", "kl", "turned", "changed")}
    return {"label": named, **numbers}


def _number(value: Any) -> float | None:
    """A number that JSON can carry: None where it is not defined."""
    value = float(value)
    return round(value, 5) if math.isfinite(value) else None
