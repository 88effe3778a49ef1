"""One CNN of three trainings is explained by six methods: whose maps lie on the object, and what follows confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, UInt8
from matplotlib.figure import Figure
from torch import Tensor, nn

from labkit.experiments._explained import (
    ACTIVATIONS,
    DICE,
    GRADIENTS,
    KINDS,
    METHODS,
    RANKED_BY,
    Explained,
    better,
    correlation,
    difference,
    drawn_table,
    ends,
    table,
    widest,
    worth,
)
from labkit.experiments._knobs import Slider
from labkit.experiments._objects import Objects, objects, picture
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.methods.objectives.robust_explain import PAPER, Robust
from labkit.pretrained import load
from labkit.probes.bootstrap import Interval, interval
from labkit.probes.localisation import shown as heat
from labkit.viz import experiments as draw
from labkit.viz import faithfulness, saliency

PLAIN, ROBUST = "plain", "robust"
TRAININGS = (PLAIN, "cutmix", ROBUST)
BEST = {"gradcam", "rise"}
DRAWN, ATTACKED, STEPS = 400, 48, 5
"""Pictures whose class is asked, how many of them under attack too, and the steps of the attack."""
LOCALISATION, AREAS = ("energy", "pointing"), ("insertion", "deletion")
WAYS = {"": Explained.mean, " / confidence": Explained.share}


def experiment(
    *,
    pictures: Annotated[int, Slider(8, 96, 4), "how many are explained"] = 20,
    masks: Annotated[int, Slider(50, 1000, 50), "of RISE, a picture; its paper takes 4000"] = 100,
    attack: Annotated[float, Slider(0.5, 8, 0.5), "how far each colour moves under attack, of 255"] = 4.0,
    largest: Annotated[float, Slider(0.1, 0.9, 0.1), "share of the picture that the object's box covers at most"] = 0.5,
    photo: Annotated[int, Slider(1, 8), "which of the pictures is shown"] = 1,
    seed: Annotated[int, Slider(0, 99), "which pictures are drawn; of masks, noise and attacks"] = 0,
) -> Readout:
    """Explain a CNN that learned from plain, from mixed and from attacked pictures, and ask what the maps are worth."""
    opened = {name: load(f"lab/cnn-{name}", device="cpu") for name in TRAININGS}
    models = {name: one.model.to(memory_format=torch.channels_last) for name, one in opened.items()}
    transform, categories = opened[PLAIN].transform, opened[PLAIN].categories
    drawn = objects(opened[PLAIN], count=DRAWN, largest=largest, seed=seed)
    right = {name: tells(model, drawn) for name, model in models.items()}
    holds = {
        name: resists(Robust(model, radius=attack / 255, steps=STEPS, std=transform.std), drawn, seed=seed)
        for name, model in models.items()
    }
    seen = told_by_most(drawn, torch.stack(list(right.values())), count=pictures)
    found = table(models, seen, masks=masks, seed=seed)

    told, kept = ({name: interval(one.float()) for name, one in each.items()} for each in (right, holds))
    sure = {name: interval(one.confidence) for name, one in found.items()}
    gained = {
        number: {kind: difference(found, ROBUST, PLAIN, number, methods) for kind, methods in KINDS.items()}
        for number in LOCALISATION
    }
    gain = {number: {kind: interval(one) for kind, one in each.items()} for number, each in gained.items()}
    more = {number: interval(each[GRADIENTS], each[ACTIVATIONS]) for number, each in gained.items()}
    places = {name: {method: interval(one) for method, one in found[name].places().items()} for name in TRAININGS}
    best = {name: sorted(METHODS, key=lambda method, name=name: places[name][method].mean)[:2] for name in TRAININGS}
    surest, least = (pick(TRAININGS, key=lambda name: sure[name].mean) for pick in (max, min))
    apart = {number: interval(difference(found, surest, least, number)) for number in RANKED_BY}
    by_dice = {area: interval(difference(found, surest, least, area, [DICE])) for area in AREAS}
    settled = {area: interval(found[surest].share(area), found[least].share(area)) for area in AREAS}

    helped = gain["energy"][GRADIENTS].above_zero and more["energy"].above_zero
    ahead = all(set(two) == BEST for two in best.values())
    follow = all(apart[area].above_zero for area in AREAS) and not apart["energy"].above_zero
    what = "photos" if seen.photos else "made-up scenes (labels: the plain answers)"
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(helped, ahead, follow),
        because=(
            f"On {len(seen.images)} {what} the share of the heat that lies in the object's box changes with the robust "
            f"training by {listed(gain['energy'], '+')}; gradients gain {spoken(more['energy'], '+')} more than "
            f"activations. Best places: {', '.join(f'{one} and {two} ({name})' for name, (one, two) in best.items())}. "
            f"From the {least} to the {surest} training confidence goes from {spoken(sure[least])} to "
            f"{spoken(sure[surest])}, {listed({area: apart[area] for area in AREAS}, '+')} (of maps of dice "
            f"{listed(by_dice, '+')}), and the heat in the box {spoken(apart['energy'], '+')}. Told right: "
            f"{listed(told)}; under attack: {listed(kept)}."
        ),
        numbers={
            **rows("told right", told, "0..1"),
            **rows("told right under attack", kept, "0..1"),
            **rows("confidence", sure, "0..1, in the label"),
            **rows("energy, robust over plain", gain["energy"], "of the heat"),
            **rows("energy, robust over plain", {"gradients over activations": more["energy"]}, "of the heat"),
            **rows("pointing, robust over plain", gain["pointing"], "of the peaks"),
            **rows("pointing, robust over plain", {"gradients over activations": more["pointing"]}, "of the peaks"),
            **rows("surest over least sure training", apart, "0..1"),
            **rows("surest over least sure training, maps of dice", by_dice, "0..1"),
            **rows("surest over least sure training, per confidence", settled, "of the confidence"),
            **{f"with confidence, {n}": Number(correlation(found, n), "correlation, -1..1") for n in RANKED_BY},
            **{
                f"place, {name}, {method}": Number(one.mean, f"1..{len(METHODS)}, 1 = best")
                for name, each in places.items()
                for method, one in each.items()
            },
            "place, ± at most": Number(widest([one for each in places.values() for one in each.values()]), "places"),
            **worth(found),
        },
        figures={
            "table": drawn_table(found),
            "maps": saliency.side_by_side(
                [framed(picture(seen.images[photo - 1], transform), seen.masks[photo - 1])] * len(TRAININGS),
                {
                    method: [
                        heat(one.maps[method].raw, seen.masks.shape[1:])[photo - 1].numpy() for one in found.values()
                    ]
                    for method in METHODS
                },
                names=TRAININGS,
                title=f"What speaks for “{categories[int(seen.labels[photo - 1])]}”, from least (0 %) to most",
            ),
            "gains": drawn_gains(found),
            "confidence": drawn_confidence(found, sure),
        },
    )


def tells(model: nn.Module, drawn: Objects) -> Bool[Tensor, "n"]:
    """Of which pictures the label is the model's answer."""
    with torch.inference_mode():
        return model(drawn.images).argmax(dim=1) == drawn.labels


