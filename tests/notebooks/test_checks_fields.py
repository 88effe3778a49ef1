"""The check cells of lesson 5: the solution passes, and every usual mistake is told by its name."""

from __future__ import annotations

import pytest
import torch

from notebooks.checks import fields as checks
from notebooks.solutions import exercises_05 as solutions


@pytest.mark.parametrize("exercise", ["squares", "heat", "side"])
def test_the_solution_is_right(exercise):
    verdict = getattr(checks, exercise)(getattr(solutions, exercise))
    assert verdict.right, verdict.text
    assert verdict.text
    assert "replace the … by your lines" in getattr(checks, exercise)(lambda *_: None).text


def by(grow, turn=lambda j, s, d: j * s, start=1):
    """A recursion with other rules."""

    def squares(layers):
        r, j, rows = start, 1, []
        for k, s, d in layers:
            r, j = r + grow(k, s, d, j), turn(j, s, d)
            rows.append((r, j))
        return torch.tensor(rows)

    return squares


def gradient(net, image, score):
    image = image.clone().requires_grad_()
    return torch.autograd.grad(score(net(image[None])[0]), image)[0]


def of_unit(net, image, row, column):
    return gradient(net, image, lambda y: y[:, row, column].sum())


def reach(heat, centre, part):
    return (solutions.side(heat, centre, part) - 1) // 2


def wrapped(heat, centre, part):
    row, column = centre
    for r in range(40):
        if heat[row - r : row + r + 1, column - r : column + r + 1].sum() >= part * heat.sum():
            return 2 * r + 1
    return 81


def disc(heat, centre, part):
    rows, columns = (torch.arange(n) - at for n, at in zip(heat.shape, centre, strict=True))
    far = (rows[:, None].square() + columns[None].square()).sqrt()
    return next(2 * r + 1 for r in range(40) if heat[far <= r].sum() >= part * heat.sum())


MISTAKES = [
    ("squares", by(lambda k, s, d, j: d * (k - 1)), "jump is missing"),
    ("squares", by(lambda k, s, d, j: d * (k - 1) * j * s), "before the side grew"),
    ("squares", by(lambda k, s, d, j: (k - 1) * j), "Dilation is missing"),
    ("squares", by(lambda k, s, d, j: d * k * j), "added k cells"),
    ("squares", by(lambda k, s, d, j: (d * k - 1) * j), "d k - 1"),
    ("squares", by(lambda k, s, d, j: d * (k - 1) * j, lambda j, s, d: j + s - 1), "added the strides"),
    ("squares", by(lambda k, s, d, j: d * (k - 1) * j, lambda j, s, d: j * s * d), "does not move the unit"),
    ("squares", by(lambda k, s, d, j: d * (k - 1) * j, start=0), "start from 1"),
    ("squares", lambda layers: solutions.squares(layers)[-1], "last layer alone"),
    ("squares", lambda layers: solutions.squares(layers)[:, 0], "jump beside each"),
    ("squares", lambda layers: solutions.squares(layers).flip(1), "side first"),
    ("squares", lambda layers: solutions.squares(layers) + 1, "Start from r = j = 1"),
    ("heat", lambda *given: of_unit(*given).sum(0), "with its sign"),
    ("heat", lambda *given: of_unit(*given).sum(0).abs(), "First abs"),
    ("heat", lambda *given: of_unit(*given).abs(), "and colour*"),
    ("heat", lambda *given: of_unit(*given).abs().mean(0), "mean over the colours"),
    ("heat", lambda *given: of_unit(*given).abs().amax(0), "strongest colour"),
    ("heat", lambda *given: of_unit(*given).square().sum(0), "You squared"),
    ("heat", lambda net, image, r, c: gradient(net, image, lambda y: y.sum()).abs().sum(0), "Choose one"),
    ("heat", lambda net, image, r, c: of_unit(net, image, c, r).abs().sum(0), "turned round"),
    ("heat", lambda net, image, r, c: gradient(net, image, lambda y: y[0, r, c]).abs().sum(0), "channel 0"),
    ("heat", lambda net, image, r, c: image, "Expected the shape (9, 12), got (3, 9, 12)"),
    ("heat", lambda *given: 2 * solutions.heat(*given), "torch.autograd.grad"),
    ("side", reach, "how far the square reaches"),
    ("side", lambda *given: 2 * reach(*given), "forgot the middle pixel"),
    ("side", lambda *given: 2 * reach(*given) + 3, "One ring too many"),
    ("side", lambda *given: 2 * reach(*given) - 1, "One ring too few"),
    ("side", lambda heat, centre, part: solutions.side(heat, centre, part / float(heat.sum())), "divide by the sum"),
    ("side", disc, "You grew a disc"),
    ("side", lambda heat, centre, part: solutions.side(heat, (11, 15), part), "middle of the picture"),
    (
        "side",
        lambda heat, centre, part: (
            int((heat.flatten().sort(descending=True)[0].cumsum(0) < part * heat.sum()).sum()) + 1
        ),
        "strongest pixels",
    ),
    ("side", lambda heat, centre, part: solutions.side(heat, centre[::-1], part), "turned round"),
    ("side", wrapped, "counted from the end"),
    ("side", lambda heat, centre, part: 99, "For shares of 0.2, 0.5"),
]


@pytest.mark.parametrize(("exercise", "mistake", "told"), MISTAKES, ids=[told for *_, told in MISTAKES])
def test_a_usual_mistake_is_told_by_its_name(exercise, mistake, told):
    verdict = getattr(checks, exercise)(mistake)
    assert not verdict.right
    assert told in verdict.text
