"""The pictures on the hub's wall, made by the lab itself: one a room, and what lab/vit's class token looks at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from apps.attention.visits import Place
from apps.links import address
from apps.posters import jpeg, lit, square
from apps.rooms import rooms
from labkit.data.images import open_image
from labkit.session import Look, look
from labkit.widgets.attention import gradio_value
from labkit.widgets.figures import shares_of

MODEL = "lab/vit"
LIVE = "chelsea"
PHOTOS = ("astronaut", "coffee", "rocket", "motorcycle", "camera", "retina")
POSTER = 720


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
        return Hung(jpeg(square(open_image(photo))), photo, f"/attention/{address(Place(image=photo, weights='none'))}")
    last = len(seen.maps) - 1
    shares = shares_of(seen.maps[last], -1).mean(axis=0)
    caption = f"{photo}, taken for {seen.top[0][0]} ({seen.top[0][1]:.0%})" if seen.top else photo
    place = Place(model=MODEL, image=photo, layer=last, query=-1)
    return Hung(jpeg(lit(seen.picture, shares)), caption, f"/attention/{address(place)}")


@lru_cache(maxsize=1)
def live() -> dict | None:
    """The value of the live picture (as for the Gradio view); None while there are no weights."""
    seen = _seen(LIVE)
    return None if seen is None else gradio_value(seen)


@lru_cache(maxsize=16)
def poster(room: str) -> bytes:
    """The JPEG that hangs for a room, made by the lab itself; the photo alone while there are no weights."""
    try:
        picture = rooms()[room].poster()
    except ValueError:
        picture = open_image(LIVE)
    return jpeg(square(picture, side=POSTER))


def _seen(photo: str) -> Look | None:
    try:
        return look(MODEL, photo)
    except ValueError:
        return None
