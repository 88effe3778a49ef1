"""Rafts, untied columns and rows, and all cells at once: what each sees, what it weighs, and which tells more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import DIMS, SIDE, TELLS, Lesson, learn, scenes, seeded
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.raftmlp import PAPER, RaftMixing, raftmlp
from labkit.models.mixers.tokens import TokenMlp
from labkit.models.scaffold import Scaffold
from labkit.probes.cost import cost
from labkit.probes.mixing import mixing_map
from labkit.taps import Form
from labkit.viz import experiments as draw

GRID, DIM = 8, 16
GRIDS = (7, 14, 28, 56)
"""Cells along a side in the four stages of the published models."""


class AllCells(nn.Module):
    """A norm, one MLP over all cells, and a skip, in the place of both rafts: `b h w c -> b h w c`."""

    def __init__(self, dim: int, *, grid: tuple[int, int]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mix = TokenMlp(grid=grid, ratio=2)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return x + self.mix(self.norm(x))


def experiment(
    *,
    raft: Annotated[Literal["2", "4", "8"], "channels that are tied"] = "2",
    lesson: Annotated[Literal["shape", "position", "texture", "colour"], "what the nets are to tell"] = "shape",
    steps: Annotated[int, Slider(50, 1000, 50), "how long each net is taught"] = 200,
    seed: Annotated[int, Slider(0, 99), "of weights and scenes"] = 0,
) -> Readout:
    """Look at one mixing of each kind on a grid of cells, then teach each in RaftMLP's frame."""
    tied = f"rafts of {raft}"
    makers: dict[str, Callable[[int, tuple[int, int]], nn.Module]] = {
        tied: lambda dim, grid: RaftMixing(dim, grid=grid, raft=int(raft)),
        "columns and rows": lambda dim, grid: RaftMixing(dim, grid=grid, raft=1),
        "all cells at once": lambda dim, grid: AllCells(dim, grid=grid),
    }
    book = scenes(seed=seed, about=lesson)
    nets, accuracy = {}, {}
    for name, maker in makers.items():
        nets[name], accuracy[name] = taught(maker, book, steps=steps, seed=seed)
    costs = {name: cost(net, (SIDE, SIDE)) for name, net in nets.items()}
    macs = {name: one.macs for name, one in costs.items()}
    count = {name: one.parameters for name, one in costs.items()}
    weights = {name: [mixing_weights(maker, side) for side in GRIDS] for name, maker in makers.items()}

    learned = book.learned(max(accuracy.values()))
    better = learned and accuracy[tied] > accuracy["all cells at once"] + TELLS
    ties = learned and accuracy[tied] > accuracy["columns and rows"] + TELLS
    fewer = count[tied] < count["all cells at once"] and macs[tied] < macs["all cells at once"]
    judged = f"{'better' if better else 'no better'} than all cells, and tying {'helps' if ties else 'does not help'}"
    net = nets[tied]
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(better, ties, fewer),
        because=(
            f"After {steps} steps {tied} tell the {lesson} in {accuracy[tied]:.0%} of new scenes, columns and rows "
            f"untied in {accuracy['columns and rows']:.0%}, all cells at once in {accuracy['all cells at once']:.0%}: "
            f"{judged if learned else 'none has learned anything to compare'}. The net with rafts has "
            f"{count[tied] / count['all cells at once']:.2f} times the weights and "
            f"{macs[tied] / macs['all cells at once']:.2f} times the multiplications of the one with all cells."
        ),
        numbers={
            **{f"accuracy, {name}": Number(value, "0..1") for name, value in accuracy.items()},
            **{f"weights, {name}": Number(value) for name, value in count.items()},
            **{f"multiplications, {name}": Number(value, "MACs a picture") for name, value in macs.items()},
        },
        figures={
            "accuracy": draw.rivals(
                {f"{name}, {count[name] / 1e3:.0f} k weights": value for name, value in accuracy.items()},
                label="share of 512 new scenes told right",
                chosen=f"{tied}, {count[tied] / 1e3:.0f} k weights",
                line=(book.chance, "chance"),
                top=1.0,
                title=f"The {lesson}, learned for {steps} steps",
            ),
            "fields": draw.maps(
                [one.sqrt().numpy() for one in fields(int(raft), seed=seed).values()],
                names=["columns", "rows", "columns, then rows", "all cells at once"],
                label="√ share of the row",
                title="What one cell is made of, besides itself (random weights)",
            ),
            "matrices": draw.maps(
                [matrix_of(part).numpy() for part in (net.stages[0][1].mixer.columns, net.stages[0][1].mixer.rows)],
                names=["columns: raft and row", "rows: raft and column"],
                label="W2 W1, learned",
                signed=True,
                title=f"What the second block mixes: {raft} channels x {GRID} cells of a line",
            ),
            "weights": draw.curves(
                GRIDS,
                weights,
                across="cells along a side of the grid",
                up="weights of one mixing",
                logarithmic=True,
                title="What a larger grid costs in weights",
            ),
        },
    )


def taught(
    mixer: Callable[[int, tuple[int, int]], nn.Module], book: Lesson, *, steps: int, seed: int
) -> tuple[Scaffold, float]:
    """RaftMLP's frame in small with this mixing, taught; and its accuracy, 0..1."""
    with seeded(seed):
        net = raftmlp(dims=DIMS, depths=(2, 2), kernels=((4, 8), (2,)), pixels=SIDE, mixer=mixer, classes=book.classes)
        return net, learn(net, book, steps=steps)


def mixing_weights(maker: Callable[[int, tuple[int, int]], nn.Module], side: int) -> int:
    """The weights of the MLPs that mix a grid of so many cells a side; the norms' are not counted."""
    with torch.device("meta"):
        mixer = maker(DIM, (side, side))
    return sum(p.numel() for name, p in mixer.named_parameters() if "norm" not in name)


def fields(raft: int, *, seed: int) -> dict[str, Float[Tensor, "h w"]]:
    """The share that every cell has in one of them, in each fresh mixing without its skip; for both steps with it."""
    with seeded(seed):
        mixing, everything = RaftMixing(DIM, grid=(GRID, GRID), raft=raft), AllCells(DIM, grid=(GRID, GRID))
        x = torch.randn(1, GRID, GRID, DIM)
    form = Form("b h w c", (GRID, GRID), DIM)
    parts = {"columns": mixing.columns, "rows": mixing.rows, "both": mixing, "all cells": everything}
    asked = GRID // 2 * GRID + GRID // 2 - 1
    found = {}
    for name, part in parts.items():
        shares = mixing_map(part, x, before=form, after=form, probes=16, identity=False).shares
        found[name] = shares[0, asked].view(GRID, GRID)
    return found


@torch.no_grad()
def matrix_of(part: nn.Module) -> Float[Tensor, "n n"]:
    """What the MLP of a line amounts to without its GELU."""
    return part.mlp.fc2.weight @ part.mlp.fc1.weight
