"""Figures of embeddings: tokens as colours, vectors as points or as what they are cut from, and nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from numpy.typing import NDArray

from labkit.viz.depth import across, evenly
from labkit.viz.theme import HAIR, INK, QUIET, style

Numbers = NDArray[np.floating]
Photo = NDArray[np.uint8]

MOST_THUMBS = 300
"""More points than this are drawn as dots in the mean colour of what they are cut from."""


def token_pictures(
    photos: Sequence[Photo], colours: Sequence[Numbers], *, names: Sequence[str], most: int = 11, title: str = ""
) -> Figure:
    """Each photo (a row) and its tokens as colours, layer by layer: `pictures h w 3`, 0..1, a layer; NaN is left grey.

    Equal colours are equal tokens within a layer; between layers they need not mean the same.
    """
    with style():
        chosen = evenly(len(colours), most)
        rows = len(photos)
        wide = len(chosen) + 1 if rows > 1 else across(len(chosen) + 1, 7)
        lines = rows if rows > 1 else -(-(len(chosen) + 1) // wide)
        figure = Figure(figsize=(1.72 * wide + 0.2, 1.95 * lines + 0.4), layout="constrained")
        panels = figure.subplots(lines, wide, squeeze=False)
        flat = panels if rows > 1 else panels.reshape(1, -1)
        for axes in panels.ravel():
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        for row, photo in enumerate(photos):
            flat[row, 0].imshow(photo)
            for axes, i in zip(flat[row, 1:], chosen, strict=False):
                painted = np.where(np.isnan(colours[i][row]), to_rgb(HAIR), colours[i][row])
                axes.imshow(painted, interpolation="nearest", aspect="auto")
                axes.set_box_aspect(photo.shape[0] / photo.shape[1])
                if row == 0:
                    axes.set_title(f"{i}  {names[i]}", fontsize=9.5, pad=4)
        flat[0, 0].set_title("photo", fontsize=9.5, pad=4)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
        return figure


def scatter(
    points: Numbers, thumbs: Sequence[Photo], *, share: Numbers | None = None, kind: str = "PCA", title: str = ""
) -> Figure:
    """The points `n 2`, each drawn as the small picture it stands for.

    share   `2`: the share of the variance on each axis, for PCA; None: the axes have no numbers (UMAP has no unit)
    """
    with style():
        figure = Figure(figsize=(8.6, 7.2), layout="constrained")
        axes = figure.subplots()
        if len(points) > MOST_THUMBS:
            ink = np.stack([thumb.reshape(-1, 3).mean(axis=0) / 255 for thumb in thumbs])
            axes.scatter(points[:, 0], points[:, 1], s=26, c=ink, edgecolor="white", lw=0.3)
        else:
            axes.scatter(points[:, 0], points[:, 1], s=0)
            side = float(np.clip(260 / np.sqrt(len(points)), 18, 78))
            for point, thumb in zip(points, thumbs, strict=True):
                picture = OffsetImage(thumb, zoom=side / max(thumb.shape[:2]), interpolation="bilinear")
                axes.add_artist(AnnotationBbox(picture, point, frameon=False, pad=0))
        if share is None:
            axes.set(
                xticks=[], yticks=[], xlabel=f"{kind}, first axis (no unit)", ylabel=f"{kind}, second axis (no unit)"
            )
        else:
            labels = [f"component {k + 1} ({part:.0%} of the variance)" for k, part in enumerate(share)]
            axes.set(xlabel=labels[0], ylabel=labels[1])
        axes.margins(0.1)
        axes.set_title(title)
        return figure


def neighbours(
    thumbs: Sequence[Photo], index: NDArray[np.integer], cosine: Numbers, *, queries: Sequence[int], title: str = ""
) -> Figure:
    """Some vectors (left) and their nearest (to the right), with the cosine below each.

    index, cosine   `queries k`; `queries` says which thumb each row asks for
    """
    with style():
        down, wide = index.shape
        figure = Figure(figsize=(1.15 * (wide + 1) + 0.6, 1.32 * down + 0.6), layout="constrained")
        panels = figure.subplots(down, wide + 1, squeeze=False)
        for row, query in enumerate(queries):
            _thumb(panels[row, 0], thumbs[query], "asks", INK)
            panels[row, 0].spines[:].set(visible=True, color=INK, linewidth=1.8)
            for axes, at, near in zip(panels[row, 1:], index[row], cosine[row], strict=True):
                _thumb(axes, thumbs[at], f"{near:.2f}", QUIET)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
        return figure


def _thumb(axes: Axes, thumb: Photo, text: str, colour: str) -> None:
    axes.imshow(thumb)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=HAIR)
    axes.set_xlabel(text, fontsize=9.5, color=colour, labelpad=2)
