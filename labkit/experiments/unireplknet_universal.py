"""Large kernels beside small ones: how far they see, whether by shape or by texture, and one net for three senses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labkit.data.scenes import CATEGORIES, scene
from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import SIDE, Lesson, learn, pixels_of, seeded, shown
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.unireplknet_universal import (
    PAPER,
    series_as_picture,
    sound_as_picture,
    unireplknet_universal,
)
from labkit.models.scaffold import Scaffold
from labkit.probes.receptive_field import EffectiveField, effective_fields, measure_field
from labkit.viz import experiments as draw

SMALL = 3
"""Cells a side of the kernels that the large ones are compared with."""
WIDER = 1.3
"""So many times the side holds half of the field: wider."""
MORE = 0.1
"""So much (of 0..1) more is a stronger leaning to shape. One net decides little: over six seeds the bias of the large
kernels lay between 0.25 and 0.52 (mean 0.34), that of the small ones between 0.08 and 0.52 (mean 0.29)."""
ABOVE = 0.3
"""So much above chance (0..1) is learning from a sense."""
SIZE, LAST = 224, "stages.3.2"
"""Pixels a side, and the block, of the published net whose field is measured."""
SCENES, TAUGHT, ASKED = 2000, 400, 256
"""Scenes drawn, of which about a quarter agree in shape and texture; how many are taught; sounds and series asked."""
BATCH, RATE = 32, 1e-2
LENGTH, WINDOW, HOP = 1024, 62, 33
"""Samples of a sound, and of the looks at it: a map of 32 x 32."""
NODES, MOMENTS = 16, 64
NOISE = 0.7
"""Deviation of the noise in sounds and series, whose waves swing by 1."""


class Odds(NamedTuple):
    """Scenes whose shape says one thing and whose texture another, both as an index of what the lesson taught."""

    images: Float[Tensor, "n 3 h w"]
    shapes: Int64[Tensor, "n"]
    textures: Int64[Tensor, "n"]


def experiment(
    *,
    field_kernel: Annotated[int, Slider(5, 13, 2), "cells a side, in the net whose field is measured"] = 13,
    kernel: Annotated[int, Slider(5, 13, 2), "cells a side, in the net that is taught; 13 takes minutes"] = 7,
    steps: Annotated[
        int, Slider(50, 1000, 50), "how long each net is taught; half as long for sounds and series"
    ] = 200,
    seed: Annotated[int, Slider(0, 99), "of weights, scenes, sounds and series"] = 0,
) -> Readout:
    """Measure the field of large kernels and small ones; teach both, set shape against texture; try other senses."""
    fields = {named(side): field(side, seed=seed) for side in (field_kernel, SMALL)}
    sides = {name: half(one) for name, one in fields.items()}
    ratio = sides[named(field_kernel)] / sides[named(SMALL)]

    book, odds = cues(seed)
    nets, told = {}, {}
    for side in (kernel, SMALL):
        nets[named(side)], told[named(side)] = taught(book, kernel=side, steps=steps, seed=seed)
    bias = {name: shape_bias(net, odds) for name, net in nets.items()}

    with seeded(seed):
        others = {"sounds": sounds(), "series": series()}
    senses = {"pictures": told[named(kernel)]}
    for name, one in others.items():
        senses[name] = taught(one, kernel=kernel, steps=steps // 2, seed=seed)[1]
    spectrum, moments = (one.asked[0, 0] for one in others.values())

    wider = ratio >= WIDER
    learned = min(told.values()) > book.chance + ABOVE
    shapelier = learned and bias[named(kernel)] >= bias[named(SMALL)] + MORE
    universal = min(senses.values()) > book.chance + ABOVE
    judged = "clearly more" if shapelier else "not clearly more" if learned else "but too little is learned to judge"
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(wider, shapelier, universal),
        because=(
            f"Half of the field lies within {sides[named(field_kernel)]:.0%} of the picture's side with kernels of "
            f"{field_kernel}, within {sides[named(SMALL)]:.0%} with {SMALL}: {ratio:.1f} times. Where shape and "
            f"texture are at odds, {bias[named(kernel)]:.0%} of the decisions for one of them are for the shape with "
            f"kernels of {kernel}, {bias[named(SMALL)]:.0%} with {SMALL}: {judged}. The net tells "
            f"{senses['pictures']:.0%} of new pictures, {senses['sounds']:.0%} of sounds and {senses['series']:.0%} of "
            f"series, where a guess tells {book.chance:.0%}."
        ),
        numbers={
            **{f"half of the field, {name}": Number(value, "of the side, 0..1") for name, value in sides.items()},
            **{f"shape bias, {name}": Number(value, "of decisions for either, 0..1") for name, value in bias.items()},
            **{f"agreeing cues told, {name}": Number(value, "0..1") for name, value in told.items()},
            **{f"{name} told": Number(senses[name], "0..1") for name in others},
        },
        figures={
            "field": draw.maps(
                [one.mean.sqrt().numpy() for one in fields.values()],
                names=list(fields),
                notes=[f"half within {value:.0%} of the side" for value in sides.values()],
                label="√ of its own largest",
                alone=True,
                title="What moves the middle of the last block, untaught",
            ),
            "bias": draw.rivals(
                bias,
                label="share of the decisions for shape or texture that are for the shape",
                chosen=named(kernel),
                line=(0.5, "as often for either"),
                top=1.0,
                title="Shape against texture, after lessons in which both told the same",
            ),
            "senses": draw.maps(
                [spectrum.flip(0).numpy(), (moments - moments.min()).numpy()],
                names=["a sound: frequencies, time", "a series: nodes, time"],
                photo=shown(odds.images[0]),
                label="of its own largest",
                alone=True,
                title="What the net is given (here a shape at odds with its texture)",
            ),
            "accuracy": draw.rivals(
                senses,
                label="share of new ones told right",
                line=(book.chance, "chance"),
                top=1.0,
                title=f"One architecture with kernels of {kernel}, taught anew for each sense",
            ),
        },
    )


def named(kernel: int) -> str:
    return f"{kernel} x {kernel}"


def field(kernel: int, *, seed: int) -> EffectiveField:
    """What moves the middle of the last block of the published net, fresh, with its blocks at full strength."""
    with seeded(seed):
        model = unireplknet_universal(kernels=(3, kernel, kernel, kernel), scale=1.0).eval()
        (one,) = effective_fields(model, torch.randn(2, 3, SIZE, SIZE), layers=[LAST])
    return one


def half(one: EffectiveField) -> float:
    """The side of the square that holds half of the field, as a share of the picture's, 0..1."""
    return measure_field(one.mean, centre=one.centre, parts=(0.5,)).side.item() / SIZE


