"""Figures of receptive fields: what a unit can see at most, framed on the photo, and what it really sees, as heat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labkit.viz.attention import QUERY
from labkit.viz.theme import HAIR, INK, QUIET, style

Photo = NDArray[np.uint8]
Heat = NDArray[np.floating]
Pixels = NDArray[np.bool_]

HEAT = "magma"


def fields_over_photo(
    picture: Photo,
    heats: Sequence[Heat],
    pixels: Sequence[Pixels],
    *,
    names: Sequence[str],
    notes: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """One panel a layer: heat `height width` over the grey photo, framed by the pixels that the unit can see at all.

    Each panel's heat is drawn as its square root, from 0 to the panel's largest: the edge of a field is faint. Outside
    the frame the photo keeps its own light; where the whole picture is seen, the frame runs along its border.
    """
    with style():
        across = min(6, len(heats))
        down = -(-len(heats) // across)
        figure = Figure(figsize=(max(2.05 * across + 1.1, 5.2), 2.42 * down + 0.55), layout="constrained")
        panels = np.atleast_1d(figure.subplots(down, across)).ravel()
        for axes, heat, seen, name in zip(panels, heats, pixels, names, strict=False):
            lay_field(axes, picture, heat, seen)
            axes.set_title(name, fontsize=10, pad=4)
        for axes, note in zip(panels, notes, strict=False):
            axes.set_xlabel(note, fontsize=9.5, color=QUIET, labelpad=3)
        for axes in panels[len(heats) :]:
            axes.set_visible(False)
        scale = ScalarMappable(Normalize(0, 1), cmap=HEAT)
        bar = figure.colorbar(scale, ax=list(panels), shrink=0.86, aspect=22 * down, pad=0.02)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0, labelsize=9)
        bar.set_ticks([0, 0.1**0.5, 0.5**0.5, 1], labels=["0", "10 %", "50 %", "100 %"])
        bar.set_label("gradient, of the panel's largest", color=INK)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        return figure


def lay_field(axes: Axes, picture: Photo, heat: Heat, pixels: Pixels) -> None:
    """Paint a unit's heat over the photo and draw a line around the pixels that it can see."""
    height, width = picture.shape[:2]
    extent = (0, width, height, 0)
    grey = picture @ np.array([0.2126, 0.7152, 0.0722])
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=extent)
    shown = np.sqrt(heat / (heat.max() or 1))
    axes.imshow(
        np.where(pixels, shown, np.nan), cmap=HEAT, vmin=0, vmax=1, alpha=0.82, extent=extent, interpolation="nearest"
    )
    # A margin of unseen pixels closes the line along the picture's border.
    seen = np.pad(pixels, 1).astype(float)
    rows, columns = (
        (np.arange(side + 2) - 0.5) * length / side for side, length in zip(pixels.shape, (height, width), strict=True)
    )
    for colour, thick in (("black", 2.8), (QUERY, 1.4)):
        axes.contour(columns, rows, seen, levels=[0.5], colors=colour, linewidths=thick)
    axes.set(xlim=(-0.01 * width, 1.01 * width), ylim=(1.01 * height, -0.01 * height), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def growth(
    theoretical: Sequence[float | None],
    sides: Sequence[Sequence[float]],
    *,
    parts: Sequence[float],
    names: Sequence[str],
    picture: int,
    title: str = "",
) -> Figure:
    """How fields grow with depth, in pixels: at most (None: everything), and the squares that hold `parts` of the heat.

    sides     one row a part, one number a layer; `picture` is the picture's side, drawn as a line
    """
    with style():
        figure = Figure(figsize=(max(6.4, 0.42 * len(names) + 3.2), 4.3), layout="constrained")
        axes = figure.subplots()
        depth = np.arange(len(names))
        most = np.array([np.nan if one is None else one for one in theoretical], dtype=float)
        if not np.isnan(most).all():
            axes.plot(depth, most, color=INK, lw=1.6, marker="o", ms=4, label="at most")
        for part, side, shade in zip(parts, sides, np.linspace(0.75, 0.15, len(parts)), strict=True):
            axes.plot(depth, side, color=_blue(shade), lw=1.6, marker="o", ms=4, label=f"{100 * part:g} % of the heat")
        axes.axhline(picture, color=QUIET, lw=1, ls=(0, (4, 3)))
        axes.annotate(
            *("the picture", (0, picture), (4, 3)),
            **{"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "fontsize": 9.5, "color": QUIET},
        )
        everything = [i for i, one in enumerate(theoretical) if one is None]
        if everything:
            axes.scatter(
                everything, [picture] * len(everything), marker="^", color=INK, zorder=3, label="at most: everything"
            )
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set(ylabel="side of the field (pixels)", xlim=(-0.4, len(names) - 0.6))
        axes.set_xticks(depth, labels=names, rotation=40, ha="right", fontsize=9)
        axes.grid(axis="y", color=HAIR, lw=0.6)
        axes.set_axisbelow(True)
        axes.set_title(title)
        figure.legend(loc="outside right center")
        return figure


def _blue(part: float) -> tuple[float, float, float]:
    """From dark to light blue."""
    dark, light = np.array([0.05, 0.15, 0.38]), np.array([0.50, 0.74, 0.97])
    return tuple(dark + part * (light - dark))
