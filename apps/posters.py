"""How the pictures for the hub's wall are made, whichever room hangs them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from labkit.viz.attention import BLEND
from labkit.viz.theme import colour_table

SIDE = 360


def lit(picture: Image.Image, shares: np.ndarray, *, side: int = SIDE) -> Image.Image:
    """The photo in grey, lit by `h w` shares in the colours of the live view."""
    grey = np.asarray(picture.convert("L").resize((side, side), Image.Resampling.LANCZOS), dtype=float)[..., None]
    level = np.nan_to_num(shares / max(float(np.nanmax(shares)), 1e-12))
    small = Image.fromarray((255 * level).round().astype(np.uint8))
    colours = colour_table()[np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))]
    return Image.fromarray((BLEND * colours + (1 - BLEND) * grey).round().clip(0, 255).astype(np.uint8))


def square(picture: Image.Image, *, side: int = SIDE) -> Image.Image:
    """The middle square of a picture."""
    edge = min(picture.size)
    left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
    return picture.crop((left, top, left + edge, top + edge)).resize((side, side))


def jpeg(picture: Image.Image) -> bytes:
    """The picture as a file."""
    file = io.BytesIO()
    picture.save(file, "jpeg", quality=88)
    return file.getvalue()
