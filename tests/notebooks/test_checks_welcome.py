"""The check cells of lesson 0: the solution passes, and every usual mistake is told by its name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from notebooks.checks import welcome as checks
from notebooks.solutions import exercises_00 as solutions


@pytest.mark.parametrize("exercise", ["tensor", "top", "patches"])
def test_the_solution_is_right(exercise):
    verdict = getattr(checks, exercise)(getattr(solutions, exercise))
    assert verdict.right, verdict.text
    assert verdict.text
    assert "replace the … by your lines" in getattr(checks, exercise)(lambda *_: None).text


def _first(pixels, mean, std):
    mean, std = (torch.tensor(some).view(3, 1, 1) for some in (mean, std))
    return pixels.permute(2, 0, 1).float(), mean, std


def _rows(z, most, shares):
    best = z.argsort(descending=True)[:most]
    return torch.stack([best.double(), shares[best].double()], dim=1)


def _cut(x, p):
    return x.reshape(3, x.shape[1] // p, p, x.shape[2] // p, p)


MISTAKES = [
    ("tensor", lambda *given: solutions.tensor(*given).permute(1, 2, 0), "channels must come first"),
    ("tensor", lambda *given: solutions.tensor(*given).mT, "permute(2, 1, 0)"),
    ("tensor", lambda p, m, s: (lambda x, m, s: (x - m) / s)(*_first(p, m, s)), "divide the pixels by 255"),
    ("tensor", lambda p, m, s: (lambda x, m, s: x / 255 / s - m)(*_first(p, m, s)), "other way round"),
    ("tensor", lambda p, m, s: (lambda x, m, s: x / 255 - m)(*_first(p, m, s)), "spread is missing"),
    ("tensor", lambda p, m, s: (lambda x, m, s: (x / 255 - m) * s)(*_first(p, m, s)), "multiplied by the spread"),
    ("tensor", lambda p, m, s: p.permute(2, 0, 1) / 255, "neither mean nor spread"),
    ("tensor", lambda *given: solutions.tensor(*given) + 0.1, "Three steps"),
    ("top", lambda z, most: _rows(z, most, z), "These are logits"),
    ("top", lambda z, most: _rows(z, most, z / z.sum()), "Logits may be negative"),
    ("top", lambda z, most: _rows(z, most, z.exp()), "do not sum to one"),
    ("top", lambda z, most: _rows(z, most, z.sigmoid()), "A sigmoid"),
    ("top", lambda z, most: solutions.top(z, most).flip(0), "likeliest comes first"),
    ("top", lambda z, most: solutions.top(z, most).flip(1), "other way round"),
    ("top", lambda z, most: solutions.top(z, most).T, "Shape `most 2`"),
    ("top", lambda z, most: solutions.top(-z, most), "then the largest with topk"),
    ("patches", lambda x, p: solutions.patches(x, p).T, "Right numbers, turned"),
    ("patches", lambda x, p: _cut(x, p).permute(3, 1, 0, 2, 4).reshape(6, -1), "column by column"),
    ("patches", lambda x, p: _cut(x, p).permute(1, 3, 2, 4, 0).reshape(6, -1), "colours alternate"),
    ("patches", lambda x, p: _cut(x, p).permute(1, 3, 0, 4, 2).reshape(6, -1), "run down the columns"),
    ("patches", lambda x, p: x.reshape(6, -1), "reshape of the whole picture"),
    ("patches", lambda x, p: F.unfold(x[None], p)[0].T, "overlap"),
]


@pytest.mark.parametrize(("exercise", "mistake", "told"), MISTAKES, ids=[told for *_, told in MISTAKES])
def test_a_usual_mistake_is_told_by_its_name(exercise, mistake, told):
    verdict = getattr(checks, exercise)(mistake)
    assert not verdict.right
    assert told in verdict.text