def resists(model: Robust, drawn: Objects, *, seed: int) -> Bool[Tensor, "n"]:
    """Of which of the first ATTACKED pictures it still is, when they are as bad as the model's attack makes them."""
    images, labels = drawn.images[:ATTACKED], drawn.labels[:ATTACKED]
    bad = model.worst(images, labels, rng=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        return model(bad).argmax(dim=1) == labels


def told_by_most(drawn: Objects, right: Bool[Tensor, "models n"], *, count: int) -> Objects:
    """The first pictures that all models tell; where these are too few, those that most of them tell."""
    chosen = right.sum(dim=0).argsort(descending=True, stable=True)[:count]
    return Objects(drawn.images[chosen], drawn.masks[chosen], drawn.labels[chosen], drawn.photos)


def drawn_gains(found: Mapping[str, Explained]) -> Figure:
    """What the robust training adds to each of RANKED_BY, better to the right, picture by picture."""

    def gain(other: str, number: str, method: str) -> faithfulness.Gain:
        return faithfulness.Gain(*ends(interval(better(difference(found, ROBUST, other, number, [method]), number))))

    panels = {
        number: {
            other: {method: gain(other, number, method) for method in (*METHODS, DICE)}
            for other in TRAININGS
            if other != ROBUST
        }
        for number in RANKED_BY
    }
    labels = {number: f"{number}, better by" for number in RANKED_BY}
    return faithfulness.gains(panels, labels=labels, title="What maps gain when the CNN has learned from attacks")


def drawn_confidence(found: Mapping[str, Explained], sure: Mapping[str, Interval]) -> Figure:
    """Both areas as they are and per confidence, of methods' maps and of maps of dice, the surest training first."""
    panels = {
        f"{area}{way}": {
            f"{name}, confidence {sure[name].mean:.2f}": {
                group: ends(interval(ask(found[name], area, methods)))
                for group, methods in (("six methods", METHODS), ("maps of dice", [DICE]))
            }
            for name in sorted(found, key=lambda name: -sure[name].mean)
        }
        for area in AREAS
        for way, ask in WAYS.items()
    }
    labels = {panel: "area" if panel in AREAS else "area / p" for panel in panels}
    return draw.intervals(panels, labels=labels, title="Areas under the probability, and as shares of the confidence p")


def framed(photo: UInt8[np.ndarray, "h w 3"], mask: Bool[Tensor, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """The photo with the edge of the object, or of its box, in white."""
    inner = -F.max_pool2d(-mask[None].float(), 3, stride=1, padding=1)[0] > 0
    photo = photo.copy()
    photo[(mask & ~inner).numpy()] = 255
    return photo


def rows(name: str, found: Mapping[str, Interval], unit: str) -> dict[str, Number]:
    """Each mean, and half of its interval of 95 %."""
    return {
        f"{name}, {key}{end}": Number(value, unit)
        for key, one in found.items()
        for end, value in (("", one.mean), (", ±", widest([one])))
    }


def spoken(one: Interval, sign: str = "") -> str:
    """The mean and its interval of 95 %; `sign` is "+" where the sign of what is above 0 is to be seen, too."""
    return f"{one.mean:{sign}.3f} [{one.low:.3f}, {one.high:.3f}]"


def listed(found: Mapping[str, Interval], sign: str = "") -> str:
    return ", ".join(f"{name} {spoken(one, sign)}" for name, one in found.items())
