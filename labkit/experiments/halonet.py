"""Halo attention beside a convolution: what reach costs, what blocks save and break, and which tells more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import TELLS, Lesson, learn, scenes, seeded
from labkit.experiments._mixers import row_of
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.halonet import PAPER, HaloAttention, HaloNet, halonet
from labkit.models.layers import OnMap
from labkit.viz import experiments as draw

DIM, HEADS, SIDE = 64, 8, 32
BLOCKS = (1, 2, 4, 8)
WINDOWS = (3, 5, 7, 9, 11, 13)
DIMS, FEW_HEADS, RATE = (24, 48), 2, 3e-3
"""The nets that are taught, on grids of 8 x 8 and 4 x 4 cells."""
NARROW = (17, 34)
"""So many channels give convolutions as many weights as attention has with `DIMS`."""
ASKED = 19
"""Row and column of the query that is shown: the last of its block where that has 2 or 4 cells a side."""
SHOWN = slice(10, 30)
"""Rows and columns that are drawn."""


def experiment(
    *,
    block: Annotated[int, Slider(2, 8, 2), "cells along a side of a block, in the nets that are taught"] = 4,
    halo: Annotated[int, Slider(0, 4), "cells that a window looks over its block's edge"] = 1,
    lesson: Annotated[Literal["shape", "position", "texture", "colour"], "what the nets are to tell"] = "shape",
    steps: Annotated[int, Slider(50, 1000, 50), "how long each net is taught"] = 100,
    seed: Annotated[int, Slider(0, 99), "of weights and scenes"] = 0,
) -> Readout:
    """Widen windows and count weights, shift pictures and see what moves with them, teach both in one bottleneck."""
    with torch.device("meta"):
        weights = {
            "halo attention": [weights_of(HaloAttention(DIM, block=1, halo=side // 2)) for side in WINDOWS],
            "convolution": [weights_of(nn.Conv2d(DIM, DIM, side, bias=False)) for side in WINDOWS],
        }
    grows = {name: counts[-1] / counts[0] for name, counts in weights.items()}
    with seeded(seed):
        x = torch.randn(1, SIDE, SIDE, DIM)
        mixers = {size: HaloAttention(DIM, heads=HEADS, block=size, halo=halo).eval() for size in BLOCKS}
    errors = {size: shift_error(mixer, x) for size, mixer in mixers.items()}
    fields = {size: row_of(mixer, x, cell=(ASKED, ASKED)) for size, mixer in mixers.items()}
    copies = {size: ((size + 2 * halo) / size) ** 2 for size in BLOCKS}

    book = scenes(seed=seed, about=lesson)
    makers: dict[str, Callable[[int, int], nn.Module]] = {
        "halo attention": lambda dim, stride: HaloAttention(
            dim, heads=FEW_HEADS, block=block, halo=halo, stride=stride
        ),
        "blocks without halo": lambda dim, stride: HaloAttention(
            dim, heads=FEW_HEADS, block=block, halo=0, stride=stride
        ),
        "convolution": lambda dim, stride: OnMap(nn.Conv2d(dim, dim, 3, stride, padding=1, bias=False)),
    }
    makers["narrow convolution"] = makers["convolution"]
    nets, accuracy = {}, {}
    for name, maker in makers.items():
        dims = NARROW if "narrow" in name else DIMS
        nets[name], accuracy[name] = taught(maker, book, dims=dims, steps=steps, seed=seed)
    count = {name: weights_of(net) for name, net in nets.items()}

    free = grows["halo attention"] < grows["convolution"] / 2
    learned = book.learned(max(accuracy.values()))
    better = learned and accuracy["halo attention"] > accuracy["narrow convolution"] + TELLS
    said = "better" if better else "no better"
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(free, better),
        because=(
            f"From a window of {WINDOWS[0]} to one of {WINDOWS[-1]} cells a side, attention has "
            f"{grows['halo attention']:.2f} times the weights and a convolution {grows['convolution']:.1f} times. "
            f"After {steps} steps the net with attention tells the {lesson} in {accuracy['halo attention']:.0%} of new "
            f"scenes (without halo {accuracy['blocks without halo']:.0%}), the one with 3 x 3 convolutions in "
            f"{accuracy['convolution']:.0%} with {count['convolution'] / count['halo attention']:.1f} times the "
            f"weights and in {accuracy['narrow convolution']:.0%} with as many: "
            f"{f'{said} for its weights' if learned else 'none has learned anything to compare'}."
        ),
        numbers={
            **{f"accuracy, {name}": Number(value, "0..1") for name, value in accuracy.items()},
            **{f"weights, {name}": Number(value) for name, value in count.items()},
            **{f"weights, widest to narrowest, {name}": Number(value, "ratio") for name, value in grows.items()},
            **{f"shift error, block {size}": Number(value, "of the output's size") for size, value in errors.items()},
            **{f"copies, block {size}": Number(value, "times each key") for size, value in copies.items()},
        },
        figures={
            "accuracy": draw.rivals(
                {f"{name}, {count[name] / 1e3:.0f} k weights": value for name, value in accuracy.items()},
                label="share of 512 new scenes told right",
                chosen=f"halo attention, {count['halo attention'] / 1e3:.0f} k weights",
                line=(book.chance, "chance"),
                top=1.0,
                title=f"The {lesson}, learned for {steps} steps",
            ),
            "weights": draw.curves(
                WINDOWS,
                {f"{name}: {grows[name]:.2f} times": counts for name, counts in weights.items()},
                across="cells along a side of the window",
                up=f"weights, {DIM} channels",
                logarithmic=True,
                title="What a wider window costs in weights",
            ),
            "windows": draw.maps(
                [one[SHOWN, SHOWN].sqrt().numpy() for one in fields.values()],
                names=[f"blocks of {size} x {size}" for size in BLOCKS],
                notes=[f"{copies[size]:.1f} copies of a key" for size in BLOCKS],
                label="√ share of the row",
                title="What one cell is made of: its window lies around its block",
            ),
            "shift": draw.rivals(
                {f"blocks of {size} x {size}": value for size, value in errors.items()},
                label="change beside a mere move, as a share of the output's size",
                title="What does not move with the picture when it is shifted by one cell",
            ),
        },
    )


def weights_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def shift_error(mixer: nn.Module, x: Float[Tensor, "1 h w c"]) -> float:
    """How far the output of a picture that is one cell further right is from the output moved so, away from borders."""
    inside = slice(SIDE // 2, SIDE // 2 + max(BLOCKS))
    moved, there = (out[:, inside, inside] for out in (mixer(x.roll(1, dims=2)), mixer(x).roll(1, dims=2)))
    return ((moved - there).norm() / there.norm()).item()


def taught(
    mixer: Callable[[int, int], nn.Module], book: Lesson, *, dims: tuple[int, int], steps: int, seed: int
) -> tuple[HaloNet, float]:
    """HaloNet's frame in small with this mixer, taught; and its accuracy, 0..1."""
    with seeded(seed):
        net = halonet(dims=dims, depths=(2, 2), mixer=mixer, classes=book.classes)
        return net, learn(net, book, steps=steps, rate=RATE)
