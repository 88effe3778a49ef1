"""The receptive-field room's picture on the hub's wall."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from apps.posters import lit
from labkit.session import sit
from labkit.session.fields import fields

SIDE = 720


def poster() -> Image.Image:
    """The photo, lit by what a deep unit of the residual network sees, in the square that it can see."""
    sitting = sit("lab/resnet", "astronaut")
    (field,) = fields(sitting, (0.3, 0.45), layers=["stages.2.0"])
    picture = lit(sitting.picture, np.log10(10**-2.5 + (field.heat / field.heat.max()).numpy()) + 2.5, side=SIDE)
    scale = SIDE / field.heat.shape[0]
    top, left, bottom, right = (round(scale * end) for end in field.box)
    ImageDraw.Draw(picture).rectangle((left, top, right, bottom), outline="white", width=5)
    return picture
