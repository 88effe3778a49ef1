"""Answers to the three exercises of 08_training_shapes_attention. Try first: a wrong answer that was understood is worth more."""

from __future__ import annotations

import torch
from torch import Tensor


def layer(nmi: Tensor, target: float) -> int:
    """The NMI of each layer, picture and head, `layers b heads`, to the layer (from 0) that is nearest the target."""
    # The mean comes first: a layer of which half the heads lie far below and half far above is hybrid as a whole.
    return int((nmi.mean(dim=(1, 2)) - target).abs().argmin())


def distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Attention `b heads q k`, each row a distribution over the keys, to one number: KL(teacher ‖ student) in nats."""
    # Where the teacher never looks, T log T counts as 0, whatever log 0 is: xlogy(0, 0) = 0.
    each = torch.xlogy(teacher, teacher) - torch.xlogy(teacher, student)
    return each.sum(dim=-1).mean()  # the sum over the keys makes one KL a row; the mean is over all rows


def interval(one: Tensor, other: Tensor, drawn: Tensor) -> Tensor:
    """A value an image for each of two, `n`, and drawn images, `draws n`, to the ends of 95 % of the mean difference."""
    difference = one - other  # first: an image keeps both of its values, and what is hard for both cancels
    means = difference[drawn].mean(dim=1)
    return means.quantile(torch.tensor([0.025, 0.975], dtype=means.dtype))
