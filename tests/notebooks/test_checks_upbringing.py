"""The check cells of lesson 8: the solution passes, and every usual mistake is told by its name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from labkit.probes.bootstrap import interval as labkit_interval
from notebooks.checks import upbringing as checks
from notebooks.solutions import exercises_08 as solutions

ENDS = torch.tensor([0.025, 0.975], dtype=torch.float64)


@pytest.mark.parametrize("exercise", ["layer", "distillation", "interval"])
def test_the_solution_is_right(exercise):
    verdict = getattr(checks, exercise)(getattr(solutions, exercise))
    assert verdict.right, verdict.text
    assert verdict.text
    assert "replace the … by your lines" in getattr(checks, exercise)(lambda *_: None).text


def test_the_interval_is_the_one_of_the_lab():
    one, other = torch.randn(2, 31, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    drawn = torch.randint(31, (2000, 31), generator=torch.Generator().manual_seed(0))  # as labkit draws them
    found = labkit_interval(one, other)
    torch.testing.assert_close(solutions.interval(one, other, drawn), torch.tensor([found.low, found.high]).double())


def nearest(distance):
    return int(distance.argmin())


def kl(t, s):
    return (t * (t.log() - s.log())).sum(-1)


def ends(means):
    return means.quantile(ENDS)


def apart(x, drawn):
    return ends(x[drawn].mean(1))


def gaussian(one, other, drawn, shrink=1.0):
    means = (one - other)[drawn].mean(1)
    return (one - other).mean() + 1.96 * shrink * means.std() * torch.tensor([-1, 1])


MISTAKES = [
    ("layer", lambda nmi, target: solutions.layer(nmi, target) + 1, "count from 0"),
    ("layer", lambda nmi, target: nearest((nmi - target).abs().mean((1, 2))), "mean of the distances"),
    ("layer", lambda nmi, target: nearest((nmi - target).abs().amin((1, 2))), "the one head"),
    ("layer", lambda nmi, target: nearest((nmi[:, 0].mean(1) - target).abs()), "first picture"),
    ("layer", lambda nmi, target: nearest((nmi[..., 0].mean(1) - target).abs()), "first head alone"),
    ("layer", lambda nmi, target: nearest(nmi.mean((1, 2)) - target), "absolute value"),
    ("layer", lambda nmi, target: int(nmi.mean((1, 2)).argmax()), "most local"),
    ("layer", lambda nmi, target: nearest((nmi.mean(2).amin(1) - target).abs()), "first picture"),
    ("layer", lambda nmi, target: 99, "For these layers it is"),
    ("distillation", lambda s, t: kl(s, t).mean(), "exchanged the two"),
    ("distillation", lambda s, t: (t * (t / s).log()).mean(), "mean over the keys"),
    ("distillation", lambda s, t: kl(t, s).sum(), "You summed all rows"),
    ("distillation", lambda s, t: F.kl_div(s.log(), t, reduction="batchmean"), "batchmean"),
    ("distillation", lambda s, t: -(t * s.log()).sum(-1).mean(), "cross-entropy"),
    ("distillation", lambda s, t: (t * (s / t).log()).sum(-1).mean(), "The sign"),
    ("distillation", lambda s, t: (t * (t / s).log()).sum(-2).mean(), "summed over the queries"),
    ("distillation", lambda s, t: (t / s).log().sum(-1).mean(), "weight is missing"),
    ("distillation", lambda s, t: (t * (t / s).log2()).sum(-1).mean(), "in bits"),
    ("distillation", lambda s, t: kl(t.softmax(-1), s.softmax(-1)).mean(), "softmax of what is"),
    ("distillation", lambda s, t: (t - s).pow(2).sum(-1).mean(), "squared difference"),
    ("distillation", lambda s, t: (kl(t, s) + kl(s, t)).mean(), "both directions"),
    ("distillation", lambda s, t: (kl(t, (s + t) / 2) + kl(s, (s + t) / 2)).mean() / 2, "Jensen"),
    ("distillation", lambda s, t: kl(t, s).mean(), "0 · log 0 counts as 0"),
    ("distillation", lambda s, t: 1.1 * solutions.distillation(s, t), "For these two it is"),
    ("interval", lambda a, b, d: ends(a[d].mean(1) - b[d.flip(0)].mean(1)), "other images for the second"),
    ("interval", lambda a, b, d: ends(a[d].mean(1) - b[d.roll(1, 0)].mean(1)), "shifted the draws"),
    ("interval", lambda a, b, d: apart(a, d) - apart(b, d), "subtracted one interval's ends"),
    ("interval", lambda a, b, d: apart(a, d) - apart(b, d).flip(0), "end to end"),
    ("interval", lambda a, b, d: ends(a - b), "95 % of the *differences*"),
    ("interval", lambda a, b, d: ends((a - b)[d].flatten()), "quantiles of what was drawn"),
    ("interval", lambda a, b, d: ends((a - b)[d].mean(0)), "mean over the draws"),
    ("interval", lambda a, b, d: (a - b)[d].mean(1).quantile(torch.tensor([0.05, 0.95]).double()), "that is 90 %"),
    ("interval", lambda a, b, d: solutions.interval(b, a, d), "first less the second"),
    ("interval", lambda a, b, d: solutions.interval(a, b, d).flip(0), "lower end comes first"),
    ("interval", lambda a, b, d: gaussian(a, b, d, 24**-0.5), "once more"),
    ("interval", gaussian, "1.96 standard errors"),
    ("interval", lambda a, b, d: gaussian(a, b, d) + (a - b)[d].mean() - (a - b).mean(), "1.96 of their spread"),
    ("interval", lambda a, b, d: (a - b).mean(), "mean of the difference"),
    ("interval", lambda a, b, d: apart(a, d), "first alone"),
    ("interval", lambda a, b, d: torch.zeros(3), "Expected the shape (2,), got (3,)"),
]


@pytest.mark.parametrize(("exercise", "mistake", "told"), MISTAKES, ids=[told for *_, told in MISTAKES])
def test_a_usual_mistake_is_told_by_its_name(exercise, mistake, told):
    verdict = getattr(checks, exercise)(mistake)
    assert not verdict.right
    assert told in verdict.text


def test_every_layer_but_one_is_a_mistake_with_a_name():
    told = [checks.layer(lambda nmi, target, at=at: at) for at in range(8)]
    assert [at for at, one in enumerate(told) if one.right] == [2]
    assert len({one.text for one in told}) == 8


def test_two_numbers_are_an_answer_too():
    assert checks.interval(lambda *asked: solutions.interval(*asked).tolist()).right
