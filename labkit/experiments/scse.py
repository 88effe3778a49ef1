"""A small U-Net with and without gates: how well it segments, what the gates open for, and what they weigh."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.data.scenes import Carrier, scene
from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import descend, pixels_of, seeded
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.scse import PAPER, UNet
from labkit.taps import holding
from labkit.viz import experiments as draw

SIDE, DIM, FLOORS, BATCH, RATE = 24, 8, 2, 16, 1e-2
KINDS = ("none", "channel", "spatial", "both")
NAMES = {"none": "no gates", "channel": "cSE, channels", "spatial": "sSE, places", "both": "scSE, both"}
OWNERS = 6
"""Whose a pixel can be: the ground's, that of an object of four categories, or that of another beside it."""
PAPERS_GAIN, LIGHT = 0.04, 0.02
"""The least gain in Dice that the paper reports for U-Net, and the weights that "about 1.5 %" may round."""


@dataclass(frozen=True)
class Book:
    """Pictures (about -2..2) with the owner of each pixel, to learn from and to be asked about."""

    images: Float[Tensor, "n 3 h w"]
    owners: Int64[Tensor, "n h w"]
    asked: Float[Tensor, "m 3 h w"]
    answers: Int64[Tensor, "m h w"]


def experiment(
    *,
    lesson: Annotated[Literal["colour", "texture", "shape"], "by what the objects differ"] = "colour",
    join: Annotated[Literal["max", "sum"], "how the two gated maps of scSE meet"] = "max",
    noise: Annotated[float, Slider(0, 1.5, 0.1), "how strong the noise on the pictures is"] = 1.0,
    steps: Annotated[int, Slider(40, 800, 20), "pictures are learned from, sixteen a step"] = 240,
    seed: Annotated[int, Slider(0, 99), "of scenes, noise and weights"] = 0,
) -> Readout:
    """Teach a U-Net to name each pixel's owner, four times: with no gates, with either kind, and with both."""
    book = scenes(seed=seed, about=lesson, noise=noise)
    models, scores = {}, {}
    for kind in KINDS:
        models[kind] = taught(kind, book, join=join, steps=steps, seed=seed)
        scores[kind] = dice(models[kind], book)
    means = {kind: score.mean().item() for kind, score in scores.items()}
    gain = means["both"] - means["none"]
    added = {kind: weights(kind, dim=64, kernel=5) / weights("none", dim=64, kernel=5) - 1 for kind in KINDS}

    opened = open_places(models["both"], book)
    things = book.answers > 0
    order = {name: auc(one, things) for name, one in opened.items()}
    finest = order["down.0"], order["up.1"]
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(gain >= PAPERS_GAIN, 0 < added["both"] <= LIGHT),
        because=(
            f"After {steps} steps the U-Net's Dice score is {means['none']:.3f} without gates, {means['channel']:.3f} "
            f"with gates for channels, {means['spatial']:.3f} for places and {means['both']:.3f} with both, a change "
            f"of {100 * gain:+.1f} points where the paper reports +4 to +9. Both add {added['both']:.1%} of weights at "
            f"its width. A place on an object has a wider gate than one on the ground {finest[0]:.0%} of the time in "
            f"the first block and {finest[1]:.0%} in the last (by chance: 50%)."
        ),
        numbers={
            **{f"Dice with {NAMES[kind]}": Number(means[kind], "0..1, mean of the objects") for kind in KINDS},
            "gain": Number(100 * gain, "points of Dice, both over none"),
            "weights added": Number(100 * added["both"], "%, at 64 channels and 5 x 5"),
            "gates find objects, first block": Number(finest[0], "0..1, area under the ROC curve"),
            "gates find objects, last block": Number(finest[1], "0..1, area under the ROC curve"),
        },
        figures={
            "dice": draw.rivals(
                {NAMES[kind]: means[kind] for kind in KINDS},
                label="Dice score, mean over the five kinds of objects",
                chosen=NAMES["both"],
                top=1.0,
                title=f"Whose pixel is it? A U-Net of {weights('none', dim=DIM, kernel=3):,} weights, {steps} steps",
            ),
            "objects": draw.maps(
                [found(models[kind], book)[0].numpy() for kind in KINDS],
                names=[NAMES[kind] for kind in KINDS],
                notes=[f"Dice {value:.2f}" for value in means.values()],
                photo=shown(book.asked[0]),
                label="probability of an object",
                title="Where the four find an object, of any kind",
            ),
            "gates": draw.maps(
                [one[0].numpy() for one in opened.values()],
                names=[f"{name}, {one.shape[1]} x {one.shape[2]}" for name, one in opened.items()],
                notes=[f"finds objects: {value:.2f}" for value in order.values()],
                photo=shown(book.asked[0]),
                label="gate of the place, 0 = shut",
                title="What scSE's gates for places open for, block by block",
            ),
        },
    )


