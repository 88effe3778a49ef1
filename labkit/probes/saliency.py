"""Which places mattered for one number of the output: the form in which every such instrument answers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Saliency:
    """One signed map an image, as it was computed; `display` makes the picture that people know.

    raw       `b h w` on the grid of the layer (or of the pixels): above 0 speaks for the target, below 0 against it; in
              the units of the method, not normalised
    method    its name
    targets   the class of each image; None where a function was the target, or where there is none (EigenCAM)
    layer     dotted name of the layer that was read; None for methods that read the pixels
    note      a sentence that whoever looks at the map should know; None when there is nothing to say
    """

    raw: Float[Tensor, "b h w"]
    method: str
    targets: Int64[Tensor, "b"] | None = None
    layer: str | None = None
    note: str | None = None

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) in cells."""
        h, w = self.raw.shape[-2:]
        return h, w

    def display(self, size: tuple[int, int]) -> Float[Tensor, "b height width"]:
        """What speaks for the target, 0..1, at `size` pixels: ReLU, bilinear, each image divided by its own maximum.

        The scale of the values is lost, and so is what speaks against: compare images by `raw`. A map without anything
        above 0 gives zeros.
        """
        heat = resized(self.raw.float().clamp_min(0), size)
        peak = heat.amax(dim=(1, 2), keepdim=True)
        # Not `heat / (peak + eps)`: gradients are often smaller than any eps.
        return torch.where(peak > 0, heat / torch.where(peak > 0, peak, 1), 0)

    def signed(self, size: tuple[int, int]) -> Float[Tensor, "b height width"]:
        """The raw values, both signs and their units, bilinear at `size` pixels."""
        return resized(self.raw.float(), size)


def resized(maps: Float[Tensor, "b h w"], size: tuple[int, int]) -> Float[Tensor, "b height width"]:
    """Bilinear with cells as areas (corners not aligned); where a side shrinks, the mean over what falls together."""
    shrinks = size[0] < maps.shape[-2] or size[1] < maps.shape[-1]
    return F.interpolate(maps[:, None], size=size, mode="bilinear", antialias=shrinks)[:, 0]
