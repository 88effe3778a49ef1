"""A small ViT learns what an object is called; whether its last tokens still know where that object lies."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.optim import AdamW, Optimizer

from labkit.data.scenes import scene
from labkit.experiments._apart import OBJECT, ByDepth, by_depth, covered
from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import pixels_of, seeded, shown
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.methods.objectives.toco import (
    PAPER,
    UNSURE,
    TokenContrast,
    affinity,
    cell_labels,
    class_maps,
    patch_token_contrast,
    toco,
)
from labkit.probes.bootstrap import interval
from labkit.probes.localisation import localisation
from labkit.probes.similarity import cells_of, cosines
from labkit.viz import experiments as draw

SIDE, PATCH, GRID, DIM, DEPTH, HEADS = 48, 6, (8, 8), 64, 6, 4
"""Pixels a side of the scenes and of a patch, so many cells, and the ViT's channels, blocks and heads."""
LEARN, ASK, BATCH, RATE, RISE = 1024, 200, 20, 1.5e-3, 30
"""Scenes to learn from, to ask about and a step, and the learning rate, to which it rises in so many steps."""
NONE, PTC, TOLD = "without", "PTC", "PTC by the true mask"


@dataclass(frozen=True)
class Book:
    """Scenes, about -2..2, the class of the object in each, and its pixels."""

    images: Float[Tensor, "n 3 h w"]
    labels: Int64[Tensor, "n"]
    masks: Bool[Tensor, "n h w"]


@dataclass(frozen=True)
class Found:
    """What one model makes of the asked scenes.

    middle, last   the map of the scene's own class, 0..1, of the teacher's tokens and of the last `tokens`
    labels         of the cells, from the middle map (see `cell_labels`)
    right          whether what the last tokens answer together is the class, 0 or 1
    """

    tokens: Float[Tensor, "n cells c"]
    depth: ByDepth
    middle: Float[Tensor, "n rows columns"]
    last: Float[Tensor, "n rows columns"]
    labels: Int64[Tensor, "n cells"]
    right: Float[Tensor, "n"]


