"""The papers room's picture on the hub's wall: the same question, asked of the mechanisms that hang here."""

from __future__ import annotations

from importlib import import_module

import torch
from PIL import Image

from apps.posters import lit
from labkit.data.images import open_image
from labkit.data.transforms import Transform
from labkit.paper import catalogue
from labkit.probes.receptive_field import effective_fields

SIDE, GAP, PIXELS = 720, 12, 96
TRANSFORM = Transform(size=PIXELS, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
RAISED = 0.3
"""The exponent that lifts the weak parts of a field until they can be seen."""


def poster() -> Image.Image:
    """What the middle unit of four untrained mechanisms sees of the photo, side by side; the weak parts are lifted."""
    photo = open_image("astronaut")
    tile = (SIDE - GAP) // 2
    wall = Image.new("RGB", (SIDE, SIDE), "#141418")
    for place, exhibit in enumerate(catalogue()[:4]):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model, _ = import_module(f"labkit.{exhibit.file.removesuffix('.py').replace('/', '.')}").tiny()
        *_, last = effective_fields(model.eval(), TRANSFORM(photo)[None], how="abs")
        shares = (last.heat[0] / last.heat.max()).numpy() ** RAISED
        wall.paste(lit(TRANSFORM.view(photo), shares, side=tile), (place % 2 * (tile + GAP), place // 2 * (tile + GAP)))
    return wall
