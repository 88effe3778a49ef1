"""Made-up pictures with known answers: coloured shapes on a textured ground, where each pixel's owner is certain.

They are the ground truth for attribution: the label depends on one property of one object, and nothing else in the
picture tells anything about it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image
from torch import Tensor

Carrier = Literal["shape", "colour", "texture", "position"]
Grid = np.ndarray

MIN_SIDE = 24
"""The least number of pixels a side: below it the shapes can no longer be told apart."""


@dataclass(frozen=True)
class Thing:
    """One object in a scene.

    mask   its pixels, `h w`; nothing covers it
    box    (top, left, bottom, right) in pixels, ends included
    """

    shape: str
    colour: str
    texture: str
    mask: Bool[Tensor, "h w"]
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Scene:
    """A picture of which everything is known.

    pixels       uint8 RGB, `3 h w`
    background   the same picture without any object: it differs from `pixels` exactly on the objects
    target       the object that carries the label
    others       objects that tell nothing about the label
    carrier      the property of the target that is the label
    label        an index into `categories`
    """

    pixels: UInt8[Tensor, "3 h w"]
    background: UInt8[Tensor, "3 h w"]
    target: Thing
    others: tuple[Thing, ...]
    carrier: Carrier
    label: int
    categories: tuple[str, ...]

    @property
    def image(self) -> Image.Image:
        return Image.fromarray(self.pixels.permute(1, 2, 0).numpy())

    @property
    def mask(self) -> Bool[Tensor, "h w"]:
        """The pixels of the target."""
        return self.target.mask

    @property
    def things(self) -> tuple[Thing, ...]:
        return (self.target, *self.others)


# A shape is a test of centred coordinates (down, right) within the disc of radius 1. "cross" never carries a label.
SHAPES: dict[str, Callable[[Grid, Grid], Grid]] = {
    "disc": lambda y, x: y**2 + x**2 <= 0.8,
    "square": lambda y, x: np.maximum(abs(y), abs(x)) <= 0.7,
    "triangle": lambda y, x: (y <= 0.5) & (y >= np.sqrt(3) * abs(x) - 1),
    "ring": lambda y, x: (y**2 + x**2 <= 0.95) & (y**2 + x**2 >= 0.28),
    "cross": lambda y, x: (np.minimum(abs(y), abs(x)) <= 0.24) & (np.maximum(abs(y), abs(x)) <= 0.9),
}
# A texture chooses, by centred coordinates in pixels, which pixels are dark. "plain" never carries a label.
TEXTURES: dict[str, Callable[[Grid, Grid], Grid]] = {
    "stripes": lambda y, x: (y // 3) % 2 == 0,
    "checks": lambda y, x: (y // 3 + x // 3) % 2 == 0,
    "dots": lambda y, x: (y % 5 - 2) ** 2 + (x % 5 - 2) ** 2 <= 1,
    "waves": lambda y, x: np.sin(x * 0.9 + 2 * np.sin(y * 0.5)) > 0,
    "plain": lambda y, x: np.zeros(np.broadcast(y, x).shape, bool),
}
# Light and dark parts both lie outside the ground's range (80..175) in some channel. "grey" never carries a label.
COLOURS = {
    "red": (225, 45, 40),
    "green": (35, 190, 70),
    "blue": (45, 85, 230),
    "yellow": (240, 205, 30),
    "grey": (235, 235, 235),
}
QUARTERS = ("top left", "top right", "bottom left", "bottom right")
CATEGORIES: dict[Carrier, tuple[str, ...]] = {
    "shape": tuple(SHAPES)[:-1],
    "colour": tuple(COLOURS)[:-1],
    "texture": tuple(TEXTURES)[:-1],
    "position": QUARTERS,
}
GROUND_LOW, GROUND_HIGH, DARK = 80, 175, 0.32


def scene(
    seed: int,
    *,
    size: tuple[int, int] = (96, 128),
    carrier: Carrier = "shape",
    label: int | None = None,
    others: int = 2,
) -> Scene:
    """A scene; the same seed and options give the same scene.

    size      (height, width) in pixels, at least `MIN_SIDE` each
    carrier   what the label is: the target's shape, colour, texture, or the quarter of the picture its centre lies in
    label     0..3, an index into `CATEGORIES[carrier]`; None lets the seed choose
    others    how many objects that carry no label; fewer come where there is no room

    All other properties are drawn independently of the label. The objects without a label have the one value of the
    carrier that is no category ("cross", "grey", "plain"); where the position is the label, the target is the only
    coloured object.
    """
    height, width = size
    if carrier not in CATEGORIES:
        raise ValueError(f"scene(carrier={carrier!r}): expected one of {', '.join(CATEGORIES)}.")
    categories = CATEGORIES[carrier]
    if min(size) < MIN_SIDE or others < 0 or not (label is None or 0 <= label < len(categories)):
        raise ValueError(
            f"scene(size={size}, label={label}, others={others}): expected sides of at least {MIN_SIDE} pixels, "
            f"a label of 0..{len(categories) - 1} or None, and no negative number of others."
        )
    rng = np.random.default_rng(seed)
    drawn = int(rng.integers(len(categories)))
    label = drawn if label is None else label

    ground = _ground(height, width, rng)
    picture, taken = ground.copy(), np.zeros((height, width), bool)
    radius = min(size) * rng.uniform(0.17, 0.23)
    looks = {name: str(rng.choice(CATEGORIES[name])) for name in ("shape", "colour", "texture")}
    quarter = label if carrier == "position" else int(rng.integers(4))
    if carrier != "position":
        looks[carrier] = categories[label]
    target = _draw(picture, taken, _in_quarter(quarter, height, width, radius, rng), radius, looks)

    neutral = {"shape": "cross", "colour": "grey", "texture": "plain"}
    plain = "colour" if carrier == "position" else carrier
    placed = []
    for _ in range(others):
        radius = min(size) * rng.uniform(0.12, 0.18)
        centre = _free(taken, radius, rng)
        if centre is None:
            break
        looks = {name: str(rng.choice(CATEGORIES[name])) for name in neutral} | {plain: neutral[plain]}
        placed.append(_draw(picture, taken, centre, radius, looks))
    pixels, background = (torch.from_numpy(array.transpose(2, 0, 1).copy()) for array in (picture, ground))
    return Scene(pixels, background, target, tuple(placed), carrier, label, categories)


def _ground(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Muted colour noise of three coarsenesses, `h w 3`, between GROUND_LOW and GROUND_HIGH."""
    total = np.zeros((height, width, 3))
    for cell, strength in ((16, 1.0), (6, 0.6), (2, 0.35)):
        shape = (height // cell + 2, width // cell + 2)
        grey, tint = rng.standard_normal(shape)[..., None], 0.35 * rng.standard_normal((*shape, 3))
        coarse = torch.from_numpy(grey + tint).permute(2, 0, 1)[None]
        smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=True)
        total += strength * smooth[0].permute(1, 2, 0).numpy()
    middle, reach = (GROUND_LOW + GROUND_HIGH) / 2, (GROUND_HIGH - GROUND_LOW) / 2
    return np.round(middle + reach * np.tanh(total * 0.5)).astype(np.uint8)


