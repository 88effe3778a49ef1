"""Figures of attention: where one query looks, layer by layer and head by head, and what the heads do with depth.

Throughout, layers and heads count from 0; a photo is `h w 3`, uint8; shares of one query's attention, 0 to 1, are
`h w` on the grid of the keys (or `heads h w`), NaN where the query cannot look (outside its window); measures are one
array of heads a layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from labkit.viz.theme import HAIR, INK, PATTERNS, QUIET, SHARES, percent, share_bar, style

QUERY = "#3be4ff"
"""The outline of the place that asks: a colour that the map of shares does not have."""

BLEND = 0.7
ANCHOR = 0.09
"""The NMI of the layer that UNIP takes as the typical hybrid one."""

Photo = NDArray[np.uint8]
Shares = NDArray[np.floating]
Heads = NDArray[np.floating]
Grid = tuple[int, int]
Bands = tuple[float, float]


def pattern_of(nmi: float, bands: Bands) -> str | None:
    """ "global" below the band, "local" above it, "hybrid" in it; None for NaN."""
    low, high = bands
    return None if np.isnan(nmi) else "global" if nmi < low else "local" if nmi > high else "hybrid"


def lay_over(axes: Axes, picture: Photo, shares: Shares, *, query: int | None, grid: Grid) -> float:
    """Paint one query's shares over the photo, as the live view does; returns the largest share (the scale's end).

    `query` is a cell on `grid`, row by row; None (or a prefix token, below 0) has no outline.
    """
    height, width = picture.shape[:2]
    extent = (0, width, height, 0)
    peak = float(np.nanmax(shares)) if np.isfinite(shares).any() else 0.0
    grey = picture @ np.array([0.2126, 0.7152, 0.0722])
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=extent)
    axes.imshow(shares, cmap=SHARES, vmin=0, vmax=peak or 1, alpha=BLEND, extent=extent, interpolation="nearest")
    _outline(axes, picture, query, grid)
    _bare(axes)
    return peak


def overview(
    picture: Photo,
    shares: Sequence[Shares],
    *,
    query: int,
    grids: Sequence[Grid],
    layer: int = 0,
    title: str = "",
) -> Figure:
    """The photo with the query, and the query's attention in every layer (one array each; say which head in `title`).

    `query` is a cell on the grid of `layer`, or -1 - i for a prefix token; other grids show the cell at its centre.
    """
    with style():
        across = min(6, len(shares))
        down = -(-len(shares) // across)
        figure = Figure(figsize=(3.2 + 1.72 * across, max(3.3, 1.9 * down + 0.3)), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=[3.0, 1.72 * across])
        photo = left.subplots()
        photo.imshow(picture)
        _outline(photo, picture, query, grids[layer])
        _bare(photo)
        photo.set_title(title or "the photo", fontsize=11.5)
        panels = np.atleast_1d(right.subplots(down, across)).ravel()
        for i, (axes, share) in enumerate(zip(panels, shares, strict=False)):
            place = same_spot(query, grids[layer], grids[i])
            peak = lay_over(axes, picture, share, query=place, grid=grids[i])
            axes.set_title(f"layer {i}", fontsize=10.5, pad=4, fontweight="bold" if i == layer else "normal")
            axes.set_xlabel(f"0 to {percent(peak)}", fontsize=9.5, color=QUIET, labelpad=3)
        for axes in panels[len(shares) :]:
            axes.set_visible(False)
        bar = share_bar(right, list(panels), peak=1.0, label="share of attention, of the panel's largest")
        bar.ax.tick_params(labelsize=9)
        return figure


def attention_grid(
    picture: Photo,
    shares: Sequence[Shares],
    *,
    query: int,
    grids: Sequence[Grid],
    nmi: Sequence[Heads],
    layer: int = 0,
    bands: Bands = (0.06, 0.12),
    title: str = "",
) -> Figure:
    """One small picture a layer (down) and head (across), framed in the colour of the head's pattern."""
    with style():
        down, across = len(shares), max(len(one) for one in shares)
        figure = Figure(figsize=(0.98 * across + 1.5, 0.98 * down + 1.15), layout="constrained")
        panels = figure.subplots(down, across, squeeze=False)
        for i, row in enumerate(panels):
            for h, axes in enumerate(row):
                if h >= len(shares[i]):
                    axes.set_visible(False)
                    continue
                place = same_spot(query, grids[layer], grids[i])
                lay_over(axes, picture, shares[i][h], query=place, grid=grids[i])
                _frame(axes, pattern_of(float(nmi[i][h]), bands))
                if i == 0:
                    axes.set_title(f"head {h}", loc="center", fontsize=10, color=QUIET, pad=4)
            row[0].set_ylabel(f"layer {i}", fontsize=10, color=QUIET, labelpad=4)
        figure.suptitle(title, x=0.02, ha="left", fontsize=12.5)
        share_bar(
            figure, panels.ravel().tolist(), peak=1.0, label="share of attention, of the panel's largest", aspect=50
        )
        _legend(figure)
        return figure


