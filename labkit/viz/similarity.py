"""Figures of over-smoothing: how alike tokens are by depth, similarity matrices, agreement of layers, and lesions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labkit.viz.depth import SIGNED, Grid, across, depth_axis, evenly
from labkit.viz.theme import HAIR, INK, QUIET, SHARES, style

Numbers = NDArray[np.floating]

MOST_PANELS = 12
RAW, CENTRED, SAME, OTHER = "#4338a8", "#0a8262", "#c2500a", "#62626c"


class Cosines(NamedTuple):
    """Cosines of pairs of tokens by depth: the mean `layers`, and the quantiles `layers 5` (5, 25, 50, 75, 95 %)."""

    mean: Numbers
    quantiles: Numbers


def by_depth(
    raw: Cosines,
    centred: Cosines,
    rank: Numbers,
    most: Sequence[int],
    high_frequency: Numbers,
    *,
    grids: Sequence[Grid],
    cls: Numbers | None = None,
    same: Numbers | None = None,
    different: Numbers | None = None,
    title: str = "",
) -> Figure:
    """Cosines with their spread, as they are and centred, effective rank, and high-frequency share, layer by layer.

    rank, most       effective rank, and the most there could be (the smaller of tokens and channels)
    high_frequency   share of the variance beyond half of Nyquist, 0..1
    cls              cosine of the class token with the patches; None where there is none
    same, different  cosine of pairs on the same object and on different ones, when a mask was given
    """
    with style():
        figure = Figure(figsize=(11.6, 7.0), layout="constrained")
        (one, two), (three, four) = figure.subplots(2, 2)
        _band(one, raw, RAW)
        extra = ((cls, "class token with patches", OTHER, ":"), (same, "same object", SAME, "-"))
        for values, label, colour, line in (*extra, (different, "different objects", SAME, "--")):
            if values is not None:
                one.plot(values, color=colour, ls=line, lw=1.8, label=label)
        _cosine_axis(one, grids, "tokens as they are")
        _band(two, centred, CENTRED)
        _cosine_axis(two, grids, "their mean taken away")
        three.plot(most, color=QUIET, lw=1, ls=(0, (4, 3)), label="most there could be", drawstyle="steps-mid")
        three.plot(rank, color=INK, lw=1.8, marker="o", ms=4.5)
        three.set(ylabel="effective rank (directions)", yscale="log")
        three.set_ylim(1, 1.4 * float(np.max(most)))
        three.set_yticks([t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if t <= 1.4 * np.max(most)])
        three.yaxis.set_major_formatter("{x:g}")
        three.minorticks_off()
        three.legend(loc="lower left")
        noise = 1 - np.pi / 16
        four.axhline(noise, color=QUIET, lw=1, ls=(0, (4, 3)))
        four.annotate(
            "white noise", (0, noise), (4, 3), ("axes fraction", "data"), "offset points", color=QUIET, size=9
        )
        four.plot(high_frequency, color=INK, lw=1.8, marker="o", ms=4.5)
        four.set(ylabel="high-frequency share of variance", ylim=(0, 1))
        for axes in (three, four):
            _by_layer(axes, grids)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        return figure


def matrices(cosines: Sequence[Numbers], *, names: Sequence[str], title: str = "") -> Figure:
    """The similarity matrix `n n` of each layer (at most MOST_PANELS of them, evenly chosen), tokens row by row."""
    with style():
        chosen = evenly(len(cosines), MOST_PANELS)
        wide = across(len(chosen), 4)
        down = -(-len(chosen) // wide)
        figure = Figure(figsize=(2.5 * wide + 1.2, 2.75 * down + 0.5), layout="constrained")
        panels = figure.subplots(down, wide, squeeze=False)
        for axes, i in zip(panels.ravel(), chosen, strict=False):
            axes.imshow(cosines[i], cmap=SIGNED, vmin=-1, vmax=1, interpolation="nearest")
            axes.set_title(f"{i}  {names[i]}", fontsize=10, pad=4)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        for axes in panels.ravel()[len(chosen) :]:
            axes.set_visible(False)
        panels[-1, 0].set_xlabel("token, row by row", fontsize=9.5, color=QUIET)
        panels[-1, 0].set_ylabel("token", fontsize=9.5, color=QUIET)
        _bar(figure, panels.ravel().tolist(), SIGNED, Normalize(-1, 1), "cosine of two tokens")
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        return figure


def agreement(
    cka: Numbers,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    horizontal: str = "",
    vertical: str = "",
    title: str = "",
) -> Figure:
    """CKA of each layer of one model (down) with each of another (across), 0 to 1."""
    with style():
        h, w = cka.shape
        cell = min(0.42, 7.5 / max(h, w))
        figure = Figure(figsize=(max(4.6, cell * w + 3.0), max(3.6, cell * h + 2.4)), layout="constrained")
        axes = figure.subplots()
        axes.imshow(cka, cmap=SHARES, vmin=0, vmax=1, interpolation="nearest")
        axes.set_xticks(range(w), labels=columns, rotation=90)
        axes.set_yticks(range(h), labels=rows)
        axes.tick_params(length=0, labelsize=9)
        axes.spines[:].set_visible(False)
        axes.set(xlabel=horizontal, ylabel=vertical)
        axes.set_title(title)
        _bar(figure, [axes], SHARES, Normalize(0, 1), "linear CKA")
        return figure


def lesions(
    drop: Sequence[float | None], turned: Sequence[float | None], *, grids: Sequence[Grid], title: str = ""
) -> Figure:
    """What is lost without each block: probability of the class (bars), and how the last tokens turn (line).

    None: the block changes the shape and cannot be left out.
    """
    with style():
        figure = Figure(figsize=(max(6.4, 0.36 * len(drop) + 3), 5.4), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        at = np.arange(len(drop))
        heights = np.array([np.nan if value is None else value for value in drop])
        above.bar(at, np.nan_to_num(heights), width=0.7, color=[SAME if value > 0 else RAW for value in heights])
        above.axhline(0, color=INK, lw=0.8)
        low, high = 1.15 * np.nanmin(heights, initial=0), 1.15 * np.nanmax(heights, initial=0.04)
        above.set(ylabel="probability lost", ylim=(low, high))
        cosines = np.array([np.nan if value is None else value for value in turned])
        below.plot(at, cosines, ls="", marker="o", color=INK, ms=6)
        below.set(
            ylabel="cosine of last tokens,\nwith and without",
            ylim=(min(0.0, np.nanmin(cosines, initial=0)) - 0.03, 1.05),
        )
        for i in at[np.isnan(heights)]:
            for axes in (above, below):
                axes.axvspan(i - 0.5, i + 0.5, color=HAIR, alpha=0.45, lw=0)
        for axes in (above, below):
            _by_layer(axes, grids)
        above.set_xlabel("")
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        if np.isnan(heights).any():
            below.set_xlabel("layer left out (grey: it changes the shape and cannot be)")
        else:
            below.set_xlabel("layer left out")
        return figure


def _band(axes: Axes, cosines: Cosines, colour: str) -> None:
    x, q = np.arange(len(cosines.mean)), cosines.quantiles
    axes.fill_between(x, q[:, 0], q[:, 4], color=colour, alpha=0.13, lw=0, label="5 to 95 % of pairs")
    axes.fill_between(x, q[:, 1], q[:, 3], color=colour, alpha=0.25, lw=0, label="25 to 75 %")
    axes.plot(x, cosines.mean, color=colour, lw=1.9, marker="o", ms=4.5, label="mean")


def _cosine_axis(axes: Axes, grids: Sequence[Grid], what: str) -> None:
    axes.set(ylabel=f"cosine of two tokens,\n{what}", ylim=(-1, 1.02))
    axes.axhline(0, color=QUIET, lw=0.8)
    _by_layer(axes, grids)
    axes.legend(loc="lower left", ncols=2, fontsize=9)


def _by_layer(axes: Axes, grids: Sequence[Grid]) -> None:
    depth_axis(axes, grids)
    axes.grid(axis="y", color=HAIR, lw=0.6)
    axes.set_axisbelow(True)


def _bar(figure: Figure, axes: list[Axes], colours: str, scale: Normalize, label: str) -> None:
    bar = figure.colorbar(ScalarMappable(scale, cmap=colours), ax=axes, shrink=0.7, aspect=26, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    bar.set_label(label)
