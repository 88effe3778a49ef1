"""The explain room's picture on the hub's wall."""

from __future__ import annotations

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from apps.posters import lit
from labkit.session import sit
from labkit.session.explanations import Explained, explain_pair
from labkit.viz.depth import SIGNED

SIDE = 720


def poster() -> Image.Image:
    """The photo, half of it lit by RISE and half by Occlusion, with the divider between."""
    sitting = sit("lab/vit", "chelsea")
    left, right = explain_pair(sitting, ("rise", "occlusion")).sides
    picture = lit(sitting.picture, (left.raw - left.scale[0]).numpy(), side=SIDE)
    picture.paste(_signed(sitting.picture, right).crop((SIDE // 2, 0, SIDE, SIDE)), (SIDE // 2, 0))
    pen, middle = ImageDraw.Draw(picture), SIDE // 2
    pen.rectangle((middle - 3, 0, middle + 3, SIDE), fill="white")
    pen.ellipse((middle - 34, middle - 34, middle + 34, middle + 34), fill="white")
    for sign in (-1, 1):
        pen.polygon(
            [(middle + sign * 24, middle), (middle + sign * 9, middle - 11), (middle + sign * 9, middle + 11)],
            fill="black",
        )
    return picture


def _signed(photo: Image.Image, one: Explained) -> Image.Image:
    low, high = one.scale
    level = Image.fromarray(one.raw.numpy()).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    colours = matplotlib.colormaps[SIGNED]((np.asarray(level) - low) / (high - low))[..., :3]
    grey = np.asarray(photo.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS), dtype=float)[..., None]
    return Image.fromarray((0.6 * 255 * colours + 0.4 * grey).round().clip(0, 255).astype(np.uint8))