def experiment(
    *,
    carrier: Annotated[Literal["shape", "colour", "texture"], "its name; maps of shapes are poor"] = "colour",
    steps: Annotated[int, Slider(20, 1000, 20), "of training in all"] = 80,
    start: Annotated[float, Slider(0.0, 0.9, 0.1), "share of them before PTC begins"] = 0.6,
    weight: Annotated[float, Slider(0.1, 2.0, 0.1), "of PTC beside the classes' losses"] = 0.5,
    teacher: Annotated[int, Slider(1, 5), "the block whose class map says what belongs together, of 6"] = 4,
    seed: Annotated[int, Slider(0, 99), "of scenes, weights and batches"] = 0,
) -> Readout:
    """Teach a ViT the class of one object a scene; then go on without PTC, with it, and with PTC told the true mask."""
    book, asked = books(carrier, seed=seed)
    alone = round(start * steps)
    with seeded(seed):
        task = toco(dim=DIM, depth=DEPTH, heads=HEADS, patch=PATCH, image=SIDE, classes=4, teacher_block=teacher - 1)
        rule = AdamW(task.parameters(), lr=RATE, weight_decay=0.05)
        teach(task, rule, book, range(alone), way=NONE, weight=0.0)
    found = {}
    for way in (NONE, PTC, TOLD):
        arm, its = copy.deepcopy((task, rule))  # together: the rule's parameters are the copy's
        with seeded(seed + 1):  # each sees the same scenes
            teach(arm, its, book, range(alone, steps), way=way, weight=weight)
        found[way] = ask(arm, asked)
    early = ask(task, asked)
    truth = cells_of(asked.masks, GRID)
    some = truth.any(dim=1)  # a thin ring may fill half of no cell
    gap = {way: one.depth.gap[:, some] for way, one in found.items()}
    alike = {way: one.depth.mean[:, some] for way, one in found.items()}
    overlap = {way: covered(one.last, asked.masks) for way, one in found.items()}
    middle = {way: covered(one.middle, asked.masks) for way, one in found.items()}
    lies = {way: localisation(one.last, asked.masks) for way, one in found.items()}
    unsure = (early.labels == UNSURE).float().mean().item()
    on_object = (truth == 1)[early.labels > 0].float().mean().item()

    depth = {way: one.mean(dim=1).tolist() for way, one in gap.items()}
    measured = {
        ("gap", "cosine, last tokens"): {way: one[-1] for way, one in gap.items()},
        ("gap behind the teacher", "cosine"): {way: one[teacher - 1] for way, one in gap.items()},
        ("same part", "cosine, last tokens"): {way: one.depth.same[-1, some] for way, one in found.items()},
        ("object and rest", "cosine, last tokens"): {way: one.depth.different[-1, some] for way, one in found.items()},
        ("all pairs", "cosine, last tokens"): {way: one[-1] for way, one in alike.items()},
        ("overlap", "IoU, last map"): overlap,
        ("overlap of the middle map", "IoU"): middle,
        ("energy", "of the last map on the object, 0..1"): {way: one.energy for way, one in lies.items()},
        ("pointing", "0..1"): {way: one.pointing for way, one in lies.items()},
        ("accuracy", "0..1"): {way: one.right for way, one in found.items()},
    }
    which = int((early.labels == UNSURE).sum(dim=1).median(dim=0).indices)  # a scene as unsure as most
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(
            interval(gap[NONE][teacher - 1], gap[NONE][-1]).above_zero,
            interval(gap[PTC][-1], gap[NONE][-1]).above_zero,
            interval(overlap[PTC], overlap[NONE]).above_zero,
        ),
        because=(
            f"Named by {carrier}, an object's tokens and the rest are {depth[NONE][teacher - 1]:.2f} of a cosine apart "
            f"behind block {teacher}, {depth[NONE][-1]:.2f} in the end; with PTC {depth[PTC][-1]:.2f}, told the true "
            f"mask {depth[TOLD][-1]:.2f}. The last map overlaps it by {overlap[NONE].mean():.2f}, with PTC by "
            f"{overlap[PTC].mean():.2f} (block {teacher}'s: {middle[PTC].mean():.2f}), its highest pixel lies on it in "
            f"{lies[NONE].pointing.mean():.0%} and {lies[PTC].pointing.mean():.0%}. When PTC began, {unsure:.0%} of "
            f"the cells were unsure, and {on_object:.0%} of those called object were."
        ),
        numbers={
            f"{what}, {way}": Number(value.mean().item(), unit)
            for (what, unit), ways in measured.items()
            for way, value in ways.items()
        }
        | {
            "unsure cells": Number(unsure, "0..1, when PTC begins"),
            "called object and object": Number(on_object, "0..1"),
        },
        figures={
            "labels": draw.maps(
                [asked.masks[which].float().numpy(), early.middle[which].numpy(), half_sure(early, which)],
                names=["the object", f"class map, block {teacher}", "its labels of cells"],
                notes=["", f"at step {alone}", "½: unsure"],
                photo=shown(asked.images[which]),
                label="0 rest, 1 object",
                title="What PTC is told: a class map, and what it is sure of",
            ),
            "affinity": draw.maps(
                pairs_of(which, truth, early, found),
                names=["true", f"PTC's, of block {teacher}", f"last tokens, {NONE}", "last tokens, with PTC"],
                notes=["", "white: left out", *["cosine"] * 2],
                label="1 alike … −1 not",
                signed=True,
                title="Which cells belong together: all by all, those of the object last",
            ),
            "maps": draw.maps(
                [model.last[which].numpy() for model in found.values()],
                names=list(found),
                notes=[f"{value.mean():.2f} over all scenes" for value in overlap.values()],
                photo=shown(asked.images[which]),
                label="0 rest, 1 object",
                title=f"The last tokens' class map at step {steps}, and its overlap (IoU)",
            ),
            "gap": draw.curves(
                range(1, DEPTH + 2),
                depth,
                across=f"behind block ({DEPTH + 1}: behind the norm)",
                up="cosine, same part less object and rest",
                title="How well tokens tell the object from the rest",
            ),
            "mean": draw.curves(
                range(1, DEPTH + 2),
                {way: one.mean(dim=1).tolist() for way, one in alike.items()},
                across=f"behind block ({DEPTH + 1}: behind the norm)",
                up="cosine of all pairs",
                title="A poor yardstick: how alike all tokens are",
            ),
            "overlap": draw.rivals(
                {f"middle map, {way}": one.mean().item() for way, one in middle.items()}
                | {f"last map, {way}": one.mean().item() for way, one in overlap.items()},
                label="intersection over union with the object's pixels",
                chosen=f"last map, {PTC}",
                top=1.0,
                title=f"Class maps from {OBJECT:g} up, and the object",
            ),
        },
    )


