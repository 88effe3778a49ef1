"""One ViT, five upbringings: which layers are local, hybrid, global; where each finds objects; and a layer stolen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import descend, seeded
from labkit.experiments._objects import made_up, objects, picture
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.experiments._upbringings import WATCHED, different, found, grey, in_heat, layers_of, profile, smooth
from labkit.methods.objectives.unip import HYBRID, PAPER, attention_of, distillation, hybrid_layer, unip
from labkit.models.backbones.vit import ViT
from labkit.pretrained import UPBRINGINGS, load
from labkit.probes.attention import AttentionMap, Bands, measure
from labkit.probes.bootstrap import interval
from labkit.viz import experiments as draw

OTHERS = 2
"""Things in a made-up scene beside the first."""
DIM, DEPTH, HEADS, BATCH, RATE = 48, 4, 3, 32, 2e-3
"""The student, and how it is taught."""
ORDINARY, BARE, MOVED = "as they are", "grey, no texture", "grey, no texture; fitted as they are"


def experiment(
    *,
    taught: Annotated[
        Literal["labels", "hidden patches", "itself", "turns", "token contrast"], "what the teacher has learned"
    ] = "hidden patches",
    steps: Annotated[int, Slider(20, 400, 20), "how long the student learns the teacher's layer"] = 100,
    pictures: Annotated[
        int, Slider(200, 2000, 100), "photos to learn from, and scenes in which objects are found"
    ] = 400,
    seed: Annotated[int, Slider(0, 99), "which pictures are drawn; the student's weights"] = 0,
) -> Readout:
    """Measure every upbringing's layers, find objects in each layer of one, and teach a student its hybrid layer."""
    opened = load(f"lab/{UPBRINGINGS[taught]}", device="cpu")
    photos = objects(opened, count=pictures, seed=seed).images
    scenes = made_up(opened, count=pictures, seed=seed, others=OTHERS)
    few = photos[:WATCHED]
    each = {name: profile(load(f"lab/{model}", device="cpu").model, few) for name, model in UPBRINGINGS.items()}
    profiles = {name: one.mean(dim=1).tolist() for name, one in each.items()}
    kinds = {name: Counter(map(Bands().name, one)) for name, one in profiles.items()}
    mine, chosen = profiles[taught], hybrid_layer(profiles[taught])
    differ = different(list(each.values()))

    truth = scenes.cells(opened.model.patch) > 0.5
    known, blank = (layers_of(opened.model, one) for one in (scenes.images, smooth(grey(scenes.images))))
    finds = {
        ORDINARY: [found(layer, layer, truth) for layer in known],
        BARE: [found(layer, layer, truth) for layer in blank],
        MOVED: [found(layer, other, truth) for layer, other in zip(known, blank, strict=True)],
    }
    means = {name: [one.mean().item() for one in layers] for name, layers in finds.items()}
    best = max(range(len(mine)), key=means[BARE].__getitem__)
    stolen = steal(opened.model, chosen, grey(photos), steps=steps, seed=seed)
    streets = in_heat(opened, seed=seed)

    three = len(sum(kinds.values(), Counter())) == 3
    serves = all(interval(finds[BARE][chosen], finds[BARE][end]).above_zero for end in (0, -1))
    learns = stolen.nats[1] < stolen.nats[0] and stolen.gap[1] <= 0.5 * stolen.gap[0]
    depth = range(1, len(mine) + 1)
    counted = {kind: sum(one[kind] for one in kinds.values()) for kind in ("local", "hybrid", "global")}
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(three, differ > 0.5, serves, learns),
        because=(
            f"Of the {sum(counted.values())} layers of five upbringings {counted['local']} are local, "
            f"{counted['hybrid']} hybrid, {counted['global']} global; of the pairs of upbringings, layer by layer, "
            f"{differ:.0%} surely differ. Taught by {taught}, layer {chosen + 1} is nearest {HYBRID} "
            f"({mine[chosen]:.3f}); in scenes without colour and texture a plane in its tokens finds objects with an "
            f"overlap of {means[BARE][chosen]:.3f}, in the first layer's {means[BARE][0]:.3f}, in the last's "
            f"{means[BARE][-1]:.3f}, in the best's (layer {best + 1}) {means[BARE][best]:.3f}. A student comes from "
            f"{stolen.nats[0]:.2f} to {stolen.nats[1]:.2f} nats of that layer's attention, and from "
            f"{stolen.gap[0]:.3f} to {stolen.gap[1]:.3f} of its NMI."
        ),
        numbers={
            **{f"hybrid layer, {name}": Number(hybrid_layer(one) + 1, "from 1") for name, one in profiles.items()},
            **{
                f"NMI, {name}, layer {layer}": Number(value, "0..1")
                for name, one in profiles.items()
                for layer, value in enumerate(one, start=1)
            },
            **{f"{kind} layers": Number(count, "of all upbringings'") for kind, count in counted.items()},
            "pairs that surely differ": Number(differ, "of upbringings, layer by layer, 0..1"),
            **{
                f"overlap, {kind}, layer {layer}": Number(value, "0..1")
                for kind, one in means.items()
                for layer, value in enumerate(one, start=1)
            },
            "student, before": Number(stolen.nats[0], "nats from the teacher"),
            "student, after": Number(stolen.nats[1], "nats from the teacher"),
            "student's NMI from the teacher's, before": Number(stolen.gap[0], "0..1"),
            "student's NMI from the teacher's, after": Number(stolen.gap[1], "0..1"),
            **{
                f"streets, {name}, layer {layer}": Number(value, "0..1" if "NMI" in name else "cosine, less another's")
                for name, one in streets.items()
                for layer, value in enumerate(one, start=1)
            },
        },
        figures={
            "profiles": draw.curves(
                depth,
                {**profiles, f"hybrid: {HYBRID}": [HYBRID] * len(mine)},
                across="layer",
                up="NMI of its attention (local: high)",
                title="One ViT, five upbringings",
            ),
            "finds": draw.curves(
                depth,
                means,
                across="layer",
                up="overlap with the objects of scenes, 0..1",
                title=f"Where the layers find objects, taught by {taught} (hybrid: layer {chosen + 1})",
            ),
            **(
                {
                    "streets": draw.curves(
                        depth,
                        streets,
                        across="layer",
                        up="NMI; cosine less another street's",
                        title=f"Streets by light and by heat, taught by {taught}",
                    )
                }
                if streets
                else {}
            ),
            "stolen": draw.maps(
                stolen.maps,
                names=["the teacher's", "the student's, fresh", "the student's, taught"],
                photo=picture(photos[0], opened.transform),
                label="share of the largest",
                alone=True,
                title="What the middle patch looks at (heads averaged)",
            ),
            "learning": draw.curves(
                range(1, steps + 1),
                {"a batch": stolen.losses},
                across="step",
                up="KL(teacher ‖ student), nats",
                title="A student learns one layer's attention",
            ),
        },
    )


