"""The checks of lesson 7."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from labkit.models.backbones.metaformer import Pooling

from . import Verdict, compare, numbers


def pooling(yours: Callable[[Tensor], Tensor]) -> Verdict:
    """Exercise 1: PoolFormer's mixer, the mean of the neighbours less the place itself."""
    x = numbers(2, 4, 5, seed=1)  # c h w
    expected = Pooling()(x.permute(1, 2, 0)[None])[0].permute(2, 0, 1)
    mean = expected + x
    inside = F.avg_pool2d(torch.ones_like(x), 3, stride=1, padding=1)  # the share of the square that is in the picture

    def padded(mode: str) -> Tensor:
        return F.avg_pool2d(F.pad(x[None], (1, 1, 1, 1), mode=mode)[0], 3, stride=1) - x

    others = (9 * inside * mean - x) / (9 * inside - 1)
    mistakes = {
        "The minus is missing: the block adds x itself, so with the mean alone it could only ever smooth.": mean,
        "This is x less the mean. Right up to the sign, which a linear map behind it could turn; here it is mean - x.": (
            -expected
        ),
        "At the border you divided by nine, though fewer places lie in the picture: count those that are there.": (
            mean * inside - x
        ),
        "You summed; it is the mean.": 9 * inside * mean - x,
        "The place itself belongs to its square: nine places, not the eight around it.": others - x,
        "You went around the edge of the picture to the other side.": padded("circular"),
        "You mirrored the picture at its edge; here the square simply ends there.": padded("reflect"),
        "You repeated the picture's edge; here the square simply ends there.": padded("replicate"),
        "You mixed the channels: each has its own mean.": mean.mean(dim=0, keepdim=True) - x,
    }
    return compare(
        lambda: yours(x.clone()),
        expected,
        mistakes,
        praise="No weight in it, and a whole network around it still learns.",
        otherwise="For each channel and place: the mean over the square of 3 × 3 that lies in the picture, less the place's own value.",
    )


def crossing(yours: Callable[[int, float], float]) -> Verdict:
    """Exercise 2: from how many tokens on the quadratic part of attention's block costs most."""
    c, ratio = 48, 3.0

    def at(linear: float, quadratic: float = 2.0) -> Tensor:
        return torch.tensor(linear / quadratic * c, dtype=torch.float64)

    mistakes = {
        "You left out the MLP: it is part of the block, and with a ratio of 4 it is two thirds of what grows with n.": at(
            4
        ),
        "You left out the four linear maps of attention (query, key, value, and the one behind).": at(2 * ratio),
        "The map behind the heads is missing: four linear maps of c × c, not three.": at(3 + 2 * ratio),
        "The MLP has two maps: into the hidden width, and back.": at(4 + ratio),
        "Two products cost n²c: the scores, and the mean of the values.": at(4 + 2 * ratio, 1),
        "This holds for a ratio of 4; yours is to take any.": at(12),
        "c is missing: the linear part has c², the quadratic part c.": torch.tensor(2 + ratio, dtype=torch.float64),
    }
    return compare(
        lambda: torch.as_tensor(yours(c, ratio), dtype=torch.float64),
        at(4 + 2 * ratio),
        mistakes,
        praise="With the usual ratio of 4 that is 6 c: 1,152 tokens for a width of 192, a grid of 34 × 34. Below it, attention is cheap.",
        otherwise="Set 2 n² c (scores, and values) equal to n (4 c² + 2 · ratio · c²), and solve for n.",
    )


def scan_matrix(yours: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Exercise 3: the matrix that a recurrence with one number of memory is."""
    n = 6
    a, b, c = torch.sigmoid(numbers(n, seed=2)), numbers(n, seed=3), numbers(n, seed=4)
    memory, columns = torch.zeros(n, dtype=torch.float64), []
    for t in range(n):  # the recurrence, for all unit vectors at once
        memory = a[t] * memory + b[t] * torch.eye(n, dtype=torch.float64)[t]
        columns.append(c[t] * memory)
    expected = torch.stack(columns)
    below = torch.ones(n, n, dtype=torch.float64).tril()
    product = a.cumprod(0)
    every = c[:, None] * product[:, None] / product[None] * b[None]
    steps = (torch.arange(n)[:, None] - torch.arange(n)[None]).clamp_min(0)
    mistakes = {
        "Rows and columns are turned round: M[t, s] is what token s adds to the answer at t.": expected.T,
        "The upper half must be zero: nothing is heard of what comes later.": every,
        "What is written at s has not faded yet: its own decay a_s is one factor too many.": expected * a[None],
        "The last decay is missing: when t is read, all of a_{s+1} … a_t have been applied.": (
            torch.where(steps > 0, expected / a[:, None], expected)
        ),
        "The decays are missing: this memory never fades.": below * c[:, None] * b[None],
        "Each step has a decay of its own: their product, not a power of one of them.": (
            below * c[:, None] * a[:, None] ** steps * b[None]
        ),
        "The reading c_t is missing.": torch.where(below > 0, expected / c[:, None], 0.0),
        "The writing b_s is missing.": torch.where(below > 0, expected / b[None], 0.0),
        "b and c are turned round: b_s writes what comes in, c_t reads what goes out.": (
            below * b[:, None] * (product[:, None] / product[None]) * c[None]
        ),
        "The decays are summed; they are multiplied.": below
        * c[:, None]
        * (a.cumsum(0)[:, None] - a.cumsum(0)[None])
        * b[None],
    }
    return compare(
        lambda: yours(a.clone(), b.clone(), c.clone()),
        expected,
        mistakes,
        praise="A row reads its past with weights made of the tokens, as masked attention does, and no n × n matrix is ever needed.",
        otherwise="Unroll it: M[t, s] = c_t · (a_{s+1} · … · a_t) · b_s for s ≤ t, and 0 above the diagonal; the empty product is 1.",
    )
