"""The frequency room's picture on the hub's wall."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw

from labkit.data.images import open_image
from labkit.data.transforms import Transform
from labkit.probes.passband import filtered, high_pass, low_pass
from labkit.viz.theme import colour_table

SIDE = 720
LOW, HIGH = 0.025, 0.1


def poster() -> Image.Image:
    """One photo in three strips: its coarse waves, the photo, its fine waves; and the spectrum with the two borders."""
    picture = Transform(SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))(open_image("chelsea"))[None]
    coarse = filtered(picture, low_pass(LOW))
    fine = 0.42 + 2.6 * filtered(picture, high_pass(HIGH))
    third = SIDE // 3
    strips = [coarse[..., :third], picture[..., third : 2 * third], fine[..., 2 * third :]]
    pixels = (255 * torch.cat(strips, dim=-1)[0].clamp(0, 1)).byte().permute(1, 2, 0).numpy()
    poster = Image.fromarray(pixels)
    poster.paste(_plane(picture, edge := 236), (SIDE - edge - 24, SIDE - edge - 24))
    return poster


def _plane(picture: torch.Tensor, edge: int) -> Image.Image:
    """The log spectrum of the photo's grey, the mean in the middle, with rings at both cutoffs."""
    amplitude = torch.fft.fftshift(torch.fft.fft2(picture[0].mean(dim=0))).abs() / SIDE**2
    middle, reach = SIDE // 2, edge // 2
    level = amplitude[middle - reach : middle + reach, middle - reach : middle + reach].log10()
    level = ((level + 5.2) / 3.6).clamp(0, 1).numpy()
    plane = Image.fromarray(colour_table()[np.rint(255 * level).astype(np.uint8)])
    pen = ImageDraw.Draw(plane)
    for cutoff, colour in ((LOW, "#3be4ff"), (HIGH, "#ffffff")):
        radius = cutoff * SIDE
        pen.ellipse((reach - radius, reach - radius, reach + radius, reach + radius), outline=colour, width=3)
    pen.rectangle((0, 0, edge - 1, edge - 1), outline="#ffffff", width=4)
    return plane
