"""`labkit probe cam`: where in the picture a layer finds what speaks for a class."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from labkit.commands._seeing import Answer, View, instrument

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from labkit.probes.saliency import Saliency

LABELS = {
    "cam": "CAM",
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "xgradcam": "XGrad-CAM",
    "layercam": "LayerCAM",
    "hirescam": "HiResCAM",
    "eigencam": "Eigen-CAM",
    "scorecam": "Score-CAM",
    "ablationcam": "Ablation-CAM",
    "relevance": "relevance",
    "legrad": "LeGrad",
    "rise": "RISE",
    "gradient": "gradient",
    "smoothgrad": "SmoothGrad",
    "integrated-gradients": "integrated gradients",
    "kernelshap": "KernelSHAP",
    "occlusion": "occlusion",
}
ANYWHERE = ("gradcam", "layercam", "hirescam", "eigencam")
WHERE_IT_APPLIES = ("cam", "relevance", "legrad")
UNITS = {
    **dict.fromkeys(("cam", "gradcam", "gradcam++", "xgradcam", "layercam", "hirescam"), "score"),
    **dict.fromkeys(("eigencam", "scorecam", "ablationcam"), "activation"),
    "relevance": "relevance",
    "legrad": "score per attention",
    "rise": "probability",
    **dict.fromkeys(("gradient", "smoothgrad"), "score per input"),
    **dict.fromkeys(("integrated-gradients", "kernelshap", "occlusion"), "score"),
}


@instrument
@click.option(
    "--method",
    "methods",
    type=click.Choice([*LABELS]),
    multiple=True,
    help="May be given several times.  [default: gradcam, layercam, hirescam, eigencam, and of cam, relevance and "
    "legrad those that the model allows]",
)
@click.option("--target", metavar="CLASS", help="A class by number or name.  [default: the highest of each picture]")
@click.option("--layer", help="Dotted name.  [default: the last block whose patches a gradient reaches]")
def cam(view: View, *, methods: tuple[str, ...], target: str | None, layer: str | None) -> Answer:
    """Where a layer finds what speaks for a class: class activation maps and attention relevance, side by side.

    RISE, gradients and occlusion stand beside them on request. Row and column are those of the highest cell, counted
    from 0 on the map's grid; area is the share of the cells above half of it.
    """
    found = _look(view, methods, view.target(target), layer)
    rows = [
        {
            "picture": title,
            "method": name,
            "target": None if one.targets is None else int(one.targets[i]),
            "category": None if one.targets is None else view.category(int(one.targets[i])),
            "layer": one.layer,
            "grid": "{} x {}".format(*one.grid),
            **_numbers(one, i),
            "note": one.note,
        }
        for i, title in enumerate(view.titles)
        for name, one in found.items()
    ]
    units = {"row": "cell", "column": "cell", "area": "share", "highest": "raw", "lowest": "raw"}
    # What fits a terminal of 80 columns; the rest is in --json and --out.
    shown = ("picture", "category", "method", *units) if len(view.titles) > 1 else ("method", "layer", *units)
    notes = [_classes(view, found), *dict.fromkeys(one.note for one in found.values() if one.note)]
    return Answer(rows, partial(_figures, view, found), units, "\n".join(notes), shown)


def _look(view: View, methods: tuple[str, ...], target: int | None, layer: str | None) -> dict[str, Saliency]:
    """The maps in the order of LABELS; of the methods that nobody asked for by name, those that apply."""
    from labkit.probes.explain import explain
    from labkit.probes.inputs import Refused
    from labkit.taps import Unreadable

    def ask(names: list[str]) -> dict[str, Saliency]:
        return explain(
            view.model,
            view.images,
            methods=names,
            targets=target,
            layer=layer,
            telling=lambda name: view.say(f"Looking by {name} …"),
        )

    found = ask([name for name in LABELS if name in (methods or ANYWHERE)])
    for name in () if methods else WHERE_IT_APPLIES:
        with suppress(Refused, Unreadable):
            found |= ask([name])
    if not methods and not found["hirescam"].raw.any():  # it is zero before a norm of each cell, and says so
        del found["hirescam"]
    return {name: found[name] for name in LABELS if name in found}


def _numbers(one: Saliency, i: int) -> dict[str, Any]:
    raw = one.raw[i]
    peak = raw.max()
    row, column = divmod(int(raw.argmax()), raw.shape[1])
    found = {"row": row, "column": column, "area": float((raw >= peak / 2).float().mean())}
    if peak <= 0:  # nothing speaks for the class
        found = dict.fromkeys(found)
    return {**found, "highest": float(peak), "lowest": float(raw.min())}


def _figures(view: View, found: Mapping[str, Saliency]) -> dict[str, Figure]:
    import numpy as np

    from labkit.viz.saliency import side_by_side, signed_side_by_side

    photos = [np.asarray(picture) for picture in view.sharp]
    names = ["the photo" if len(photos) == 1 else title for title in view.titles]
    size = (photos[0].shape[0], photos[0].shape[1])
    heats = {LABELS[name]: list(_shown(one).display(size).cpu().numpy()) for name, one in found.items()}
    values = {LABELS[name]: list(one.raw.float().cpu().numpy()) for name, one in found.items()}
    title = f"{view.title}\n{_classes(view, found)}"
    units = {LABELS[name]: UNITS[name] for name in found}
    return {
        "maps": side_by_side(photos, heats, names=names, notes=_layers(found), title=title),
        "signed": signed_side_by_side(photos, values, units=units, names=names, title=title),
    }


def _shown(one: Saliency) -> Saliency:
    """RISE gives every pixel some probability: what is shown of it is what lies above its lowest."""
    return replace(one, raw=one.raw - one.raw.amin(dim=(1, 2), keepdim=True)) if one.method == "rise" else one


def _classes(view: View, found: Mapping[str, Saliency]) -> str:
    """What the maps are about, in a sentence: one class, or one a picture."""
    asked = next((one.targets for one in found.values() if one.targets is not None), None)
    if asked is None:
        return "No class is asked: what the layer answers to most."
    return "What speaks for " + ", ".join(dict.fromkeys(view.category(label) for label in asked.tolist()))


def _layers(found: Mapping[str, Saliency]) -> dict[str, str]:
    """Where each map was read: at a layer, in all of them, or at the pixels."""
    return {
        LABELS[name]: one.layer
        or {"relevance": "all layers", "legrad": "all layers", "rise": "above its lowest"}.get(name, "pixels")
        for name, one in found.items()
    }
