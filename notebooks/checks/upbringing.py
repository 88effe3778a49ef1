"""The checks of lesson 8."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import torch
from torch import Tensor

from labkit.methods.objectives.unip import distillation as labkit_distillation
from labkit.methods.objectives.unip import hybrid_layer

from . import Verdict, compare, numbers

TARGET = 0.09
# layers x (pictures) x (heads); each mistake below ends at a layer of its own.
_LAYERS = (
    ((0.30, 0.28), (0.32, 0.30)),  # the most local
    ((0.00, 0.01), (0.01, 0.00)),  # the most global
    ((0.02, 0.12), (0.04, 0.20)),  # the answer: 0.095 on the mean, and no head or picture of it near 0.09
    ((0.18, 0.20), (0.17, 0.21)),  # the one after it
    ((0.07, 0.11), (0.15, 0.19)),  # the first picture is on the target; 0.13
    ((0.07, 0.07), (0.065, 0.075)),  # every head is nearly there; 0.07
    ((0.09, 0.30), (0.20, 0.22)),  # one head is on the target; 0.20
    ((0.086, 0.20), (0.096, 0.22)),  # the first head is near it in both pictures; 0.15
)


def layer(yours: Callable[[Tensor, float], int]) -> Verdict:
    """Exercise 1: the hybrid layer."""
    nmi = torch.tensor(_LAYERS, dtype=torch.float64)
    means = nmi.mean(dim=(1, 2))
    answer = hybrid_layer(means.tolist(), target=TARGET)

    def place(distance: Tensor) -> Tensor:
        return distance.argmin()

    mistakes = {
        "Layers count from 0 here: the list's first is 0.": torch.tensor(answer + 1),
        "You took the distance of each head, then the mean of the distances. First the mean, then its distance: the "
        "layer is judged as a whole, and its heads may share the work.": place((nmi - TARGET).abs().mean(dim=(1, 2))),
        "You looked for the one head that comes nearest. A layer is judged by the mean over its heads and pictures.": (
            place((nmi - TARGET).abs().amin(dim=(1, 2)))
        ),
        "You looked at the first picture alone. The pattern is the model's only as the mean of many pictures.": place(
            (nmi[:, 0].mean(dim=1) - TARGET).abs()
        ),
        "You looked at the first head alone; the mean runs over the heads, too.": place(
            (nmi[:, :, 0].mean(dim=1) - TARGET).abs()
        ),
        "The absolute value is missing: a layer far below the target is not near it.": place(means - TARGET),
        "That is the most local layer, and not the one nearest the target.": means.argmax(),
    }
    return compare(
        lambda: _whole(yours(nmi.clone(), TARGET)),
        torch.tensor(answer),
        mistakes,
        praise="Mean first, distance after: no head of this layer is near 0.09, and as a whole it is.",
        otherwise=f"For these layers it is {answer}. The mean over pictures and heads, its distance to the target, the smallest.",
    )


def distillation(yours: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Exercise 2: how far the student's attention is from the teacher's, in nats."""
    student, teacher = (numbers(2, 3, 5, 7, seed=seed).mul(seed).softmax(dim=-1) for seed in (1, 2))
    sharp = torch.eye(7, dtype=torch.float64)[:5].expand(2, 3, 5, 7)
    for t, name, hint in (
        (teacher, "these two", ""),
        (student, "a student that looks exactly as its teacher does", "It must be 0 there. "),
        (sharp, "a teacher that looks at one place a row", "0 · log 0 counts as 0: is there NaN in your sum? "),
    ):
        expected = labkit_distillation(student, t)
        verdict = compare(
            lambda t=t: torch.as_tensor(yours(student.clone(), t.clone()), dtype=torch.float64),
            expected,
            _kl_mistakes(student, t) if t is teacher else {},
            praise="",
            otherwise=f"For {name} it is {expected:.3f} nats. {hint}T log(T / S), summed over the keys, the mean of all rows.",
        )
        if not verdict.right:
            return verdict
    return Verdict(True, "0 for the same look, and never below: this is what the student below falls down on.")


