"""Attention in a convolution's window: what it sees with shifts and pooling, on which pictures, for how much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import scenes, taught
from labkit.experiments._mixers import fresh, growth, row_of
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.tic_msaconv import PAPER, MsaConv, WindowedAttention
from labkit.models.mixers.plain import SelfAttention
from labkit.viz import experiments as draw

DIM, HEADS, GRID, ASKED = 48, 4, 16, 4
"""Of the mixers that are looked at; `ASKED` is the row and column of the cell that is."""
ROWS = {
    "and pooling": "windows, shifts, pooling",
    "all cells": "all cells",
    "nothing": "no attention",
}
CELLS = (256, 1024, 4096, 16384)
EVEN, EXACT, CLOSE = 1.05, 1e-5, 0.05
"""An exponent up to here is linear; so small a difference is rounding; so near (of an accuracy, 0..1) keeps up."""


def experiment(
    *,
    kernel: Annotated[Literal["3", "5", "7"], "cells along a side of the window"] = "3",
    dilation: Annotated[int, Slider(1, 3), "cells from one to the next in a window"] = 1,
    shift: Annotated[int, Slider(0, 6), "cells that the windows of the heads lie away, up, down, left and right"] = 3,
    pooled: Annotated[int, Slider(0, 4), "parts along each side whose means are asked too"] = 2,
    lesson: Annotated[Literal["shape", "position", "texture", "colour"], "what the models are to tell"] = "shape",
    steps: Annotated[int, Slider(50, 1000, 50), "how long each model is taught"] = 100,
    seed: Annotated[int, Slider(0, 99), "of weights and scenes"] = 0,
) -> Readout:
    """Look at windows alone, with shifts, and with pooled parts; shift a crop; teach windows beside plain attention."""
    how = {"kernel": int(kernel), "dilation": dilation, "heads": HEADS}
    makers: dict[str, Callable[[int], nn.Module]] = {
        "windows": lambda dim: WindowedAttention(dim, **how),
        "and shifts": lambda dim: WindowedAttention(dim, **how, shift=shift),
        "and pooling": lambda dim: WindowedAttention(dim, **how, shift=shift, pooled=pooled),
        "all cells": lambda dim: SelfAttention(dim, heads=HEADS),
    }
    mixers = {name: fresh(maker, dim=DIM, side=GRID, seed=seed) for name, maker in makers.items()}
    shown = {name: row_of(*one, cell=(ASKED, ASKED)) for name, one in mixers.items()}
    reach = {name: (one > 0).float().mean().item() for name, one in shown.items()}
    off = {name: crop_error(*one, reach=int(kernel) // 2 * dilation) for name, one in mixers.items()}
    costs = growth({name: maker for name, maker in makers.items() if name != "and shifts"}, dim=DIM, cells=CELLS)
    grows = costs.powers
    book = scenes(seed=seed, about=lesson)
    taken = {name: makers[name] for name in ("and pooling", "all cells")} | {"nothing": Nothing}
    accuracy = {
        name: taught(
            lambda stage, dim, maker=maker: MsaConv(dim, dim, attention=maker(dim)), book, steps=steps, seed=seed
        )[1]
        for name, maker in taken.items()
    }

    linear, same = grows["and pooling"] < EVEN, off["windows"] < EXACT
    learned = book.learned(accuracy["and pooling"])
    near = learned and accuracy["and pooling"] >= accuracy["all cells"] - CLOSE
    judged = f"they {'keep' if near else 'do not keep'} up"
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(linear, same, near),
        because=(
            f"The inside of a crop is the whole picture's to {off['windows']:.1g} of its size for windows, to "
            f"{off['all cells']:.1g} for attention over all cells; the cost grows with the cells to the power of "
            f"{grows['and pooling']:.2f} (all cells: {grows['all cells']:.2f}). One step sees {reach['windows']:.1%} "
            f"of the cells, with shifts {reach['and shifts']:.1%}, with pooling {reach['and pooling']:.0%}. Before a "
            f"convolution, after {steps} steps, windows with shifts and pooling tell the {lesson} in "
            f"{accuracy['and pooling']:.0%} of new scenes, all cells in {accuracy['all cells']:.0%}, and nothing in "
            f"{accuracy['nothing']:.0%}: {judged if learned else 'they have learned too little to compare'}."
        ),
        numbers={
            **{f"accuracy, {name}": Number(value, "0..1") for name, value in accuracy.items()},
            **{f"reach, {name}": Number(value, "share of the cells") for name, value in reach.items()},
            **{f"crop error, {name}": Number(value, "of the output's size") for name, value in off.items()},
            **{f"cost exponent, {name}": Number(value, "MACs ~ cells to this power") for name, value in grows.items()},
        },
        figures={
            "accuracy": draw.rivals(
                {ROWS[name]: value for name, value in accuracy.items()},
                label="share of 512 new scenes told right",
                chosen=ROWS["and pooling"],
                line=(book.chance, "chance"),
                top=1.0,
                title=f"The {lesson}, attended to before a convolution",
            ),
            "fields": draw.maps(
                [one.sqrt().numpy() for one in shown.values()],
                names=list(shown),
                notes=[f"{share:.1%} of the cells" for share in reach.values()],
                label="√ share of the row",
                title=f"What the cell in row and column {ASKED} is made of after one step (random weights)",
            ),
            "cost": costs.figure(),
        },
    )


class Nothing(nn.Module):
    """No attention: nothing is added, and the convolution is left alone."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return torch.zeros_like(x)


@torch.no_grad()
def crop_error(mixer: nn.Module, x: Float[Tensor, "1 h w c"], *, reach: int) -> float:
    """How far a crop's inside is from the same cells of the whole map, as a share of their size.

    The inside is further from the crop's border than a window reaches.
    """
    whole, crop = mixer(x)[:, 1:-2, 2:-1], mixer(x[:, 1:-2, 2:-1])
    inside = slice(reach, -reach)
    whole, crop = whole[:, inside, inside], crop[:, inside, inside]
    return ((crop - whole).norm() / whole.norm()).item()
