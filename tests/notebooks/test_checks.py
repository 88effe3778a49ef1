"""The check cells: the solution passes, and every usual mistake is told by its name."""

from __future__ import annotations

import pytest
import torch

from notebooks.checks import attention as checks
from notebooks.solutions import exercises_01 as solutions

EXERCISES = ["attention", "nmi", "rollout"]


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_right(exercise):
    verdict = getattr(checks, exercise)(getattr(solutions, exercise))
    assert verdict.right, verdict.text
    assert verdict.text


@pytest.mark.parametrize("exercise", EXERCISES)
def test_what_is_not_begun_is_no_error(exercise):
    verdict = getattr(checks, exercise)(lambda *_: None)
    assert not verdict.right
    assert "replace the … by your lines" in verdict.text


@pytest.mark.parametrize("exercise", EXERCISES)
def test_an_exception_is_told_and_does_not_stop_the_notebook(exercise):
    def broken(*_):
        raise KeyError("oops")

    assert "raised KeyError: 'oops'" in getattr(checks, exercise)(broken).text


def _joint(a):
    joint = a / len(a)
    return joint, joint.sum(0)


def _information(a):
    joint, keys = _joint(a)
    return (joint * (joint / (keys / len(a))).log()).sum()


def _entropies(a):
    return torch.log(torch.tensor(float(len(a)))), torch.special.entr(_joint(a)[1]).sum()


def _halves(layers):
    return [0.5 * torch.eye(len(a), dtype=a.dtype) + 0.5 * a for a in layers]


MISTAKES = [
    ("attention", lambda q, k: q @ k.mT, "These are the bare scores"),
    ("attention", lambda q, k: q @ k.mT / 3**0.5, "These are the scores"),
    ("attention", lambda q, k: (q @ k.mT / 3**0.5).softmax(1), "softmax runs over the queries"),
    ("attention", lambda q, k: (q @ k.mT).softmax(-1), "scale is missing"),
    ("attention", lambda q, k: (q @ k.mT / 3).softmax(-1), "You divided by d;"),
    ("attention", lambda q, k: (q @ k.mT / 7**0.5).softmax(-1), "√(number of keys)"),
    ("attention", lambda q, k: (q @ k.mT / 3**0.5).softmax(-1).mT, "turned"),
    ("attention", lambda q, k: (q @ k.mT / 3**0.5).softmax(-1) * 0.9, "scores, scale, softmax"),
    ("attention", lambda q, k: 3, "Expected a tensor, got int"),
    ("attention", lambda q, k: q, "Expected the shape (2, 5, 7), got (2, 5, 3)"),
    ("nmi", _information, "mutual information itself"),
    ("nmi", lambda a: _information(a) / _entropies(a)[0], "H(q) alone"),
    ("nmi", lambda a: _information(a) / _entropies(a)[1], "H(k) alone"),
    ("nmi", lambda a: _information(a) / _entropies(a)[0] / _entropies(a)[1], "square root is missing"),
    ("nmi", lambda a: 2 * _information(a) / sum(_entropies(a)), "arithmetic mean"),
    ("nmi", lambda a: _information(a) / (_entropies(a)[0] * _entropies(a)[1]).sqrt(), "Is 0 · log 0 NaN"),
    ("nmi", lambda a: solutions.nmi(a) * 1.1, "For a random matrix the NMI is 0."),
    ("rollout", lambda layers: layers[2] @ layers[1] @ layers[0], "skip connection is missing"),
    ("rollout", lambda layers: torch.linalg.multi_dot(_halves(layers)), "order is turned round"),
    ("rollout", lambda layers: _halves(layers)[2], "last layer alone"),
    ("rollout", lambda layers: torch.stack(_halves(layers)).prod(0), "element by element"),
    ("rollout", lambda layers: 8 * solutions.rollout(layers), "rows sum to 2^layers"),
    ("rollout", lambda layers: layers[0] * torch.nan, "NaN or infinity"),
]


@pytest.mark.parametrize(("exercise", "mistake", "told"), MISTAKES, ids=[told for *_, told in MISTAKES])
def test_a_usual_mistake_is_told_by_its_name(exercise, mistake, told):
    verdict = getattr(checks, exercise)(mistake)
    assert not verdict.right
    assert told in verdict.text


def test_a_verdict_is_shown_and_safe():
    html = checks.Verdict(False, "a < b")._repr_html_()
    assert "Not yet." in html
    assert "a &lt; b" in html
