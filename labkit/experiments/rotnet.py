"""A small network learns to say how photos were turned; then each of its blocks is asked what is in them."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import descend, seeded
from labkit.experiments._objects import objects, picture
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.methods.objectives.rotnet import PAPER, TURNS, Rotation, rotnet, turned
from labkit.pretrained import load
from labkit.probes.linear import linear_probe
from labkit.viz import experiments as draw

SIDE, WIDTH, BATCH, RATE = 32, 48, 16, 4e-3
"""Pixels a side of the photos, channels of the network, photos a step (each in four turns), and the learning rate."""
ASKED = 0.25
"""The share of the photos that is kept to ask about."""
LEARNED = 0.1
"""So much above chance (a quarter) knows something about what is up."""
BETTER = 0.02
"""So much more accuracy (0..1) of a taught block than of a fresh one has learned something of use."""
CORNERS = 3
"""The probes read each block's map as so many cells a side."""
NAMES = ("as it is", "a quarter", "half", "three quarters")


def experiment(
    *,
    blocks: Annotated[int, Slider(3, 5), "of the network in network"] = 4,
    steps: Annotated[int, Slider(40, 600, 20), "how long it learns to tell turns"] = 120,
    pictures: Annotated[int, Slider(500, 2500, 500), "photos it learns from and is asked about"] = 1000,
    seed: Annotated[int, Slider(0, 99), "of weights, photos and their order"] = 0,
) -> Readout:
    """Teach a network to tell turns, and compare what linear probes read from its blocks with those of a fresh one."""
    opened = load("lab/vit", device="cpu")
    seen = objects(opened, count=pictures, seed=seed)
    photos = F.interpolate(seen.images, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    few = round(ASKED * len(photos))
    with seeded(seed):
        task = Rotation(rotnet(blocks=blocks, width=WIDTH))
        fresh = blocks_of(task.model, photos)
        losses = teach(task, photos[few:], steps=steps)
    taught = blocks_of(task.model, photos)
    task.eval()
    shares = answers(task, photos[:few])
    right = shares.argmax(dim=-1) == torch.arange(TURNS)[:, None]
    accuracy = right.float().mean().item()
    told = {
        name: [probed(one, seen.labels, few) for one in maps] for name, maps in (("taught", taught), ("fresh", fresh))
    }
    best = max(range(blocks), key=told["taught"].__getitem__)
    chance = (seen.labels[:few] == seen.labels[few:].mode().values).float().mean().item()

    knows = accuracy >= 1 / TURNS + LEARNED
    useful = told["taught"][best] >= max(told["fresh"]) + BETTER
    early = best + 1 == 2
    what = "photos" if seen.photos else "made-up scenes"
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(knows, useful, early),
        because=(
            f"After {steps} steps the turn of {accuracy:.0%} of new {what} is told right (chance 25%). A linear "
            f"probe on block {best + 1}, the best, tells the kind of {told['taught'][best]:.1%}, on the last of "
            f"{told['taught'][-1]:.1%}; on a fresh network's best block of {max(told['fresh']):.1%}."
        ),
        numbers={
            "turns told": Number(accuracy, "0..1"),
            **{
                f"turns told, {name}": Number(one, "0..1")
                for name, one in zip(NAMES, right.float().mean(dim=1).tolist(), strict=True)
            },
            **{
                f"kinds told, {name}, block {block}": Number(value, "0..1")
                for name, values in told.items()
                for block, value in enumerate(values, start=1)
            },
            "best block": Number(best + 1, "from 1"),
            "the most frequent kind": Number(chance, "0..1"),
        },
        figures={
            "turns": draw.rivals(
                dict(zip(NAMES, shares.diagonal(dim1=0, dim2=2).mean(dim=0).tolist(), strict=True)),
                label="probability of the right answer, mean of the new photos",
                line=(1 / TURNS, "chance"),
                top=1.0,
                title="By how much was it turned?",
            ),
            "looks": draw.maps(
                [one.numpy() for one in looks(task.model, photos[:1])],
                names=[f"block {block}" for block in range(1, blocks + 1)],
                photo=picture(photos[0], opened.transform),
                label="share of the largest",
                alone=True,
                title="Where its blocks answer (sum of squares over channels)",
            ),
            "kinds": draw.curves(
                range(1, blocks + 1),
                told,
                across="block",
                up="share told right by a linear probe",
                title="What a network that only knows turns knows of things",
            ),
            "learning": draw.curves(
                range(1, steps + 1),
                {"a batch": losses, "chance": [torch.tensor(TURNS).log().item()] * steps},
                across="step",
                up="cross-entropy of the four turns, nats",
                title="Learning what is up",
            ),
        },
    )


def teach(task: Rotation, photos: Float[Tensor, "n 3 h w"], *, steps: int) -> list[float]:
    """Teach the task; the loss of each step."""

    def drawn() -> Tensor:
        loss, _ = task.loss(photos[torch.randint(len(photos), (BATCH,))])
        return loss

    return descend(task, drawn, steps=steps, rate=RATE)


@torch.inference_mode()
def answers(task: Rotation, photos: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "turns n answers"]:
    """The probability of each answer to each photo in each turn."""
    views, _ = turned(photos)
    return task(views).softmax(dim=1).view(TURNS, len(photos), TURNS)


@torch.no_grad()
def blocks_of(model: nn.Module, photos: Float[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n c cells cells"]]:
    """The map behind each block, as CORNERS x CORNERS cells.

    Norms take the statistics of 250 photos at a time: a fresh network has no others.
    """
    model.train()
    kept: list[list[Tensor]] = []
    for part in photos.split(250):
        maps = []
        for block in model.blocks:
            part = block(part)
            maps.append(F.adaptive_avg_pool2d(part, CORNERS))
        kept.append(maps)
    return [torch.cat(one) for one in zip(*kept, strict=True)]


def probed(maps: Float[Tensor, "n c cells cells"], labels: Int64[Tensor, "n"], few: int) -> float:
    """The accuracy of a linear probe on the first `few`, fitted to the others; 0..1."""
    x = maps.flatten(1)
    weight, bias = linear_probe(x[few:], labels[few:], classes=int(labels.max()) + 1, steps=100)
    return (F.linear(x[:few], weight, bias).argmax(dim=1) == labels[:few]).float().mean().item()


@torch.no_grad()
def looks(model: nn.Module, photo: Float[Tensor, "1 3 h w"]) -> list[Float[Tensor, "h2 w2"]]:
    """How strongly each cell of each block answers: squares, summed over the channels."""
    maps = []
    for block in model.blocks:
        photo = block(photo)
        maps.append(photo[0].square().sum(dim=0))
    return maps
