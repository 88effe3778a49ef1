"""Figures of attention: where one query looks, layer by layer and head by head; `patterns` says what the heads do.

Throughout, layers and heads count from 0; a photo is `h w 3`, uint8; shares of one query's attention, 0 to 1, are
`h w` on the grid of the keys (or `heads h w`), NaN where the query cannot look (outside its window); measures are one
array of heads a layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from labkit.viz.patterns import Bands, Grid, Heads, by_depth, legend, pattern_of, pattern_strip
from labkit.viz.theme import HAIR, PATTERNS, QUIET, SHARES, percent, share_bar, style

__all__ = ["attention_grid", "by_depth", "lay_over", "overview", "pattern_strip", "same_spot"]

QUERY = "#3be4ff"
"""The outline of the place that asks: a colour that the map of shares does not have."""

BLEND = 0.7

Photo = NDArray[np.uint8]
Shares = NDArray[np.floating]


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
            axes.set_xlabel(f"0 to {percent(peak)}" if peak else "does not ask", fontsize=9.5, color=QUIET, labelpad=3)
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
        legend(figure)
        return figure


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
