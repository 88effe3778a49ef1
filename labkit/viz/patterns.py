"""Figures of what the heads do: their patterns, and NMI, distance and entropy by depth; one array of heads a layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from labkit.viz.theme import HAIR, INK, PATTERNS, QUIET, style

Heads = NDArray[np.floating]
Grid = tuple[int, int]
Bands = tuple[float, float]

ANCHOR = 0.09
"""The NMI of the layer that UNIP takes as the typical hybrid one."""


def pattern_of(nmi: float, bands: Bands) -> str | None:
    """ "global" below the band, "local" above it, "hybrid" in it; None for NaN."""
    low, high = bands
    return None if np.isnan(nmi) else "global" if nmi < low else "local" if nmi > high else "hybrid"


def heads_of(nmi: Sequence[Heads], bands: Bands, name: str) -> list[tuple[int, int]]:
    """The (layer, head) of every head with this pattern."""
    return [
        (i, h) for i, one in enumerate(nmi) for h, value in enumerate(one) if pattern_of(float(value), bands) == name
    ]


def beside(layer: int, head: int, heads: int) -> float:
    """Where a head's dot stands along the depth: in its layer, the heads side by side over half the way to the next."""
    return layer + 0.5 * ((head + 0.5) / heads - 0.5)


def pattern_strip(nmi: Sequence[Heads], *, bands: Bands = (0.06, 0.12), title: str = "") -> Figure:
    """One mark a layer (across) and head (down), coloured and shaped by pattern."""
    with style():
        deep, heads = len(nmi), max(len(one) for one in nmi)
        figure = Figure(figsize=(max(4.2, 0.52 * deep + 1.4), 0.42 * heads + 1.5), layout="constrained")
        axes = figure.subplots()
        for name, pattern in PATTERNS.items():
            spots = heads_of(nmi, bands, name)
            x, y = zip(*spots, strict=True) if spots else ((), ())
            axes.scatter(x, y, s=190, marker=pattern.marker, color=pattern.light, linewidths=0, label=name)
        axes.set(xlim=(-0.6, deep - 0.4), ylim=(heads - 0.4, -0.6), xlabel="layer", ylabel="head")
        axes.set_xticks(range(deep))
        axes.set_yticks(range(heads))
        axes.set_aspect("equal")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(title)
        legend(figure)
        return figure


def by_depth(
    nmi: Sequence[Heads],
    distance: Sequence[Heads],
    entropy: Sequence[Heads],
    *,
    grids: Sequence[Grid],
    key_grids: Sequence[Grid] | None = None,
    bands: Bands = (0.06, 0.12),
    title: str = "",
) -> Figure:
    """NMI, distance (patches) and entropy (nats) of every head, layer by layer, with the mean of the heads as a line.

    Shaded: the NMI band that is called hybrid; dashed: the paper's anchor, and
    what a query has that looks at every cell alike ("even look").
    """
    even = [even_attention(grid, keys) for grid, keys in zip(grids, key_grids or grids, strict=True)]
    panels = [
        ("NMI", nmi, None),
        ("distance (patches)", distance, [one[0] for one in even]),
        ("entropy (nats)", entropy, [one[1] for one in even]),
    ]
    with style():
        figure = Figure(figsize=(12.6, 3.9), layout="constrained")
        for axes, (label, values, everywhere) in zip(figure.subplots(1, 3), panels, strict=True):
            depth = np.arange(len(values))
            if everywhere is None:
                axes.axhspan(*bands, color=PATTERNS["hybrid"].light, alpha=0.14, lw=0)
                axes.axhline(ANCHOR, color=PATTERNS["hybrid"].light, lw=1, ls=(0, (4, 3)))
                _note(axes, ANCHOR, f"hybrid\n{ANCHOR}", PATTERNS["hybrid"].light)
            else:
                axes.plot(depth, everywhere, color=QUIET, lw=1, ls=(0, (4, 3)))
                _note(axes, everywhere[-1], "even\nlook", QUIET)
            axes.plot(depth, [np.mean(one) for one in values], color=INK, lw=1.6, zorder=2)
            for name, pattern in PATTERNS.items():
                heads = heads_of(nmi, bands, name)
                spots = [(beside(i, h, len(values[i])), float(values[i][h])) for i, h in heads]
                x, y = zip(*spots, strict=True) if spots else ((), ())
                axes.scatter(
                    x, y, s=34, marker=pattern.marker, color=pattern.light, edgecolor="white", lw=0.6, zorder=3
                )
            axes.set(xlabel="layer", ylabel=label, ylim=(0, None), xlim=(-0.4, len(values) - 0.6))
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(axis="y", color=HAIR, lw=0.6)
            axes.set_axisbelow(True)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        legend(figure, line="mean of heads")
        return figure


def even_attention(grid: Grid, keys: Grid | None = None) -> tuple[float, float]:
    """(mean distance in patches, entropy in nats) of queries on `grid` that look at every cell of `keys` alike."""
    keys = keys or grid
    axes = []
    for side, count in zip(grid, keys, strict=True):
        axes.append(np.subtract.outer(np.arange(side) + 0.5, (np.arange(count) + 0.5) * side / count).ravel() ** 2)
    (rows, row_counts), (columns, column_counts) = (np.unique(a.round(9), return_counts=True) for a in axes)
    weights = np.outer(row_counts, column_counts)
    return float((np.sqrt(np.add.outer(rows, columns)) * weights).sum() / weights.sum()), float(np.log(np.prod(keys)))


def _note(axes: Axes, height: float, text: str, colour: str) -> None:
    """A word beside the right edge, at the height it speaks of."""
    where = ("axes fraction", "data")
    axes.annotate(
        text, (1, height), (5, 0), xycoords=where, textcoords="offset points", va="center", fontsize=9.5, color=colour
    )


def legend(figure: Figure, *, line: str = "") -> None:
    """Below the figure: the three patterns, in words when there is room; and `line`, what the line is."""
    wide = figure.get_figwidth() > 9
    marks = [
        Line2D([], [], ls="", marker=pattern.marker, color=pattern.light, markersize=7.5)
        for pattern in PATTERNS.values()
    ]
    names = [f"{name}: {pattern.meaning}" if wide else name for name, pattern in PATTERNS.items()]
    if line:
        marks, names = [*marks, Line2D([], [], color=INK, lw=1.6)], [*names, line]
    figure.legend(marks, names, loc="outside lower center", ncols=len(names), handletextpad=0.4, columnspacing=1.8)
