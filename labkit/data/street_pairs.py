"""Streets seen in visible light and in heat, pixel upon pixel: RoadScene's pairs, read straight from a zip.

Source: Xu et al., "FusionDN: A Unified Densely Connected Network for Image Fusion", AAAI 2020: 221 aligned pairs.
"""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

VISIBLE, THERMAL = "roadscene/visible/", "roadscene/thermal/"


@dataclass(frozen=True)
class StreetPairs:
    """Aligned pictures, 0..255, the middle square of each; the thermal ones are grey, in three equal channels."""

    visible: UInt8[Tensor, "n 3 side side"]
    thermal: UInt8[Tensor, "n 3 side side"]


def find_street_pairs() -> Path:
    """The zip: `roadscene*.zip` in `$LABKIT_DATA`, a folder (of a file: the folder it lies in).

    Raises FileNotFoundError that says where it looked.
    """
    named = os.environ.get("LABKIT_DATA")
    if not named:
        raise FileNotFoundError("no thermal pairs: set LABKIT_DATA to the folder that holds roadscene*.zip.")
    folder = Path(named).parent if Path(named).is_file() else Path(named)
    archives = sorted(folder.glob("roadscene*.zip"))
    if not archives:
        raise FileNotFoundError(f"no thermal pairs: looked for roadscene*.zip in {folder}, which LABKIT_DATA names.")
    return archives[-1]


def street_pairs(*, count: int, side: int, seed: int, path: Path | str | None = None) -> StreetPairs:
    """So many pairs (all, where there are fewer), drawn by the seed, as squares of `side` pixels.

    Raises FileNotFoundError where there is no zip, ValueError for one that holds no pairs or for less than one pair.
    """
    if count < 1 or side < 1:
        raise ValueError(f"street_pairs(count={count}, side={side}): expected at least one pair and one pixel.")
    archive = Path(path) if path else find_street_pairs()
    try:
        with zipfile.ZipFile(archive) as pack:
            there = set(pack.namelist())
            names = sorted(one.removeprefix(VISIBLE) for one in there if one.startswith(VISIBLE) and one != VISIBLE)
            names = [name for name in names if THERMAL + name in there]
            drawn = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))[:count].tolist()
            views = [[_square(pack.read(f"{kind}{names[i]}"), side) for i in drawn] for kind in (VISIBLE, THERMAL)]
    except (zipfile.BadZipFile, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{archive} cannot be read as a zip of pictures: {error}.") from error
    if not names:
        raise ValueError(f"{archive} holds no pairs: expected {VISIBLE}NAME.jpg and {THERMAL}NAME.jpg.")
    return StreetPairs(*(torch.stack(one) for one in views))


def _square(data: bytes, side: int) -> UInt8[Tensor, "3 side side"]:
    with Image.open(io.BytesIO(data)) as picture:
        fitted = ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(fitted)).movedim(-1, 0).contiguous()