def _kl_mistakes(s: Tensor, t: Tensor) -> dict[str, Tensor]:
    each = t * (t / s).log()
    turned = s * (s / t).log()
    rows = each.sum(dim=-1)
    middle = (s + t) / 2
    return {
        "You exchanged the two: this is KL(student ‖ teacher). The teacher stands in front of the logarithm, so that "
        "the student pays where the teacher looks.": turned.sum(dim=-1).mean(),
        "You took the mean over the keys, too. One row's KL is the *sum* over its keys; the mean is over rows.": each.mean(),
        "You summed all rows: the mean over pictures, heads and queries is asked for.": each.sum(),
        "You divided by the pictures alone (`batchmean`): the mean runs over heads and queries, too.": each.sum()
        / len(t),
        "This is the cross-entropy, - Σ T log S: it holds the teacher's own entropy, and is not 0 for the same look.": (
            -(t * s.log()).sum(dim=-1).mean()
        ),
        "The sign: it is T log(T / S), not T log(S / T).": -rows.mean(),
        "You summed over the queries (dim=-2). Rows are distributions over the keys, dim=-1; then the mean of the rows.": (
            each.sum(dim=-2).mean()
        ),
        "The teacher's weight is missing: each logarithm counts as much as the teacher looks there.": (
            (t / s).log().sum(dim=-1).mean()
        ),
        "That is in bits. In nats the logarithm is the natural one.": rows.mean() / log(2),
        "You took the softmax of what is a distribution already.": (
            (t.softmax(-1) * (t.log_softmax(-1) - s.log_softmax(-1))).sum(dim=-1).mean()
        ),
        "This is the squared difference. It hardly minds a place that the student leaves out, the logarithm does.": (
            (t - s).square().sum(dim=-1).mean()
        ),
        "You took both directions together. Here only the teacher's look counts.": (each + turned).sum(dim=-1).mean(),
        "Half of each is Jensen and Shannon's. Here the student is measured against the teacher itself.": (
            0.5 * (t * (t / middle).log() + s * (s / middle).log()).sum(dim=-1).mean()
        ),
    }


def interval(yours: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Exercise 3: a paired bootstrap interval."""
    n, draws = 24, 400
    easy = numbers(n, seed=3)
    one, other = easy + 0.2 * numbers(n, seed=4) + 0.15, easy
    drawn = torch.randint(n, (draws, n), generator=torch.Generator().manual_seed(5))
    ends = torch.tensor([0.025, 0.975], dtype=torch.float64)
    difference = one - other
    means = difference[drawn].mean(dim=1)
    expected = means.quantile(ends)
    first, second = (x[drawn].mean(dim=1).quantile(ends) for x in (one, other))
    spread = means.std()
    middle = difference.mean()

    def unpaired(by: Tensor) -> Tensor:
        return (one[drawn].mean(dim=1) - other[by].mean(dim=1)).quantile(ends)

    mistakes = {
        "You drew other images for the second. An image keeps both of its values: draw it once, take the difference.": (
            unpaired(drawn.flip(0))
        ),
        "You shifted the draws for the second. An image keeps both of its values: the same draw serves both.": unpaired(
            drawn.roll(1, dims=0)
        ),
        "You subtracted one interval's ends from the other's. The interval of a difference is none of these: take the "
        "difference image by image, then draw.": first - second,
        "You laid the two intervals end to end, the widest that could be. What is hard for both cancels, if the "
        "difference is taken first.": torch.stack([first[0] - second[1], first[1] - second[0]]),
        "These are 95 % of the *differences*. Draw n images, take their mean, and do it for each row of `drawn`.": (
            difference.quantile(ends)
        ),
        "You took the quantiles of what was drawn; take the mean of each draw first (dim=1).": (
            difference[drawn].flatten().quantile(ends)
        ),
        "You took the mean over the draws (dim=0). One draw is a row of `drawn`: its mean, dim=1.": (
            difference[drawn].mean(dim=0).quantile(ends)
        ),
        "You cut 5 % off at each end: that is 90 %. Take the quantiles 0.025 and 0.975.": means.quantile(
            torch.tensor([0.05, 0.95], dtype=torch.float64)
        ),
        "The other way round: the first less the second.": -expected.flip(0),
        "The lower end comes first.": expected.flip(0),
        "You divided the spread of the means by √n once more: it is that of a mean already.": (
            torch.stack([middle - 1.96 * spread / n**0.5, middle + 1.96 * spread / n**0.5])
        ),
        "That is mean ± 1.96 standard errors, which takes the means to be normal. Ask the draws themselves: their "
        "quantiles.": torch.stack([middle - 1.96 * spread, middle + 1.96 * spread]),
        "That is the mean of the draws ± 1.96 of their spread, as if they were normal: take their quantiles.": (
            torch.stack([means.mean() - 1.96 * spread, means.mean() + 1.96 * spread])
        ),
        "That is the mean of the difference; give back the two ends.": middle,
        "These are the ends of the first alone: subtract the second, image by image.": first,
    }
    return compare(
        lambda: _pair(yours(one.clone(), other.clone(), drawn.clone())),
        expected,
        mistakes,
        praise=(
            f"From {expected[0]:.2f} to {expected[1]:.2f}. With other images for the second it would be "
            f"{unpaired(drawn.flip(0))[0]:.2f} to {unpaired(drawn.flip(0))[1]:.2f}, and nothing could be said."
        ),
        otherwise="The difference of each image; for each row of `drawn` the mean of those; their quantiles 0.025 and 0.975.",
    )


def _whole(answer: object) -> object:
    """A whole number is as good as a tensor."""
    return torch.tensor(answer) if isinstance(answer, int) else answer


def _pair(answer: object) -> object:
    """Two numbers are as good as a tensor."""
    if isinstance(answer, (list, tuple)):
        return torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in answer])
    return answer
