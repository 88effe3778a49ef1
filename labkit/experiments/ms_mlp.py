"""Mixing with shifts and without, at the same weights: what a block sees, what it can know, and what it tells."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import DIMS, TELLS, learn, scenes, seeded
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.ms_mlp import PAPER, MixShift, MixShiftBlock, ms_mlp
from labkit.probes.mixing import mixing_map
from labkit.taps import Form
from labkit.viz import experiments as draw

SIDE, WIDTH = 17, 20
FURTHEST = 10
"""Cells to the left: so far away lies the last cell that a block is asked about."""
KNOWN = 0.9
"""So often right (0..1) knows a cell; a guess is right in a half."""
RATE = 6e-3


def experiment(
    *,
    shift: Annotated[int, Slider(1, 6), "cells that the outermost groups of channels step aside"] = 2,
    steps: Annotated[int, Slider(50, 800, 50), "how long each model learns shapes"] = 400,
    seed: Annotated[int, Slider(0, 99), "of weights and pictures"] = 0,
) -> Readout:
    """Look at one block's field, teach it to say what lies to its left, and teach two small models to tell shapes."""
    shifts = {"shifted": (-shift, -(shift // 2), 0, shift // 2, shift), "not shifted": (0,) * 5}
    fields = {name: field(one, seed=seed) for name, one in shifts.items()}
    seen = {name: (one > 0).sum().item() for name, one in fields.items()}
    knows = {name: knowing(one, seed=seed) for name, one in shifts.items()}
    known = {name: sum(share > KNOWN for share in shares) for name, shares in knows.items()}

    book = scenes(seed=seed)
    accuracy, weights = {}, {}
    for name, one in shifts.items():
        with seeded(seed):
            model = ms_mlp(dims=DIMS, depths=(1, 1), shifts=one, scale=1.0, classes=book.classes)
            accuracy[name] = learn(model, book, steps=steps, rate=RATE)
        weights[name] = sum(p.numel() for p in model.parameters())

    free = seen["shifted"] > seen["not shifted"] and weights["shifted"] == weights["not shifted"]
    further = known["shifted"] > known["not shifted"]
    learned = book.learned(max(accuracy.values()))
    better = learned and accuracy["shifted"] >= accuracy["not shifted"] + TELLS
    shapes = "better with them" if better else "no better with them" if learned else "nothing is learned yet"
    distances = list(range(1, FURTHEST + 1))
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(free, further, better),
        because=(
            f"With shifts of up to {shift} a cell sees {seen['shifted']} cells, without {seen['not shifted']}, by the "
            f"same weights; it learns what lies up to {known['shifted']} cells to its left, without "
            f"{known['not shifted']}. After {steps} steps the shape is told in {accuracy['shifted']:.0%} of new scenes "
            f"with shifts and in {accuracy['not shifted']:.0%} without: {shapes}."
        ),
        numbers={
            **{f"cells seen, {name}": Number(value, "cells") for name, value in seen.items()},
            **{f"known to the left, {name}": Number(value, "cells") for name, value in known.items()},
            **{f"accuracy, {name}": Number(value, "0..1") for name, value in accuracy.items()},
            "weights": Number(weights["shifted"], "with shifts; without: the same"),
        },
        figures={
            "field": draw.maps(
                [one.sqrt().numpy() for one in fields.values()],
                names=list(fields),
                notes=[f"{count} cells" for count in seen.values()],
                label="√ share of the row",
                title="Of which cells one block makes the middle one",
            ),
            "known": draw.curves(
                distances,
                knows,
                across="cells to the left",
                up="share of cells told right (a guess: 0.5)",
                title="What one block can know of a cell so far away",
            ),
            "accuracy": draw.rivals(
                accuracy,
                label="share of 512 new scenes told right",
                chosen="shifted",
                line=(book.chance, "chance"),
                top=1.0,
                title=f"The shape, learned for {steps} steps by two blocks",
            ),
        },
    )


def field(shifts: tuple[int, ...], *, seed: int) -> Float[Tensor, "h w"]:
    """The shares of the cells that the middle one is made of by a fresh block, its residual included."""
    with seeded(seed):
        block = MixShiftBlock(WIDTH, mixer=MixShift(WIDTH, shifts=shifts), scale=1.0)
        x = torch.randn(1, SIDE, SIDE, WIDTH)
    form = Form("b h w c", (SIDE, SIDE), WIDTH)
    one = mixing_map(block, x, before=form, after=form, probes=8, side=SIDE)
    return one.shares[0, SIDE**2 // 2].view(SIDE, SIDE)


def knowing(shifts: tuple[int, ...], *, seed: int, steps: int = 150) -> list[float]:
    """How often one block, taught, tells the sign of the cell 1, 2, … to the left: the share of cells, 0..1.

    Rows of random signs; only cells that have such a neighbour inside the picture are asked.
    """
    distance = torch.arange(1, FURTHEST + 1)
    inside = torch.arange(SIDE)[:, None] >= distance
    with seeded(seed):
        block = MixShiftBlock(WIDTH, mixer=MixShift(WIDTH, shifts=shifts), scale=1.0)
        model = nn.Sequential(nn.Linear(1, WIDTH), block, nn.Linear(WIDTH, FURTHEST))
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)

        def margin(pictures: int) -> Tensor:
            signs = torch.randint(2, (pictures, 4, SIDE, 1)) * 2.0 - 1
            wanted = torch.cat([signs.roll(far, dims=2) for far in distance.tolist()], dim=-1)
            return model(signs) * wanted

        for _ in range(steps):
            loss = (F.softplus(-margin(16)) * inside).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            right = (margin(64) > 0) & inside
    return (right.sum(dim=(0, 1, 2)) / (inside.sum(dim=0) * 64 * 4)).tolist()
