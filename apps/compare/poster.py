"""The compare room's picture on the hub's wall: the same questions, asked of three networks."""

from __future__ import annotations

import numpy as np
from PIL import Image

from apps.compare.places import Place
from apps.compare.visits import Seen, visit
from apps.visits import Step

SIDE, GAP = 720, 12
ROWS = ("explain", "field", "mixing")


def poster() -> Image.Image:
    """What decided, how far a unit sees and what a token is made of (down), for each of the usual models (across)."""
    seen: Seen | None = None
    for step in visit(Place(image="astronaut", instruments=",".join(ROWS))):
        if isinstance(step, Step):
            continue
        seen = step
        if all((row, i) in seen.cells for row in ROWS for i in range(len(seen.columns))):
            break  # what it costs is not on the poster
    tile = (SIDE - GAP * (len(ROWS) - 1)) // len(ROWS)
    wall = Image.new("RGB", (SIDE, SIDE), "#141418")
    for down, row in enumerate(ROWS):
        for across in range(len(seen.columns)):
            pixels = getattr(seen.cells[row, across], "pixels", None)
            if pixels is not None:
                drawn = Image.fromarray(np.ascontiguousarray(pixels)).resize((tile, tile), Image.Resampling.LANCZOS)
                wall.paste(drawn, (across * (tile + GAP), down * (tile + GAP)))
    return wall
