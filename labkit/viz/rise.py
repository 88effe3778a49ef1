"""Figures of RISE: the map as it grows out of the masks, and how sure it is of itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, FigureBase
from numpy.typing import NDArray

from labkit.viz.saliency import heat_bar, heat_over_photo
from labkit.viz.theme import SHARES, style

Photo = NDArray[np.uint8]
Map = NDArray[np.floating]


def running(
    photo: Photo,
    maps: Sequence[Map],
    errors: Sequence[Map],
    *,
    masks: Sequence[int],
    unit: str = "probability",
    title: str = "",
) -> Figure:
    """The photo; above, the map after so many masks, over the photo; below, its standard error at the same time.

    maps, errors   `h w` each, in `unit`, one for each number in `masks`. Each map is stretched from its least to its
                   largest value (the bar is of the last); all errors share one scale from 0
    """
    with style():
        figure = Figure(figsize=(2.15 * (len(maps) + 1) + 1.5, 5.2), layout="constrained")
        panels = figure.subplots(2, len(maps) + 1, squeeze=False)
        for axes in panels.ravel():
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        panels[0, 0].imshow(photo)
        panels[0, 0].set_title("the photo", fontsize=11)
        panels[1, 0].set_visible(False)
        most = max(float(np.max(error, initial=0, where=np.isfinite(error))) for error in errors) or 1.0
        extent = (0, photo.shape[1], photo.shape[0], 0)
        for above, below, found, error, n in zip(panels[0, 1:], panels[1, 1:], maps, errors, masks, strict=True):
            heat_over_photo(above, photo, _stretched(found))
            above.set_title(f"{n} masks" if n > 1 else "1 mask", fontsize=11)
            below.imshow(error, cmap=SHARES, vmin=0, vmax=most, extent=extent)
        panels[1, 1].set_title("its standard error", fontsize=11)
        _map_bar(figure, list(panels[0, 1:]), maps[-1], unit)
        _error_bar(figure, list(panels[1, 1:]), most, unit)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        return figure


def _stretched(found: Map) -> Map:
    low, high = float(found.min()), float(found.max())
    return (found - low) / (high - low) if high > low else np.zeros_like(found)


def _map_bar(figure: FigureBase, axes: list, last: Map, unit: str) -> None:
    bar = heat_bar(figure, axes, label=f"{unit},\npixel kept")
    low, high = float(last.min()), float(last.max())
    bar.set_ticks(np.linspace(0, 1, 5), labels=[f"{low + step * (high - low):.3g}" for step in np.linspace(0, 1, 5)])


def _error_bar(figure: FigureBase, axes: list, most: float, unit: str) -> None:
    bar = figure.colorbar(ScalarMappable(Normalize(0, most), cmap=SHARES), ax=axes, shrink=0.86, aspect=26, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    bar.set_label(f"standard error,\n{unit}")
    bar.set_ticks(np.linspace(0, most, 5), labels=[f"{step:.2g}" for step in np.linspace(0, most, 5)])
