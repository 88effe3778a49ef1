"""Answers to the three exercises of 07_token_mixers. Try first: a wrong answer that was understood is worth more."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pooling(x: Tensor) -> Tensor:
    """A map `c h w`, to `c h w`: the mean of the 3 × 3 places around each, as far as they lie in the picture, less itself."""
    # Zeros around the picture would darken its border; so only what is there is counted.
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False) - x


def crossing(c: int, ratio: float) -> float:
    """Channels and the MLP's widening, to the number of tokens from which scores and values cost more than all else."""
    linear = 4 * c**2 + 2 * ratio * c**2  # a token: four maps of attention, two of the MLP
    quadratic = 2 * c  # a pair of tokens: its score, and its part of the mean
    return linear / quadratic


def scan_matrix(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Decay, writing and reading of each step, all `n`, to the matrix `n n` with y = M x."""
    n = len(a)
    m = torch.zeros(n, n, dtype=a.dtype)
    for s in range(n):
        kept = b[s]  # what token s left in the memory
        for t in range(s, n):
            if t > s:
                kept = a[t] * kept
            m[t, s] = c[t] * kept
    return m
