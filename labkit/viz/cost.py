"""Figures of cost: which blocks it goes into, and how it grows with the number of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from labkit.viz.theme import HAIR, INK, QUIET, style

BARS = "#3b6fb6"


def cost_by_layer(names: Sequence[str], columns: Mapping[str, Sequence[float]], *, title: str = "") -> Figure:
    """One row a block, from the input down; one column of bars a measure ("MACs (millions)": one number a block)."""
    with style():
        figure = Figure(figsize=(2.0 + 2.9 * len(columns), 1.5 + 0.27 * len(names)), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(columns), sharey=True))
        places = np.arange(len(names))
        for axes, (label, values) in zip(panels, columns.items(), strict=True):
            axes.barh(places, values, color=BARS, height=0.72)
            axes.set(xlabel=label, ylim=(len(names) - 0.4, -0.6))
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x", color=HAIR, lw=0.6)
            axes.set_axisbelow(True)
            axes.xaxis.get_major_locator().set_params(nbins=4)
        panels[0].set_yticks(places, labels=names, fontsize=9)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        return figure


def cost_growth(
    tokens: Sequence[float],
    curves: Mapping[str, tuple[Sequence[float], float]],
    *,
    sides: Sequence[int],
    title: str = "",
) -> Figure:
    """Each measure against the number of tokens, both logarithmic, with the power law that fits it.

    curves    "milliseconds": (one number a size, the exponent, NaN where none could be fitted); `sides` names the sizes
    """
    with style():
        figure = Figure(figsize=(1.4 + 4.1 * len(curves), 4.1), layout="constrained")
        x = np.asarray(tokens, dtype=float)
        for axes, (label, (values, e)) in zip(
            np.atleast_1d(figure.subplots(1, len(curves))), curves.items(), strict=True
        ):
            y = np.asarray(values, dtype=float)
            if np.isfinite(e):
                middle = np.exp(np.log(y).mean() - e * np.log(x).mean())
                axes.plot(x, middle * x**e, color=QUIET, lw=1, ls=(0, (4, 3)), label=f"tokens to the power of {e:.2f}")
                axes.legend(loc="upper left")
            axes.plot(x, y, color=BARS, lw=1.6, marker="o", ms=6)
            for one, height, side in zip(x, y, sides, strict=True):
                axes.annotate(f"{side} px", (one, height), (6, -9), textcoords="offset points", fontsize=9.5, color=INK)
            axes.set(xscale="log", yscale="log", xlabel="tokens (cells of the first block)", ylabel=label)
            axes.margins(0.12)
            axes.xaxis.set_minor_formatter("")
            axes.yaxis.set_minor_formatter("")
            axes.set_xticks(x, labels=[f"{value:.0f}" for value in x])
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.grid(color=HAIR, lw=0.6)
            axes.set_axisbelow(True)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        return figure
