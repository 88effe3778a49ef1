"""The check cells of lesson 7: the solution passes, and every usual mistake is told by its name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from notebooks.checks import mixers as checks
from notebooks.solutions import exercises_07 as solutions


@pytest.mark.parametrize("exercise", ["pooling", "crossing", "scan_matrix"])
def test_the_solution_is_right(exercise):
    verdict = getattr(checks, exercise)(getattr(solutions, exercise))
    assert verdict.right, verdict.text
    assert verdict.text
    assert not getattr(checks, exercise)(lambda *_: None).right


def mean(x, **how):
    return F.avg_pool2d(x, 3, stride=1, padding=1, **({"count_include_pad": False} | how))


def padded(mode):
    return lambda x: F.avg_pool2d(F.pad(x[None], (1, 1, 1, 1), mode=mode)[0], 3, stride=1) - x


def around(x):
    """The mean of the eight neighbours, by hand."""
    out = torch.empty_like(x)
    _, h, w = x.shape
    for i in range(h):
        for j in range(w):
            near = x[:, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].flatten(1)
            out[:, i, j] = (near.sum(1) - x[:, i, j]) / (near.shape[1] - 1)
    return out - x


def unrolled(fades=lambda a, s, t: a[s + 1 : t + 1].prod(), upper=0.0):
    """The matrix by two loops, with another way to fade."""

    def scan_matrix(a, b, c):
        m = torch.full((len(a), len(a)), upper, dtype=a.dtype)
        for t in range(len(a)):
            for s in range(t + 1):
                m[t, s] = c[t] * fades(a, s, t) * b[s]
        return m

    return scan_matrix


def whole(a, b, c):
    return c[:, None] * a.cumprod(0)[:, None] / a.cumprod(0) * b


def constant(which):
    """The solution with b or c held at one."""
    return lambda a, b, c: solutions.scan_matrix(
        a, torch.ones_like(b) if which == "b" else b, torch.ones_like(c) if which == "c" else c
    )


MISTAKES = [
    ("pooling", mean, "The minus is missing"),
    ("pooling", lambda x: x - mean(x), "x less the mean"),
    ("pooling", lambda x: mean(x, count_include_pad=True) - x, "divided by nine"),
    ("pooling", lambda x: mean(x, count_include_pad=True, divisor_override=1) - x, "You summed"),
    ("pooling", around, "not the eight around it"),
    ("pooling", padded("circular"), "around the edge"),
    ("pooling", padded("reflect"), "mirrored"),
    ("pooling", padded("replicate"), "repeated the picture's edge"),
    ("pooling", lambda x: mean(x).mean(0, keepdim=True) - x, "mixed the channels"),
    ("crossing", lambda c, ratio: 2 * c, "left out the MLP"),
    ("crossing", lambda c, ratio: ratio * c, "left out the four linear maps"),
    ("crossing", lambda c, ratio: (3 + 2 * ratio) / 2 * c, "map behind the heads"),
    ("crossing", lambda c, ratio: (4 + ratio) / 2 * c, "two maps"),
    ("crossing", lambda c, ratio: (4 + 2 * ratio) * c, "Two products cost"),
    ("crossing", lambda c, ratio: 6 * c, "ratio of 4"),
    ("crossing", lambda c, ratio: 2 + ratio, "c is missing"),
    ("crossing", lambda c, ratio: 7, "Set 2 n² c"),
    ("scan_matrix", lambda a, b, c: solutions.scan_matrix(a, b, c).T, "Rows and columns"),
    ("scan_matrix", whole, "upper half must be zero"),
    ("scan_matrix", unrolled(lambda a, s, t: a[s : t + 1].prod()), "one factor too many"),
    ("scan_matrix", unrolled(lambda a, s, t: a[s + 1 : t].prod()), "last decay is missing"),
    ("scan_matrix", unrolled(lambda a, s, t: 1.0), "never fades"),
    ("scan_matrix", unrolled(lambda a, s, t: a[t] ** (t - s)), "not a power"),
    ("scan_matrix", constant("c"), "reading c_t is missing"),
    ("scan_matrix", constant("b"), "writing b_s is missing"),
    ("scan_matrix", lambda a, b, c: solutions.scan_matrix(a, c, b), "b and c are turned round"),
    ("scan_matrix", unrolled(lambda a, s, t: a[s + 1 : t + 1].sum()), "are multiplied"),
    ("scan_matrix", lambda a, b, c: torch.zeros(3), "Expected the shape (6, 6), got (3,)"),
]


@pytest.mark.parametrize(("exercise", "mistake", "told"), MISTAKES, ids=[told for *_, told in MISTAKES])
def test_a_usual_mistake_is_told_by_its_name(exercise, mistake, told):
    verdict = getattr(checks, exercise)(mistake)
    assert not verdict.right
    assert told in verdict.text


def test_the_matrix_is_the_scan_of_the_lab():
    from labkit.models.mixers.scan import selective_scan

    b, c, x = torch.rand(3, 7, dtype=torch.float64)
    # With Δ = 1, one channel and one state: decay exp(rate) alike for all steps.
    rate = torch.tensor([[-0.4]], dtype=torch.float64)
    y = selective_scan(
        x[None, :, None],
        step=torch.ones(1, 7, 1, dtype=torch.float64),
        rate=rate,
        write=b[None, :, None],
        read=c[None, :, None],
        skip=torch.zeros(1, dtype=torch.float64),
    )[0, :, 0]
    torch.testing.assert_close(y, solutions.scan_matrix(rate.exp().expand(7, 1)[:, 0], b, c) @ x)
