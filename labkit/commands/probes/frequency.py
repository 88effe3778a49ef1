"""`labkit probe frequency`: how fine the features are, what filters let through, which frequencies a model needs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import click

from labkit.commands._output import BadInput
from labkit.commands._seeing import Answer, View, instrument, number
from labkit.commands._tables import short

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from torch import Tensor

    from labkit.probes.frequency import Spectrum
    from labkit.probes.passband import Passband, Passing

CUTOFFS = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.18, 0.26, 0.38, 0.5)
"""The cutoffs of a sweep, in cycles per pixel; a band reaches from each to the next."""


@instrument
@click.option(
    "--filter",
    "kind",
    type=click.Choice(["low", "high", "band"]),
    help="Instead: let these frequencies of the picture pass, and see what the model says.",
)
@click.option(
    "--cutoff",
    help="In cycles per pixel, 0 to 0.71 (0.5: every other pixel); for a band two, as 0.05:0.2.  [default: a sweep]",
)
@click.option("--target", help="With --filter: the class to follow.  [default: the model's own answer]")
def frequency(view: View, *, kind: str | None, cutoff: str | None, target: str | None) -> Answer:
    """How fine the features are: log-amplitude by frequency and depth. With --filter: what the model needs to see."""
    if kind is not None:
        return _passing(view, kind, cutoff, target)
    for option, value in (("--cutoff", cutoff), ("--target", target)):
        if value is not None:
            raise BadInput(f"{option} belongs to --filter: say --filter low, high or band too.")
    from labkit.probes.frequency import spectra

    found = spectra(view.model, view.images)
    rows = [
        {
            "layer": layer,
            "name": one.name,
            "grid": "{}x{}".format(*one.grid),
            "low": number(one.bands.low),
            "mid": number(one.bands.mid),
            "high": number(one.bands.high),
            "relative_high": number(one.slope),
            "delta": number(one.delta),
            "high_share": number(one.high),
        }
        for layer, one in enumerate(found)
    ]
    units = dict.fromkeys(("low", "mid", "high", "relative_high", "delta"), "nats") | {"high_share": "of variance"}
    words = "low, mid, high: ln amplitude below 1/6, to 1/3 and beyond, in cycles per cell; delta: Park & Kim's."
    return Answer(rows, partial(_figures, view, found), units, words)


def _figures(view: View, found: Sequence[Spectrum]) -> Mapping[str, Figure]:
    from labkit.probes.filters import attention_responses, conv_responses
    from labkit.taps import Unreadable
    from labkit.viz import frequency as draw

    grids = [one.grid for one in found]
    radial, diagonals = ([_array(getattr(one, what).mean(dim=0)) for one in found] for what in ("radial", "diagonal"))
    steps = [_array(one.steps) for one in found]
    figures = {
        "spectrum": draw.amplitude_heat(radial, grids=grids, title=view.title),
        "half_diagonal": draw.half_diagonals(diagonals, steps, grids=grids, title=view.title),
    }
    if kernels := conv_responses(view.model, view.images):
        gains, at = ([_array(getattr(one, what)) for one in kernels] for what in ("radial", "frequencies"))
        names = [one.name for one in kernels]
        title = f"convolution kernels of {view.name}"
        figures["kernels"] = draw.responses(gains, at, names=names, what="kernel", title=title)
        figures["first_kernels"] = draw.planes(_array(kernels[0].gain), title=f"{names[0]} of {view.name}")
    try:
        rows = attention_responses(view.model, view.images)
    except Unreadable:
        return figures
    gains, at = ([_array(getattr(one, what)) for one in rows] for what in ("radial", "frequencies"))
    names = [one.name for one in rows]
    figures["attention"] = draw.responses(gains, at, names=names, what="head", title=f"rows of attention, {view.title}")
    return figures


def _passing(view: View, kind: str, cutoff: str | None, target: str | None) -> Answer:
    from labkit.probes.passband import passing

    bands = _bands(kind, cutoff)
    found = passing(view.model, view.images, bands, targets=view.target(target))
    rows = [
        {
            "image": view.titles[picture],
            "filter": kind,
            "above": band.above,
            "below": band.below,
            "passes": float(found.kept[step, picture]),
            "category": view.category(int(found.label[picture])),
            "before": float(found.sure[picture]),
            "probability": float(found.probability[step, picture]),
            "drop": float(found.sure[picture] - found.probability[step, picture]),
            "says": view.category(int(found.said[step, picture])),
            "last_cosine": float(found.turned[step, -1, picture]),
            "last_change": float(found.changed[step, -1, picture]),
        }
        for picture in range(len(view.sources))
        for step, band in enumerate(bands)
    ]
    units = dict.fromkeys(("above", "below"), "cycles/pixel") | {"passes": "of variance"}
    columns = {"image": "image"} if len(view.sources) > 1 else {}
    columns |= {name: name for name in ("above", "below", "passes", "probability", "says")} | {"last_cosine": "cosine"}
    table = short(rows, columns, units=units | {"cosine": "last tokens"})
    whole = {row["image"]: f"{row['category']} {row['before']:.0%}" for row in rows}
    words = "The whole picture: " + ", ".join(whole.values()) + "; probability is that of this class."
    return Answer(rows, partial(_sweep_figures, view, kind, found), units, words=words, table=table)


def _bands(kind: str, cutoff: str | None) -> list[Passband]:
    from labkit.probes.passband import band_pass, high_pass, low_pass

    make = {"low": low_pass, "high": high_pass, "band": band_pass}[kind]
    if cutoff is None:
        if kind == "band":
            return [band_pass(*pair) for pair in pairwise(CUTOFFS)]
        return [make(value) for value in CUTOFFS]
    ends = re.split(r"[:,\s-]+", cutoff.strip())
    try:
        values = [float(end) for end in ends]
    except ValueError:
        values = []
    if len(values) != (2 if kind == "band" else 1):
        expected = "two numbers, as 0.05:0.2" if kind == "band" else "one number, as 0.1"
        raise BadInput(f"--cutoff {cutoff}: --filter {kind} needs {expected}, in cycles per pixel.")
    return [make(*values)]


def _sweep_figures(view: View, kind: str, found: Passing) -> Mapping[str, Figure]:
    import torch

    from labkit.probes.passband import filtered
    from labkit.viz.passband import sweep

    def shown(picture: int, band: Passband) -> np.ndarray:
        pixels = torch.tensor(_pixels(view, picture)).movedim(-1, 0)[None].float() / 255
        passed = filtered(pixels, band) + (0.5 if band.above is not None else 0)  # a lost mean is shown as mid grey
        return (passed[0].clamp(0, 1) * 255).round().byte().movedim(0, -1).numpy()

    marks = {"low": lambda band: f"≤ {band.below:g}", "high": lambda band: f"> {band.above:g}"}
    mark = marks.get(kind, lambda band: f"{band.above:g} to {band.below:g}")
    figures = {}
    for picture, title in enumerate(view.titles):
        figures["passband" if len(view.titles) == 1 else f"passband_{picture}"] = sweep(
            [shown(picture, band) for band in found.bands],
            [mark(band) for band in found.bands],
            _array(found.probability[:, picture]),
            _array(found.kept[:, picture]),
            _array(found.turned[:, :, picture].T),
            sure=float(found.sure[picture]),
            label=view.category(int(found.label[picture])),
            names=found.names,
            title=f"{kind}-pass: {title} through {view.name}",
        )
    return figures


def _pixels(view: View, picture: int) -> np.ndarray:
    import numpy as np

    return np.asarray(view.seen[picture])


def _array(values: Tensor) -> np.ndarray:
    return values.float().cpu().numpy()
