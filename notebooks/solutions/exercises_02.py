"""Answers to the three exercises of 02_explaining_decisions. Try first: a wrong answer that was understood is worth more."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def gradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    """A layer's activations and the score's gradient there, `k h w` each, to GradCAM's map `h w`."""
    weights = gradients.mean(dim=(1, 2), keepdim=True)  # one weight a channel: all its cells are trusted alike
    return (weights * activations).sum(dim=0).relu()  # the ReLU comes last: channels may speak against each other first


def rise(masks: Tensor, scores: Tensor, keep: float) -> Tensor:
    """Masks `n h w` and the score of each, `n`, to `2 h w`: RISE's map and its standard error."""
    each = scores[:, None, None] * masks / keep  # n numbers a pixel, and the map is their mean
    return torch.stack([each.mean(dim=0), each.std(dim=0) / len(masks) ** 0.5])


def deletion(score: Callable[[Tensor], Tensor], image: Tensor, heat: Tensor, steps: int) -> Tensor:
    """The `steps + 1` scores of an image `3 h w` while its pixels go, those with the highest heat `h w` first."""
    order = heat.flatten().argsort(descending=True)
    turn = torch.empty_like(order)
    turn[order] = torch.arange(len(order)) * steps // len(order)  # the step in which each pixel goes, from 0
    stays = turn.view(heat.shape) >= torch.arange(steps + 1)[:, None, None]  # what went stays away
    return score(image * stays[:, None])
