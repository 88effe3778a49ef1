"""Who mixes whom in two models, `mixing.js`, in JupyterLab (`MixingView`) and, by `mixing_data`, in Gradio."""

from __future__ import annotations

import base64
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from labkit.session import Sitting
from labkit.session.mixtures import (
    PARTS,
    SIDE,
    Apart,
    Mixed,
    Site,
    attention_layers,
    mixing_sites,
    mixtures,
    probes_of,
    taken_apart,
)
from labkit.viz.theme import PATTERNS, colour_table
from labkit.widgets.packing import data_url
from labkit.widgets.view import View


@dataclass(frozen=True)
class Side:
    """One of the two models: before which photo, under what name, its blocks, which of them have an attention layer to
    take apart (block -> layer), and what is known by now (block -> its mixing, and its attention taken apart)."""

    sitting: Sitting
    title: str
    sites: Sequence[Site]
    attention: Mapping[str, str]
    mixed: Mapping[str, Mixed]
    apart: Mapping[str, Apart]


class MixingView(View, view="mixing"):
    """Point at a place: what it is made of, or where it goes, in any block of two models.

    `state` holds `place` (shares of the photo, down and across), `layers` (one index a model), `reverse`, `shown`
    ("block" or one of labkit.session.mixtures.PARTS), `scale` ("log" or "linear") and `pinned`.
    """

    def look(self, sittings: Mapping[str, Sitting], *, skip: bool = False, **state: Any) -> None:
        """Show two models (title -> the model before its photo), all their blocks; `skip` as in `mixtures`.

        From now on the view's own box for the skip connection is answered, too.
        """
        key = secrets.token_hex(8)
        self.on_ask(lambda what: self._see(sittings, key, bool(what["skip"])))
        self._see(sittings, key, skip, **state)

    def _see(self, sittings: Mapping[str, Sitting], key: str, skip: bool, **state: Any) -> None:
        sides = [side_of(title, sitting, skip=skip) for title, sitting in sittings.items()]
        self.show(*mixing_data(sides, skip=skip, key=key), **state)


def side_of(title: str, sitting: Sitting, *, skip: bool = False) -> Side:
    """One model with the mixing of all its blocks, and its attention taken apart."""
    *_, mixed = mixtures(sitting, skip=skip)
    *_, apart = ({}, *taken_apart(sitting))
    return Side(sitting, title, mixing_sites(sitting), attention_layers(sitting), mixed, apart)


def mixing_data(sides: Sequence[Side], *, skip: bool, key: str = "") -> tuple[dict[str, Any], list[bytes | None]]:
    """What the view is shown: the head, and five bodies a block: its mixing, then PARTS; None for what is not there.

    key   says what is looked at; while it stays the same, more of the same has come, and nobody is moved
    """
    head = {
        "key": key,
        "skip": skip,
        "most": SIDE,
        "colours": base64.b64encode(colour_table().tobytes()).decode(),
        "patterns": {name: {"light": p.light, "dark": p.dark} for name, p in PATTERNS.items()},
        "models": [
            {
                "title": side.title,
                "picture": data_url(side.sitting.picture),
                "probes": probes_of(side.sitting),
                "layers": [_layer(site, side) for site in side.sites],
            }
            for side in sides
        ],
    }
    bodies: list[bytes | None] = []
    for side in sides:
        for site in side.sites:
            mixed, apart = side.mixed.get(site.name), side.apart.get(site.name)
            bodies.append(levels(mixed.map.norms[0]) if mixed else None)
            bodies += [levels(apart.rows[part]) if apart else None for part in PARTS]
    return head, bodies


def levels(norms: Float[Tensor, "q k"]) -> bytes:
    """Numbers >= 0 as uint16, row by row: (level / 65535)² of the largest; the square keeps small ones apart."""
    most = float(norms.max())
    shares = np.sqrt(norms.numpy() / most) if most > 0 else np.zeros(norms.shape)
    return np.rint(65535 * shares).astype("<u2").tobytes()


def _layer(site: Site, side: Side) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": site.name,
        "tokens": list(site.after.grid),
        "attention": side.attention.get(site.name),
    }
    mixed, apart = side.mixed.get(site.name), side.apart.get(site.name)
    if mixed:
        found = mixed.measures
        told |= {"grid": list(mixed.map.grid), "keyGrid": list(mixed.map.key_grid), "skip": mixed.skip}
        told |= {name: _number(getattr(found, name)) for name in ("nmi", "reach", "own")}
        told |= {"pattern": found.pattern()}
    if apart:
        own = {name: _number(share) for name, share in apart.own.items()}
        told["parts"] = {"layer": apart.layer, "grid": list(apart.grid), "own": own, "softmax": round(apart.softmax, 4)}
    return told


def _number(value: Any) -> float | None:
    value = float(value)
    return round(value, 5) if math.isfinite(value) else None
