"""Small pictures for a wall of many: pixels in the colours of the live views, and lines and marks as SVG.

Pixels are `h w 3`, uint8. Colours of SVG follow the page's `color-scheme`, light or dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from labkit.viz.patterns import Bands, Grid, pattern_of
from labkit.viz.theme import PATTERNS, SHARES, colour_table

Pixels = NDArray[np.uint8]
Numbers = NDArray[np.floating]

SIDE = 224
CORNER = 0.5**0.5
QUERY = np.array([0x3B, 0xE4, 0xFF], dtype=np.uint8)
WIDE, HIGH, LEFT = 160, 96, 16  # of a chart, in its own units; the left margin holds the scale


def lit(photo: Pixels, level: Numbers, alpha: float | Numbers) -> Pixels:
    """The grey photo under `level` (0..1, of any size) in the colours of shares; `alpha` 0..1: how much is covered."""
    height, width = photo.shape[:2]
    colours = colour_table(SHARES)[(255 * np.clip(np.nan_to_num(level), 0, 1)).round().astype(int)]
    grey = (photo @ np.array([0.2126, 0.7152, 0.0722]))[..., None]
    cover = stretched(np.broadcast_to(alpha, level.shape), height, width)[..., None]
    return (cover * stretched(colours, height, width) + (1 - cover) * grey).round().astype(np.uint8)


def heated(photo: Pixels, heat: Numbers) -> Pixels:
    """The grey photo under heat (0..1): where there is none, the photo shows through."""
    return lit(photo, heat, 0.85 * np.clip(heat, 0, 1) ** 0.6)


def glowing(photo: Pixels, level: Numbers) -> Pixels:
    """The grey photo under `level` (0..1), where low levels are to be seen too: covered a little, and more with it."""
    return lit(photo, level, 0.5 + 0.4 * np.clip(level, 0, 1))


def stretched(values: NDArray, height: int, width: int) -> NDArray:
    """`h w …` at `height width`, cell by cell."""
    rows, columns = (
        np.arange(side) * cells // side for side, cells in zip((height, width), values.shape, strict=False)
    )
    return values[rows][:, columns]


def framed(pixels: Pixels, box: tuple[float, float, float, float]) -> Pixels:
    """A line around the box (top, left, bottom, right, as shares of the picture, 0..1), cut at the picture's border."""
    height, width = pixels.shape[:2]
    sides = (height, width, height, width)
    top, left, bottom, right = (round(float(np.clip(one, 0, 1)) * side) for one, side in zip(box, sides, strict=True))
    inside = np.zeros((height, width), dtype=bool)
    inside[top:bottom, left:right] = True
    drawn = pixels.copy()
    for colour, thick in ((np.zeros(3, dtype=np.uint8), 4), (QUERY, 2)):
        within = np.zeros_like(inside)
        within[top + thick : max(bottom - thick, 0), left + thick : max(right - thick, 0)] = True
        drawn[inside & ~within] = colour
    return drawn


def spectrum(
    radial: Sequence[Numbers], grids: Sequence[Grid], limits: tuple[float, float], *, high: int = 64
) -> Pixels:
    """`high layers 3`: each layer's values by frequency, the mean below and the corner above, coloured over `limits`.

    radial   one array of rings a layer; ring k lies at k / (longer side of the grid)
    """
    at = (np.arange(high)[::-1] + 0.5) / high * CORNER
    columns = [
        values[np.minimum((at * max(grid) + 0.5).astype(int), len(values) - 1)]
        for values, grid in zip(radial, grids, strict=True)
    ]
    low, top = limits
    level = np.clip((np.stack(columns, axis=1) - low) / max(top - low, 1e-9), 0, 1)
    return colour_table(SHARES)[(255 * level).round().astype(int)]


def strip(nmi: Sequence[Numbers], *, bands: Bands, words: str) -> str:
    """SVG: one mark a layer (across) and head (down), in the colour and shape of its pattern."""
    cell = 10
    wide, high = cell * len(nmi), cell * max(len(one) for one in nmi)
    marks = []
    for layer, heads in enumerate(nmi):
        for head, value in enumerate(heads):
            name = pattern_of(float(value), bands)
            if name:
                marks.append(_mark(name, cell * (layer + 0.5), cell * (head + 0.5)))
    return _svg(wide, high, "".join(marks), words)


def curve(mean: Numbers, quantiles: Numbers, *, words: str) -> str:
    """SVG: the mean by depth from -1 to 1, and the band between the first and the last of `layers quantiles`."""
    x = LEFT + (WIDE - LEFT - 4) * np.linspace(0, 1, len(mean)) if len(mean) > 1 else np.array([(LEFT + WIDE) / 2])

    def y(values: Numbers | float) -> Numbers | float:
        return 4 + (HIGH - 8) * (1 - values) / 2

    def path(rows: Numbers, columns: Numbers = x) -> str:
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(columns, rows, strict=True))

    around = f"{path(y(quantiles[:, 0]))} {path(y(quantiles[::-1, -1]), x[::-1])}"
    lines = "".join(
        f'<line x1="{LEFT}" x2="{WIDE - 4}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="currentColor" stroke-width="0.6" '
        f'opacity="{0.5 if v == 0 else 0.25}"/><text x="{LEFT - 4}" y="{y(v) + 3:.1f}" text-anchor="end" font-size="9" '
        f'fill="currentColor">{text}</text>'
        for v, text in ((1, "1"), (0, "0"), (-1, "−1"))
    )
    ink = "light-dark(#4338a8, #a9a5ff)"
    dots = "".join(
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="1.9" style="fill:{ink}"/>' for a, b in zip(x, y(mean), strict=True)
    )
    shapes = (
        f'<polygon points="{around}" style="fill:{ink}" opacity="0.2"/>'
        f'<polyline points="{path(y(mean))}" style="stroke:{ink}" fill="none" stroke-width="1.8"/>'
    )
    return _svg(WIDE, HIGH, lines + shapes + dots, words)


def _mark(name: str, x: float, y: float) -> str:
    pattern = PATTERNS[name]
    ink = f'style="fill:light-dark({pattern.light}, {pattern.dark})"'
    if pattern.marker == "o":
        return f'<circle cx="{x:g}" cy="{y:g}" r="3.9" {ink}/>'
    turned = f' transform="rotate(45 {x:g} {y:g})"' if pattern.marker == "D" else ""
    return f'<rect x="{x - 3.3:g}" y="{y - 3.3:g}" width="6.6" height="6.6" {ink}{turned}/>'


def _svg(wide: float, high: float, inner: str, words: str) -> str:
    size = f'viewBox="0 0 {wide:g} {high:g}" preserveAspectRatio="xMinYMin" style="aspect-ratio:{wide:g}/{high:g}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(words)}">{inner}</svg>'
