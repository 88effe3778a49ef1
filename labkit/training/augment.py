"""Whole batches at once, on the device they are on: crop, flip and light. (Mixtures: methods/objectives/cutmix.)"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Generator, Tensor


def random_view(
    images: UInt8[Tensor, "b 3 h w"], *, size: int, min_area: float, max_area: float = 1.0, rng: Generator
) -> Float[Tensor, "b 3 size size"]:
    """A random crop of `min_area`..`max_area` of the area (aspect 3:4 to 4:3), resized, half mirrored, in other light.

    Returns RGB in about 0..1 (light can push it a little outside). One affine map an image does crop, size and mirror.
    A crop that its aspect would push over the edge is cut there: down to 87 % of the area when `min_area` is 1.
    """
    b = len(images)
    device = images.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(b).uniform_(low, high, generator=rng).to(device)

    area, log_aspect = uniform(min_area, max_area), uniform(math.log(3 / 4), math.log(4 / 3))
    height = (area.sqrt() * (-log_aspect / 2).exp()).clamp(max=1)
    width = (area.sqrt() * (log_aspect / 2).exp()).clamp(max=1)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    theta = torch.zeros(b, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 0, 2] = width * mirror, (1 - width) * uniform(-1, 1)
    theta[:, 1, 1], theta[:, 1, 2] = height, (1 - height) * uniform(-1, 1)

    x = images.float() / 255
    if size < images.shape[-1]:  # shrink with a low-pass first: grid_sample alone would alias
        x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    grid = F.affine_grid(theta, [b, 3, size, size], align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)

    mean = x.mean(dim=(2, 3), keepdim=True)
    contrast, brightness = uniform(0.75, 1.25), uniform(-0.12, 0.12)
    return (x - mean) * contrast.view(b, 1, 1, 1) + mean + brightness.view(b, 1, 1, 1)


def recolour(x: Float[Tensor, "b 3 h w"], *, rng: Generator) -> Float[Tensor, "b 3 h w"]:
    """Each picture's colours weighed by 0.6..1.4, and one in five made grey: so that views are not told by colour."""
    b = len(x)
    gains = torch.empty(b, 3, 1, 1).uniform_(0.6, 1.4, generator=rng).to(x.device)
    grey = (torch.rand(b, 1, 1, 1, generator=rng) < 0.2).to(x.device)
    x = x * gains
    return torch.where(grey, x.mean(dim=1, keepdim=True), x)
