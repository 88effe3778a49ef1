"""Figures of mixing maps: from where one token is made, block by block, and all blocks of several models on one chart.

Throughout, shares are norms of the Jacobian between cells, of a row that sums to one: `h w` on the grid of the keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from labkit.viz.attention import QUERY, same_spot
from labkit.viz.patterns import ANCHOR, Bands, Grid
from labkit.viz.theme import HAIR, INK, PATTERNS, QUIET, SHARES, percent, style

Photo = NDArray[np.uint8]
Shares = NDArray[np.floating]

FLOOR = 1e-3
"""Shares below this are drawn as nothing; above, colours are logarithmic, or the residual path drowns the rest."""

# One colour a model and one shape: apart for every common colour vision, and none of the three colours of the patterns.
MODELS = (("#0072b2", "o"), ("#c2185b", "s"), ("#5d4037", "D"), ("#00838f", "^"), ("#9c6b00", "v"), ("#455a64", "P"))


@dataclass(frozen=True)
class Series:
    """One model on the chart, one number a block, in forward order: NMI (0..1), reach (0 = itself, 1 = everywhere)."""

    nmi: NDArray[np.floating]
    reach: NDArray[np.floating]


def lay_mixing(axes: Axes, picture: Photo, shares: Shares, *, query: int, grid: Grid) -> None:
    """Paint one query's shares over the grey photo, on the common logarithmic scale; the query's cell is outlined."""
    height, width = picture.shape[:2]
    extent = (0, width, height, 0)
    axes.imshow(picture @ np.array([0.2126, 0.7152, 0.0722]), cmap="gray", vmin=0, vmax=255, extent=extent)
    shown = np.clip(np.nan_to_num(shares), FLOOR, 1)
    axes.imshow(shown, cmap=SHARES, norm=LogNorm(FLOOR, 1), alpha=0.78, extent=extent, interpolation="nearest")
    row, column = divmod(query, grid[1])
    size = (width / grid[1], height / grid[0])
    for colour, thick in (("black", 2.8), (QUERY, 1.4)):
        corner = (column * size[0], row * size[1])
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, lw=thick))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def mixing_over_photo(
    picture: Photo,
    shares: Sequence[Shares],
    *,
    query: int,
    grids: Sequence[Grid],
    names: Sequence[str],
    notes: Sequence[str] = (),
    across: int = 6,
    title: str = "",
) -> Figure:
    """What one token is made of, one panel a map.

    query    a cell on `grids[0]`, row by row; other grids show the cell at its centre. `shares[i]` is that cell's row
    names    over each panel; `notes` below it; `across` panels in a row
    """
    with style():
        across = min(across, len(shares))
        down = -(-len(shares) // across)
        figure = Figure(figsize=(max(2.05 * across + 1.1, 5.2), 2.42 * down + 0.55), layout="constrained")
        panels = np.atleast_1d(figure.subplots(down, across)).ravel()
        for axes, share, grid, name in zip(panels, shares, grids, names, strict=False):
            lay_mixing(axes, picture, share, query=same_spot(query, grids[0], grid), grid=grid)
            axes.set_title(name, fontsize=10, pad=4)
        for axes, note in zip(panels, notes, strict=False):
            axes.set_xlabel(note, fontsize=9.5, color=QUIET, labelpad=3)
        for axes in panels[len(shares) :]:
            axes.set_visible(False)
        _log_bar(figure, list(panels), aspect=22 * down)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        return figure


def mixing_chart(models: Mapping[str, Series], *, bands: Bands = (0.06, 0.12), title: str = "") -> Figure:
    """Every block of every model: how far it reaches (across) and how much that depends on who asks (up).

    Lines follow the depth, and marks grow with it. The shaded band of NMI is called hybrid, local above, global below.
    """
    with style():
        figure = Figure(figsize=(8.6, 5.6), layout="constrained")
        axes = figure.subplots()
        axes.axhspan(*bands, color=PATTERNS["hybrid"].light, alpha=0.14, lw=0)
        axes.axhline(ANCHOR, color=PATTERNS["hybrid"].light, lw=1, ls=(0, (4, 3)))
        handles = []
        for (name, series), (colour, marker) in zip(models.items(), _looks(len(models)), strict=True):
            depth = np.linspace(0, 1, len(series.nmi))
            axes.plot(series.reach, series.nmi, color=colour, lw=1, alpha=0.45, zorder=2)
            sizes = 22 + 70 * depth
            axes.scatter(
                series.reach, series.nmi, s=sizes, marker=marker, color=colour, edgecolor="white", lw=0.7, zorder=3
            )
            handles.append(Line2D([], [], color=colour, marker=marker, lw=1, markersize=7, label=name))
        right = max(1.05, *(float(np.nanmax(one.reach, initial=0)) * 1.05 for one in models.values()))
        axes.set(xlim=(-0.02, right), ylim=(-0.02, 1.03), ylabel="NMI: 0 = all queries alike, 1 = each its own")
        axes.set_xlabel("reach: mean distance, 0 = itself, 1 = the whole picture alike")
        zones = {"local": (0.98, "top"), "hybrid": (bands[1] + 0.008, "bottom"), "global": (0.0, "bottom")}
        for name, (height, side) in zones.items():
            where = {"x": right - 0.005, "y": height, "ha": "right", "va": side}
            axes.text(s=name, color=PATTERNS[name].light, fontsize=10, **where)
        axes.grid(color=HAIR, lw=0.6)
        axes.set_axisbelow(True)
        axes.set_title(title)
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(len(handles), 3), title="marks grow with depth"
        )
        return figure


def response_by_block(
    frequencies: Sequence[NDArray[np.floating]],
    gains: Sequence[NDArray[np.floating]],
    *,
    names: Sequence[str],
    title: str = "",
) -> Figure:
    """How much of each frequency a block's rows let through, seen as filters: one line a block, dark first.

    Frequencies are in cycles per cell of the block's input (0.5 along an axis is the finest), gains 0 to 1.
    """
    with style():
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.subplots()
        last = max(len(gains) - 1, 1)
        for i, (frequency, gain, name) in enumerate(zip(frequencies, gains, names, strict=True)):
            near = name if i in (0, len(gains) - 1) else None
            axes.plot(frequency, gain, color=_depth(i / last), lw=1.6, label=near)
        axes.axhline(1, color=QUIET, lw=1, ls=(0, (4, 3)))
        axes.set(xlim=(0, None), ylim=(0, 1.05), xlabel="frequency (cycles per cell)", ylabel="gain (0..1)")
        axes.grid(axis="y", color=HAIR, lw=0.6)
        axes.legend(title="first and last block")
        axes.set_title(title)
        return figure


def _looks(count: int) -> list[tuple[str, str]]:
    return [MODELS[i % len(MODELS)] for i in range(count)]


def _depth(part: float) -> tuple[float, float, float]:
    """From ink to a light blue."""
    dark, light = np.array([0.11, 0.11, 0.20]), np.array([0.36, 0.62, 0.92])
    return tuple(dark + part * (light - dark))


def _log_bar(figure: FigureBase, panels: list[Axes], *, aspect: float) -> None:
    bar = figure.colorbar(
        ScalarMappable(LogNorm(FLOOR, 1), cmap=SHARES), ax=panels, shrink=0.86, aspect=aspect, pad=0.02
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, which="both", labelsize=9)
    ticks = [FLOOR, 1e-2, 1e-1, 1.0]
    bar.set_ticks(ticks, labels=["≤ " + percent(FLOOR), *map(percent, ticks[1:])])
    bar.set_ticks([], minor=True)
    bar.set_label("share of the row", color=INK)
