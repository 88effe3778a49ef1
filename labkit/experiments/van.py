"""Large kernel attention beside self-attention: from how far, how differently, and at what price."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from labkit.data.images import open_image
from labkit.data.transforms import Transform
from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import seeded
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.van import PAPER, LargeKernelAttention, LkaMixer
from labkit.models.layers import Mlp
from labkit.models.mixers.plain import SelfAttention
from labkit.models.scaffold import Block, Head, Patches, Scaffold
from labkit.probes.cost import cost
from labkit.probes.mixing import mixing_map
from labkit.probes.mixing_measures import measure_mixing
from labkit.probes.speed import exponent
from labkit.taps import Form
from labkit.viz import experiments as draw

DIM, GRID, PATCH = 16, (28, 28), 8
SIDES = (14, 28, 42, 56)
"""Cells a side at which the cost is counted."""
EVEN = 1.05
"""An exponent up to here is linear: what is counted is exact, and only the head does not grow."""


def experiment(
    *,
    photo: Annotated[Literal["chelsea", "astronaut", "coffee", "rocket"], "what the weights are made of"] = "chelsea",
    join: Annotated[
        Literal["times", "plus", "weights alone"], "how the weights meet the picture: the paper multiplies"
    ] = "times",
    seed: Annotated[int, Slider(0, 99), "of the weights, which are random"] = 0,
) -> Readout:
    """Ask a fresh LKA for its field, for what its weights depend on, and for its cost, beside attention."""
    with seeded(seed):
        lka, attention = LargeKernelAttention(DIM).eval(), SelfAttention(DIM, heads=2).eval()
        stem = Patches(3, DIM, kernel=PATCH, stride=PATCH, norm=torch.nn.LayerNorm).eval()
        without_bias(lka)
    x, other = (seen(stem, name) for name in (photo, "coffee" if photo != "coffee" else "chelsea"))
    form = Form("b h w c", GRID, DIM)
    joined = {"times": lka, "plus": lambda y: y + weights_of(lka, y), "weights alone": lambda y: weights_of(lka, y)}
    maps = {
        "LKA": mixing_map(joined[join], x, before=form, after=form, probes=1, side=28),
        "attention": mixing_map(attention, x, before=form, after=form, probes=1, side=28),
    }
    middle = GRID[0] // 2 * GRID[1] + GRID[1] // 2
    rows = {name: one.norms[0, middle].view(GRID) for name, one in maps.items()}
    side = (rows["LKA"] > 1e-6 * rows["LKA"].max()).any(dim=0).sum().item()
    reach = {name: measure_mixing(one).reach.item() for name, one in maps.items()}

    with torch.inference_mode():
        weights, others = weights_of(lka, x)[0], weights_of(lka, other)[0]
        twice = (joined[join](2 * x) - 2 * joined[join](x)).norm() / (2 * joined[join](x)).norm()
    size = weights.std().item()
    varies = {
        "from picture to picture": ((weights - others).pow(2).mean().sqrt() / 2**0.5 / size).item(),
        "from cell to cell": (weights.flatten(0, 1).std(dim=0).mean() / size).item(),
        "from channel to channel": (weights.std(dim=-1).mean() / size).item(),
    }
    macs = {name: [macs_of(name, side) for side in SIDES] for name in ("LKA", "attention")}
    grows = {name: exponent([side**2 for side in SIDES], counts) for name, counts in macs.items()}

    linear, far = grows["LKA"] < EVEN < grows["attention"], side > GRID[1] / 2
    adapts = min(varies.values()) > 0.1 and twice.item() > 0.01
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(linear, far, adapts),
        because=(
            f"Its cost grows with the cells to the power of {grows['LKA']:.2f} (attention: {grows['attention']:.2f}), "
            f"a cell depends on {side} x {side} others, and its weights vary {varies['from picture to picture']:.0%} "
            f"as much from picture to picture as over all, {varies['from cell to cell']:.0%} from cell to cell, "
            f"{varies['from channel to channel']:.0%} from channel to channel; {linear_words(join, twice.item())}."
        ),
        numbers={
            "field": Number(side, "cells a side; the paper says 21"),
            "reach": Number(reach["LKA"], "0 = itself, 1 = everywhere"),
            "reach of attention": Number(reach["attention"], "0 = itself, 1 = everywhere"),
            "cost exponent": Number(grows["LKA"], "MACs ~ cells to this power"),
            "cost exponent of attention": Number(grows["attention"], "MACs ~ cells to this power"),
            **{f"varies {how}": Number(value, "of the weights' deviation") for how, value in varies.items()},
            "not linear": Number(twice.item(), "|f(2x) - 2 f(x)| / |2 f(x)|"),
        },
        figures={
            "field": draw.maps(
                [row.sqrt().numpy() for row in rows.values()],
                names=list(rows),
                notes=[f"reach {value:.2f}" for value in reach.values()],
                label="√ of its own largest",
                alone=True,
                title="From where the cell in the middle is made (random weights)",
            ),
            "weights": draw.maps(
                [weights[..., channel].numpy() for channel in range(4)],
                names=[f"channel {channel}" for channel in range(4)],
                photo=np.asarray(view(photo)),
                label="weight (of either sign)",
                signed=True,
                title="What the picture is multiplied by, channel by channel",
            ),
            "cost": draw.curves(
                [side**2 for side in SIDES],
                {f"{name}: cells to the power of {grows[name]:.2f}": counts for name, counts in macs.items()},
                across="cells of the grid",
                up="multiply-adds of one block",
                logarithmic=True,
                title=f"What a larger picture costs, at {DIM * 4} channels",
            ),
        },
    )


def without_bias(lka: LargeKernelAttention) -> None:
    """What a bias adds depends on no picture: it would pass for weights that differ from channel to channel."""
    for part in (lka.near.part, lka.far.part, lka.channels):
        torch.nn.init.zeros_(part.bias)


def weights_of(lka: LargeKernelAttention, x: Tensor) -> Tensor:
    """`b h w c`: what LKA multiplies the picture with."""
    return lka.channels(lka.far(lka.near(x)))


def macs_of(name: str, side: int) -> int:
    """Multiply-adds of one block with this mixer, on a grid of `side` cells a side."""
    wide = 4 * DIM
    with seeded(0):
        mixer = LkaMixer(wide) if name == "LKA" else SelfAttention(wide, heads=2)
        frame = Scaffold(
            depths=(1,),
            stem=Patches(3, wide, kernel=4, stride=4),
            block=lambda stage, rate: Block(wide, mixer=mixer, mlp=Mlp(wide)),
            head=Head(wide, 2),
        )
    (layer,) = cost(frame, (4 * side, 4 * side)).layers
    return layer.macs


def view(photo: str) -> Image:
    return Transform(PATCH * GRID[0], (0.5,) * 3, (0.5,) * 3).view(open_image(photo))


def seen(stem: Patches, photo: str) -> Float[Tensor, "1 h w c"]:
    """The photo behind a random stem."""
    with torch.inference_mode():
        pixels = torch.from_numpy(np.array(view(photo))).float() / 127.5 - 1
        return stem(pixels[None]).clone()


def linear_words(join: str, nonlinear: float) -> str:
    """Whether twice the picture gives twice the answer."""
    same = "gives twice the answer: nothing adapts" if nonlinear < 0.01 else "does not give twice the answer"
    return f"joined by {join}, twice the picture {same}"
