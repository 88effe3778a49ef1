"""A small ResNet learns scenes as they are, with holes, from blends, by CutMix: what it knows, and where it looks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int64
from matplotlib.figure import Figure
from torch import Tensor, nn

from labkit.data.scenes import Scene, scene
from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import SIDE, TELLS, Lesson, learn, pixels_of, seeded, shown
from labkit.experiments._objects import told
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.methods.objectives.cutmix import PAPER, Mixed, Way, cutmix, hole, mixup
from labkit.models.backbones.resnet import ResNet
from labkit.probes.cam import cam
from labkit.probes.localisation import localisation
from labkit.viz import experiments as draw
from labkit.viz.comparison import Panel, Row, sheet
from labkit.viz.saliency import side_by_side

WIDTHS, DEPTHS, BATCH, RATE = (8, 32), (1, 1), 32, 1.5e-2
"""Channels and blocks of the ResNet's stages, pictures a step, and the learning rate."""
ASK = 512
"""Scenes, pairs of scenes and pictures of noise that the models are asked about."""
GONE = (0, 0.25, 0.5, 0.75)
"""Shares of the object that are hidden."""
LIES = 0.8
"""An object of which so much (0..1) lies in a half of its picture is cut little where the other half is exchanged."""
NONE, HOLE, BLEND, OURS = "none", "hole", "mixup", "CutMix"
WAYS: dict[str, Way | None] = {NONE: None, HOLE: hole, BLEND: mixup, OURS: cutmix}


@dataclass(frozen=True)
class Asked:
    """Scenes of which everything is known.

    images    about -2..2, with the labels of their targets
    grounds   the same without any object
    masks     the pixels of the targets
    """

    images: Float[Tensor, "n 3 h w"]
    labels: Int64[Tensor, "n"]
    grounds: Float[Tensor, "n 3 h w"]
    masks: Bool[Tensor, "n h w"]

    @classmethod
    def of(cls, made: list[Scene]) -> Asked:
        """These scenes, as the models take them."""
        return cls(
            pixels_of(made),
            torch.tensor([one.label for one in made]),
            pixels_of([replace(one, pixels=one.background) for one in made]),
            torch.stack([one.mask for one in made]),
        )


