"""A large kernel taught with small dilated ones beside it, and alone; what they fold into, and what that saves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import TELLS, Lesson, learn, scenes, seeded
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.unireplknet import BRANCHES, PAPER, Branches, UniBlock, fold, normed, unireplknet
from labkit.models.scaffold import Scaffold
from labkit.probes.cost import cost
from labkit.viz import experiments as draw

SAME = 1e-4
"""Of the answers' deviation: a difference below it is rounding."""
DIMS, LAST = (16, 32), 7
"""Channels of the small net's two stages, and the side of the second one's kernel; its grid has 4 x 4 cells."""
LEARN, BATCH, RATE = 2048, 32, 1e-2
SIZE = 224
"""Pixels a side at which the published net is counted."""


def experiment(
    *,
    kernel: Annotated[int, Slider(7, 13, 2), "cells a side of the large kernel; the paper's 13 takes a minute"] = 7,
    small: Annotated[int, Slider(1, 5), "at most so many small kernels beside it, the densest first"] = 5,
    lesson: Annotated[Literal["shape", "position", "texture", "colour"], "what the nets are to tell"] = "shape",
    steps: Annotated[int, Slider(50, 1000, 50), "how long each net is taught"] = 200,
    seed: Annotated[int, Slider(0, 99), "of weights and scenes"] = 0,
) -> Readout:
    """Teach a small net with the dilated kernels and one without, fold both, and compare answers, weights and cost."""
    book = scenes(seed=seed, about=lesson, learn=LEARN)
    beside = {side: few[:small] for side, few in BRANCHES.items()}
    nets, accuracy = {}, {}
    for name, branches in (("with small ones", beside), ("alone", {})):
        nets[name], accuracy[name] = taught(book, kernel=kernel, branches=branches, steps=steps, seed=seed)
    folded = {name: fold(net) for name, net in nets.items()}
    apart = differ(nets["with small ones"], folded["with small ones"], book.asked)
    profiles = {name: by_distance(net.stages[0][0].around.part.weight) for name, net in folded.items()}
    parts, channel = parts_of(nets["with small ones"].stages[0][0])
    whole = folded["with small ones"].stages[0][0].around.part.weight[channel, 0].detach()

    forms = {"as it learns": False, "folded": True}
    with torch.device("meta"):
        costs = {name: cost(unireplknet(folded=one), (SIZE, SIZE)) for name, one in forms.items()}
    parameters = {name: one.parameters for name, one in costs.items()}
    macs = {name: one.macs for name, one in costs.items()}
    lighter, quicker = (1 - one["folded"] / one["as it learns"] for one in (parameters, macs))

    same, saves = apart < SAME, min(lighter, quicker) > 0
    learned = book.learned(max(accuracy.values()))
    better = learned and accuracy["with small ones"] >= accuracy["alone"] + TELLS
    judged = "the better for them" if better else "no better for them" if learned else "but nothing is learned yet"
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(better, same, saves),
        because=(
            f"A small net with them beside its kernel of {kernel} x {kernel} tells the {lesson} in "
            f"{accuracy['with small ones']:.0%} of new scenes after {steps} steps, with the kernel alone in "
            f"{accuracy['alone']:.0%}: {judged}. Folded, its answers differ by {apart:.0e} of their deviation; the "
            f"published net loses {lighter:.1%} of its parameters and {quicker:.1%} of its multiplications."
        ),
        numbers={
            **{f"accuracy, {name}": Number(value, "0..1") for name, value in accuracy.items()},
            "difference after folding": Number(apart, "largest, of the answers' deviation"),
            **{f"parameters, {name}": Number(value, "UniRepLKNet-A") for name, value in parameters.items()},
            **{f"MACs, {name}": Number(value, f"UniRepLKNet-A, {SIZE} pixels") for name, value in macs.items()},
            **{
                f"weight of the middle cell, {name}": Number(one[0].item(), "times the kernel's mean")
                for name, one in profiles.items()
            },
        },
        figures={
            "kernels": draw.maps(
                [one.numpy() for one in (*parts, whole)],
                names=[f"{kernel} x {kernel}", *map(written, beside[kernel]), "their sum, folded"],
                label="weight",
                signed=True,
                title="One kernel after the lesson: what each brings, and what is left in the end",
            ),
            "distance": draw.curves(
                range(1, kernel + 1, 2),
                {name: one.tolist() for name, one in profiles.items()},
                across="cells a side of a ring around the middle; 1 is the middle itself",
                up="size of a weight there, times the kernel's mean",
                title="Where the folded kernels of the first stage have their weight",
            ),
            "accuracy": draw.rivals(
                accuracy,
                label="share of 512 new scenes told right",
                chosen="with small ones",
                line=(book.chance, "chance"),
                top=1.0,
                title=f"The {lesson}, learned for {steps} steps by the large kernel",
            ),
            "cost": draw.rivals(
                {name: value / 1e9 for name, value in macs.items()},
                label=f"multiply-adds of UniRepLKNet-A at {SIZE} pixels, in 10⁹",
                chosen="folded",
                title="What the dilated kernels cost, until they are folded",
            ),
        },
    )


def taught(
    book: Lesson, *, kernel: int, branches: Mapping[int, Branches], steps: int, seed: int
) -> tuple[Scaffold, float]:
    """A small net in the form that learns, taught, and its accuracy, 0..1."""
    with seeded(seed):
        model = unireplknet(
            dims=DIMS,
            depths=(1, 1),
            kernels=((kernel,), (LAST,)),
            branches=branches,
            folded=False,
            scale=1.0,
            classes=book.classes,
        )
        return model, learn(model, book, steps=steps, batch=BATCH, rate=RATE)


def differ(one: Scaffold, other: Scaffold, images: Float[Tensor, "n 3 h w"]) -> float:
    """The largest difference between two models' answers, over the deviation of the first one's."""
    with torch.inference_mode():
        answers = one(images)
        return ((answers - other(images)).abs().max() / answers.std()).item()


def parts_of(block: UniBlock) -> tuple[Float[Tensor, "parts k k"], int]:
    """The large kernel and the small ones as they come through all norms, in the channel where the small ones do most.

    Their sum is the folded kernel of that channel, whose place comes with them.
    """
    kernels, _ = block.around.part.kernels()
    parts = torch.stack([normed(block.norm1.part, one)[0][:, 0] for one in kernels.unbind()]).detach()
    channel = int(parts[1:].square().sum(dim=(0, 2, 3)).argmax())
    return parts[:, channel], channel


def by_distance(weight: Float[Tensor, "c 1 k k"]) -> Float[Tensor, "reach"]:
    """The size of the weights so many cells from the middle, over that of all (roots of mean squares)."""
    steps = (torch.arange(weight.shape[-1]) - weight.shape[-1] // 2).abs()
    distance = torch.maximum(steps[:, None], steps)
    size = weight.detach()[:, 0].square().mean(dim=0)
    rings = torch.stack([size[distance == step].mean() for step in steps.unique()])
    return (rings / size.mean()).sqrt()


def written(branch: tuple[int, int]) -> str:
    """A small kernel as its name."""
    side, rate = branch
    return f"{side} x {side}" if rate == 1 else f"{side} x {side}, step {rate}"
