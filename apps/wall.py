"""The pictures on the hub's wall, made by the lab itself: what lab/vit's class token looks at, photo by photo."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from apps.attention.visits import Place
from apps.links import address
from labkit.data.images import open_image
from labkit.session import Look, look
from labkit.viz.attention import BLEND
from labkit.viz.theme import colour_table
from labkit.widgets.attention import gradio_value
from labkit.widgets.figures import shares_of

MODEL = "lab/vit"
LIVE = "chelsea"
PHOTOS = ("astronaut", "coffee", "rocket", "motorcycle", "camera", "retina")
SIDE = 360


@dataclass(frozen=True)
class Hung:
    """A picture on the wall: the JPEG, what it says, and the door it is."""

    jpeg: bytes
    caption: str
    link: str


@lru_cache(maxsize=16)
def hung(photo: str) -> Hung:
    """The photo under the class token's attention in the last layer; the photo alone while there are no weights."""
    seen = _seen(photo)
    if seen is None:
        return Hung(
            _jpeg(_square(open_image(photo))), photo, f"/attention/{address(Place(image=photo, weights='none'))}"
        )
    last = len(seen.maps) - 1
    shares = shares_of(seen.maps[last], -1).mean(axis=0)
    caption = f"{photo}, taken for {seen.top[0][0]} ({seen.top[0][1]:.0%})" if seen.top else photo
    place = Place(model=MODEL, image=photo, layer=last, query=-1)
    return Hung(_jpeg(lit(seen.picture, shares)), caption, f"/attention/{address(place)}")


@lru_cache(maxsize=1)
def live() -> dict | None:
    """The value of the live picture (as for the Gradio view); None while there are no weights."""
    seen = _seen(LIVE)
    return None if seen is None else gradio_value(seen)


def lit(picture: Image.Image, shares: np.ndarray, *, side: int = SIDE) -> Image.Image:
    """The photo in grey, lit by `h w` shares in the colours of the live view."""
    grey = np.asarray(picture.convert("L").resize((side, side), Image.Resampling.LANCZOS), dtype=float)[..., None]
    level = np.nan_to_num(shares / max(float(np.nanmax(shares)), 1e-12))
    small = Image.fromarray((255 * level).round().astype(np.uint8))
    colours = colour_table()[np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))]
    return Image.fromarray((BLEND * colours + (1 - BLEND) * grey).round().clip(0, 255).astype(np.uint8))


def _seen(photo: str) -> Look | None:
    try:
        return look(MODEL, photo)
    except ValueError:
        return None


def _square(picture: Image.Image) -> Image.Image:
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "jpeg", quality=88)
    return file.getvalue()
