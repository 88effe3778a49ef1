"""Figures of experiments: a few rivals as bars, a row of maps, and curves: what most papers need to be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from labkit.viz.depth import SIGNED
from labkit.viz.mixing import MODELS
from labkit.viz.theme import HAIR, INK, QUIET, SHARES, style

Map = NDArray[np.floating]

CHOSEN, OTHERS = "#7c2888", "#a9a9b6"
BESIDE = {"loc": "upper left", "bbox_to_anchor": (1.01, 1)}
"""Where a legend of many lines stands: it would cover them."""


def rivals(
    values: Mapping[str, float],
    *,
    label: str,
    chosen: str = "",
    line: tuple[float, str] | None = None,
    top: float | None = None,
    title: str = "",
) -> Figure:
    """One bar a rival, the chosen one in colour, its value behind it; `label` names the quantity and its unit.

    line   (value, name) of something to compare with, as chance; `top` is the axis' end
    """
    with style():
        figure = Figure(figsize=(7.0, 1.3 + 0.46 * len(values)), layout="constrained")
        axes = figure.subplots()
        names, lengths = list(values), np.array(list(values.values()), dtype=float)
        axes.barh(names, lengths, color=[CHOSEN if name == chosen else OTHERS for name in names], height=0.66)
        end = float(np.nanmax(lengths)) if top is None else top
        for place, value in enumerate(lengths):
            axes.annotate(f"{value:.3g}", (value, place), (5, 0), textcoords="offset points", va="center", color=INK)
        if line:
            axes.axvline(line[0], color=INK, lw=1, ls=(0, (4, 3)))
            axes.annotate(
                *(line[1], (line[0], 0), (4, 4)),
                **{"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "fontsize": 9.5, "color": INK},
            )
        axes.set(xlabel=label, xlim=(0, 1.12 * end))
        axes.set_ylim(len(names) - 0.1, -0.55)  # room for the name of the line
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=11)
        axes.grid(axis="x", color=HAIR, lw=0.6)
        axes.set_axisbelow(True)
        axes.set_title(title)
        return figure


def maps(
    pictures: Sequence[Map],
    *,
    names: Sequence[str],
    label: str,
    notes: Sequence[str] = (),
    signed: bool = False,
    alone: bool = False,
    photo: NDArray[np.uint8] | None = None,
    title: str = "",
) -> Figure:
    """Maps `h w` side by side on one scale, with `label` on its bar; a photo `h w 3` first, where one is given.

    signed   a diverging scale centred on 0, else from 0 up; `alone`: each map is shown as a share of its own largest
    """
    with style():
        count = len(pictures) + (photo is not None)
        across = min(count, 5)
        down = -(-count // across)
        figure = Figure(figsize=(max(5.2, 2.15 * across + 1.1), 2.5 * down + 0.5), layout="constrained")
        panels = list(np.atleast_1d(figure.subplots(down, across)).ravel())
        for axes in panels:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        for axes in panels[count:]:
            axes.set_visible(False)
        if photo is not None:
            panels[0].imshow(photo)
            panels[0].set_title("the picture", fontsize=10, pad=4)
        shown = panels[count - len(pictures) : count]
        sizes = [float(np.abs(one).max()) or 1.0 for one in pictures]
        peak = 1.0 if alone else max(sizes)
        for axes, picture, size, name in zip(shown, pictures, sizes, names, strict=True):
            limits = {"vmin": -peak if signed else 0, "vmax": peak, "cmap": SIGNED if signed else SHARES}
            image = axes.imshow(picture / size if alone else picture, interpolation="nearest", **limits)
            axes.set_title(name, fontsize=10, pad=4)
        for axes, note in zip(shown, notes, strict=False):
            axes.set_xlabel(note, fontsize=9.5, color=QUIET, labelpad=3)
        bar = figure.colorbar(image, ax=panels, shrink=0.8, aspect=22, pad=0.02)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0, labelsize=9)
        bar.set_label(label, color=INK)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        return figure


def curves(
    x: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    *,
    across: str,
    up: str,
    logarithmic: bool = False,
    title: str = "",
) -> Figure:
    """Each line over the same x, with a mark of its own; `across` and `up` name the axes and their units."""
    with style():
        figure = Figure(figsize=(7.0, 4.2), layout="constrained")
        axes = figure.subplots()
        for (name, y), (colour, marker) in zip(lines.items(), MODELS, strict=False):
            axes.plot(x, y, color=colour, marker=marker if len(x) <= 16 else None, lw=1.8, ms=6, label=name)
        axes.set(xlabel=across, ylabel=up)
        if logarithmic:
            axes.set(xscale="log", yscale="log")
            axes.set_xticks(x, labels=[f"{value:g}" for value in x])
            axes.xaxis.set_minor_formatter(NullFormatter())
        elif len(x) <= 16 and all(float(value).is_integer() for value in x):
            axes.set_xticks(x)  # a layer and a half is none
        axes.grid(color=HAIR, lw=0.6)
        axes.set_axisbelow(True)
        axes.legend(**(BESIDE if len(lines) > 4 else {}))
        axes.set_title(title)
        return figure


def intervals(
    panels: Mapping[str, Mapping[str, Mapping[str, tuple[float, float, float]]]],
    *,
    labels: Mapping[str, str],
    title: str = "",
) -> Figure:
    """Means with their intervals, (mean, low, high): panel -> row -> group, a dot with a whisker each.

    labels   panel -> its quantity and unit, on its axis; the rows are those of the first panel, and so are the groups,
             which have a colour and a mark of their own
    """
    with style():
        rows = list(next(iter(panels.values())))
        groups = list(next(iter(next(iter(panels.values())).values())))
        height = 1.5 + (0.2 + 0.19 * len(groups)) * len(rows)
        figure = Figure(figsize=(2.75 * len(panels) + 1.6, height), layout="constrained")
        all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (name, panel) in zip(all_axes, panels.items(), strict=True):
            for turn, (group, (colour, marker)) in enumerate(zip(groups, MODELS, strict=False)):
                places = np.arange(len(rows)) + 0.19 * (turn - (len(groups) - 1) / 2)
                means, low, high = np.array([panel[row][group] for row in rows], dtype=float).T
                axes.hlines(places, low, high, color=colour, lw=1.8)
                axes.plot(means, places, marker, color=colour, ms=5.5, label=group)
            axes.set(xlabel=labels[name], yticks=range(len(rows)), yticklabels=rows)
            axes.set_ylim(len(rows) - 0.45, -0.55)
            axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=11)
            axes.margins(x=0.1)
            axes.grid(axis="x", color=HAIR, lw=0.6)
            axes.set_axisbelow(True)
            axes.set_title(name)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        if len(groups) > 1:
            handles, names = all_axes[0].get_legend_handles_labels()
            figure.legend(handles, names, loc="outside lower center", ncols=len(groups))
        return figure
