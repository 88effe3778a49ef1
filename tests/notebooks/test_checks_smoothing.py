"""The check cells of lesson 3: the solution passes, and every usual mistake is told by its name."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from notebooks.checks import smoothing as checks
from notebooks.solutions import exercises_03 as solutions


@pytest.mark.parametrize("exercise", ["cosine", "rank", "residuals"])
def test_the_solution_is_right(exercise):
    verdict = getattr(checks, exercise)(getattr(solutions, exercise))
    assert verdict.right, verdict.text
    assert verdict.text
    assert "replace the … by your lines" in getattr(checks, exercise)(lambda *_: None).text


def _matrix(x):
    unit = F.normalize(x, dim=-1)
    return unit @ unit.T


def _off(matrix):
    return matrix[~torch.eye(len(matrix), dtype=bool)]


def _shares(x):
    values = torch.linalg.svdvals(x)
    return values / values.sum()


def _entropy(share):
    return -(share * share.log()).sum()


def _chain(layers, x):
    states = [x]
    for a in layers:
        states.append(a @ states[-1])
    return states


def _left(states, dim=0):
    return torch.stack([(y - y.mean(dim, keepdim=True)).norm() / y.norm() for y in states])


MISTAKES = [
    ("cosine", lambda x: _matrix(x).mean(), "cosine with itself is in your mean"),
    ("cosine", lambda x: _off(_matrix(x)).sum() / len(x) ** 2, "divide by n² all the same"),
    ("cosine", lambda x: _matrix(x).sum() / (len(x) * (len(x) - 1)), "diagonal are still in the sum"),
    ("cosine", lambda x: 2 * _off(_matrix(x)).mean(), "Each pair counts twice"),
    ("cosine", lambda x: _off(x @ x.T).mean(), "These are scalar products"),
    ("cosine", lambda x: _off((x / x.norm(dim=0)) @ (x / x.norm(dim=0)).T).mean(), "not the tokens"),
    ("cosine", lambda x: _off(_matrix(x - x.mean(0))).mean(), "mean token away first"),
    ("cosine", lambda x: _off(_matrix(x)).abs().mean(), "absolute values"),
    ("cosine", lambda x: 0.9 * solutions.cosine(x), "Unit vectors u"),
    ("cosine", lambda x: x.no_such_thing(), "raised AttributeError"),
    ("rank", lambda x: _entropy(_shares(x)), "This is the entropy"),
    ("rank", lambda x: _entropy(_shares(x @ x.T)[: x.shape[1]]).exp(), "You squared"),
    ("rank", lambda x: (_entropy(_shares(x)) / math.log(2)).exp(), "base 2"),
    ("rank", lambda x: _entropy(_shares(x - x.mean(0))).exp(), "mean token away first"),
    ("rank", torch.linalg.matrix_rank, "not 0"),
    ("rank", lambda x: 1 / _shares(x).square().sum(), "1 / Σ p²"),
    ("rank", lambda x: _entropy(_shares(x) / _shares(x)[0]).exp(), "sum to one"),
    ("rank", lambda x: torch.where(_shares(x) < 1e-12, torch.nan, _shares(x)), "Expected the shape ()"),
    ("rank", lambda x: _entropy(torch.where(_shares(x) > 1e-12, _shares(x), 0)).exp(), "It must be 1 there"),
    ("rank", lambda x: solutions.rank(x.clamp_max(0.9)), "For the first tokens it is"),
    ("residuals", lambda layers, x: _left(_chain(layers, x))[1:], "first entry is missing"),
    ("residuals", lambda layers, x: _left([x, *(a @ x for a in layers)]), "applied to x itself"),
    ("residuals", lambda layers, x: _left(_chain(layers[::-1], x)), "other order"),
    ("residuals", lambda layers, x: _left(_chain(layers, x), dim=1), "mean over the channels"),
    (
        "residuals",
        lambda layers, x: torch.stack([(y - y.mean(0)).norm() / x.norm() for y in _chain(layers, x)]),
        "length of x",
    ),
    ("residuals", lambda layers, x: [(y - y.mean(0)).norm() for y in _chain(layers, x)], "You did not divide"),
    ("residuals", lambda layers, x: _left(_chain(layers, x)) ** 2, "divided the squares"),
    ("residuals", lambda layers, x: _left(_chain([a.T for a in layers], x)), "Aᵀ x"),
    (
        "residuals",
        lambda layers, x: _left(_chain([0.5 * (a + torch.eye(7, dtype=a.dtype)) for a in layers], x)),
        "skip connection",
    ),
    ("residuals", lambda layers, x: 1.1 * solutions.residuals(layers, x), "Keep y, begin with x"),
]


@pytest.mark.parametrize(("exercise", "mistake", "told"), MISTAKES, ids=[told for *_, told in MISTAKES])
def test_a_usual_mistake_is_told_by_its_name(exercise, mistake, told):
    verdict = getattr(checks, exercise)(mistake)
    assert not verdict.right
    assert told in verdict.text


def test_a_list_of_numbers_is_an_answer_too():
    assert checks.residuals(lambda layers, x: [float(one) for one in solutions.residuals(layers, x)]).right
