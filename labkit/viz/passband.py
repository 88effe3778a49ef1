"""Figures of filtered pictures: what passes, what the model says of it, and how its tokens turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labkit.viz.depth import SIGNED, evenly
from labkit.viz.theme import HAIR, QUIET, style

Numbers = NDArray[np.floating]
Photo = NDArray[np.uint8]

PROBABILITY, KEPT = "#c2500a", "#62626c"


def sweep(
    pictures: Sequence[Photo],
    cutoffs: Sequence[str],
    probability: Numbers,
    kept: Numbers,
    turned: Numbers,
    *,
    sure: float,
    label: str,
    names: Sequence[str],
    title: str = "",
) -> Figure:
    """The filtered pictures, the probability of the class for each, and how each layer's tokens turn.

    cutoffs       what stands below each picture: one a step
    probability   `steps`, of the class `label`, 0..1; `sure`: that for the whole picture
    kept          `steps`, share of the picture's variance that passes, 0..1
    turned        `layers steps`, cosine of the tokens with those of the whole picture, -1..1
    """
    with style():
        steps = len(cutoffs)
        figure = Figure(figsize=(max(9.5, 1.25 * min(steps, 10) + 1), 6.6), layout="constrained")
        top, bottom = figure.subfigures(2, 1, height_ratios=[1, 2.6])
        shown = evenly(steps, 10)
        for axes, i in zip(top.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
            axes.imshow(pictures[i])
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.set_xlabel(cutoffs[i], fontsize=9.5, color=QUIET)
        left, right = bottom.subplots(1, 2)
        at = np.arange(steps)
        left.axhline(sure, color=PROBABILITY, lw=1, ls=(0, (4, 3)), label="whole picture")
        left.plot(at, probability, color=PROBABILITY, lw=2, marker="o", ms=5, label=f"probability of {label}")
        left.plot(at, kept, color=KEPT, lw=1.4, marker="s", ms=4, label="variance that passes")
        left.set(
            ylim=(-0.02, 1.02), xlim=(-0.4, steps - 0.6), ylabel="share, 0 to 1", xlabel="cutoff (cycles per pixel)"
        )
        left.set_xticks(at, labels=cutoffs, rotation=90 if steps > 6 else 0)
        left.grid(axis="y", color=HAIR, lw=0.6)
        left.legend(loc="best", fontsize=9)
        right.imshow(turned, cmap=SIGNED, vmin=-1, vmax=1, aspect="auto", interpolation="nearest", origin="lower")
        right.set(xlabel="cutoff (cycles per pixel)", ylabel="layer")
        right.set_xticks(at, labels=cutoffs, rotation=90 if steps > 6 else 0)
        right.yaxis.get_major_locator().set_params(integer=True)
        if len(names) <= 8:
            right.set_yticks(range(len(names)), labels=names)
        right.spines[:].set_visible(False)
        right.tick_params(length=0)
        bar = bottom.colorbar(ScalarMappable(Normalize(-1, 1), cmap=SIGNED), ax=right, pad=0.02)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
        bar.set_label("cosine with the whole picture's tokens")
        top.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        return figure
