"""Windows, channels and both in turn: what each sees, what more cells cost, and which tells more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import TELLS, scenes, taught
from labkit.experiments._mixers import fresh, growth, row_of
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.davit import PAPER, ChannelAttention, WindowAttention
from labkit.models.mixers.plain import SelfAttention
from labkit.taps import holding
from labkit.viz import experiments as draw

DIM, HEADS, GRID = 48, 2, 16
CELLS = (256, 1024, 4096, 16384)
EVEN = 1.05
"""An exponent up to here is linear."""
ASKED = 6
"""Row and column of the cell that is shown."""


def experiment(
    *,
    window: Annotated[Literal["2", "4", "8"], "cells along a side of a window, of 8 in the nets that are taught"] = "4",
    lesson: Annotated[Literal["shape", "position", "texture", "colour"], "what the models are to tell"] = "shape",
    steps: Annotated[int, Slider(50, 1000, 50), "how long each model is taught"] = 150,
    seed: Annotated[int, Slider(0, 99), "of weights and scenes"] = 0,
) -> Readout:
    """Look at one step of each attention and count what it costs; teach windows, channels, both, and all cells."""
    alone: dict[str, Callable[[int], nn.Module]] = {
        "windows": lambda dim: WindowAttention(dim, heads=HEADS, window=int(window)),
        "channels": lambda dim: ChannelAttention(dim, heads=HEADS),
        "all cells": lambda dim: SelfAttention(dim, heads=HEADS),
    }
    rivals = {"both": (alone["windows"], alone["channels"])} | {name: (maker,) for name, maker in alone.items()}
    book = scenes(seed=seed, about=lesson)
    models, accuracy = {}, {}
    for name, makers in rivals.items():
        models[name], accuracy[name] = taught(in_turn(makers), book, steps=steps, seed=seed)
    shown = {
        name: row_of(*fresh(maker, dim=DIM, side=GRID, seed=seed), cell=(ASKED, ASKED)) for name, maker in alone.items()
    }
    reach = {name: (one > 0).float().mean().item() for name, one in shown.items()}
    costs = growth(alone, dim=DIM, cells=CELLS)
    grows = costs.powers

    linear, everywhere = grows["channels"] < EVEN, reach["channels"] == 1
    learned = book.learned(max(accuracy.values()))
    better = learned and accuracy["both"] > max(accuracy["windows"], accuracy["channels"]) + TELLS
    judged = f"both are {'better' if better else 'no better'} than the better one alone"
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(linear, everywhere, better),
        because=(
            f"One step among channels sees {reach['channels']:.0%} of the picture and one in windows of {window} x "
            f"{window} cells {reach['windows']:.1%}; their cost grows with the cells to the power of "
            f"{grows['channels']:.2f} and {grows['windows']:.2f} (attention over all cells: {grows['all cells']:.2f}). "
            f"After {steps} steps both in turn tell the {lesson} in {accuracy['both']:.0%} of new scenes, windows in "
            f"{accuracy['windows']:.0%}, channels in {accuracy['channels']:.0%}, attention over all cells in "
            f"{accuracy['all cells']:.0%}: {judged if learned else 'none has learned anything to compare'}."
        ),
        numbers={
            **{f"accuracy, {name}": Number(value, "0..1") for name, value in accuracy.items()},
            **{f"reach, {name}": Number(value, "share of the cells") for name, value in reach.items()},
            **{f"cost exponent, {name}": Number(value, "MACs ~ cells to this power") for name, value in grows.items()},
        },
        figures={
            "accuracy": draw.rivals(
                accuracy,
                label="share of 512 new scenes told right",
                chosen="both",
                line=(book.chance, "chance"),
                top=1.0,
                title=f"The {lesson}, learned for {steps} steps in one frame",
            ),
            "fields": draw.maps(
                [one.sqrt().numpy() for one in shown.values()],
                names=list(shown),
                notes=[f"{share:.1%} of the cells" for share in reach.values()],
                label="√ share of the row",
                title="What one cell is made of after one step (random weights)",
            ),
            "channels": draw.maps(
                list(channel_maps(models["both"], book.asked[:1]).numpy()),
                names=[f"head {head}" for head in range(HEADS)],
                notes=["down: answer, across: query"] * HEADS,
                label="share of a channel of the queries",
                title=f"A scene's attention among channels, after {steps} steps",
            ),
            "cost": costs.figure(),
        },
    )


def in_turn(makers: Sequence[Callable[[int], nn.Module]]) -> Callable[[int, int], nn.Module]:
    """What makes the mixers of one model: block by block, the next of these."""
    turns = cycle(makers)
    return lambda stage, dim: next(turns)(dim)


def channel_maps(model: nn.Module, image: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "heads d d"]:
    """The attention of one picture's channels, in the second block: the first that has it."""
    name = "stages.0.1.mixer.attn"
    with torch.inference_mode(), holding(model, [name]) as held:
        model(image)
    return held[name][0]
