"""Does the map lie on the object, and is what it shows enough for the model?

Sources
  pointing game    Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016; here without a margin
  energy           Wang et al., "Score-CAM", CVPR 2020 workshops, section 4.3
  drop, increase   Chattopadhay et al., "Grad-CAM++", WACV 2018, section 5.1
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from labkit.probes.inputs import Refused, check_mask
from labkit.probes.question import Question
from labkit.probes.ranking import Maps
from labkit.probes.saliency import resized
from labkit.probes.targets import Targets


@dataclass(frozen=True)
class Localisation:
    """How well each image's map lies on the object.

    pointing   `b`, 0..1: 1 where the highest pixel lies on the object; where several are highest, their share on it
    energy     `b`, 0..1: the share of the shown heat that lies on the object
    area       `b`, 0..1: the share of the picture that is the object, what a constant map has in both
    """

    pointing: Float[Tensor, "b"]
    energy: Float[Tensor, "b"]
    area: Float[Tensor, "b"]


@dataclass(frozen=True)
class Confidence:
    """What happens to the class's probability when only what the map shows is left of the picture.

    drop       `b`, 0..1: the share of it that is lost; 0 where it rises. Its mean is the "average drop": low is good
    increase   `b`, 0 or 1: whether it rises. Its mean is the "increase in confidence": high is good
    """

    drop: Float[Tensor, "b"]
    increase: Float[Tensor, "b"]


def shown(maps: Float[Tensor, "b h w"], size: tuple[int, int]) -> Float[Tensor, "b height width"]:
    """The heat that a viewer sees: what speaks for the class, bilinear at `size`, stretched to 0..1 for each image.

    A constant map shows nothing: zeros.
    """
    heat = resized(maps.detach().float(), size).clamp_min(0)
    low, high = heat.amin(dim=(1, 2), keepdim=True), heat.amax(dim=(1, 2), keepdim=True)
    return torch.where(high > low, (heat - low) / torch.where(high > low, high - low, 1), 0)


def localisation(maps: Float[Tensor, "b h w"], masks: Tensor) -> Localisation:
    """Pointing game and energy against the object's pixels, boolean masks `b height width`; maps are made as large.

    Of a map that shows nothing (constant, or nowhere above 0) the energy is the object's area: as good as chance.
    Raises Refused for masks that are not boolean, not one an image, or that mark all or none of the pixels.
    """
    check_mask(masks, maps.new_zeros(1, 1, 1, 1).expand(len(maps), 3, *masks.shape[-2:]))
    large = resized(maps.detach().float(), tuple(masks.shape[1:]))
    inside = masks.to(large)
    highest = (large == large.amax(dim=(1, 2), keepdim=True)).to(large)
    area = inside.mean(dim=(1, 2))
    heat = shown(maps, tuple(masks.shape[1:]))
    total = heat.sum(dim=(1, 2))
    energy = torch.where(total > 0, (heat * inside).sum(dim=(1, 2)) / torch.where(total > 0, total, 1), area)
    return Localisation((highest * inside).sum(dim=(1, 2)) / highest.sum(dim=(1, 2)), energy, area)


def in_boxes(boxes: Int64[Tensor, "b 4"], size: tuple[int, int]) -> Bool[Tensor, "b height width"]:
    """The pixels in boxes (top, left, bottom, right), ends included: masks for `localisation`."""
    row, column = (torch.arange(side, device=boxes.device) for side in size)
    top, left, bottom, right = (edge[:, None] for edge in boxes.unbind(dim=1))
    rows, columns = (row >= top) & (row <= bottom), (column >= left) & (column <= right)
    return rows[:, :, None] & columns[:, None, :]


def confidence(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    maps: Maps,
    *,
    targets: Targets = None,
    batch: int = 32,
) -> dict[str, Confidence]:
    """Average drop and increase for several methods: each image times its shown heat (0 is the mean colour).

    targets   a class, one an image, or None for the highest; functions have no share to lose and are refused
    """
    if callable(targets):
        raise Refused("a function was given as target: drop and increase are shares of a class's probability.")
    ask = Question(model, images, targets)
    before = ask.answers[:, 0]
    heat = torch.stack([shown(one.to(images.device), tuple(images.shape[-2:])) for one in maps.values()])
    after = torch.empty(heat.shape[:2], device=images.device)
    jobs = torch.cartesian_prod(*(torch.arange(n, device=images.device) for n in after.shape))
    for method, image in (rows.unbind(dim=1) for rows in jobs.split(batch)):
        after[method, image] = ask(images[image] * heat[method, image].to(images.dtype)[:, None], image)[:, 0]
    drop = ((before - after) / before).clamp_min(0)
    return {name: Confidence(drop[m], (after[m] > before).float()) for m, name in enumerate(maps)}
