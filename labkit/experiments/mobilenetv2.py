"""What ReLU leaves of a spiral in few channels and in many; then a thin net with linear ends, and with bent ones."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import TELLS, Lesson, learn, scenes, seeded
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.mobilenetv2 import PAPER, mobilenetv2
from labkit.viz import experiments as draw

CHANNELS = (2, 3, 5, 10, 15, 30)
POINTS, TURNS, DRAWS = 1000, 2.5, 20
LOST, KEPT = 0.2, 0.05
"""Of the spiral's size: an error above the one destroys, below the other spares."""
SIDE = 72
"""Pixels of the pictures of spirals."""
RATE = 3e-3


def experiment(
    *,
    thin: Annotated[int, Slider(4, 24, 4), "channels at the thin ends of the net that is taught"] = 8,
    expand: Annotated[int, Slider(1, 8), "times as many inside a block"] = 6,
    lesson: Annotated[Literal["shape", "position", "texture", "colour"], "what the nets are to tell"] = "shape",
    steps: Annotated[int, Slider(50, 1000, 50), "how long each net is taught"] = 200,
    seed: Annotated[int, Slider(0, 99), "of weights, scenes and directions"] = 0,
) -> Readout:
    """Send a spiral through random ReLU layers and back; teach a net with linear thin ends and one with bent ones."""
    with seeded(seed):
        errors = {n: sum(there_and_back(n)[1] for _ in range(DRAWS)) / DRAWS for n in CHANNELS}
        seen = {n: there_and_back(n)[0] for n in (2, 5, 15)}
    book = scenes(seed=seed, about=lesson)
    accuracy = {
        name: taught(book, thin=thin, expand=expand, linear=linear, steps=steps, seed=seed)
        for name, linear in (("linear", True), ("ReLU6", False))
    }
    destroys, spares = errors[2] > LOST, errors[15] < KEPT
    learned = book.learned(max(accuracy.values()))
    better = learned and accuracy["linear"] >= accuracy["ReLU6"] + TELLS
    judged = "the better for it" if better else "no better for it" if learned else "but nothing is learned yet"
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(destroys, spares, better),
        because=(
            f"Of a spiral, ReLU in 2 channels leaves an error of {errors[2]:.0%}, in 5 of {errors[5]:.1%}, in 15 of "
            f"{errors[15]:.2%}. A net with linear ends of {thin} channels tells the {lesson} in "
            f"{accuracy['linear']:.0%} of new scenes after {steps} steps, with ReLU6 at its ends in "
            f"{accuracy['ReLU6']:.0%}: {judged}."
        ),
        numbers={
            **{f"error, {n} channels": Number(value, "of the spiral's size") for n, value in errors.items()},
            **{f"accuracy, {name}": Number(value, "0..1") for name, value in accuracy.items()},
        },
        figures={
            "spiral": draw.maps(
                [picture(points).numpy() for points in (spiral(), *seen.values())],
                names=["the spiral", *(f"{n} channels" for n in seen)],
                notes=["", *(f"error {errors[n]:.1%}" for n in seen)],
                label="points a pixel, at most 1",
                title="Through a random layer with ReLU, and back as well as a linear map can",
            ),
            "error": draw.curves(
                CHANNELS,
                {f"the mean of {DRAWS} random layers": [100 * errors[n] for n in CHANNELS]},
                across="channels that the two coordinates are spread over",
                up="error, % of the spiral's size",
                title="What ReLU destroys, the more channels the less",
            ),
            "accuracy": draw.rivals(
                accuracy,
                label="share of 512 new scenes told right",
                chosen="linear",
                line=(book.chance, "chance"),
                top=1.0,
                title=f"The {lesson}, learned for {steps} steps, by what the thin ends have",
            ),
        },
    )


def spiral() -> Float[Tensor, "points 2"]:
    """Points on a spiral around the origin, its mean taken away, at most about 1 from it."""
    turn = torch.linspace(0.2, 1, POINTS) * TURNS * 2 * math.pi
    points = torch.stack([turn * turn.cos(), turn * turn.sin()], dim=1) / (TURNS * 2 * math.pi)
    return points - points.mean(dim=0)


def there_and_back(channels: int) -> tuple[Float[Tensor, "points 2"], float]:
    """The spiral behind a random linear map, ReLU, and the best linear map back; and its relative error, 0..1."""
    points = spiral()
    kept = (points @ torch.randn(2, channels)).relu().double()
    back = kept @ torch.linalg.lstsq(kept, points.double(), driver="gelsd").solution
    return back.float(), ((back - points).norm() / points.norm()).item()


def picture(points: Float[Tensor, "points 2"]) -> Float[Tensor, "side side"]:
    """The points as a picture: 1 where one lies."""
    cells = ((points.clamp(-1.1, 1.1) + 1.1) / 2.2 * (SIDE - 1)).round().long()
    canvas = torch.zeros(SIDE, SIDE)
    canvas[cells[:, 1], cells[:, 0]] = 1
    return canvas


def taught(book: Lesson, *, thin: int, expand: int, linear: bool, steps: int, seed: int) -> float:
    """The accuracy of a small net whose blocks have linear ends, or bent ones; 0..1."""
    rows = ((1, thin, 1, 1), (expand, thin, 2, 2), (expand, 2 * thin, 2, 2))
    with seeded(seed):
        model = mobilenetv2(rows=rows, width=1.0, linear=linear, classes=book.classes)
        return learn(model, book, steps=steps, rate=RATE)
