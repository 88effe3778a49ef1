"""What is asked of the layers of a ViT that was brought up in several ways: how they look, where they find objects."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.data.street_pairs import street_pairs
from labkit.experiments._objects import normalised, reader
from labkit.models.backbones.vit import ViT
from labkit.pretrained import Pretrained
from labkit.probes.attention import attention_maps, measure
from labkit.probes.bootstrap import interval
from labkit.probes.layers import layers

WATCHED = 64
"""Pictures whose attention is measured."""
MEDIAN = 3
"""Pixels a side of the median that takes texture away; three times."""


def profile(vit: ViT, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "layers b"]:
    """The NMI of each layer's attention, heads averaged."""
    return torch.stack([measure(one).nmi.mean(dim=1) for one in attention_maps(vit, images)])


def different(profiles: list[Float[Tensor, "layers b"]]) -> float:
    """Of all pairs of profiles, layer by layer, the share whose difference has a sign beyond doubt (95 %), 0..1."""
    sure = [
        interval(sign * one[layer], sign * other[layer]).above_zero
        for i, one in enumerate(profiles)
        for other in profiles[:i]
        for layer in range(len(one))
        for sign in (1, -1)
    ]
    return 2 * sum(sure) / len(sure)


def grey(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """The pictures without colour: what a thermal camera would not see either."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True).expand_as(images)


def smooth(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Grey pictures without texture: a median of MEDIAN x MEDIAN pixels, three times, which leaves edges standing."""
    one = images[:, :1]
    for _ in range(3):
        around = F.unfold(F.pad(one, (MEDIAN // 2,) * 4, mode="replicate"), MEDIAN)
        one = around.median(dim=1).values.view_as(one)
    return one.expand_as(images)


def layers_of(vit: ViT, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b cells c"]]:
    """What each layer makes of the patches."""
    return [layer.tokens for layer in layers(vit, images)]


def found(
    fitted: Float[Tensor, "b cells c"], asked: Float[Tensor, "b cells c"], truth: Bool[Tensor, "b cells"]
) -> Float[Tensor, "half"]:
    """The overlap with objects, 0..1, in the second half of the pictures, of a plane fitted to the first half."""
    half = len(truth) // 2
    said, truth = reader(fitted[:half], truth[:half])(asked[half:]), truth[half:]
    return (said & truth).sum(dim=1) / (said | truth).sum(dim=1).clamp(min=1)


def in_heat(opened: Pretrained, *, seed: int) -> dict[str, list[float]]:
    """By layer: the NMI on streets by light and by heat, and how much more alike one place's two tokens are than those
    of two streets (cosine); nothing where there are no pairs."""
    try:
        pairs = street_pairs(count=WATCHED, side=opened.transform.size, seed=seed)
    except FileNotFoundError:
        return {}
    light, heat = (normalised(one, opened.transform) for one in (pairs.visible, pairs.thermal))
    alike = [
        alike_in_place(one, other).mean().item()
        for one, other in zip(layers_of(opened.model, light), layers_of(opened.model, heat), strict=True)
    ]
    nmi = {name: profile(opened.model, x).mean(dim=1).tolist() for name, x in (("light", light), ("heat", heat))}
    return {"NMI by light": nmi["light"], "NMI by heat": nmi["heat"], "alike at one place": alike}


def alike_in_place(one: Float[Tensor, "b cells c"], other: Float[Tensor, "b cells c"]) -> Float[Tensor, "b"]:
    """How much more alike the tokens of one place are in both than those of one place in two pictures: -2..2.

    Of each place's tokens their mean over the pictures is taken away first: what all streets share is not looked at.
    """
    one, other = one - one.mean(dim=0), other - other.mean(dim=0)
    same, apart = (F.cosine_similarity(one, x, dim=-1).mean(dim=1) for x in (other, other.roll(1, dims=0)))
    return same - apart
