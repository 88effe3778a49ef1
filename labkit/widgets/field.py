"""How far one unit sees in two models, `field.js`, in JupyterLab (`FieldView`) and, by `field_data`, in Gradio."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.session import Sitting
from labkit.session.fields import PARTS, Horizon, UnitField, fields, horizons, is_small
from labkit.viz.theme import colour_table
from labkit.widgets.packing import data_url
from labkit.widgets.view import View

DECADES = 8
"""Heat travels as the logarithm of its share of the largest, over so many powers of ten; see `levels`."""


@dataclass(frozen=True)
class Side:
    """One of the two models: before which photo, under what name, how far its layers can see, and the fields that are
    here (layer -> field; those that are missing are on their way)."""

    sitting: Sitting
    title: str
    horizons: Sequence[Horizon]
    fields: Mapping[str, UnitField]


class FieldView(View, view="field"):
    """Click a unit: its theoretical square as a line, its effective field as heat, in two models.

    `state` holds `place` (shares of the photo, down and across), `layers` (one index a model), `scale` ("log" or
    "linear") and `part` (an index in labkit.session.fields.PARTS). A click asks for its place: after `look` the view
    answers by itself.
    """

    def look(self, sittings: Mapping[str, Sitting], **state: Any) -> None:
        """Show two models (title -> the model before its photo), and answer clicks from now on; `state` as above."""
        key = secrets.token_hex(8)
        self.on_ask(lambda what: self._see(sittings, key, what["place"]))
        place = list(state.pop("place", None) or self.state.get("place") or (0.5, 0.5))
        self._see(sittings, key, place, place=place, **state)

    def _see(self, sittings: Mapping[str, Sitting], key: str, where: Sequence[float], **state: Any) -> None:
        sides = [side_at(title, sitting, where) for title, sitting in sittings.items()]
        self.show(*field_data(sides, place=where, key=key), **state)


def side_at(title: str, sitting: Sitting, place: Sequence[float], *, over: str = "photo") -> Side:
    """One model with all its fields of one place."""
    beyond = is_small(sitting)
    *_, found = horizons(sitting, beyond=beyond)
    seen = fields(sitting, (place[0], place[1]), over=over, beyond=beyond)
    return Side(sitting, title, found, {one.horizon.site.name: one for one in seen})


def field_data(
    sides: Sequence[Side], *, place: Sequence[float], key: str = ""
) -> tuple[dict[str, Any], list[bytes | None]]:
    """What the view is shown: the head, and a body a model and layer, None for heat that is on its way.

    key   says what is looked at; while it stays the same, what is shown answers a click and moves nobody
    """
    head = {
        "key": key,
        "place": list(place),
        "parts": list(PARTS),
        "colours": base64.b64encode(colour_table().tobytes()).decode(),
        "models": [
            {
                "title": side.title,
                "picture": data_url(side.sitting.picture),
                "size": list(side.sitting.images.shape[-2:]),
                "layers": [_layer(one, side, place) for one in side.horizons],
            }
            for side in sides
        ],
    }
    bodies = [
        levels(side.fields[one.site.name].heat.numpy()) if one.site.name in side.fields else None
        for side in sides
        for one in side.horizons
    ]
    return head, bodies


def levels(heat: NDArray[np.floating]) -> bytes:
    """Heat as uint16, row by row: 65535 is the largest, 1 is 10⁻⁸ of it or less, and 0 is none at all."""
    most = heat.max()
    with np.errstate(divide="ignore"):
        decades = np.log10(heat / most) if most > 0 else np.full(heat.shape, -np.inf)
    level = 1 + 65534 * np.clip(1 + decades / DECADES, 0, 1)
    return np.where(heat > 0, np.rint(level), 0).astype("<u2").tobytes()


def _layer(horizon: Horizon, side: Side, place: Sequence[float]) -> dict[str, Any]:
    size = list(side.sitting.images.shape[-2:])
    unit = horizon.unit_at(tuple(place))
    told = {
        "name": horizon.site.name,
        "grid": list(horizon.site.after.grid),
        "unit": list(unit),
        "kind": horizon.kind,
        "theory": horizon.field.size and list(horizon.field.size),
        "jump": list(horizon.field.jump),
        "start": horizon.field.start and list(horizon.field.start),
        "box": list(horizon.box(unit) or (0, 0, *size)),
        "sides": None,
    }
    found = side.fields.get(horizon.site.name)
    if found is None:
        return told
    warm = bool(found.heat.sum() > 0)
    return told | {
        "box": list(found.box),
        "centre": list(found.centre),
        "sides": [int(side) if warm else None for side in found.measures.side],
        "own": round(found.own, 5) if warm else None,
        "width": [round(float(width), 3) if warm else None for width in found.measures.width],
    }
