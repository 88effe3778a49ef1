"""Figures of what mattered: heat over the photo, signed maps, and several methods side by side.

Throughout, a photo is `h w 3`, uint8; a heat is `h w`, 0 to 1, of any size (it is stretched over the photo); a signed
map is `h w`, above 0 for what speaks for the target, below for what speaks against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure, FigureBase
from numpy.typing import NDArray

from labkit.viz.theme import QUIET, SHARES, percent, style

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


def side_by_side(
    photos: Sequence[Photo],
    heats: Mapping[str, Sequence[Map]],
    *,
    names: Sequence[str] = (),
    notes: Mapping[str, str] | None = None,
    title: str = "",
) -> Figure:
    """Each photo, and its heat by each method (0 to 1, one a photo), all on one scale; `names` of the photos at left.

    notes   a line below the panels of a method, by its name
    """
    with style():
        figure, rows = _panels(len(photos), len(heats), taller=0.25 if notes else 0.0)
        for row, (photo, panels) in enumerate(zip(photos, rows, strict=True)):
            _photo(panels[0], photo, names[row] if names else "the photo")
            for axes, (method, maps) in zip(panels[1:], heats.items(), strict=False):
                heat_over_photo(axes, photo, maps[row])
                axes.set_title(method if row == 0 or len(rows) == 1 else "", fontsize=11)
                axes.set_xlabel((notes or {}).get(method, ""), fontsize=9.5, color=QUIET)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5)
        heat_bar(figure, [axes for panels in rows for axes in panels])
        return figure


def signed_side_by_side(
    photos: Sequence[Photo],
    values: Mapping[str, Sequence[Map]],
    *,
    units: Mapping[str, str],
    names: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """Each photo, and the signed map by each method (one a photo), cell by cell, each on its own symmetric scale.

    units   of each method's values, for its bar
    """
    with style():
        figure, rows = _panels(len(photos), len(values), taller=0.75)
        for row, (photo, panels) in enumerate(zip(photos, rows, strict=True)):
            _photo(panels[0], photo, names[row] if names else "the photo")
            for axes, (method, maps) in zip(panels[1:], values.items(), strict=False):
                limit = signed_over_photo(axes, photo, maps[row])
                axes.set_title(method if row == 0 or len(rows) == 1 else "", fontsize=11)
                signed_bar(figure, axes, limit=limit, label=units[method], below=True)
        figure.suptitle(f"{title}\nred speaks for it, blue against", x=0.01, ha="left", fontsize=12.5)
        return figure


def heat_bar(figure: FigureBase, axes: Axes | Sequence[Axes], *, label: str = "share of the map's largest") -> Colorbar:
    """A colour bar of heat, 0 to 100 %, in the colours as they lie over mid grey."""
    steps = np.linspace(0, 1, 256)
    bar = _bar(figure, axes, _over_grey(SHARES, steps, _strength(steps)), Normalize(0, 1), label)
    ticks = np.linspace(0, 1, 5)
    bar.set_ticks(ticks, labels=[percent(tick) for tick in ticks])
    return bar


def signed_bar(
    figure: FigureBase, axes: Axes | Sequence[Axes], *, limit: float, label: str, below: bool = False
) -> Colorbar:
    """A colour bar of signed values from -limit to limit, at the right or below; the label holds the unit."""
    end = limit or 1.0
    steps = np.linspace(0, 1, 256)
    bar = _bar(
        figure, axes, _over_grey(SIGNED, steps, _strength(np.abs(2 * steps - 1))), Normalize(-end, end), label, below
    )
    bar.set_ticks([-end, 0, end], labels=[f"−{end:.2g}", "0", f"{end:.2g}"])
    return bar


def _panels(photos: int, methods: int, *, taller: float) -> tuple[Figure, list[list[Axes]]]:
    """One row a photo, with one panel more than there are methods; a single photo's row is broken to fit a page."""
    lines = 1 if photos > 1 else -(-(methods + 1) // 6)
    across = -(-(methods + 1) // lines)
    down = photos * lines
    figure = Figure(figsize=(2.1 * across + 0.9, (2.25 + taller) * down + 0.6), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.08)
    panels = figure.subplots(down, across, squeeze=False)
    for axes in panels.ravel():
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure, [list(row) for row in panels] if photos > 1 else [list(panels.ravel())]


def _photo(axes: Axes, photo: Photo, name: str) -> None:
    axes.imshow(photo)
    axes.set_title(name, fontsize=11)


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
    figure: FigureBase,
    axes: Axes | Sequence[Axes],
    colours: ListedColormap,
    scale: Normalize,
    label: str,
    below: bool = False,
) -> Colorbar:
    place = {"location": "bottom", "aspect": 18} if below else {"aspect": 26}
    bar = figure.colorbar(ScalarMappable(scale, cmap=colours), ax=axes, shrink=0.86, pad=0.02, **place)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    bar.set_label(label)
    return bar
