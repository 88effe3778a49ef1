"""Where a trained ViT's class token finds its like, beside where it looks; and what a second look there is worth."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import seeded
from labkit.experiments._objects import Objects, objects, picture, told
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.methods.selection.glsim import PAPER, box_around, cropped, similarity
from labkit.models.backbones.vit import ViT
from labkit.pretrained import load
from labkit.probes.attention import attention_maps
from labkit.probes.rollout import rollout
from labkit.taps import reading
from labkit.viz import experiments as draw

FOUND = 0.1
"""So much more of the chosen patches (0..1) than of patches at random has to be object."""
CLOSE = 0.02
"""Shares and accuracies (0..1) that differ by less are the same."""
CHEAP = 0.01
"""The share of rollout's multiplications that the choice may cost, in the published model."""
PUBLISHED = {"dim": 768, "depth": 12}
CELLS = (49, 196, 784, 3136)
"""Patches for which the choice's cost is counted; the published model has 196."""


def experiment(
    *,
    top: Annotated[int, Slider(2, 32), "patches chosen, of 64"] = 8,
    largest: Annotated[float, Slider(0.1, 1.0, 0.05), "share of the picture that the object covers at most"] = 0.35,
    pictures: Annotated[int, Slider(100, 700, 50), "how many are seen"] = 400,
    seed: Annotated[int, Slider(0, 99), "which pictures are drawn, and the random patches"] = 0,
) -> Readout:
    """Ask the lab's ViT which patches are most like its class token; compare with attention; look again at those."""
    opened = load("lab/vit", device="cpu")
    vit, seen = opened.model, objects(opened, count=pictures, largest=largest, seed=seed)
    alike, looks, rolled = watched(vit, seen.images)
    covered = seen.cells(vit.patch)
    with seeded(seed):
        dice = torch.rand_like(rolled)
    scores = {
        "GLSim": alike[-1],
        "rollout": rolled,
        "attention, all blocks": looks.mean(dim=0),
        "attention, last block": looks[-1],
        "random": dice,
        "the object itself": covered,
    }
    on = {name: found(one, covered, top=top) for name, one in scores.items()}
    depth = {
        "like the class token": [found(one, covered, top=top) for one in alike],
        "looked at by it": [found(one, covered, top=top) for one in looks],
        "random": [on["random"]] * len(looks),
    }
    whole = answers(vit, seen.images)
    closer = {name: answers(vit, again(one, seen.images, vit, top=top)) for name, one in scores.items()}
    alone = {name: told(one, seen.labels) for name, one in closer.items()}
    both = {name: told(whole + one, seen.labels) for name, one in closer.items()}
    plain = told(whole, seen.labels)
    side = seen.images.shape[-2] // vit.patch
    costs = [multiplications(cells, **PUBLISHED) for cells in CELLS]
    here = multiplications(covered.shape[1], dim=vit.head.in_features, depth=len(looks))
    published = costs[CELLS.index(196)]

    finds = on["GLSim"] >= max(on["random"] + FOUND, on["rollout"] - CLOSE)
    cheap = published["GLSim"] <= CHEAP * published["rollout"]
    # Scenes have no label but what the model said of the whole: nothing can be told better.
    helps = both["GLSim"] >= max(plain + CLOSE, both["random"]) and seen.photos
    what = (
        "photos" if seen.photos else "made-up scenes, which it was never taught (its answer to the whole is its label),"
    )
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(finds, cheap, helps),
        because=(
            f"In {len(seen.images)} {what} of which the object covers {covered.mean():.0%}, {on['GLSim']:.0%} of the "
            f"{top} patches most like the class token are object; of those that rollout chooses {on['rollout']:.0%}, "
            f"attention over all blocks {on['attention, all blocks']:.0%}. In the published model the choice takes "
            f"{published['GLSim'] / published['rollout']:.1%} of rollout's multiplications, but "
            f"{published['GLSim'] / published['one row of rollout']:.0%} of those for the one row that is used. With "
            f"a second look {both['GLSim']:.1%} are told right instead of {plain:.1%}; around patches at random "
            f"{both['random']:.1%}, around rollout's {both['rollout']:.1%}, around the object's "
            f"{both['the object itself']:.1%}."
        ),
        numbers={
            **{f"object, {name}": Number(value, "of the chosen patches, 0..1") for name, value in on.items()},
            "accuracy, whole picture": Number(plain, "0..1"),
            **{f"accuracy, region alone, {name}": Number(value, "0..1") for name, value in alone.items()},
            **{f"accuracy, whole and region, {name}": Number(value, "0..1") for name, value in both.items()},
            "sure of the label, whole picture": Number(sure(whole, seen), "mean probability"),
            "sure of the label, region alone": Number(sure(closer["GLSim"], seen), "mean probability"),
            **{f"choice here, {name}": Number(value, "multiplications") for name, value in here.items()},
            **{f"choice in B/16, {name}": Number(value, "multiplications") for name, value in published.items()},
        },
        figures={
            "scores": draw.maps(
                [one[0].view(side, -1).numpy() for one in (covered, *list(scores.values())[:3])],
                names=["object", *list(scores)[:3]],
                photo=picture(seen.images[0], opened.transform),
                label="share of its own largest",
                alone=True,
                title="Where it looks, in the first picture",
            ),
            "found": draw.rivals(
                on,
                label="share of the chosen patches that is object",
                chosen="GLSim",
                line=(covered.mean().item(), "share of the picture"),
                title=f"What the {top} highest of {covered.shape[1]} patches lie on",
            ),
            "depth": draw.curves(
                range(1, len(looks) + 1),
                depth,
                across="block",
                up="share of the chosen patches that is object",
                title="Chosen behind each block",
            ),
            "told": draw.rivals(
                both,
                label="share of the pictures told right",
                chosen="GLSim",
                line=(plain, "the whole alone"),
                title="With a second look at the region around the chosen patches",
            ),
            "cost": draw.curves(
                CELLS,
                {name: [one[name] for one in costs] for name in published},
                across="patches of the picture",
                up="multiplications",
                logarithmic=True,
                title="What the choice costs in a ViT of B/16's width and depth",
            ),
        },
    )


