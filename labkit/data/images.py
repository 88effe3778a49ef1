"""From a name, a path, bytes or a file to an upright RGB picture, or to one sentence that says why not."""

from __future__ import annotations

import difflib
import importlib.resources
import io
import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

MIN_SIDE = 8
"""The least number of pixels a side."""

MAX_PIXELS = 50_000_000
"""The most pixels in all: larger pictures are refused from their header, before a pixel is decoded."""

# No EPS or PDF: Pillow would start another program to draw them.
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")

ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm")

# scikit-image's own pictures that lie in its wheel and show something to look at.
PHOTOS = {
    "astronaut": "astronaut.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "rocket": "rocket.jpg",
    "motorcycle": "motorcycle_left.png",
    "camera": "camera.png",
    "clock": "clock_motion.png",
    "coins": "coins.png",
    "hubble": "hubble_deep_field.jpg",
    "moon": "moon.png",
    "retina": "retina.jpg",
    "brick": "brick.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
}

Source = str | os.PathLike[str] | bytes | BinaryIO | Image.Image


class BadImage(ValueError):
    """The picture cannot be used; the message is one sentence, fit for a screen."""


def photo_names() -> tuple[str, ...]:
    """Your own photos (the picture files in the folder `$LABKIT_PHOTOS`, each by its name without the ending) and those
    that are always there, without a network: scikit-image's, under the licences that it states."""
    return tuple(_photos())


def _photos() -> dict[str, Path]:
    """Name -> file of every photo, the visitor's own first."""
    own, folder = {}, os.environ.get("LABKIT_PHOTOS")
    if folder and Path(folder).is_dir():
        files = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in ENDINGS and path.is_file())
        own = {path.stem: path for path in files}
    ours = {name: _photo_folder() / file for name, file in PHOTOS.items() if name not in own}
    return own | {name: path for name, path in ours.items() if path.is_file()}


def open_image(source: Source) -> Image.Image:
    """Open a photo's name, a path, bytes, a binary file object or a Pillow picture, as RGB, turned upright.

    Transparency is laid on white, 16-bit grey is scaled to 8 bits, the first frame of an animation is taken.
    Raises BadImage when there is no usable picture of `MIN_SIDE` pixels a side to `MAX_PIXELS` in all.
    """
    if isinstance(source, Image.Image):
        what, opened = "the picture", source
    elif isinstance(source, bytes):
        what, opened = "the picture", _header(source, "the picture")
    elif isinstance(source, str | os.PathLike):
        path = _find(source)
        what = f"'{path.name}'" if str(source) not in photo_names() else str(source)
        opened = _header(_read(path, what), what)
    else:
        what = f"'{Path(getattr(source, 'name', 'the picture')).name}'" if hasattr(source, "name") else "the picture"
        opened = _header(source.read(), what)
    _check_size(opened, what)
    try:
        opened.load()
        return _rgb(ImageOps.exif_transpose(opened), what)
    except BadImage:
        raise
    # A damaged file makes Pillow's decoders raise nearly anything.
    except Exception as error:
        raise BadImage(f"{what} is damaged or cut short and cannot be decoded ({_brief(error)}).") from error


def _photo_folder() -> Path:
    return Path(str(importlib.resources.files("skimage"))) / "data"


def _find(source: str | os.PathLike[str]) -> Path:
    photos = _photos()
    if str(source) in photos:
        return photos[str(source)]
    path = Path(source).expanduser()
    try:
        kind = "folder" if path.is_dir() else "file" if path.is_file() else "other" if path.exists() else "nothing"
    except (OSError, ValueError) as error:  # a name too long, a null character, a folder we may not enter
        raise BadImage(f"{str(source)[:80]!r} cannot be opened ({_brief(error)}).") from error
    if kind == "file":
        return path
    if kind == "folder":
        raise BadImage(f"{str(source)!r} is a folder; name one picture file in it.")
    if kind == "other":
        raise BadImage(f"{str(source)!r} is not a regular file.")
    if path.suffix or path.parent != Path():
        raise BadImage(f"there is no file {str(source)!r}.")
    near = difflib.get_close_matches(str(source).lower(), photo_names(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the photos are {', '.join(photo_names())}."
    raise BadImage(f"there is no photo and no file named {str(source)!r}; {hint}")


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadImage(f"{what} cannot be read ({_brief(error)}).") from error


def _header(data: bytes, what: str) -> Image.Image:
    if not data:
        raise BadImage(f"{what} is empty (zero bytes).")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(f"{what} is too large: the most is {MAX_PIXELS // 10**6} million pixels.") from error
    except Image.UnidentifiedImageError as error:
        raise BadImage(f"{what} is not a picture that can be read (known: {', '.join(FORMATS)}).") from error
    except Exception as error:  # as above: a damaged header
        raise BadImage(f"{what} is damaged and cannot be opened ({_brief(error)}).") from error


def _check_size(image: Image.Image, what: str) -> None:
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise BadImage(f"{what} is too small: {width} x {height} pixels, the least is {MIN_SIDE} x {MIN_SIDE}.")
    if width * height > MAX_PIXELS:
        raise BadImage(
            f"{what} is too large: {width} x {height} pixels, the most is {MAX_PIXELS // 10**6} million in all."
        )


def _rgb(image: Image.Image, what: str) -> Image.Image:
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise BadImage(f"{what} holds 32-bit numbers, which have no agreed white; save it with 8 or 16 bits.")
        # Pillow's own conversion clips at 255, which turns nearly every 16-bit picture white.
        return Image.fromarray(np.round(levels / 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise BadImage(f"{what} holds floating-point numbers, which have no agreed white; save it with 8 or 16 bits.")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _brief(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error).splitlines()[0] if str(error) else type(error).__name__
    return text.rstrip(".")
