"""The checks of lesson 5."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from labkit.probes.extent import central_square
from labkit.probes.receptive_field import field_heat

from . import Verdict, compare, numbers

LAYERS = ((3, 2, 1), (5, 1, 1), (3, 3, 2), (2, 2, 1), (3, 1, 4))
"""Kernel, stride, dilation, the first layer first."""


def _recursion(
    grow: Callable[[int, int, int, int], int], jump: Callable[[int, int, int], int] = lambda j, s, d: j * s
) -> Tensor:
    r, j, rows = 1, 1, []
    for k, s, d in LAYERS:
        r, j = r + grow(k, s, d, j), jump(j, s, d)
        rows.append((r, j))
    return torch.tensor(rows)


def squares(yours: Callable[[Sequence[tuple[int, int, int]]], Tensor]) -> Verdict:
    """Exercise 1: side and jump after each layer, by the recursion."""
    expected = _recursion(lambda k, s, d, j: d * (k - 1) * j)
    late = _recursion(lambda k, s, d, j: d * (k - 1) * j * s)
    mistakes = {
        "The jump is missing: the k - 1 further cells of layer l lie j pixels apart, not one.": _recursion(
            lambda k, s, d, j: d * (k - 1)
        ),
        "You multiplied the jump by the stride before the side grew. A kernel steps on the grid it reads, so layer l "
        "grows by (k - 1) d times the jump *before* it.": late,
        "Dilation is missing: the taps of a dilated kernel lie d cells apart, (k - 1) d in all.": _recursion(
            lambda k, s, d, j: (k - 1) * j
        ),
        "You added k cells a layer. One of the k was there already: add k - 1.": _recursion(
            lambda k, s, d, j: d * k * j
        ),
        "You added d k - 1 cells. The k taps have k - 1 gaps of d cells between them: d (k - 1).": _recursion(
            lambda k, s, d, j: (d * k - 1) * j
        ),
        "You added the strides up. Each one multiplies the jump: two strides of 2 make 4, and of 2 and 3 make 6.": (
            _recursion(lambda k, s, d, j: d * (k - 1) * j, lambda j, s, d: j + s - 1)
        ),
        "Dilation does not move the unit: the jump grows by the stride alone.": _recursion(
            lambda k, s, d, j: d * (k - 1) * j, lambda j, s, d: j * s * d
        ),
        "You start from a side of 0. A pixel sees itself: start from 1.": expected - torch.tensor([1, 0]),
        "This is the last layer alone; give one row for each.": expected[-1],
        "These are the sides. Give the jump beside each, `layers 2`.": expected[:, 0],
        "The columns are turned round: side first, then jump.": expected.flip(1),
    }
    return compare(
        lambda: torch.as_tensor(yours(LAYERS)),
        expected,
        mistakes,
        praise="Seven numbers in, and you know what no training can exceed.",
        otherwise="Go through the layers once: r = r + (k - 1) d j with the old j, then j = j s. Start from r = j = 1.",
    )


def _net() -> nn.Module:
    dice = torch.Generator().manual_seed(0)
    convs = [nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 5, 3, stride=2, padding=1)]
    net = nn.Sequential(*convs).double()
    for parameter in net.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=dice, dtype=torch.float64))
    return net


def heat(yours: Callable[[nn.Module, Tensor, int, int], Tensor]) -> Verdict:
    """Exercise 2: the effective field of one unit by autograd."""
    net, image, (row, column) = _net(), numbers(3, 9, 12), (1, 4)

    def of(score: Callable[[Tensor], Tensor]) -> Tensor:
        x = image.clone().requires_grad_()
        return torch.autograd.grad(score(net(x[None])[0]), x)[0]

    x = image[None].clone().requires_grad_()
    expected = field_heat(net(x)[:, :, row, column], x, how="abs")[0]
    signed = of(lambda y: y[:, row, column].sum())
    mistakes = {
        "This is the gradient with its sign. A pixel that holds the unit down moves it too: take the magnitude.": (
            signed.sum(0)
        ),
        "The magnitude comes after the sum over the colours: red up and blue down cancel. First abs, then sum.": (
            signed.sum(0).abs()
        ),
        "This is one number a pixel *and colour*: sum the magnitudes over the three colours.": signed.abs(),
        "You took the mean over the colours; here it is their sum.": signed.abs().mean(0),
        "You took the strongest colour; here it is the sum over the three.": signed.abs().amax(0),
        "You squared the gradient; here it is the magnitude.": signed.square().sum(0),
        "This is how all units together are moved. Choose one: y[:, row, column].": of(lambda y: y.sum()).abs().sum(0),
        "Row and column are turned round.": of(lambda y: y[:, column, row].sum()).abs().sum(0),
        "This is channel 0 alone. A unit is all channels of one place: sum them.": of(lambda y: y[0, row, column])
        .abs()
        .sum(0),
    }
    return compare(
        lambda: yours(net, image.clone(), row, column),
        expected,
        mistakes,
        praise="The heat that you painted over the photo: zero outside the square, without anybody having said so.",
        otherwise="Make the image ask for gradients, run the net, sum the channels of one place, ask torch.autograd.grad.",
    )


PARTS = (0.2, 0.5, 0.8, 0.97)


def side(yours: Callable[[Tensor, tuple[int, int], float], int]) -> Verdict:
    """Exercise 3: the side of the smallest square around a pixel that holds a share of the heat."""
    heat, centre = numbers(23, 31, seed=3).abs(), (9, 18)
    heat /= 0.1 + ((torch.arange(23) - 9)[:, None].square() + (torch.arange(31) - 18)[None].square()).sqrt() / 10
    total = float(heat.sum())
    expected = _sides(lambda part: int(central_square(heat, part, centre=centre)))

    def first(sums: Callable[[int], float], enough: Callable[[float], float] = lambda part: part * total) -> Tensor:
        return _sides(lambda part: 2 * next((r for r in range(40) if sums(r) >= enough(part)), 40) + 1)

    rising = heat.flatten().sort(descending=True).values.cumsum(0)
    mistakes = {
        "This is how far the square reaches from its middle. Its side is twice that, and the middle pixel: 2 r + 1.": (
            expected // 2
        ),
        "You forgot the middle pixel: a square that reaches r to both sides has a side of 2 r + 1.": expected - 1,
        "One ring too many: stop at the first square that holds the part.": expected + 2,
        "One ring too few: this square does not hold the part yet.": expected - 2,
        "You compared the sum with the part itself. The part is a share of all the heat: divide by the sum.": first(
            lambda r: _held(heat, centre, r), lambda part: part
        ),
        "You grew a disc. Squares are asked for: max(|rows|, |columns|) <= r.": first(
            lambda r: _in_disc(heat, centre, r)
        ),
        "Your square stands in the middle of the picture; it should stand around `centre`.": _sides(
            lambda part: int(central_square(heat, part, centre=(11, 15)))
        ),
        "Row and column of the centre are turned round.": _sides(
            lambda part: int(central_square(heat, part, centre=centre[::-1]))
        ),
        "You counted the strongest pixels, wherever they lie. Here a square around the centre grows.": _sides(
            lambda part: int((rising < part * total).sum()) + 1
        ),
        "A row that starts below 0 is counted from the end: heat[-2:5] is empty. Cut the square at the border with "
        "max(0, …).": first(lambda r: _wrapped(heat, centre, r)),
    }
    return compare(
        lambda: _sides(lambda part: int(yours(heat.clone(), centre, part))),
        expected,
        mistakes,
        praise="This is RepLKNet's ruler: the dashed square, and the filled points of the chart.",
        otherwise=f"For shares of {', '.join(map(str, PARTS))} the sides are {', '.join(map(str, expected.tolist()))}. "
        "Grow r from 0 and stop at the first square that holds the share; what is outside the picture holds nothing.",
    )


def _sides(of: Callable[[float], int]) -> Tensor:
    return torch.tensor([of(part) for part in PARTS])


def _wrapped(heat: Tensor, centre: tuple[int, int], reach: int) -> float:
    """The sum of a slice that starts below zero."""
    row, column = centre
    return float(heat[row - reach : row + reach + 1, column - reach : column + reach + 1].sum())


def _held(heat: Tensor, centre: tuple[int, int], reach: int) -> float:
    row, column = centre
    return float(heat[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1].sum())


def _in_disc(heat: Tensor, centre: tuple[int, int], reach: int) -> float:
    rows, columns = (torch.arange(n) - at for n, at in zip(heat.shape, centre, strict=True))
    return float(heat[(rows[:, None].square() + columns[None].square()) <= reach**2].sum())