def books(carrier: Literal["shape", "colour", "texture"], *, seed: int) -> tuple[Book, Book]:
    """Scenes to learn from, and other ones to ask about; in each one object of a class, and another of none."""
    first = seed * (LEARN + ASK)
    made = [scene(first + i, size=(SIDE, SIDE), others=1, carrier=carrier) for i in range(LEARN + ASK)]
    images = pixels_of(made)
    labels, masks = torch.tensor([one.label for one in made]), torch.stack([one.mask for one in made])
    return Book(images[:LEARN], labels[:LEARN], masks[:LEARN]), Book(images[LEARN:], labels[LEARN:], masks[LEARN:])


def teach(task: TokenContrast, rule: Optimizer, book: Book, steps: range, *, way: str, weight: float) -> None:
    """Teach classes to the middle and the last patch tokens, and by the way (NONE, PTC, TOLD) PTC of this weight.

    `steps` are counted on from an earlier part. Scenes are drawn by the dice of the surrounding `seeded` block.
    """
    truth = cells_of(book.masks, GRID)
    task.train()
    for step in steps:
        for group in rule.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / RISE)
        chosen = torch.randint(len(book.images), (BATCH,))
        labels = book.labels[chosen]
        logits, last, maps = task.look(book.images[chosen])
        logits = logits[:, 1:]  # the paper does not ask the class token
        loss = F.cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(logits.shape[1]))
        if way != NONE:
            cells = truth[chosen] if way == TOLD else cell_labels(maps, labels)
            loss = loss + weight * patch_token_contrast(last, affinity(cells))
        rule.zero_grad()
        loss.backward()
        rule.step()


@torch.no_grad()
def ask(task: TokenContrast, asked: Book) -> Found:
    """What the model makes of these scenes; it is left in eval mode."""
    task.eval()
    logits, tokens, maps = task.look(asked.images)
    own = (torch.arange(len(maps)), asked.labels)
    return Found(
        tokens=tokens,
        depth=by_depth(task.vit, asked.images, asked.masks),
        middle=maps[own],
        last=class_maps(tokens, task.vit.head.weight, grid=maps.shape[2:])[own],
        labels=cell_labels(maps, asked.labels),
        right=(logits[:, 1].argmax(dim=1) == asked.labels).float(),
    )


def half_sure(early: Found, which: int) -> Float[np.ndarray, "rows columns"]:
    """The labels of one scene's cells, to be shown: 0 background, 0.5 unsure, 1 the class."""
    labels = early.labels[which].view_as(early.middle[which])
    return torch.where(labels == UNSURE, 0.5, (labels > 0).float()).numpy()


def pairs_of(which: int, truth: Int64[Tensor, "n cells"], early: Found, found: dict[str, Found]) -> list[np.ndarray]:
    """Of one scene, cells by cells, those of the object last: who belongs together in truth, by PTC, by the tokens."""
    order = truth[which].argsort(stable=True)
    signs = [torch.tensor([-1.0, 1.0, 0.0])[affinity(labels[which][None])[0]] for labels in (truth, early.labels)]
    alike = [cosines(found[way].tokens[which][None])[0] for way in (NONE, PTC)]
    return [one[order][:, order].numpy() for one in (*signs, *alike)]