@dataclass(frozen=True)
class Stolen:
    """A layer's attention in a student: before it was taught and after, on pictures that it was not taught with.

    nats     KL(teacher || student); `gap`: the difference of their NMI
    losses   of each step; `maps`: of the teacher, the fresh and the taught student
    """

    nats: tuple[float, float]
    gap: tuple[float, float]
    losses: list[float]
    maps: list


def steal(teacher: ViT, layer: int, images: Float[Tensor, "b 3 h w"], *, steps: int, seed: int) -> Stolen:
    """Teach a small student the attention of the teacher's layer; the first WATCHED pictures are kept to ask about."""
    asked, shown = images[:WATCHED], images[WATCHED:]
    with torch.no_grad():
        wanted = attention_of(teacher, asked, layer=layer)
    with seeded(seed):
        side = images.shape[-1]
        heads = teacher.blocks[layer].attn.heads
        student = unip(dim=DIM, heads=HEADS, last_heads=heads, depth=DEPTH, image=side, patch=teacher.patch)
        fresh = asks(student, asked)

        def drawn() -> Tensor:
            batch = shown[torch.randint(len(shown), (BATCH,))]
            with torch.no_grad():
                target = attention_of(teacher, batch, layer=layer)
            return distillation(attention_of(student, batch, layer=-1), target)

        losses = descend(student, drawn, steps=steps, rate=RATE)
    learned = asks(student.eval(), asked)
    middle = (side // teacher.patch) ** 2 // 2 + side // teacher.patch // 2
    views = [
        one[0].mean(dim=0)[1 + middle, 1:].view(side // teacher.patch, -1).numpy() for one in (wanted, fresh, learned)
    ]
    gaps = [abs(nmi_of(one) - nmi_of(wanted)) for one in (fresh, learned)]
    nats = [distillation(one, wanted).item() for one in (fresh, learned)]
    return Stolen((nats[0], nats[1]), (gaps[0], gaps[1]), losses, views)


@torch.no_grad()
def asks(student: ViT, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b heads q k"]:
    """The attention of the student's last block."""
    return attention_of(student, images, layer=-1)


def nmi_of(attention: Float[Tensor, "b heads q k"]) -> float:
    """The NMI of an attention whose first token is the class token, on a square grid."""
    cells = attention.shape[-1] - 1
    side = round(cells**0.5)
    places = torch.cat([torch.tensor([-1]), torch.arange(cells)])[None]
    one = AttentionMap("layer", attention[:, None], (side, side), (side, side), places, places)
    return measure(one).nmi.mean().item()
