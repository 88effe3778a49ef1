"""What a trained model is asked about: pictures that it has not learned from, and photos; and what one costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from einops import reduce
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from labkit.data.images import open_image
from labkit.data.scenes import scene
from labkit.data.tiny_imagenet import TinyImages, tiny_imagenet
from labkit.data.transforms import Transform
from labkit.pretrained import Pretrained


@dataclass(frozen=True)
class Pictures:
    """Pictures as the model takes them.

    labels    an index into its categories; None where it has none that fits
    objects   where the object lies, 0..1
    said      what they are, in the plural
    """

    images: Float[Tensor, "n 3 height width"]
    labels: Int64[Tensor, "n"] | None
    objects: Float[Tensor, "n height width"]
    said: str

    def cells(self, grid: tuple[int, int]) -> Float[Tensor, "n cells"]:
        """The object's share of each cell of a grid, 0..1."""
        return F.adaptive_avg_pool2d(self.objects[:, None], grid).flatten(1)


def pictures(opened: Pretrained, *, count: int, seed: int) -> Pictures:
    """So many of the pictures that Tiny-ImageNet keeps for validation; made-up scenes where the archive is missing."""
    try:
        pack = _validation()
    except FileNotFoundError:
        return _scenes(opened, count=count, seed=seed)
    named = {name: label for label, name in enumerate(opened.categories)}
    label_of = torch.tensor([named.get(name, -1) for name in pack.categories])[pack.labels]
    known = (label_of >= 0).nonzero().flatten()
    chosen = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))[:count]]
    objects = _inside(pack.boxes[chosen], *pack.images.shape[2:])
    return Pictures(_seen(opened, pack.images[chosen]), label_of[chosen], objects, "pictures of Tiny-ImageNet")


def _scenes(opened: Pretrained, *, count: int, seed: int) -> Pictures:
    size = (opened.transform.size,) * 2
    made = [scene(seed * count + index, size=size) for index in range(count)]
    objects = torch.stack([torch.stack([thing.mask for thing in one.things]).any(dim=0) for one in made]).float()
    return Pictures(_seen(opened, torch.stack([one.pixels for one in made])), None, objects, "made-up scenes")


@lru_cache(maxsize=1)
def _validation() -> TinyImages:
    return tiny_imagenet("val")


def _seen(opened: Pretrained, pixels: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 height width"]:
    return torch.stack([opened.transform(Image.fromarray(one.movedim(0, -1).numpy())) for one in pixels])


def _inside(boxes: Int64[Tensor, "n 4"], height: int, width: int) -> Float[Tensor, "n height width"]:
    """1 within each box (top, left, bottom, right, ends included), 0 outside."""
    top, left, bottom, right = boxes[:, :, None].unbind(dim=1)
    rows, columns = torch.arange(height), torch.arange(width)
    down, across = (top <= rows) & (rows <= bottom), (left <= columns) & (columns <= right)
    return (down[:, :, None] & across[:, None]).float()


@torch.inference_mode()
def macs(model: nn.Module, image: Float[Tensor, "1 3 height width"]) -> int:
    """Multiply-adds of the model for one picture, with those of whatever makes its tokens fewer."""
    with FlopCounterMode(display=False) as counter:
        model(image)
    return counter.get_total_flops() // 2


@dataclass(frozen=True)
class Photo:
    """A photo as a model takes it, `1 3 side side`, and as a visitor sees it."""

    image: Float[Tensor, "1 3 side side"]
    view: UInt8[np.ndarray, "side side 3"]

    def mosaic(self, place: Int64[Tensor, "cells"]) -> Float[np.ndarray, "rows columns"]:
        """In grey, 0..1, each cell as bright as all cells of its token are on average; `place`: each cell's token."""
        rows = int(len(place) ** 0.5)
        pixels = torch.from_numpy(self.view.copy()).float() / 255
        cells = reduce(pixels, "(rows y) (columns x) c -> (rows columns)", "mean", rows=rows, columns=rows)
        sums = torch.zeros(int(place.max()) + 1).index_add(0, place, cells)
        return (sums / place.bincount())[place].view(rows, rows).numpy()


def photo_of(name: str, transform: Transform, *, side: int) -> Photo:
    """The photo of this name, its middle, `side` pixels a side."""
    larger, image = replace(transform, size=side), open_image(name)
    return Photo(larger(image)[None], np.asarray(larger.view(image)))
