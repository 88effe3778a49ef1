"""The Mamba block with its scan and without, and read in one direction: what does telling a picture need?

That a scan pays where a sequence is long is not asked here: no made-up scene is a long sequence.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import DIMS, SIDE, TELLS, Lesson, learn, scenes, seeded
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.mambaout import PAPER, GatedConv, long_from, mambaout
from labkit.models.mixers.plain import NoMixing
from labkit.models.mixers.ssm import OnSequence, SelectiveSsm
from labkit.models.scaffold import Scaffold
from labkit.probes.mixing import mixing_maps
from labkit.probes.speed import speed
from labkit.viz import experiments as draw

PLACE = "stages.0.0.mixer"
STATES = 8
RATE = 2e-3
"""At three times that, as in the other lessons, the gated blocks stay at chance (seed 0)."""
TOKENS = (49, 196, 1024, 4000, 16000)
"""Of pictures cut into patches of 16 x 16 pixels."""


class OneWay(nn.Module):
    """The depthwise convolution of a cell and those read before it, row by row: `b h w c -> b h w c`."""

    def __init__(self, dim: int, *, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        past = torch.arange(kernel**2).view(kernel, kernel) <= kernel**2 // 2
        self.register_buffer("past", past)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        kernel = self.conv.weight * self.past
        maps = rearrange(x, "b h w c -> b c h w")
        y = F.conv2d(maps, kernel, self.conv.bias, padding=self.conv.padding, groups=len(kernel))
        return rearrange(y, "b c h w -> b h w c")


class ConvScan(nn.Module):
    """What Mamba has in this place: the convolution, SiLU, and a selective scan of the cells, row by row."""

    def __init__(self, dim: int, *, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.scan = OnSequence(SelectiveSsm(dim, rank=-(-dim // 16), states=STATES))

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return self.scan(F.silu(self.conv(x)))


def experiment(
    *,
    kernel: Annotated[int, Slider(3, 7, 2), "cells along a side of the convolution"] = 7,
    lesson: Annotated[Literal["shape", "position", "texture", "colour"], "what the models are to tell"] = "shape",
    dim: Annotated[int, Slider(64, 1024, 64), "channels of the transformer that asks what is long"] = 384,
    steps: Annotated[int, Slider(50, 1000, 50), "how long each model is taught"] = 300,
    seed: Annotated[int, Slider(0, 99), "of weights and scenes"] = 0,
) -> Readout:
    """Teach one gated block four ways: with a convolution, a scan behind it, half a convolution, and nothing."""
    book = scenes(seed=seed, about=lesson)
    makers: dict[str, Callable[[int], nn.Module]] = {
        "convolution": lambda dim: GatedConv(dim, kernel=kernel),
        "and a scan": lambda dim: GatedConv(dim, mixer=ConvScan(dim, conv=GatedConv(dim, kernel=kernel).mixer)),
        "convolution, one way": lambda dim: GatedConv(dim, mixer=OneWay(dim, kernel=kernel)),
        "nothing": lambda dim: GatedConv(dim, mixer=NoMixing()),
    }
    models, accuracy = {}, {}
    for name, maker in makers.items():
        models[name], accuracy[name] = taught(maker, book, steps=steps, seed=seed)
    price = dear(models["convolution"], models["and a scan"], book.asked[:64])
    read = {name: mixing_maps(model, book.asked[:8], layers=[PLACE])[0] for name, model in models.items()}
    longest = long_from(dim)

    learned = book.learned(accuracy["convolution"])
    as_well = learned and accuracy["convolution"] >= accuracy["and a scan"] - TELLS
    whole = learned and accuracy["convolution"] >= accuracy["convolution, one way"] + TELLS
    judged = (
        f"the scan {'is not missed' if as_well else 'is missed'}, and to read in one direction only "
        f"{'costs' if whole else 'does not cost'} more than {TELLS:.0%}"
        if learned
        else "none has learned anything yet, so there is nothing to compare; give them more steps"
    )
    middle = SIDE // 8 * (SIDE // 4) + SIDE // 8
    count = sorted({*TOKENS, longest})
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(as_well, whole),
        because=(
            f"After {steps} steps the block tells the {lesson} in {accuracy['convolution']:.0%} of new scenes, with a "
            f"scan behind its convolution in {accuracy['and a scan']:.0%} at {price:.1f} times the time, with a "
            f"convolution that reads one way in {accuracy['convolution, one way']:.0%}: {judged}. A picture of "
            f"196 tokens is {196 / longest:.2f} of what would be long for {dim} channels."
        ),
        numbers={
            "accuracy": Number(accuracy["convolution"], "0..1"),
            "accuracy with a scan": Number(accuracy["and a scan"], "0..1"),
            "accuracy, one way": Number(accuracy["convolution, one way"], "0..1"),
            "accuracy with nothing": Number(accuracy["nothing"], "0..1"),
            "time with a scan": Number(price, "times that without", clock=True),
            "long from": Number(longest, "tokens"),
            "196 tokens": Number(196 / longest, "of a long sequence"),
        },
        figures={
            "accuracy": draw.rivals(
                accuracy,
                label="share of 512 new scenes told right",
                chosen="convolution",
                line=(book.chance, "chance"),
                top=1.0,
                title=f"The {lesson}, learned for {steps} steps under one gate",
            ),
            "mixing": draw.maps(
                [one.shares[:, middle].mean(dim=0).view(one.key_grid).sqrt().numpy() for one in read.values()],
                names=list(read),
                label="√ share of the row",
                title="Of which cells the first block makes the one in the middle",
            ),
            "what is long": draw.curves(
                count,
                {
                    "the linear maps": [24 * n * dim**2 / 1e9 for n in count],
                    "scores and values": [4 * n**2 * dim / 1e9 for n in count],
                },
                across="tokens (196: a picture of 224 pixels; 4,000: one of 800 x 1280)",
                up="billion operations a block",
                logarithmic=True,
                title=f"A transformer's block of {dim} channels: long is {longest:,} tokens and more",
            ),
        },
    )


def dear(plain: nn.Module, other: nn.Module, images: Float[Tensor, "b 3 h w"], *, rounds: int = 7) -> float:
    """How many times as long the other's forward pass takes: the median of rounds in which both take turns."""
    ratios = []
    for _ in range(rounds):
        first, second = (speed(model, images, repeats=1, warm_up=1).seconds for model in (plain, other))
        ratios.append(second / first)
    return statistics.median(ratios)


def taught(maker: Callable[[int], nn.Module], book: Lesson, *, steps: int, seed: int) -> tuple[Scaffold, float]:
    """A frame of two stages of one block each, taught; with its accuracy, 0..1."""
    with seeded(seed):
        model = mambaout(dims=DIMS, depths=(1, 1), mixer=lambda stage, dim: maker(dim), classes=book.classes)
        return model, learn(model, book, steps=steps, rate=RATE)
