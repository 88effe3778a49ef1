"""Several models and several instruments on one sheet: one row an instrument, one column a model."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labkit.viz.patterns import Bands, heads_of
from labkit.viz.theme import HAIR, PATTERNS, QUIET, style

# Inches: a column and the picture in it, the height of square pictures and of charts, a line of words, the margins.
COLUMN, WIDE, SQUARE, FLAT, LINE_HIGH, EDGE, TOP = 2.9, 2.45, 2.45, 1.5, 0.16, 0.4, 1.05
LINE = "#4338a8"


@dataclass(frozen=True)
class Panel:
    """One cell: a picture (`pixels`, or marks from `nmi`, or a line from `mean`), or words alone.

    pixels      `h w 3`, uint8
    nmi         one array of heads a layer; `bands` names their patterns
    mean        `layers`, -1..1, with `quantiles` `layers n` around it
    """

    words: str
    pixels: NDArray[np.uint8] | None = None
    nmi: Sequence[NDArray[np.floating]] | None = None
    mean: NDArray[np.floating] | None = None
    quantiles: NDArray[np.floating] | None = None
    bands: Bands = (0.06, 0.12)

    @property
    def drawn(self) -> bool:
        return any(one is not None for one in (self.pixels, self.nmi, self.mean))


@dataclass(frozen=True)
class Row:
    """One instrument: its title, what it asks and how it is read, and a panel a model."""

    title: str
    reads: str
    panels: Sequence[Panel]


def sheet(title: str, columns: Sequence[str], rows: Sequence[Row]) -> Figure:
    """All of it, with the names of the models on top and the words of each cell below its picture."""
    with style():
        width = COLUMN * max(len(columns), 2) + EDGE
        laid = [_lay(row, width) for row in rows]
        total = TOP + sum(height for *_, height in laid)
        figure = Figure(figsize=(width, total))

        def write(left: float, down: float, text: str, **look: object) -> None:
            figure.text(left / width, 1 - down / total, text, va="top", **look)

        write(EDGE / 2, 0.14, title, fontsize=15)
        for i, name in enumerate(columns):
            write(EDGE / 2 + COLUMN * i, 0.52, textwrap.fill(name, 28), fontsize=10.5, fontweight="bold")
        down = TOP
        for row, (reads, words, high, height) in zip(rows, laid, strict=True):
            write(EDGE / 2, down, row.title, fontsize=12, fontweight="bold")
            write(EDGE / 2, down + 0.24, reads, fontsize=8.5, color=QUIET)
            head = 0.34 + LINE_HIGH * (1 + reads.count("\n"))
            for i, (panel, text) in enumerate(zip(row.panels, words, strict=True)):
                left, below = EDGE / 2 + COLUMN * i, down + head
                if panel.drawn:
                    inset = 0.22 if panel.mean is not None else 0  # room for the numbers of its axis
                    box = (left + inset) / width, 1 - (below + high) / total, (WIDE - inset) / width, high / total
                    _draw(figure.add_axes(box), panel)
                    below += high + 0.06
                write(left, below, text, fontsize=9)
            down += height
        return figure


def _lay(row: Row, width: float) -> tuple[str, list[str], float, float]:
    """Words broken into lines, and the heights (inches) of the row's pictures and of the whole row."""
    reads = textwrap.fill(row.reads, int(15.2 * width))
    words = ["\n".join(textwrap.fill(line, 40) for line in panel.words.split("\n")) for panel in row.panels]
    high = max((SQUARE if panel.pixels is not None else FLAT for panel in row.panels if panel.drawn), default=0)
    lines = 1 + max((text.count("\n") for text in words), default=0)
    return reads, words, high, 0.34 + LINE_HIGH * (1 + reads.count("\n") + lines) + high + 0.3


def _draw(axes: Axes, panel: Panel) -> None:
    if panel.pixels is not None:
        h, w = panel.pixels.shape[:2]
        axes.imshow(panel.pixels, interpolation="nearest", aspect="equal" if h == w else "auto")
        _bare(axes)
    elif panel.nmi is not None:
        apart = min(72 * WIDE / (len(panel.nmi) + 0.2), 72 * FLAT / (max(map(len, panel.nmi)) + 0.2))
        size = (0.68 * apart) ** 2  # points²: a little less than the way from one mark to the next
        for name, pattern in PATTERNS.items():
            spots = heads_of(panel.nmi, panel.bands, name)
            across, down = zip(*spots, strict=True) if spots else ((), ())
            axes.scatter(across, down, s=size, marker=pattern.marker, color=pattern.light, linewidths=0)
        axes.set(xlim=(-0.6, len(panel.nmi) - 0.4), ylim=(max(map(len, panel.nmi)) - 0.4, -0.6), aspect="equal")
        _bare(axes)
    else:
        depth = np.linspace(0, 1, len(panel.mean)) if len(panel.mean) > 1 else np.array([0.5])
        axes.fill_between(depth, panel.quantiles[:, 0], panel.quantiles[:, -1], color=LINE, alpha=0.18, lw=0)
        axes.plot(depth, panel.mean, color=LINE, marker="o", ms=3.5, lw=1.6)
        axes.axhline(0, color=HAIR, lw=0.8)
        axes.set(xlim=(-0.03, 1.03), ylim=(-1, 1.03), xticks=[], yticks=[-1, 0, 1])
        axes.tick_params(labelsize=8)
    axes.set_anchor("NW")


def _bare(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