def cues(seed: int) -> tuple[Lesson, Odds]:
    """Scenes in which the n-th shape has the n-th texture, as a lesson on either; and those where they are at odds."""
    made = [scene(seed * SCENES + i, size=(SIDE, SIDE), others=0) for i in range(SCENES)]
    images = pixels_of(made)
    shapes = torch.tensor([one.label for one in made])
    textures = torch.tensor([CATEGORIES["texture"].index(one.target.texture) for one in made])
    agree = shapes == textures
    alike, labels = images[agree], shapes[agree]
    book = Lesson(alike[:TAUGHT], labels[:TAUGHT], alike[TAUGHT:], labels[TAUGHT:], len(CATEGORIES["shape"]))
    return book, Odds(images[~agree], shapes[~agree], textures[~agree])


def taught(book: Lesson, *, kernel: int, steps: int, seed: int) -> tuple[Scaffold, float]:
    """A small net with one kernel in both stages and none beside it, taught; and its accuracy, 0..1."""
    with seeded(seed):
        model = unireplknet_universal(
            dims=(16, 32),
            depths=(1, 1),
            kernels=(kernel, kernel),
            branches={},
            folded=False,
            scale=1.0,
            classes=book.classes,
        )
        return model, learn(model, book, steps=steps, batch=BATCH, rate=RATE)


def shape_bias(net: Callable[[Tensor], Tensor], odds: Odds) -> float:
    """Of the decisions for the shape or the texture, the share for the shape, 0..1; NaN where none is for either."""
    with torch.inference_mode():
        said = net(odds.images).argmax(dim=1)
    shape, texture = (said == odds.shapes).sum(), (said == odds.textures).sum()
    return (shape / (shape + texture)).item()


def sounds() -> Lesson:
    """Tones that rise, fall, stay or waver, in noise, as pictures of their frequencies."""
    labels = torch.arange(3 * ASKED) % 4
    time = torch.linspace(-1, 1, LENGTH)
    bends = torch.stack([time, -time, 0 * time, (6 * math.pi * time).sin()])
    pitch = torch.empty(len(labels), 1).uniform_(0.12, 0.38)  # cycles a sample
    turns = (pitch + 0.06 * bends[labels]).cumsum(dim=1)
    waves = (2 * math.pi * (turns + torch.rand(len(labels), 1))).sin() + NOISE * torch.randn_like(turns)
    return lesson(sound_as_picture(waves, window=WINDOW, hop=HOP), labels)


def series() -> Lesson:
    """Waves that travel down the nodes, or up, or shake all nodes at once, or each for itself, in noise."""
    labels = torch.arange(3 * ASKED) % 4
    nodes = torch.arange(NODES) / NODES
    late = torch.stack([nodes, -nodes, 0 * nodes])[labels % 3]
    late[labels == 3] = torch.rand(int((labels == 3).sum()), NODES)
    period = torch.empty(len(labels), 1, 1).uniform_(12, 24)  # moments
    turns = torch.arange(MOMENTS)[:, None] / period - late[:, None] + torch.rand(len(labels), 1, 1)
    return lesson(series_as_picture((2 * math.pi * turns).sin() + NOISE * torch.randn_like(turns)), labels)


def lesson(images: Float[Tensor, "n 3 h w"], labels: Int64[Tensor, "n"]) -> Lesson:
    """The last `ASKED` are asked, all before them taught."""
    return Lesson(images[:-ASKED], labels[:-ASKED], images[-ASKED:], labels[-ASKED:], 4)
