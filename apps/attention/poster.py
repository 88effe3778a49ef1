"""The attention room's picture on the hub's wall."""

from __future__ import annotations

from PIL import Image

from apps.posters import lit
from labkit.session import look
from labkit.widgets.figures import shares_of


def poster() -> Image.Image:
    """The photo, lit by what the class token takes from each place in the last layer (mean of the heads)."""
    seen = look("lab/vit", "astronaut")
    return lit(seen.picture, shares_of(seen.maps[-1], -1).mean(axis=0), side=720)