def pattern_strip(nmi: Sequence[Heads], *, bands: Bands = (0.06, 0.12), title: str = "") -> Figure:
    """One mark a layer (across) and head (down), coloured and shaped by pattern."""
    with style():
        deep, heads = len(nmi), max(len(one) for one in nmi)
        figure = Figure(figsize=(max(4.2, 0.52 * deep + 1.4), 0.42 * heads + 1.5), layout="constrained")
        axes = figure.subplots()
        for name, pattern in PATTERNS.items():
            spots = [
                (i, h) for i, one in enumerate(nmi) for h, value in enumerate(one) if pattern_of(value, bands) == name
            ]
            x, y = zip(*spots, strict=True) if spots else ((), ())
            axes.scatter(x, y, s=190, marker=pattern.marker, color=pattern.light, linewidths=0, label=name)
        axes.set(xlim=(-0.6, deep - 0.4), ylim=(heads - 0.4, -0.6), xlabel="layer", ylabel="head")
        axes.set_xticks(range(deep))
        axes.set_yticks(range(heads))
        axes.set_aspect("equal")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(title)
        _legend(figure)
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
                spots = [
                    (i + 0.5 * ((h + 0.5) / len(one) - 0.5), value)
                    for i, one in enumerate(values)
                    for h, value in enumerate(one)
                    if pattern_of(nmi[i][h], bands) == name
                ]
                x, y = zip(*spots, strict=True) if spots else ((), ())
                axes.scatter(
                    x, y, s=34, marker=pattern.marker, color=pattern.light, edgecolor="white", lw=0.6, zorder=3
                )
            axes.set(xlabel="layer", ylabel=label, ylim=(0, None), xlim=(-0.4, len(values) - 0.6))
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(axis="y", color=HAIR, lw=0.6)
            axes.set_axisbelow(True)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        _legend(figure, line="mean of heads")
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


def same_spot(cell: int, before: Grid, after: Grid) -> int:
    """The cell of another grid that holds the centre of this one; prefix tokens (below 0) stay what they are."""
    if cell < 0:
        return cell
    row, column = divmod(cell, before[1])
    return int((row + 0.5) / before[0] * after[0]) * after[1] + int((column + 0.5) / before[1] * after[1])


def _outline(axes: Axes, picture: Photo, query: int | None, grid: Grid) -> None:
    if query is None or query < 0:
        return
    height, width = picture.shape[0] / grid[0], picture.shape[1] / grid[1]
    corner = (query % grid[1] * width, query // grid[1] * height)
    for colour, thick in (("black", 3.2), (QUERY, 1.6)):
        axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, lw=thick))


def _bare(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _frame(axes: Axes, pattern: str | None) -> None:
    axes.spines[:].set_visible(True)
    axes.spines[:].set(color=PATTERNS[pattern].light if pattern else HAIR, linewidth=2.4)


def _note(axes: Axes, height: float, text: str, colour: str) -> None:
    """A word beside the right edge, at the height it speaks of."""
    where = ("axes fraction", "data")
    axes.annotate(
        text, (1, height), (5, 0), xycoords=where, textcoords="offset points", va="center", fontsize=9.5, color=colour
    )


def _legend(figure: Figure, *, line: str = "") -> None:
    wide = figure.get_figwidth() > 9
    marks = [
        Line2D([], [], ls="", marker=pattern.marker, color=pattern.light, markersize=7.5)
        for pattern in PATTERNS.values()
    ]
    names = [f"{name}: {pattern.meaning}" if wide else name for name, pattern in PATTERNS.items()]
    if line:
        marks, names = [*marks, Line2D([], [], color=INK, lw=1.6)], [*names, line]
    figure.legend(marks, names, loc="outside lower center", ncols=len(names), handletextpad=0.4, columnspacing=1.8)
