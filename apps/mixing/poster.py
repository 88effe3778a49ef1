"""The mixing room's picture on the hub's wall."""

from __future__ import annotations

from PIL import Image, ImageDraw

from apps.posters import lit
from labkit.session import sit
from labkit.session.mixtures import mixtures

SIDE = 720
QUERY = (2, 4)
SATURATED = 0.06


def poster() -> Image.Image:
    """The photo, lit by what one place is made of in the fourth block of the transformer, but for its own share."""
    sitting = sit("lab/vit", "astronaut")
    found = next(mixtures(sitting, first=3))["blocks.3"].map
    h, w = found.grid
    row, column = QUERY
    shares = found.shares[0, row * w + column].view(h, w)
    picture = lit(sitting.picture, shares.clamp(max=SATURATED).sub(shares.min()).numpy(), side=SIDE)
    box = [column * SIDE / w, row * SIDE / h, (column + 1) * SIDE / w, (row + 1) * SIDE / h]
    ImageDraw.Draw(picture).rectangle(box, outline="#3be4ff", width=6)
    return picture
