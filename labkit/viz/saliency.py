"""Figures of what mattered: heat over the photo, signed maps, and several methods side by side.

Throughout, a photo is `h w 3`, uint8; a heat is `h w`, 0 to 1, of any size (it is stretched over the photo); a signed
map is `h w`, above 0 for what speaks for the target, below for what speaks against.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import FigureBase
from numpy.typing import NDArray

from labkit.viz.theme import SHARES, percent

SIGNED = "RdBu_r"
"""The colour map of signed values: red speaks for, blue against, white is zero."""

Photo = NDArray[np.uint8]
Map = NDArray[np.floating]


def heat_over_photo(axes: Axes, photo: Photo, heat: Map, *, smooth: bool = True) -> None:
    """Paint heat (0 to 1) over the grey photo: the more heat, the less the photo shows through.

    smooth   False draws the cells of a coarse map as they are
    """
    _paint(axes, photo, heat, colours=SHARES, scale=Normalize(0, 1), strength=_strength(heat), smooth=smooth)


def signed_over_photo(axes: Axes, photo: Photo, values: Map, *, limit: float | None = None) -> float:
    """Paint signed values over the grey photo, cell by cell, red for and blue against; returns the scale's end.

    limit   the end of the symmetric scale; None: the largest magnitude in this map
    """
    limit = float(np.nanmax(np.abs(values), initial=0)) if limit is None else limit
    end = limit or 1.0
    strength = _strength(np.abs(values) / end)
    _paint(axes, photo, values, colours=SIGNED, scale=Normalize(-end, end), strength=strength, smooth=False)
    return limit


def heat_bar(figure: FigureBase, axes: Axes | Sequence[Axes], *, label: str = "share of the map's largest") -> Colorbar:
    """A colour bar of heat, 0 to 100 %, in the colours as they lie over mid grey."""
    steps = np.linspace(0, 1, 256)
    bar = _bar(figure, axes, _over_grey(SHARES, steps, _strength(steps)), Normalize(0, 1), label)
    ticks = np.linspace(0, 1, 5)
    bar.set_ticks(ticks, labels=[percent(tick) for tick in ticks])
    return bar


def signed_bar(figure: FigureBase, axes: Axes | Sequence[Axes], *, limit: float, label: str) -> Colorbar:
    """A colour bar of signed values from -limit to limit; the label holds the unit."""
    end = limit or 1.0
    steps = np.linspace(0, 1, 256)
    bar = _bar(figure, axes, _over_grey(SIGNED, steps, _strength(np.abs(2 * steps - 1))), Normalize(-end, end), label)
    bar.set_ticks([-end, 0, end], labels=[f"{-end:.2g}", "0", f"{end:.2g}"])
    return bar


def _strength(heat: Map) -> Map:
    """How much of the photo is covered: nothing at 0, most at 1."""
    return 0.85 * np.clip(np.nan_to_num(heat), 0, 1) ** 0.6


def _paint(
    axes: Axes, photo: Photo, values: Map, *, colours: str, scale: Normalize, strength: Map, smooth: bool
) -> None:
    height, width = photo.shape[:2]
    extent = (0, width, height, 0)
    grey = photo @ np.array([0.2126, 0.7152, 0.0722])
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=extent)
    how = "bilinear" if smooth else "nearest"
    axes.imshow(values, cmap=colours, norm=scale, alpha=strength, extent=extent, interpolation=how)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _over_grey(colours: str, steps: Map, strength: Map) -> ListedColormap:
    colour = matplotlib.colormaps[colours](steps)[:, :3]
    return ListedColormap(strength[:, None] * colour + (1 - strength[:, None]) * 0.5)


def _bar(
    figure: FigureBase, axes: Axes | Sequence[Axes], colours: ListedColormap, scale: Normalize, label: str
) -> Colorbar:
    bar = figure.colorbar(ScalarMappable(scale, cmap=colours), ax=axes, shrink=0.86, aspect=26, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    bar.set_label(label)
    return bar
