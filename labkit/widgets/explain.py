"""Which pixels decided, by two methods with a divider between: `explain.js` in JupyterLab and, by data, in Gradio."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from labkit.session import Sitting
from labkit.session.explanations import METHODS, Explained, Film, Pair, pairs
from labkit.viz.depth import SIGNED
from labkit.viz.theme import colour_table
from labkit.widgets.packing import data_url
from labkit.widgets.view import View, numbers, text_of

TITLES = {
    "cam": "CAM",
    "gradcam": "GradCAM",
    "gradcam++": "GradCAM++",
    "xgradcam": "XGradCAM",
    "layercam": "LayerCAM",
    "hirescam": "HiResCAM",
    "eigencam": "EigenCAM",
    "scorecam": "ScoreCAM",
    "ablationcam": "AblationCAM",
    "relevance": "Relevance",
    "legrad": "LeGrad",
    "rise": "RISE",
    "gradient": "Gradient",
    "smoothgrad": "SmoothGrad",
    "integrated-gradients": "Integrated gradients",
    "kernelshap": "KernelSHAP",
    "occlusion": "Occlusion",
}
"""What the menus say: all of labkit.probes.explain.METHODS."""

KINDS = {
    "read in a layer": METHODS[:9],
    "read in the attention": ("relevance", "legrad"),
    "by gradients at the pixels": ("gradient", "smoothgrad", "integrated-gradients"),
    "by covering": ("rise", "occlusion", "kernelshap"),
}

UNITS = {
    **dict.fromkeys(METHODS[:9], "score of the class"),
    **dict.fromkeys(("eigencam", "scorecam", "ablationcam"), "activation"),
    **dict.fromkeys(("relevance", "legrad"), "relevance"),
    "rise": "probability, where a pixel is kept",
    "gradient": "score per unit of input",
    "smoothgrad": "score per unit of input",
    "integrated-gradients": "score of the class",
    "kernelshap": "score of the class, a pixel",
    "occlusion": "fall of the score",
}
"""The unit of each method's map, as on its colour bar; docs/instruments.md says more."""

MASKS = (500, 1000, 2000, 4000, 8000)
"""How many masks of RISE the menu offers."""


class ExplainView(View, view="explain"):
    """Two maps of one photo with a divider between them, and the film in which the most important pixels go.

    `state` holds `divider` and `blend` (0..1), `step` (of the film) and `way` ("deletion" or "insertion"), and, as they
    are shown, `left` and `right` (names in labkit.probes.explain.METHODS), `target` (a class), `masks` and `seed`.
    After `look` the view answers its menus by itself.
    """

    def look(self, sitting: Sitting, **state: Any) -> None:
        """Show a model before its photo, and answer the menus from now on; `state` as above."""
        self._round = getattr(self, "_round", 0) + 1
        key = str(self._round)
        self.on_ask(lambda what: self._see(sitting, key, what))
        wish = {"left": "gradcam", "right": "rise", "target": None, "masks": 1000, "seed": 0}
        self._see(
            sitting, key, {**wish, **{name: self.state[name] for name in wish if name in self.state}, **state}, **state
        )

    def _see(self, sitting: Sitting, key: str, what: dict[str, Any], **state: Any) -> None:
        options = {name: what.get(name) for name in ("target", "masks", "seed")}
        for step in pairs(sitting, (what["left"], what["right"]), **options):
            if isinstance(step, Pair):
                self.pair = step
                self.show(*explain_data(step, masks=what["masks"], seed=what["seed"], key=key), **state)


def explain_data(
    pair: Pair, *, masks: int = 1000, seed: int = 0, key: str = ""
) -> tuple[dict[str, Any], list[bytes | None]]:
    """What the view is shown: the head, and three bodies a side: its map, its standard error, the turns of its film.

    key   says what is looked at; while it stays the same, what is shown answers a menu and moves no hand
    """
    head = {
        "key": key,
        "model": pair.sitting.name,
        "picture": data_url(pair.sitting.picture),
        "size": list(pair.sitting.images.shape[-2:]),
        "stock": [data_url(pair.sitting.seen, lossless=True), data_url(pair.blurred, lossless=True), list(pair.blank)],
        "colours": {
            "even": text_of(colour_table().tobytes()),
            "signed": text_of(colour_table(SIGNED).tobytes()),
        },
        "classes": [{"index": one.index, "name": one.name, "chance": round(one.chance, 5)} for one in pair.classes],
        "kinds": [[kind, [[name, TITLES[name]] for name in names]] for kind, names in KINDS.items()],
        "choices": list(MASKS),
        "target": pair.target,
        "masks": masks,
        "seed": seed,
        "sides": [_side(one) for one in pair.sides],
    }
    bodies: list[bytes | None] = []
    for one in pair.sides:
        bodies += [numbers(one.raw), None if one.error is None else numbers(one.error)]
        bodies.append(one.film and turns(one.film))
    return head, bodies


def turns(film: Film) -> bytes:
    """The step in which each pixel is changed, row by row: uint16."""
    return film.turn.numpy().astype("<u2").tobytes()


def _side(one: Explained) -> dict[str, Any]:
    low, high = one.scale
    return {
        "method": one.method,
        "title": TITLES[one.method],
        "unit": UNITS[one.method],
        "grid": list(one.raw.shape),
        "layer": one.saliency.layer,
        "note": one.saliency.note,
        "signed": one.signed,
        "low": low,
        "peak": high,
        "masks": one.masks and list(one.masks),
        "trail": [[n, round(noise, 5)] for n, noise in one.trail],
        "film": one.film and _film(one.film),
    }


def _film(film: Film) -> dict[str, Any]:
    curves = film.curves
    return {
        "share": _list(curves.share),
        "deletion": _list(curves.deletion[0]),
        "insertion": _list(curves.insertion[0]),
        "areas": {"deletion": float(curves.deletion_area[0]), "insertion": float(curves.insertion_area[0])},
    }


def _list(values: Any) -> list[float | None]:
    return [round(value, 6) if math.isfinite(value) else None for value in np.asarray(values).tolist()]
