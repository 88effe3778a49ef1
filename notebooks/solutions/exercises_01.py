"""Answers to the three exercises of 01_attention. Try first: a wrong answer that was understood is worth more."""

from __future__ import annotations

import torch
from torch import Tensor


def attention(q: Tensor, k: Tensor) -> Tensor:
    """`heads n_q d` and `heads n_k d` to `heads n_q n_k`."""
    # With independent entries of variance one, a scalar product of d of them has variance d: √d brings it back to one,
    # so that the softmax is neither flat nor a hard choice, whatever the width of a head.
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    return scores.softmax(dim=-1)


def nmi(a: Tensor) -> Tensor:
    """`n n`, rows summing to one, to a number in 0..1."""
    joint = a / len(a)  # p(q, k): every query is asked equally often, p(q) = 1/N
    p_q, p_k = joint.sum(dim=1), joint.sum(dim=0)
    h_q, h_k, h_both = (torch.special.entr(p).sum() for p in (p_q, p_k, joint))  # entr(0) = 0
    return (h_q + h_k - h_both) / (h_q * h_k).sqrt()


def rollout(layers: list[Tensor]) -> Tensor:
    """Matrices `n n`, the first layer first, to `n n`: from which input each output token is made."""
    through = torch.eye(len(layers[0]), dtype=layers[0].dtype)
    for a in layers:
        through = (0.5 * torch.eye(len(a), dtype=a.dtype) + 0.5 * a) @ through
    return through
