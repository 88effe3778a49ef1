"""A trained model fuses its tokens by three criteria, by fewer of them, and at random: what is saved, lost and kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from einops import reduce
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from labkit.data.images import open_image
from labkit.data.transforms import Transform
from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import seeded
from labkit.experiments._mixers import macs
from labkit.experiments._objects import objects, told
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.methods.tokens.mctf import PAPER, Criteria, Mctf, Scores
from labkit.models.backbones.vit import ViT
from labkit.pretrained import load
from labkit.probes.bootstrap import interval
from labkit.taps import holding
from labkit.viz import experiments as draw

COUNT, BATCH = 256, 64
"""Pictures, and how many of them at once."""
SAVED, DROP = 0.4, 0.03
"""Two fifths of the multiplications; and so much accuracy (0..1) may go with them."""
GRID = 8
SHOWN = 128
"""Pixels along a side of the photo whose tokens are shown: twice as many as the model has learned with."""
OURS, ALIKE, DICE = "all three", "likeness", "at random"


@dataclass(frozen=True)
class Answer:
    """What a model says of pictures.

    apart   how far it kept each cell apart: 1 / how many share the cell's token
    left    how many tokens left the last block
    """

    logits: Float[Tensor, "n classes"]
    apart: Float[Tensor, "n cells"]
    left: int


@dataclass(frozen=True)
class Photo:
    """A photo as a model takes it, `1 3 side side`, and as a visitor sees it."""

    image: Float[Tensor, "1 3 side side"]
    view: UInt8[np.ndarray, "side side 3"]

    def mosaic(self, place: Int64[Tensor, "cells"]) -> Float[np.ndarray, "rows columns"]:
        """In grey, 0..1, each cell as bright as all cells of its token are on average; `place`: each cell's token."""
        rows = int(len(place) ** 0.5)
        pixels = torch.from_numpy(self.view.copy()).float() / 255
        cells = reduce(pixels, "(rows y) (columns x) c -> (rows columns)", "mean", rows=rows, columns=rows)
        sums = torch.zeros(int(place.max()) + 1).index_add(0, place, cells)
        return (sums / place.bincount())[place].view(rows, rows).numpy()