def experiment(
    *,
    alpha: Annotated[float, Slider(0.1, 4, 0.1), "of Beta: 1 = any share, more = near a half"] = 1.0,
    chance: Annotated[float, Slider(0.1, 1, 0.1), "that a batch is mixed"] = 0.5,
    pictures: Annotated[int, Slider(64, 1024, 64), "scenes to learn from"] = 512,
    steps: Annotated[int, Slider(60, 1500, 60), "how long they are learned, 32 scenes a step"] = 360,
    seed: Annotated[int, Slider(0, 99), "of scenes, weights, boxes and noise"] = 0,
) -> Readout:
    """Teach one ResNet in four ways; ask it of whole, hidden and halved objects and of noise, and where it looks."""
    book, seen, kinds = lesson(seed=seed, pictures=pictures)
    models = {name: taught(way, book, alpha=alpha, chance=chance, steps=steps, seed=seed) for name, way in WAYS.items()}
    hidden = [without(seen, share, seed=seed) for share in GONE]
    right = {name: [told(answers(model, images), seen.labels) for images in hidden] for name, model in models.items()}
    whole = {name: values[0] for name, values in right.items()}
    half = {name: values[GONE.index(0.5)] for name, values in right.items()}
    halves, pairs = half_and_half(seen, seed=seed)
    both = {name: two(answers(model, halves), pairs) for name, model in models.items()}
    energy = {
        name: localisation(cam(model, seen.images, targets=seen.labels).raw, seen.masks).energy.mean().item()
        for name, model in models.items()
    }
    area = seen.masks.float().mean().item()
    with seeded(seed):
        noise = 4 * torch.rand(ASK, 3, SIDE, SIDE) - 2
    on_noise = {name: sure(answers(model, noise)) for name, model in models.items()}
    on_ground = {name: sure(answers(model, seen.grounds)) for name, model in models.items()}

    knows = whole[OURS] > max(whole[name] for name in WAYS if name != OURS) + TELLS
    of_half = half[OURS] > half[NONE] + TELLS
    of_two = both[OURS] > both[NONE] + TELLS
    looks = energy[OURS] > energy[NONE] + TELLS
    doubts = on_noise[OURS] < on_noise[NONE] - TELLS
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(knows, of_half, of_two, looks, doubts),
        because=(
            f"After {steps} steps with {pictures} scenes {whole[OURS]:.1%} of {ASK} new ones are told right with "
            f"CutMix, {whole[NONE]:.1%} without, {whole[HOLE]:.1%} with holes, {whole[BLEND]:.1%} with mixup. With "
            f"half of the object hidden it is {half[OURS]:.1%} (without {half[NONE]:.1%}, holes {half[HOLE]:.1%}); of "
            f"two objects both come first in {both[OURS]:.1%} ({both[NONE]:.1%}, holes {both[HOLE]:.1%}); of GradCAM's "
            f"heat {energy[OURS]:.1%} lies on the object ({energy[NONE]:.1%}, holes {energy[HOLE]:.1%}; its area "
            f"{area:.1%}). It is sure of what it names by {on_noise[OURS]:.2f} in noise ({on_noise[NONE]:.2f}), by "
            f"{on_ground[OURS]:.2f} in bare ground ({on_ground[NONE]:.2f}, holes {on_ground[HOLE]:.2f})."
        ),
        numbers={
            **{f"accuracy, {name}": Number(value, "0..1") for name, value in whole.items()},
            **{f"accuracy, half hidden, {name}": Number(value, "0..1") for name, value in half.items()},
            **{f"both of two, {name}": Number(value, "of the pairs, 0..1") for name, value in both.items()},
            **{f"heat on the object, {name}": Number(value, "0..1") for name, value in energy.items()},
            "the object's area": Number(area, "0..1"),
            **{f"sure of noise, {name}": Number(value, "mean probability") for name, value in on_noise.items()},
            **{f"sure of bare ground, {name}": Number(value, "mean probability") for name, value in on_ground.items()},
        },
        figures={
            "mixtures": sheet("What they learn from", list(WAYS), mixtures(book, kinds, alpha=alpha, seed=seed)),
            "hidden": draw.curves(
                GONE,
                right,
                across="share of the object that is hidden",
                up="share of the scenes told right",
                title="What is known of half an object",
            ),
            "looks": looked(models, seen, halves, pairs, kinds),
            "heat": draw.rivals(
                energy,
                label="share of GradCAM's heat on the object",
                chosen=OURS,
                line=(area, "the object's area"),
                title="Whether it looks at the object",
            ),
            "two": draw.rivals(
                both,
                label="share of the pairs of which both come first",
                chosen=OURS,
                line=(1 / math.comb(len(kinds), 2), "chance"),
                title="Half of one scene beside half of another",
            ),
            "sure": draw.rivals(
                {f"noise, {name}": value for name, value in on_noise.items()}
                | {f"bare ground, {name}": value for name, value in on_ground.items()},
                label="probability of the class it names, mean",
                chosen=f"noise, {OURS}",
                line=(1 / len(kinds), "knows nothing"),
                top=1.0,
                title="How sure it is where there is nothing to name",
            ),
        },
    )


@lru_cache(maxsize=2)
def lesson(*, seed: int, pictures: int) -> tuple[Lesson, Asked, tuple[str, ...]]:
    """So many scenes to learn from, those to be asked about, and the names of the classes; no scene is in both."""
    first = seed * (pictures + ASK)
    made = [scene(first + i, size=(SIDE, SIDE), others=1) for i in range(pictures + ASK)]
    learned, seen = Asked.of(made[:pictures]), Asked.of(made[pictures:])
    kinds = made[0].categories
    return Lesson(learned.images, learned.labels, seen.images, seen.labels, len(kinds)), seen, kinds


def taught(way: Way | None, book: Lesson, *, alpha: float, chance: float, steps: int, seed: int) -> ResNet:
    """The small ResNet, which has learned from such mixtures; None: from the pictures as they are."""
    with seeded(seed):
        model = ResNet(widths=WIDTHS, depths=DEPTHS, classes=book.classes)
        mixed = None if way is None else Mixed(model, classes=book.classes, way=way, alpha=alpha, chance=chance)
        learn(model, book, steps=steps, batch=BATCH, rate=RATE, loss=mixed and mixed.loss)
    return model


