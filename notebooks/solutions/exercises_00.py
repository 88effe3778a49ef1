"""Answers to the three exercises of 00_welcome. Try first: a wrong answer that was understood is worth more."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def tensor(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """`h w 3`, 0..255, to `3 h w`, about mean 0 and spread 1."""
    # permute moves an axis; reshape would keep the numbers in their order and deal them out to other places.
    x = pixels.permute(2, 0, 1).float() / 255
    # `3 1 1` against `3 h w`: one mean and one spread for all pixels of a channel.
    return (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def top(z: Tensor, most: int) -> Tensor:
    """`classes` to `most 2`: (class, chance), the likeliest first."""
    # All classes share one sum, also those that are not shown: softmax first, then pick.
    chances, classes = z.softmax(dim=0).topk(most)
    return torch.stack([classes.to(chances.dtype), chances], dim=1)


def patches(x: Tensor, p: int) -> Tensor:
    """`3 h w` to `n (3 p p)`, patches row by row."""
    c, h, w = x.shape
    # Each side falls into (which patch, which pixel in it); what tells patches apart comes first, then what is in them.
    cut = x.reshape(c, h // p, p, w // p, p).permute(1, 3, 0, 2, 4)
    return cut.reshape(-1, c * p * p)
