"""Figures of frequency: spectra of features by depth, and responses of filters; `passband` shows filtered pictures.

Frequencies are in cycles per cell (per pixel for pictures): 0 is the mean, 0.5 Nyquist along an axis, 0.71 the corner.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labkit.viz.depth import Grid, across, depth_axis, depth_bar, depth_colours, evenly
from labkit.viz.theme import HAIR, INK, QUIET, SHARES, style

Numbers = NDArray[np.floating]

NYQUIST, CORNER = 0.5, 0.5**0.5
LINE = "#4338a8"


def amplitude_heat(radial: Sequence[Numbers], *, grids: Sequence[Grid], title: str = "") -> Figure:
    """Log-amplitude of each layer (across) at each frequency (up), less that of the layer's mean value, in nats.

    radial   one array of rings a layer; ring k lies at k / (longer side of the grid)
    """
    with style():
        figure = Figure(figsize=(max(6.6, 0.42 * len(radial) + 2.6), 4.6), layout="constrained")
        axes = figure.subplots()
        relative = [one - one[0] for one in radial]
        rest = np.concatenate([one[1:] for one in relative])
        scale = Normalize(*np.quantile(rest, [0.02, 0.98]))
        for i, (values, grid) in enumerate(zip(relative, grids, strict=True)):
            edges = np.clip((np.arange(len(values) + 1) - 0.5) / max(grid), 0, CORNER)
            axes.pcolormesh([i - 0.5, i + 0.5], edges, values[:, None], cmap=SHARES, norm=scale)
        axes.axhline(NYQUIST, color="white", lw=1, ls=(0, (4, 3)))
        axes.set(ylabel="frequency (cycles per cell)", ylim=(0, CORNER))
        axes.set_yticks([0, 0.25, NYQUIST, CORNER], labels=["0, the mean", "0.25", "0.5, Nyquist", "0.71, corner"])
        depth_axis(axes, grids)
        bar = figure.colorbar(ScalarMappable(scale, cmap=SHARES), ax=axes, shrink=0.86, pad=0.02, extend="both")
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
        bar.set_label("ln amplitude, less that of the mean (nats)")
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        return figure


def half_diagonals(
    diagonals: Sequence[Numbers], steps: Sequence[Numbers], *, grids: Sequence[Grid], title: str = ""
) -> Figure:
    """Park & Kim's two pictures: Δ log-amplitude along the half diagonal, a line a layer, and its end by depth.

    steps   frequency of each value, in units of π
    """
    with style():
        figure = Figure(figsize=(10.8, 4.3), layout="constrained")
        left, right = figure.subplots(1, 2)
        ends = [one[-1] if len(one) > 1 else np.nan for one in diagonals]
        for values, at, colour in zip(diagonals, steps, depth_colours(len(diagonals)), strict=True):
            left.plot(at, values, color=colour, lw=1.6)
        left.set(xlabel="frequency along the diagonal (units of π)", ylabel="Δ ln amplitude (nats)", xlim=(0, 1))
        depth_bar(figure, left, len(diagonals))
        right.plot(ends, color=INK, lw=1.5, zorder=2)
        right.scatter(range(len(ends)), ends, s=44, color=depth_colours(len(ends)), zorder=3)
        right.set(ylabel="Δ ln amplitude at the end (nats)")
        depth_axis(right, grids)
        for axes in (left, right):
            axes.grid(axis="y", color=HAIR, lw=0.6)
            axes.set_axisbelow(True)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        return figure


def responses(
    radial: Sequence[Numbers],
    frequencies: Sequence[Numbers],
    *,
    names: Sequence[str],
    what: str = "filter",
    most: int = 12,
    title: str = "",
) -> Figure:
    """The gain of each layer's filters against frequency, each less than or equal to its own largest; a panel a layer.

    radial   `filters rings` a layer. Up to 16 filters are drawn one by one, more as a band that holds 80 % of them
    """
    with style():
        chosen = evenly(len(radial), most)
        wide = across(len(chosen), 4)
        down = -(-len(chosen) // wide)
        figure = Figure(figsize=(2.75 * wide + 0.6, 2.2 * down + 0.9), layout="constrained")
        panels = figure.subplots(down, wide, squeeze=False, sharex=True, sharey=True)
        for axes, i in zip(panels.ravel(), chosen, strict=False):
            gain = radial[i] / np.maximum(radial[i].max(axis=1, keepdims=True), 1e-30)
            if len(gain) <= 16:
                axes.plot(frequencies[i], gain.T, color=LINE, lw=0.8, alpha=0.45)
            else:
                low, high = np.quantile(gain, [0.1, 0.9], axis=0)
                axes.fill_between(frequencies[i], low, high, color=LINE, alpha=0.2, lw=0)
            axes.plot(frequencies[i], gain.mean(axis=0), color=LINE, lw=2)
            axes.axvline(NYQUIST, color=HAIR, lw=0.9, zorder=0)
            axes.set_title(f"{i}  {short(names[i])}", fontsize=9.5, pad=4)
            axes.set(xlim=(0, CORNER), ylim=(0, 1.03))
            axes.set_xticks([0, 0.25, 0.5])
        for axes in panels.ravel()[len(chosen) :]:
            axes.set_visible(False)
        figure.supxlabel("frequency (cycles per cell)", fontsize=11, color=INK)
        figure.supylabel("gain, of its largest", fontsize=11, color=INK)
        one_by_one = max(len(radial[i]) for i in chosen) <= 16
        note = f"thin: each {what}; thick: their mean" if one_by_one else f"band: 80 % of the {what}s; line: their mean"
        figure.suptitle(f"{title}\n{note}" if title else note, x=0.01, ha="left", fontsize=12)
        return figure


def planes(gain: Numbers, *, most: int = 24, title: str = "") -> Figure:
    """The gain `k h w` of single filters over the plane of frequencies, zero in the middle, each of its largest."""
    with style():
        shown = np.fft.fftshift(gain[:most], axes=(-2, -1))
        wide = across(len(shown), 8)
        down = -(-len(shown) // wide)
        figure = Figure(figsize=(1.15 * wide + 1.3, 1.22 * down + 0.8), layout="constrained")
        panels = figure.subplots(down, wide, squeeze=False)
        for i, axes in enumerate(panels.ravel()):
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if i < len(shown):
                axes.imshow(shown[i] / max(float(shown[i].max()), 1e-30), cmap=SHARES, vmin=0, vmax=1)
                axes.set_title(str(i), loc="center", fontsize=9, color=QUIET, pad=2)
        bar = figure.colorbar(ScalarMappable(Normalize(0, 1), cmap=SHARES), ax=panels.ravel().tolist(), pad=0.02)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
        bar.set_label("gain, of its largest")
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
        return figure


def short(name: str, most: int = 24) -> str:
    """The end of a dotted name, where it is too long for a panel."""
    return name if len(name) <= most else "…" + name[-most + 1 :]