def without(seen: Asked, share: float, *, seed: int) -> Float[Tensor, "n 3 h w"]:
    """The scenes with so much (0..1) of the target gone, from a side of it that is drawn: the ground is seen there."""
    with seeded(seed):
        turn = 2 * math.pi * torch.rand(len(seen.images), 1, 1)
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    along = turn.cos() * rows + turn.sin() * columns
    order = along.masked_fill(~seen.masks, math.inf).flatten(1).argsort(dim=1).argsort(dim=1).view_as(seen.masks)
    gone = order < (share * seen.masks.sum(dim=(1, 2), keepdim=True)).round()
    return torch.where(gone[:, None], seen.grounds, seen.images)


def half_and_half(seen: Asked, *, seed: int) -> tuple[Float[Tensor, "pairs 3 h w"], Int64[Tensor, "pairs 2"]]:
    """Left halves beside right halves that each hold their scene's target, of two classes; and these."""
    left = seen.masks[..., : SIDE // 2].sum(dim=(1, 2)) / seen.masks.sum(dim=(1, 2))
    pairs = torch.cartesian_prod((left >= LIES).nonzero()[:, 0], (left <= 1 - LIES).nonzero()[:, 0])
    pairs = pairs[seen.labels[pairs[:, 0]] != seen.labels[pairs[:, 1]]]
    with seeded(seed):
        pairs = pairs[torch.randperm(len(pairs))[:ASK]]
    one, other = seen.images[pairs[:, 0]], seen.images[pairs[:, 1]]
    return torch.cat([one[..., : SIDE // 2], other[..., SIDE // 2 :]], dim=-1), seen.labels[pairs]


@torch.inference_mode()
def answers(model: nn.Module, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n classes"]:
    """The probability of each class."""
    return model(images).softmax(dim=1)


def two(shares: Float[Tensor, "n classes"], pairs: Int64[Tensor, "n 2"]) -> float:
    """How often the two highest are the pair, in any order, 0..1."""
    highest = shares.topk(2, dim=1).indices
    return (highest.sort(dim=1).values == pairs.sort(dim=1).values).all(dim=1).float().mean().item()


def sure(shares: Float[Tensor, "n classes"]) -> float:
    """The probability of the class that is named, on average; from chance to 1."""
    return shares.amax(dim=1).mean().item()


def mixtures(book: Lesson, kinds: tuple[str, ...], *, alpha: float, seed: int) -> list[Row]:
    """Three batches in each way: of each the first scene whose label CutMix divides, and what is told of it."""
    images, labels = book.images[:BATCH], torch.eye(book.classes)[book.labels[:BATCH]]

    def mixed(way: Way | None, batch: int) -> tuple[Tensor, Tensor]:
        rng = torch.Generator().manual_seed(3 * seed + batch)
        return way(images, labels, alpha=alpha, rng=rng) if way else (images, labels)

    def panel(image: Float[Tensor, "3 h w"], shares: Float[Tensor, "classes"]) -> Panel:
        said = [f"{kind} {share:.0%}" for kind, share in zip(kinds, shares.tolist(), strict=True) if share > 0]
        return Panel(", ".join(said), pixels=shown(image))

    rows = []
    for batch in range(3):
        made = [mixed(way, batch) for way in WAYS.values()]
        one = made[-1][1].amax(dim=1).argmin()
        panels = [panel(x[one], targets[one]) for x, targets in made]
        rows.append(Row(f"Batch {batch + 1}", "one scene of it, and the shares of the classes that are told", panels))
    return rows


def looked(
    models: dict[str, ResNet],
    seen: Asked,
    halves: Float[Tensor, "pairs 3 h w"],
    pairs: Int64[Tensor, "pairs 2"],
    kinds: tuple[str, ...],
) -> Figure:
    """GradCAM of the four models: for a scene, and for either label of a half beside a half."""
    images = torch.stack([seen.images[0], halves[0], halves[0]])
    labels = torch.tensor([seen.labels[0], *pairs[0]])
    return side_by_side(
        [shown(one) for one in images],
        {name: [*cam(model, images, targets=labels).display((SIDE, SIDE)).numpy()] for name, model in models.items()},
        names=[f"asked for: {kinds[label]}" for label in labels],
        title="Where GradCAM looks",
    )
