"""Figures of faithfulness: curves with their bands, and what each method gains on maps that know nothing.

A curve is the mean over images at each step, `t`, and where it would lie with other images: (low, high), `t` each, or
None for one image alone. "random" and "centre" are the maps that know nothing: grey and dashed wherever they appear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labkit.viz.theme import HAIR, QUIET, style

# Okabe and Ito's colours, which stay apart for every common colour vision; yellow is too light for a line on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5b3a8e", "#7a4b1e")
KNOW_NOTHING = {"random": "#8a8a94", "centre": "#4c4c55"}

Values = NDArray[np.floating]


@dataclass(frozen=True)
class Line:
    """One method's mean curve: `share` `t` of the picture (0 to 1), `mean` `t`, and its band, or None."""

    share: Values
    mean: Values
    band: tuple[Values, Values] | None = None


@dataclass(frozen=True)
class Gain:
    """How much better than a baseline, in the number's unit, above 0 = better; low and high None for one image."""

    mean: float
    low: float | None
    high: float | None


def curves(
    panels: Mapping[str, Mapping[str, Line]],
    *,
    notes: Mapping[str, str],
    across: Mapping[str, str],
    unit: str = "probability of the class",
    title: str = "",
) -> Figure:
    """One panel a kind of curve (deletion, insertion, …), one line a method with its band.

    panels   kind -> method -> Line; all with the same methods
    notes    kind -> what a good map does there
    across   kind -> what is on the axis of shares
    """
    with style():
        figure = Figure(figsize=(3.7 * len(panels) + 0.4, 4.15), layout="constrained")
        all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (kind, lines) in zip(all_axes, panels.items(), strict=True):
            for name, line in lines.items():
                _draw(axes, line, **_look(name, [*lines]))
            axes.set(xlim=(0, 1), xlabel=f"{across[kind]}, % of the pixels")
            axes.set_xticks(np.linspace(0, 1, 6), labels=["0", "20", "40", "60", "80", "100"])
            axes.set_title(kind)
            axes.grid(axis="y", color=HAIR, lw=0.6)
            axes.text(
                0.97, 0.98, notes[kind], transform=axes.transAxes, ha="right", va="top", fontsize=9.5, color=QUIET
            )
        all_axes[0].set(ylabel=unit, ylim=(0, None))
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        handles, names = all_axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 6))
        return figure


def gains(
    numbers: Mapping[str, Mapping[str, Mapping[str, Gain]]],
    *,
    labels: Mapping[str, str],
    title: str = "",
) -> Figure:
    """What each method gains on each baseline, with its interval: number -> baseline -> method -> Gain.

    labels   number -> its name and unit. Right of the line is better, whichever way the number itself is better
    """
    with style():
        methods = [*next(iter(next(iter(numbers.values())).values()))]
        height = 0.42 * len(methods) + 1.75
        figure = Figure(figsize=(3.1 * len(numbers) + 1.3, height), layout="constrained")
        all_axes = figure.subplots(1, len(numbers), sharey=True, squeeze=False)[0]
        for axes, (number, baselines) in zip(all_axes, numbers.items(), strict=True):
            axes.axvline(0, color=QUIET, lw=1)
            for turn, found in enumerate(baselines.values()):
                offset = 0.14 * (2 * turn - len(baselines) + 1)
                for row, method in enumerate(methods):
                    _whisker(axes, found[method], row + offset, _look(method, methods)["color"], filled=turn == 0)
            axes.set(xlabel=labels[number], yticks=range(len(methods)), yticklabels=methods)
            axes.set_ylim(len(methods) - 0.5, -0.5)
            axes.tick_params(axis="y", length=0)
            axes.margins(x=0.12)
            axes.grid(axis="x", color=HAIR, lw=0.6)
        for turn, baseline in enumerate(next(iter(numbers.values()))):
            face = QUIET if turn == 0 else "white"
            all_axes[0].plot([], [], "o", color=QUIET, mfc=face, ms=6, label=f"over {baseline}")
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        figure.legend(loc="outside lower center", ncols=2)
        return figure


def likenesses(lines: Mapping[str, Values], layers: Sequence[str], *, title: str = "") -> Figure:
    """How alike each method's map still is (-1 to 1) once a layer and all above it are noise, from the output down."""
    with style():
        figure = Figure(figsize=(max(6.0, 0.55 * len(layers) + 3.2), 4.1), layout="constrained")
        axes = figure.subplots()
        steps = np.arange(len(layers) + 1)
        for name, line in lines.items():
            axes.plot(steps, [1.0, *line], marker="o", ms=4.5, **_look(name, list(lines)))
        axes.axhline(0, color=QUIET, lw=0.8)
        axes.set(
            ylim=(-1.05 if min(map(min, lines.values())) < -0.3 else -0.35, 1.05), ylabel="likeness (rank correlation)"
        )
        axes.set_xticks(steps, ["untouched", *layers], rotation=40, ha="right", rotation_mode="anchor")
        axes.set_xlabel("filled with noise, down to")
        axes.grid(axis="y", color=HAIR, lw=0.6)
        axes.set_title(title, fontsize=12.5)
        figure.legend(loc="outside right upper")
        return figure


def _draw(axes: Axes, line: Line, **look: object) -> None:
    axes.plot(line.share, line.mean, **look)
    # Maps that know nothing have no band: with four bands on top of each other none can be told.
    if line.band is not None and look["label"] not in KNOW_NOTHING:
        axes.fill_between(line.share, *line.band, color=look["color"], alpha=0.13, lw=0)


def _look(name: str, methods: Sequence[str]) -> dict[str, object]:
    if name in KNOW_NOTHING:
        return {"color": KNOW_NOTHING[name], "lw": 1.5, "ls": (0, (4, 2)), "label": name, "zorder": 1.5}
    place = [method for method in methods if method not in KNOW_NOTHING].index(name)
    return {"color": COLOURS[place % len(COLOURS)], "lw": 2.0, "label": name, "zorder": 2.5}


def _whisker(axes: Axes, gain: Gain, height: float, colour: str, *, filled: bool) -> None:
    if gain.low is not None:
        axes.plot([gain.low, gain.high], [height, height], color=colour, lw=1.8, solid_capstyle="round")
    axes.plot(gain.mean, height, "o", color=colour, mfc=colour if filled else "white", ms=6, mew=1.5)
