"""Cheap features with a gate along rows and columns, and without one: how far they see, at what price, how well."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor, nn

from labkit.data.images import open_image
from labkit.data.transforms import Transform
from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import TELLS, Lesson, learn, scenes, seeded
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.ghostnetv2 import PAPER, DfcGate, Ghost, ghostnetv2
from labkit.probes.cost import cost
from labkit.probes.mixing import mixing_map
from labkit.taps import Form
from labkit.viz import experiments as draw

DIM, SIDE = 16, 24
ROWS = (((3, 24, 16, 0, 1),), ((3, 48, 24, 0, 2),), ((3, 72, 24, 0, 1),))
"""A small net's blocks: kernel, channels inside, channels, excitation, stride."""
PLAIN = 99
"""So many blocks without a gate: all."""
RATE = 3e-3
FEW = 0.2
"""So many more multiplications, as a share, are few."""
GRID, PATCH = 56, 4


def experiment(
    *,
    taps: Annotated[int, Slider(3, 15, 2), "cells gathered along the row, and along the column, at half size"] = 5,
    photo: Annotated[Literal["chelsea", "coffee", "astronaut"], "whose gates are shown"] = "coffee",
    lesson: Annotated[Literal["shape", "position", "texture", "colour"], "what the nets are to tell"] = "shape",
    steps: Annotated[int, Slider(50, 1000, 50), "how long each net is taught"] = 100,
    seed: Annotated[int, Slider(0, 99), "of weights and scenes"] = 0,
) -> Readout:
    """Look at one ghost module with its gate and without, then teach a small net with gates and one without."""
    with seeded(seed):
        modules = {
            "no gate": Ghost(DIM, DIM).eval(),
            "gate": Ghost(DIM, DIM, gate=DfcGate(DIM, DIM, taps=taps)).eval(),
            "full gate": Ghost(DIM, DIM, gate=DfcGate(DIM, DIM, taps=2 * SIDE - 1, half=False)).eval(),
        }
        x = torch.randn(1, DIM, SIDE, SIDE)
    fields = {name: field(module, x) for name, module in modules.items()}
    spans = {name: int((one > 0).any(dim=0).sum()) for name, one in fields.items()}
    far = {name: beyond_neighbours(one) for name, one in fields.items()}

    book = scenes(seed=seed, about=lesson)
    gates = {"gate": 0, "no gate": PLAIN}
    accuracy = {name: taught(book, plain=plain, taps=taps, steps=steps, seed=seed) for name, plain in gates.items()}
    with torch.device("meta"):
        macs = {plain: cost(ghostnetv2(plain=plain, taps=taps), (224, 224)).macs for plain in (2, PLAIN)}
    more = macs[2] / macs[PLAIN] - 1

    wider, cheap = spans["gate"] > spans["no gate"], more < FEW
    learned = book.learned(max(accuracy.values()))
    better = learned and accuracy["gate"] >= accuracy["no gate"] + TELLS
    judged = "the better for it" if better else "no better for it" if learned else "but nothing is learned yet"
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(wider, cheap, better),
        because=(
            f"With its gate of {taps} taps a module sees {spans['gate']} columns, without it {spans['no gate']}; "
            f"{far['gate']:.0%} of what makes a cell then lies beyond its 3 x 3 neighbours. In the published net the "
            f"gates add {more:.0%} to the multiplications. A small net with them tells the {lesson} in "
            f"{accuracy['gate']:.0%} of new scenes after {steps} steps, without in {accuracy['no gate']:.0%}: {judged}."
        ),
        numbers={
            **{f"columns seen, {name}": Number(value, "cells") for name, value in spans.items()},
            **{f"from afar, {name}": Number(value, "share, beyond 3 x 3 cells") for name, value in far.items()},
            "more multiplications": Number(more, "share, at 224 pixels"),
            **{f"accuracy, {name}": Number(value, "0..1") for name, value in accuracy.items()},
        },
        figures={
            "field": draw.maps(
                [one.sqrt().numpy() for one in fields.values()],
                names=["no gate", f"gate, {taps} taps", "full rows and columns"],
                notes=[f"{span} columns" for span in spans.values()],
                label="√ share of the row",
                title="Of which cells a module makes the middle one (random weights)",
            ),
            "gate": draw.maps(
                list(gate_of(photo, taps=taps, seed=seed).numpy()),
                names=[f"channel {channel}" for channel in range(3)],
                photo=np.asarray(view(photo)),
                label="gate, 0..1",
                title="What a fresh gate multiplies the features of a photo by",
            ),
            "accuracy": draw.rivals(
                accuracy,
                label="share of 512 new scenes told right",
                chosen="gate",
                line=(book.chance, "chance"),
                top=1.0,
                title=f"The {lesson}, learned for {steps} steps by a small GhostNet",
            ),
        },
    )


def field(module: nn.Module, x: Float[Tensor, "1 c h w"]) -> Float[Tensor, "h w"]:
    """The shares of the cells that the middle one is made of."""
    form = Form("b c h w", (SIDE, SIDE), DIM)
    one = mixing_map(module, x, before=form, after=form, probes=8, side=SIDE)
    return one.shares[0, SIDE // 2 * SIDE + SIDE // 2].view(SIDE, SIDE)


def beyond_neighbours(shares: Float[Tensor, "h w"]) -> float:
    """The share that lies outside of the 3 x 3 cells around the middle."""
    middle = SIDE // 2
    return max(0.0, 1 - shares[middle - 1 : middle + 2, middle - 1 : middle + 2].sum().item())


def taught(book: Lesson, *, plain: int, taps: int, steps: int, seed: int) -> float:
    """The accuracy of a small GhostNet with gates, or without; 0..1."""
    with seeded(seed):
        model = ghostnetv2(rows=ROWS, plain=plain, taps=taps, wide=64, classes=book.classes)
        return learn(model, book, steps=steps, rate=RATE)


def view(photo: str) -> Image:
    return Transform(GRID * PATCH, (0.5,) * 3, (0.5,) * 3).view(open_image(photo))


def gate_of(photo: str, *, taps: int, seed: int) -> Float[Tensor, "3 h w"]:
    """The first three channels of a fresh gate on a photo, behind a random stem."""
    with seeded(seed), torch.no_grad():
        stem = nn.Sequential(nn.Conv2d(3, DIM, PATCH, stride=PATCH), nn.BatchNorm2d(DIM))
        gate = DfcGate(DIM, DIM, taps=taps)  # in training mode: its norms take the photo's own statistics
        pixels = torch.from_numpy(np.array(view(photo))).float() / 127.5 - 1
        return gate(stem(pixels.movedim(-1, 0)[None]))[0, :3]
