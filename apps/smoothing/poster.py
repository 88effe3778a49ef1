"""The over-smoothing room's picture on the hub's wall."""

from __future__ import annotations

import matplotlib
import numpy as np
from PIL import Image

from labkit.session import sit
from labkit.session.smoothings import smoothed
from labkit.viz.depth import SIGNED

SIDE = 720
INSET = 250


def poster() -> Image.Image:
    """The photo, painted with the likes of one patch behind the last block, and the matrix it is a row of."""
    sitting = sit("lab/vit", "chelsea")
    last = smoothed(sitting).found.whole.layers[-1]
    cosines = last.centred[0].cpu().numpy()
    h, w = last.grid
    likes = cosines[h // 2 * w + w // 2].reshape(h, w)
    picture = sitting.picture.convert("L").convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    picture = Image.blend(picture, _coloured(likes, SIDE, Image.Resampling.BICUBIC), 0.62)
    edge = SIDE - INSET - 24
    picture.paste((255, 255, 255), (edge - 6, edge - 6, edge + INSET + 6, edge + INSET + 6))
    picture.paste(_coloured(cosines, INSET, Image.Resampling.NEAREST), (edge, edge))
    return picture


def _coloured(cosines: np.ndarray, side: int, how: Image.Resampling) -> Image.Image:
    """Cosines `h w` as a square in the colours of the live view."""
    level = Image.fromarray(cosines.astype(np.float32)).resize((side, side), how)
    colours = matplotlib.colormaps[SIGNED]((np.asarray(level) + 1) / 2)[..., :3]
    return Image.fromarray((255 * colours).round().astype(np.uint8))
