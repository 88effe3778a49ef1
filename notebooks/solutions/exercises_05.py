"""Answers to the three exercises of 05_receptive_fields. Try first: a wrong answer that was understood is worth more."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def squares(layers: Sequence[tuple[int, int, int]]) -> Tensor:
    """(kernel, stride, dilation) of each layer to `layers 2`: the side of a unit's square, and the jump to the next."""
    side, jump, rows = 1, 1, []
    for kernel, stride, dilation in layers:
        side += (kernel - 1) * dilation * jump  # the kernel steps on the grid it reads, so with the jump before it
        jump *= stride
        rows.append((side, jump))
    return torch.tensor(rows)


def heat(net: nn.Module, image: Tensor, row: int, column: int) -> Tensor:
    """A net to maps and an image `3 h w`, to `h w`: how strongly each pixel moves the unit at (row, column)."""
    image = image.clone().requires_grad_()
    unit = net(image[None])[0, :, row, column]
    (gradient,) = torch.autograd.grad(unit.sum(), image)
    return gradient.abs().sum(dim=0)  # first the magnitude: red up and blue down must not cancel


def side(heat: Tensor, centre: tuple[int, int], part: float) -> int:
    """Heat `h w` to the side of the smallest square around `centre` that holds `part` (0..1) of it."""
    row, column = centre
    for reach in range(max(heat.shape)):
        inside = heat[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
        if inside.sum() >= part * heat.sum():
            return 2 * reach + 1
    return 2 * max(heat.shape) + 1
