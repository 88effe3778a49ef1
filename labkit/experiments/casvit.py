"""Gates that are added, beside attention: how far they see, what they depend on, what they cost, and what they tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor, nn

from labkit.data.images import open_image
from labkit.data.transforms import Transform
from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import SIDE, scenes, seeded, taught
from labkit.experiments._mixers import growth
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.casvit import PAPER, AdditiveMixer
from labkit.models.mixers.plain import SelfAttention
from labkit.probes.mixing import mixing_maps
from labkit.viz import experiments as draw

PLACE = "stages.0.1.mixer"
NEAR = 3
"""Cells to each side that three 3 x 3 convolutions in a row see."""
EVEN = 1.05
"""An exponent up to here is linear."""
CLOSE = 0.05
"""So near (of an accuracy, 0..1) is keeping up."""
DIM, CELLS = 64, (196, 784, 3136, 12544)
GRID, PATCH = 28, 8


def experiment(
    *,
    gates: Annotated[
        Literal["cells and channels", "cells", "channels", "none"], "what query and key pass"
    ] = "cells and channels",
    lesson: Annotated[Literal["shape", "position", "texture", "colour"], "what the models are to tell"] = "shape",
    photo: Annotated[Literal["chelsea", "coffee", "astronaut"], "whose gates are shown"] = "chelsea",
    steps: Annotated[int, Slider(50, 1000, 50), "how long each model is taught"] = 200,
    seed: Annotated[int, Slider(0, 99), "of weights and scenes"] = 0,
) -> Readout:
    """Teach the additive mixer, the same without its gates, and attention in one frame; look at what they mix."""
    book = scenes(seed=seed, about=lesson)
    chosen = {"cells": "cells" in gates, "channels": "channels" in gates}
    makers: dict[str, Callable[[int], nn.Module]] = {
        "additive": lambda dim: AdditiveMixer(dim, **chosen),
        "no gates": lambda dim: AdditiveMixer(dim, cells=False, channels=False),
        "attention": lambda dim: SelfAttention(dim, heads=2),
    }
    models, accuracy = {}, {}
    for name, maker in makers.items():
        models[name], accuracy[name] = taught(lambda stage, dim, maker=maker: maker(dim), book, steps=steps, seed=seed)
    shares = {name: mixing_maps(model, book.asked[:8], layers=[PLACE])[0].shares for name, model in models.items()}
    far = {name: from_afar(one) for name, one in shares.items()}
    costs = growth({name: makers[name] for name in ("additive", "attention")}, dim=DIM, cells=CELLS)
    grows = costs.powers

    linear, everywhere = grows["additive"] < EVEN, far["additive"] >= far["attention"] / 2
    learned = book.learned(accuracy["attention"])
    near = learned and accuracy["additive"] >= accuracy["attention"] - CLOSE
    judged = f"it {'keeps' if near else 'does not keep'} up" if learned else "attention has learned nothing to compare"
    middle = SIDE // 8 * (SIDE // 4) + SIDE // 8
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(linear, everywhere, near),
        because=(
            f"Its cost grows with the cells to the power of {grows['additive']:.2f} (attention: "
            f"{grows['attention']:.2f}); {far['additive']:.1%} of what makes a cell lies further than {NEAR} cells "
            f"away (attention: {far['attention']:.0%}). After {steps} steps it tells the {lesson} in "
            f"{accuracy['additive']:.0%} of new scenes, without gates in {accuracy['no gates']:.0%}, attention in "
            f"{accuracy['attention']:.0%}: {judged}."
        ),
        numbers={
            **{f"accuracy, {name}": Number(value, "0..1") for name, value in accuracy.items()},
            **{f"from afar, {name}": Number(value, f"share, over {NEAR} cells away") for name, value in far.items()},
            **{f"cost exponent, {name}": Number(value, "MACs ~ cells to this power") for name, value in grows.items()},
        },
        figures={
            "accuracy": draw.rivals(
                accuracy,
                label="share of 512 new scenes told right",
                chosen="additive",
                line=(book.chance, "chance"),
                top=1.0,
                title=f"The {lesson}, learned for {steps} steps in one frame",
            ),
            "mixing": draw.maps(
                [one[:, middle].mean(dim=0).view(SIDE // 4, SIDE // 4).sqrt().numpy() for one in shares.values()],
                names=list(shares),
                notes=[f"{share:.1%} from afar" for share in far.values()],
                label="√ share of the row",
                title="Of which cells the second block's mixer makes the middle one",
            ),
            "weights": draw.maps(
                list(weights_for(photo, seed=seed, **chosen).numpy()),
                names=[f"channel {channel}" for channel in range(4)],
                photo=np.asarray(view(photo)),
                label="weight of the value",
                signed=True,
                title="What the values are multiplied by (random weights)",
            ),
            "cost": costs.figure(),
        },
    )


def from_afar(shares: Float[Tensor, "b q k"]) -> float:
    """The share of the rows that lies further away than `NEAR` rows or columns, the mean over cells and pictures."""
    side = SIDE // 4
    row, column = torch.arange(side**2) // side, torch.arange(side**2) % side
    distance = torch.maximum((row[:, None] - row).abs(), (column[:, None] - column).abs())
    return (shares * (distance > NEAR)).sum(dim=-1).mean().item()


def view(photo: str) -> Image:
    return Transform(GRID * PATCH, (0.5,) * 3, (0.5,) * 3).view(open_image(photo))


def weights_for(photo: str, *, seed: int, cells: bool, channels: bool) -> Float[Tensor, "4 h w"]:
    """What a fresh mixer multiplies a photo's values by, in its first four channels."""
    with seeded(seed), torch.no_grad():
        stem = nn.Conv2d(3, DIM, PATCH, stride=PATCH)
        mixer = AdditiveMixer(DIM, cells=cells, channels=channels)
        nn.init.zeros_(mixer.weigh.bias)  # it depends on no picture, and would drown what does
        pixels = torch.from_numpy(np.array(view(photo))).float() / 127.5 - 1
        q, k, _ = mixer.qkv(stem(pixels.movedim(-1, 0)[None])).chunk(3, dim=1)
        return mixer.weigh(mixer.query(q) + mixer.key(k))[0, :4]
