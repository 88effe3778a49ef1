"""From a picture to what a model takes in: the shorter side resized, the centre cut out, the channels normalised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Transform:
    """Resize the shorter side to `size / crop` pixels (anti-aliased), cut the central `size` x `size`, normalise.

    size            pixels a side of what the model sees
    mean, std       of RGB in 0..1
    crop            share of the shorter side that is kept, 0..1; timm calls it crop_pct
    interpolation   "bicubic" or "bilinear"
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop: float = 1.0
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 < self.crop <= 1 or min(self.std) <= 0:
            raise ValueError(f"{self}: expected size >= 1, crop above 0 and at most 1, every std above 0.")

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Where the view lies in a picture of this size: (top, left, bottom, right) in its pixels, ends excluded."""
        short = math.floor(self.size / self.crop)
        # The longer side is rounded down and the crop to the nearest even, as timm and torchvision do.
        columns = short if width <= height else int(short * width / height)
        rows = short if height <= width else int(short * height / width)
        top, left = round((rows - self.size) / 2), round((columns - self.size) / 2)
        y, x = height / rows, width / columns
        return top * y, left * x, (top + self.size) * y, (left + self.size) * x

    def view(self, image: Image.Image) -> Image.Image:
        """The square the model sees, as a picture of `size` x `size` pixels: draw overlays on this one."""
        top, left, bottom, right = self.box(*image.size)
        method = Image.Resampling[self.interpolation.upper()]
        # Pillow low-passes when it shrinks, and its filter reaches beyond the box: as if all were resized, then cut.
        return image.convert("RGB").resize((self.size, self.size), method, box=(left, top, right, bottom))

    def __call__(self, image: Image.Image) -> Float[Tensor, "3 height width"]:
        pixels = torch.from_numpy(np.array(self.view(image))).permute(2, 0, 1).float() / 255
        mean, std = torch.tensor(self.mean).view(3, 1, 1), torch.tensor(self.std).view(3, 1, 1)
        return (pixels - mean) / std
