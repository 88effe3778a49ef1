"""One frame, a choice of mixers: teach each for a few seconds which shape it sees, and compare.

Time is a knob here: after 300 steps pooling lies far behind attention, after 1,000 it has caught up; docs/CATALOGUE.md
has the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

from torch import nn

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import SIDE, TELLS, scenes, taught
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.metaformer import PAPER, Pooling
from labkit.models.mixers.plain import Depthwise, NoMixing, RandomMixing, SelfAttention
from labkit.probes.cost import cost
from labkit.probes.filters import attention_response
from labkit.probes.mixing import mixing_maps
from labkit.probes.mixing_measures import measure_mixing
from labkit.viz import experiments as draw

CLOSE = 0.05
"""So near (of an accuracy, 0..1) is keeping up."""


def experiment(
    *,
    mixer: Annotated[Literal["pooling", "depthwise", "random matrix", "nothing", "attention"], "who mixes"] = "pooling",
    pool: Annotated[int, Slider(3, 7, 2), "cells along a side, for pooling"] = 3,
    lesson: Annotated[Literal["shape", "position", "texture", "colour"], "what the models are to tell"] = "shape",
    steps: Annotated[int, Slider(50, 1000, 50), "how long each model is taught"] = 300,
    seed: Annotated[int, Slider(0, 99), "of weights and scenes"] = 0,
) -> Readout:
    """Put a mixer into the frame and teach it, beside the same frame with attention and with nothing."""
    book = scenes(seed=seed, about=lesson)
    makers: dict[str, Callable[[int, int], nn.Module]] = {
        "pooling": lambda stage, dim: Pooling(pool=pool),
        "depthwise": lambda stage, dim: Depthwise(dim),
        "random matrix": lambda stage, dim: RandomMixing(grid=(SIDE // 4 >> stage,) * 2),
        "nothing": lambda stage, dim: NoMixing(),
        "attention": lambda stage, dim: SelfAttention(dim, heads=2),
    }
    accuracy, models = {}, {}
    for name in dict.fromkeys((mixer, "attention", "nothing")):
        models[name], accuracy[name] = taught(makers[name], book, steps=steps, seed=seed)
    costs = {name: cost(model, (SIDE, SIDE)) for name, model in models.items()}
    read = {name: mixing_maps(m, book.asked[:4], layers=["stages.0.1"], probes=2)[0] for name, m in models.items()}
    reach = {name: measure_mixing(one).reach.mean().item() for name, one in read.items()}
    responses = {name: attention_response(one.attention()) for name, one in read.items()}

    learned = book.learned(accuracy["attention"])
    frame = (accuracy["nothing"] - book.chance) / (accuracy["attention"] - book.chance) if learned else math.nan
    near = learned and accuracy[mixer] >= accuracy["attention"] - CLOSE
    helps = accuracy[mixer] > accuracy["nothing"] + TELLS
    judged = (
        f"it {'keeps' if near else 'does not keep'} up with attention (within {CLOSE:.0%}) and "
        f"{'beats' if helps else 'does not beat'} the bare frame (by {TELLS:.0%})"
        if learned
        else "attention has learned nothing yet, so there is nothing to compare; give it more steps"
    )
    # The cell at the centre of the grid behind the stem.
    middle = SIDE // 8 * (SIDE // 4) + SIDE // 8
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(near, helps),
        because=(
            f"After {steps} steps the frame tells the {lesson} in {accuracy[mixer]:.0%} of new scenes with {mixer}, "
            f"with attention in {accuracy['attention']:.0%}, without mixing in {accuracy['nothing']:.0%}: "
            f"{judged}. Chance is {book.chance:.0%}."
        ),
        numbers={
            "accuracy": Number(accuracy[mixer], "0..1"),
            "accuracy with attention": Number(accuracy["attention"], "0..1"),
            "accuracy with nothing": Number(accuracy["nothing"], "0..1"),
            "share the frame earns alone": Number(frame, "of attention's gain over chance"),
            "parameters": Number(costs[mixer].parameters),
            "parameters of attention": Number(costs["attention"].parameters / costs[mixer].parameters, "times ours"),
            "MACs of attention": Number(costs["attention"].macs / costs[mixer].macs, "times ours"),
            "reach of a block": Number(reach[mixer], "0 = itself, 1 = everywhere"),
            "reach of attention": Number(reach["attention"], "0 = itself, 1 = everywhere"),
        },
        figures={
            "accuracy": draw.rivals(
                accuracy,
                label="share of 512 new scenes told right",
                chosen=mixer,
                line=(book.chance, "chance"),
                top=1.0,
                title=f"The {lesson}, learned for {steps} steps in one frame",
            ),
            "mixing": draw.maps(
                [one.shares[:, middle].mean(dim=0).view(one.key_grid).sqrt().numpy() for one in read.values()],
                names=list(read),
                notes=[f"reach {reach[name]:.2f}" for name in read],
                label="√ share of the row",
                title="Of which cells the second block makes the one in the middle",
            ),
            "frequencies": draw.curves(
                next(iter(responses.values())).frequencies.tolist(),
                {name: one.radial[0].tolist() for name, one in responses.items()},
                across="frequency (cycles per cell; 0.5 is the finest along an axis)",
                up="gain (0..1)",
                title="The same rows, seen as filters: what they let through",
            ),
        },
    )
