"""One look for every figure: type, ink, the colour map of shares, and the three colours of the attention patterns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import FigureBase
from numpy.typing import NDArray

INK, QUIET, HAIR, PAPER = "#1c1c22", "#62626c", "#d9d9df", "#ffffff"

SHARES = "magma"
"""The colour map of every share of attention: even to the eye, from dark (none) to light (the most)."""


@dataclass(frozen=True)
class Pattern:
    """How a pattern of attention is drawn: a colour on light and on dark ground, a marker, and what it means."""

    light: str
    dark: str
    marker: str
    meaning: str


# Three colours that stay apart for every common colour vision; the shape says the same again.
PATTERNS = {
    "local": Pattern("#c2500a", "#ffa94d", "o", "looks around itself"),
    "hybrid": Pattern("#0a8262", "#62e3b0", "D", "looks around itself and at what matters"),
    "global": Pattern("#4338a8", "#8f8bff", "s", "all queries look at the same places"),
}

_STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 11.5,
    "text.color": INK,
    "figure.facecolor": PAPER,
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "axes.facecolor": PAPER,
    "axes.edgecolor": "#9a9aa4",
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12.5,
    "axes.titlepad": 9,
    "axes.grid": False,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "svg.fonttype": "none",
}


@contextmanager
def style() -> Iterator[None]:
    """Draw inside this, and the figure has our look; the caller's rcParams are left as they were."""
    with matplotlib.rc_context(_STYLE):
        yield


def colour_table(name: str = SHARES) -> NDArray[np.uint8]:
    """`256 3`: the colour map as bytes, so that the live view and the printed figure agree."""
    return (matplotlib.colormaps[name](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


def share_bar(
    figure: FigureBase, axes: Axes | list[Axes], *, peak: float, label: str = "share of attention", aspect: float = 26
) -> Colorbar:
    """A colour bar from 0 to `peak` (a share, 0 to 1), in percent."""
    scale = ScalarMappable(Normalize(0, peak), cmap=SHARES)
    bar = figure.colorbar(scale, ax=axes, shrink=0.86, aspect=aspect, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    bar.set_label(label)
    ticks = np.linspace(0, peak, 5)
    bar.set_ticks(ticks, labels=[percent(tick) for tick in ticks])
    return bar


def percent(share: float) -> str:
    """A share (0 to 1) as a percentage with two digits: 0.1149 is "11 %", 0.00449 is "0.45 %", 0.00004 is "0 %"."""
    value = 100 * share
    if value >= 99.5 or value < 0.005:
        return f"{value:.0f} %"
    return f"{float(f'{value:.2g}'):g} %"
