"""Answers to the three exercises of 03_over_smoothing. Try first: a wrong answer that was understood is worth more."""

from __future__ import annotations

import torch
from torch import Tensor


def cosine(x: Tensor) -> Tensor:
    """Tokens `n c` to the mean cosine of two different ones."""
    n = len(x)
    unit = x / x.norm(dim=-1, keepdim=True)
    # |Σ u|² = Σ over all i, j of u_i · u_j: the whole matrix, summed without making it. Its diagonal is n ones.
    return (unit.sum(dim=0).square().sum() - n) / (n * (n - 1))


def rank(x: Tensor) -> Tensor:
    """Tokens `n c` to the number of directions they lie in, 1 to min(n, c)."""
    values = torch.linalg.svdvals(x)
    share = values / values.sum()
    return torch.special.entr(share).sum().exp()  # entr(0) = 0


def residuals(layers: list[Tensor], x: Tensor) -> Tensor:
    """Attention matrices `n n`, the first layer first, and tokens `n c`, to what is left of the differences: `layers + 1`."""
    left, y = [], x
    for a in [None, *layers]:
        y = y if a is None else a @ y
        # The nearest matrix whose rows are all the same has the mean token in each row.
        left.append((y - y.mean(dim=0)).norm() / y.norm())
    return torch.stack(left)