@lru_cache(maxsize=2)
def scenes(*, seed: int, about: Carrier, noise: float, learn: int = 768, ask: int = 192) -> Book:
    """So many scenes of one object to be named and one beside it; no scene is in both halves."""
    first = seed * (learn + ask)
    made = [scene(first + i, size=(SIDE, SIDE), others=1, carrier=about) for i in range(learn + ask)]
    images = pixels_of(made)
    with seeded(seed):
        images = images + noise * torch.randn_like(images)
    owners = torch.zeros(len(made), SIDE, SIDE, dtype=torch.int64)
    for owner, one in zip(owners, made, strict=True):
        owner[one.mask] = 1 + one.label
        for other in one.others:
            owner[other.mask] = OWNERS - 1
    return Book(images[:learn], owners[:learn], images[learn:], owners[learn:])


def taught(kind: str, book: Book, *, join: str, steps: int, seed: int) -> UNet:
    """The U-Net with these gates, taught by cross entropy a pixel; pictures are the same for each."""
    with seeded(seed):
        model = UNet(dim=DIM, floors=FLOORS, classes=OWNERS, kind=kind, join=join)
    with seeded(seed + 1):

        def drawn() -> Tensor:
            chosen = torch.randint(len(book.images), (BATCH,))
            return F.cross_entropy(model(book.images[chosen]), book.owners[chosen])

        descend(model, drawn, steps=steps, rate=RATE)
    return model.eval()


def dice(model: nn.Module, book: Book) -> Float[Tensor, "kinds"]:
    """2 |A ∩ B| / (|A| + |B|) of each kind of object, over all asked pictures; the ground does not count."""
    with torch.inference_mode():
        said = model(book.asked).argmax(dim=1)
    kinds = range(1, OWNERS)
    both = torch.tensor([((said == k) & (book.answers == k)).sum() for k in kinds])
    either = torch.tensor([(said == k).sum() + (book.answers == k).sum() for k in kinds])
    return 2 * both / either


def found(model: nn.Module, book: Book) -> Float[Tensor, "m h w"]:
    """The probability that a pixel of the asked pictures is not the ground's."""
    with torch.inference_mode():
        return 1 - model(book.asked).softmax(dim=1)[:, 0]


def weights(kind: str, *, dim: int, kernel: int) -> int:
    """Parameters of the U-Net with these gates."""
    with torch.device("meta"):
        model = UNet(dim=dim, floors=FLOORS, classes=OWNERS, kernel=kernel, kind=kind)
    return sum(parameter.numel() for parameter in model.parameters())


def open_places(model: UNet, book: Book) -> dict[str, Float[Tensor, "m h w"]]:
    """The gate of each place in the asked pictures, for each block on the way down and up."""
    blocks = [*(f"down.{i}" for i in range(FLOORS)), *(f"up.{i}" for i in range(FLOORS))]
    with holding(model, [f"{name}.2.spatial.gate" for name in blocks]) as held, torch.inference_mode():
        model(book.asked)
    return {name: held[f"{name}.2.spatial.gate"][..., 0].cpu() for name in blocks}


def auc(opened: Float[Tensor, "m h w"], things: Tensor) -> float:
    """How often a place on an object has a larger gate than one on the ground, 0..1; ties count half."""
    asked = F.adaptive_max_pool2d(things[:, None].float(), opened.shape[1:])[:, 0] > 0
    inside, outside = opened[asked], opened[~asked]
    ranks = torch.cat([inside, outside]).double().unique(return_inverse=True, return_counts=True)
    _, place, counts = ranks
    middle = counts.cumsum(0).double() - (counts.double() - 1) / 2
    total = middle[place[: len(inside)]].sum() - len(inside) * (len(inside) + 1) / 2
    return (total / (len(inside) * len(outside))).item()


def shown(image: Float[Tensor, "3 h w"]) -> np.ndarray:
    """The picture as bytes, `h w 3`."""
    return ((image / 4 + 0.5).clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
