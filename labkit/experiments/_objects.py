"""Pictures in which one knows where the object lies: photos of Tiny-ImageNet with their boxes, else made-up scenes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from labkit.data.scenes import scene
from labkit.data.tiny_imagenet import TinyImages, tiny_imagenet
from labkit.data.transforms import Transform
from labkit.pretrained import Pretrained
from labkit.probes.localisation import in_boxes


@dataclass(frozen=True)
class Objects:
    """Pictures as the model takes them in, with the pixels of their objects (of their boxes, for photos).

    labels   indices into the model's categories; for scenes, whose things it was never taught, its own answers
    photos   whether they are photos: only then a label is the truth
    """

    images: Float[Tensor, "n 3 h w"]
    masks: Bool[Tensor, "n h w"]
    labels: Int64[Tensor, "n"]
    photos: bool

    def cells(self, patch: int) -> Float[Tensor, "n cells"]:
        """The share of each patch that is object, 0..1, row by row."""
        return F.avg_pool2d(self.masks[:, None].float(), patch).flatten(1)


def objects(opened: Pretrained, *, count: int, seed: int, largest: float = 1.0, others: int = 0) -> Objects:
    """Validation photos of categories the model knows, drawn by the seed; scenes where there is no Tiny-ImageNet.

    largest   the share of the picture that an object covers at most, 0..1
    others    of scenes: so many objects beside the one
    """
    try:
        pack = validation()
    except FileNotFoundError:
        return made_up(opened, count=count, seed=seed, others=others)
    names = [opened.categories.index(name) if name in opened.categories else -1 for name in pack.categories]
    labels = torch.tensor(names)[pack.labels]
    masks = in_boxes(pack.boxes, tuple(pack.images.shape[-2:]))
    fits = (labels >= 0) & (masks.float().mean(dim=(1, 2)) <= largest)
    drawn = torch.randperm(len(pack), generator=torch.Generator().manual_seed(seed))
    drawn = drawn[fits[drawn]][:count]
    images = normalised(pack.images[drawn], opened.transform)
    return Objects(images, masks[drawn], labels[drawn], photos=True)


def made_up(opened: Pretrained, *, count: int, seed: int, others: int) -> Objects:
    """Scenes, and the pixels of all their objects."""
    size = (opened.transform.size,) * 2
    made = [scene(seed * count + i, size=size, others=others) for i in range(count)]
    masks = torch.stack([torch.stack([thing.mask for thing in one.things]).any(dim=0) for one in made])
    images = normalised(torch.stack([one.pixels for one in made]), opened.transform)
    with torch.inference_mode():
        answers = opened.model(images).argmax(dim=1)
    return Objects(images, masks, answers, photos=False)


def told(shares: Float[Tensor, "n classes"], labels: Int64[Tensor, "n"]) -> float:
    """The share of answers (logits or probabilities) that are right, 0..1."""
    return (shares.argmax(dim=1) == labels).float().mean().item()


def reader(tokens: Float[Tensor, "b n c"], on: Bool[Tensor, "b n"]) -> Callable[[Tensor], Tensor]:
    """Whether a token `… c` is one of an object, by the plane that fits these best: least squares, in float64."""
    known = F.pad(tokens.flatten(0, 1).double(), (0, 1), value=1)
    plane = torch.linalg.lstsq(known, on.flatten().double()[:, None]).solution
    return lambda asked: (F.pad(asked.double(), (0, 1), value=1) @ plane)[..., 0] > 0.5


@lru_cache(maxsize=1)
def validation() -> TinyImages:
    return tiny_imagenet("val")


def normalised(pixels: UInt8[Tensor, "n 3 h w"], transform: Transform) -> Float[Tensor, "n 3 h w"]:
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (transform.mean, transform.std))
    return (pixels.float() / 255 - mean) / std


def picture(image: Float[Tensor, "3 h w"], transform: Transform) -> UInt8[np.ndarray, "h w 3"]:
    """What `normalised` was given, to be shown."""
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (transform.mean, transform.std))
    return ((image * std + mean) * 255).round().clamp(0, 255).byte().movedim(0, -1).numpy()