@torch.no_grad()
def watched(
    vit: ViT, images: Float[Tensor, "b 3 h w"]
) -> tuple[Float[Tensor, "blocks b n"], Float[Tensor, "blocks b n"], Float[Tensor, "b n"]]:
    """Of each patch: behind each block its likeness to the class token, and how that looks at it; and its rollout."""
    with reading(vit, "b n c") as tokens:
        vit(images)
    maps = attention_maps(vit, images)
    alike = torch.stack([similarity(vit.norm(one)) for one in tokens.values()])
    looks = torch.stack([one.dense().mean(dim=1)[:, 0, 1:] for one in maps])
    return alike, looks, rollout(maps)[:, 0, 1:]


def found(scores: Float[Tensor, "b n"], covered: Float[Tensor, "b n"], *, top: int) -> float:
    """The share of the highest patches that is object, 0..1."""
    return covered.gather(1, scores.topk(top, dim=1).indices).mean().item()


def again(scores: Float[Tensor, "b n"], images: Float[Tensor, "b 3 h w"], vit: ViT, *, top: int) -> Tensor:
    """The region around each picture's highest patches, as large as the picture: `b 3 h w`."""
    chosen = scores.topk(top, dim=1).indices
    return cropped(images, box_around(chosen, columns=images.shape[-1] // vit.patch, patch=vit.patch))


@torch.inference_mode()
def answers(vit: ViT, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b classes"]:
    """The probability of each class."""
    return vit(images).softmax(dim=1)


def sure(shares: Float[Tensor, "b classes"], seen: Objects) -> float:
    """The probability of the label, 0..1, on average."""
    return shares.gather(1, seen.labels[:, None]).mean().item()


def multiplications(cells: int, *, dim: int, depth: int) -> dict[str, int]:
    """What each way to choose among so many patches multiplies, once the model has run; its attention is there."""
    tokens = cells + 1
    return {
        "GLSim": cells * dim + tokens * dim,  # the products, and the lengths
        "rollout": (depth - 1) * tokens**3,
        "one row of rollout": (depth - 1) * tokens**2,
    }