def experiment(
    *,
    fuse: Annotated[int, Slider(3, 16), "tokens fewer in each block but the first, of 65"] = 14,
    information: Annotated[float, Slider(1, 80), "temperature of attention: the higher, the less it counts"] = 20,
    size: Annotated[float, Slider(1, 80), "temperature of size: the higher, the less it counts"] = 40,
    photo: Annotated[Literal["chelsea", "coffee", "astronaut", "rocket"], "whose tokens are shown"] = "chelsea",
    seed: Annotated[int, Slider(0, 99), "of pictures, and of what is fused at random"] = 0,
) -> Readout:
    """Let the lab's ViT, as it was trained, fuse tokens by three criteria, by fewer of them, and at random."""
    opened = load("lab/vit", device="cpu")
    vit, book = opened.model, objects(opened, count=COUNT, seed=seed, others=2)
    blind = Criteria(math.inf, math.inf, math.inf)
    rivals: dict[str, Scores] = {
        OURS: Criteria(information=information, size=size),
        "likeness, attention": replace(blind, similarity=1, information=information),
        "likeness, size": replace(blind, similarity=1, size=size),
        ALIKE: replace(blind, similarity=1),
        "attention": replace(blind, information=information),
        "size": replace(blind, size=size),
        DICE: at_random,
    }
    compared, levels = (OURS, ALIKE, DICE), (fuse // 3, 2 * fuse // 3, fuse)

    whole, looks = ask_whole(vit, book.images)
    answers = {
        name: {r: ask(fusing(vit, r, scores), book.images, seed=seed) for r in (levels if name in compared else [fuse])}
        for name, scores in rivals.items()
    }
    found = {name: one[fuse] for name, one in answers.items()}
    costs = [macs(fusing(vit, r, rivals[OURS]), book.images[:1]) / macs(vit, book.images[:1]) for r in levels]

    same = whole.argmax(dim=1)
    what, right = "pictures of Tiny-ImageNet" if book.photos else "made-up scenes", book.labels
    accuracy = {"whole": told(whole, right)} | {name: told(found[name].logits, right) for name in compared}
    agree = {name: [told(answers[name][r].logits, same) for r in levels] for name in compared}
    lost = {name: divergence(whole, answer.logits) for name, answer in found.items()}
    covered = book.cells(vit.patch)
    on_objects = {name: share_of(found[name].apart, covered) for name in compared}
    on_looks = {name: share_of(found[name].apart, looks) for name in compared}
    saved, left = 1 - costs[-1], found[OURS].left
    shown, more = photo_of(photo, opened.transform, side=SHOWN), fuse * (SHOWN // opened.transform.size) ** 2

    cheap = saved >= SAVED and accuracy[OURS] >= accuracy["whole"] - DROP
    gain = interval(lost[ALIKE], lost[OURS])
    apart = interval(on_objects[OURS], on_objects[ALIKE])
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(cheap, gain.above_zero, apart.above_zero),
        because=(
            f"With {left} of {GRID**2 + 1} tokens left in the end, {saved:.0%} of the multiplications are saved and "
            f"{accuracy[OURS]:.1%} of {len(right)} {what} told right (whole: {accuracy['whole']:.1%}). The answer "
            f"moves by {lost[OURS].mean():.4f} nats, by likeness alone {lost[ALIKE].mean():.4f}: "
            f"{'less' if gain.above_zero else 'no less, as far as these pictures tell'}. A cell on an object keeps "
            f"{on_objects[OURS].mean():.3f} of a token for itself, by likeness alone {on_objects[ALIKE].mean():.3f}: "
            f"objects are kept apart {'more' if apart.above_zero else 'no more'} (what the class token looks at: "
            f"{on_looks[OURS].mean():.3f} and {on_looks[ALIKE].mean():.3f})."
        ),
        numbers={
            "multiplications saved": Number(saved, "0..1"),
            "tokens left": Number(left, f"of {GRID**2 + 1}"),
            **{f"accuracy, {name}": Number(value, "0..1") for name, value in accuracy.items()},
            **{f"agreement, {name}": Number(values[-1], "0..1, with the whole") for name, values in agree.items()},
            **{f"lost, {name}": Number(value.mean().item(), "nats") for name, value in lost.items()},
            **{f"apart on objects, {name}": Number(one.mean().item(), "0..1") for name, one in on_objects.items()},
            **{f"apart where looked at, {name}": Number(one.mean().item(), "0..1") for name, one in on_looks.items()},
        },
        figures={
            "agreement": draw.curves(
                [1, *costs],
                {name: [1, *values] for name, values in agree.items()},
                across="multiplications, of those of the whole model",
                up=f"share of {len(right)} answers as of the whole model",
                title="How often the answer stays when tokens are fused",
            ),
            "lost": draw.rivals(
                {name: value.mean().item() for name, value in lost.items()},
                label="nats between the whole model's answer and this one",
                chosen=OURS,
                title=f"What is lost by which criteria, with {left} tokens left",
            ),
            "apart": draw.rivals(
                {
                    f"{where}, {name}": (one[name].mean() / found[name].apart.mean()).item()
                    for where, one in (("objects", on_objects), ("looked at", on_looks))
                    for name in compared
                },
                label="share of a token that a cell has there / on average",
                chosen=f"objects, {OURS}",
                line=(1, "as everywhere"),
                title="Whether what matters is kept apart",
            ),
            "tokens": draw.maps(
                [shown.mosaic(last_tokens(fusing(vit, more, rivals[name]), shown, seed=seed)) for name in compared],
                names=list(compared),
                photo=shown.view,
                label="mean brightness of a token's cells",
                title="What the last tokens still tell apart",
            ),
        },
    )


def at_random(
    x: Float[Tensor, "b n c"], received: Float[Tensor, "b n"], size: Float[Tensor, "b n"]
) -> Float[Tensor, "b even odd"]:
    """Scores that know nothing of the tokens."""
    b, n = size.shape
    return torch.rand(b, n - n // 2, n // 2)


def fusing(vit: ViT, fuse: int, scores: Scores) -> Mctf:
    return Mctf(vit, fuse=(0, *(fuse,) * (len(vit.blocks) - 1)), scores=scores)


@torch.inference_mode()
def ask(model: Mctf, images: Float[Tensor, "n 3 h w"], *, seed: int) -> Answer:
    logits, apart = [], []
    with seeded(seed):
        for some in images.split(BATCH):
            tokens = model.fused(some)
            logits.append(model.vit.head(model.vit.norm(tokens.x)[:, 0]))
            apart.append((1 / tokens.size).gather(1, tokens.place)[:, 1:])
    return Answer(torch.cat(logits), torch.cat(apart), tokens.x.shape[1])


def ask_whole(
    vit: ViT, images: Float[Tensor, "n 3 h w"]
) -> tuple[Float[Tensor, "n classes"], Float[Tensor, "n cells"]]:
    """What the model says with all its tokens, and how much its class token looks at each cell in the last block."""
    logits, looks, last = [], [], f"blocks.{len(vit.blocks) - 1}.attn.attn"
    for some in images.split(BATCH):
        with holding(vit, [last]) as held:
            logits.append(vit(some))
        looks.append(held[last][:, :, 0, 1:].mean(dim=1))
    return torch.cat(logits), torch.cat(looks)


def divergence(whole: Float[Tensor, "n classes"], other: Float[Tensor, "n classes"]) -> Float[Tensor, "n"]:
    """Kullback and Leibler's, of each answer from the whole model's, in nats; 0 = the same."""
    return F.kl_div(other.log_softmax(1), whole.log_softmax(1), log_target=True, reduction="none").sum(dim=1)


def share_of(apart: Float[Tensor, "n cells"], weight: Float[Tensor, "n cells"]) -> Float[Tensor, "n"]:
    """How far cells are kept apart, 0..1, on average by this weight; for each picture."""
    return (apart * weight).sum(dim=1) / weight.sum(dim=1)


@torch.inference_mode()
def last_tokens(model: Mctf, photo: Photo, *, seed: int) -> Int64[Tensor, "cells"]:
    """Which of the last tokens stands for each cell of the photo."""
    with seeded(seed):
        return model.fused(photo.image).place[0, 1:]


def photo_of(name: str, transform: Transform, *, side: int) -> Photo:
    """The photo of this name, its middle, `side` pixels a side."""
    larger, image = replace(transform, size=side), open_image(name)
    return Photo(larger(image)[None], np.asarray(larger.view(image)))
