"""What figures by depth share: the axis of layers and its grids, lines coloured by depth, and which panels fit."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import FigureBase
from numpy.typing import NDArray

from labkit.viz.theme import HAIR, QUIET

Grid = tuple[int, int]

SIGNED = "RdBu_r"
"""The colour map of signed values, symmetric about zero: red above, blue below, white is zero."""


def depth_axis(axes: Axes, grids: Sequence[Grid]) -> None:
    """Layers from 0 along the x-axis, with a hair line and the grid's size above where it changes."""
    axes.set(xlabel="layer", xlim=(-0.5, len(grids) - 0.5))
    axes.xaxis.get_major_locator().set_params(integer=True)
    starts = [i for i, grid in enumerate(grids) if i == 0 or grid != grids[i - 1]]
    for start, end in zip(starts, [*starts[1:], len(grids)], strict=True):
        if start:
            axes.axvline(start - 0.5, color=HAIR, lw=0.8, zorder=0)
        # A stage of one block has no room for its size where there are many blocks.
        if end - start > 1 or len(grids) <= 8:
            axes.annotate(
                "{}×{}".format(*grids[start]),
                ((start + end - 1) / 2, 1),
                (0, 2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
                color=QUIET,
            )


def depth_colours(count: int) -> NDArray[np.floating]:
    """`count 4`: one colour a layer, from dark (the first) to light, none so light that it is lost on white."""
    return matplotlib.colormaps["viridis"](np.linspace(0.0, 0.88, max(count, 1)))


def depth_bar(figure: FigureBase, axes: Axes | list[Axes], count: int) -> Colorbar:
    """A colour bar that says which layer a line belongs to."""
    edges = np.arange(count + 1) - 0.5
    scale = ScalarMappable(BoundaryNorm(edges, count), ListedColormap(depth_colours(count)))
    bar = figure.colorbar(scale, ax=axes, shrink=0.86, aspect=26, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    bar.ax.minorticks_off()
    bar.set_ticks(sorted({0, count // 2, count - 1}))
    bar.set_label("layer")
    return bar


def evenly(count: int, most: int) -> list[int]:
    """At most `most` of `count` layers, evenly spaced, first and last among them."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(most, count))})


def across(count: int, most: int) -> int:
    """How many panels stand side by side, at most `most`, so that the last line is nearly full."""
    lines = -(-count // most)
    return -(-count // lines)