def _in_quarter(quarter: int, height: int, width: int, radius: float, rng: np.random.Generator) -> tuple[float, float]:
    """A centre in that quarter of the picture, far enough from the edge, and a pixel off the middle lines."""
    (row, column), centre = divmod(quarter, 2), []
    for half, side in ((row, height), (column, width)):
        low, high = (side / 2 + 1, side - radius) if half else (radius, side / 2 - 1)
        centre.append(rng.uniform(low, high))
    return centre[0], centre[1]


def _free(taken: np.ndarray, radius: float, rng: np.random.Generator) -> tuple[float, float] | None:
    """A place where a disc of that radius, and one pixel around it, touches no object; None when no try finds one."""
    height, width = taken.shape
    y, x = _centres(height, width)
    for _ in range(60):
        row, column = rng.uniform(radius, height - radius), rng.uniform(radius, width - radius)
        if not taken[(y - row) ** 2 + (x - column) ** 2 <= (radius + 1) ** 2].any():
            return row, column
    return None


def _draw(
    picture: np.ndarray, taken: np.ndarray, centre: tuple[float, float], radius: float, looks: dict[str, str]
) -> Thing:
    """Paint one object into `picture`, mark its pixels in `taken`, and return what it is."""
    y, x = (grid - middle for grid, middle in zip(_centres(*taken.shape), centre, strict=True))
    # A pixel belongs to the object or not, by its centre: no soft edge, so that the mask is exact.
    mask = SHAPES[looks["shape"]](y / radius, x / radius)
    dark = TEXTURES[looks["texture"]](np.floor(y), np.floor(x)) & mask
    picture[mask] = COLOURS[looks["colour"]]
    picture[dark] = np.array(COLOURS[looks["colour"]]) * DARK
    taken |= mask
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    box = (int(rows[0]), int(columns[0]), int(rows[-1]), int(columns[-1]))
    return Thing(mask=torch.from_numpy(mask), box=box, **looks)


def _centres(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:height, :width] + 0.5
    return y, x
