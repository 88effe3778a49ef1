"""Several models explained by several methods, and what each map is worth: method x model x number, picture by picture.

found = table(models, seen, settings={}, masks=4000, pixels=64, shares=road.SHARES)      as in the papers: minutes
interval(found["robust"].scores["gradient"]["energy"], found["plain"].scores["gradient"]["energy"])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor, nn

from labkit.experiments._objects import Objects
from labkit.experiments._readout import Number
from labkit.methods.objectives.robust_explain import per_confidence, ranked
from labkit.probes.attribution import IntegratedGradients, Method, Occlusion, SmoothGrad, attribute
from labkit.probes.bootstrap import Interval, interval
from labkit.probes.explain import explain
from labkit.probes.saliency import Saliency
from labkit.probes.scorecard import BETTER, scorecard
from labkit.viz import experiments as draw

GRADIENTS, ACTIVATIONS, COVERS = "gradients", "activations", "covers"
KINDS = {
    GRADIENTS: ("gradient", "smoothgrad", "integrated-gradients"),
    ACTIVATIONS: ("gradcam",),
    COVERS: ("rise", "occlusion"),
}
"""Methods that ask for gradients at the pixels, for the last map of cells, and for answers to covered pictures."""
METHODS = tuple(method for kind in KINDS.values() for method in kind)
LIGHTER: Mapping[str, Method] = {
    "smoothgrad": SmoothGrad(samples=8),
    "integrated-gradients": IntegratedGradients(steps=12),
    "occlusion": Occlusion(window=(16, 16), stride=(8, 8)),
}
"""Settings for an answer within a minute, in the place of those of the papers."""
DICE = "random"
"""The name of the map that knows nothing."""
RANKED_BY = ("energy", "pointing", "insertion", "deletion")

UNITS = {
    "energy": "of the heat, in the box",
    "pointing": "of the peaks, in the box",
    "insertion": "area: more is better",
    "deletion": "area: less is better",
    "road": "probability: more is better",
}
"""What a map is worth: ROAD -0.5..0.5, the others 0..1."""


@dataclass(frozen=True)
class Explained:
    """What one model says of `b` pictures, and what the maps of its answers are worth.

    confidence   `b`, 0..1: the probability of the label, for the whole picture
    maps         by method
    scores       method, or "random" or "centre" -> number of `scorecard.BETTER` -> `b`
    """

    confidence: Float[Tensor, "b"]
    maps: dict[str, Saliency]
    scores: dict[str, dict[str, Tensor]]

    def mean(self, number: str, methods: Sequence[str] | None = None) -> Float[Tensor, "b"]:
        """The number of each picture, on average over these methods; None: over all that have maps."""
        return torch.stack([self.scores[method][number] for method in methods or self.maps]).mean(dim=0)

    def share(self, number: str, methods: Sequence[str] | None = None) -> Float[Tensor, "b"]:
        """An area under the probability, on average over these methods, as a share of the confidence."""
        return per_confidence(self.mean(number, methods), self.confidence)

    def places(self) -> dict[str, Tensor]:
        """Each method's place among those that have maps, 1 = best: `b`, on average over the numbers of RANKED_BY."""
        scores = [[better(self.scores[method][number], number) for method in self.maps] for number in RANKED_BY]
        places = ranked(torch.stack([torch.stack(row, dim=-1) for row in scores])).mean(dim=0)
        return dict(zip(self.maps, places.unbind(dim=-1), strict=True))


def table(
    models: Mapping[str, nn.Module],
    seen: Objects,
    *,
    methods: Sequence[str] = METHODS,
    settings: Mapping[str, Method] = LIGHTER,
    masks: int = 200,
    pixels: int = 512,
    shares: Sequence[float] = (0.5,),
    seed: int = 0,
) -> dict[str, Explained]:
    """Ask every model by every one of these methods of `explain` about the labels of the same pictures.

    settings   of single methods; all others have those of their papers
    masks      of RISE; `pixels` a step of insertion and deletion, `shares` filled in by ROAD: see `scorecard`
    """
    explained = {}
    for name, model in models.items():
        given = [method for method in methods if method in settings]
        maps = {m: attribute(model, seen.images, method=settings[m], targets=seen.labels) for m in given}
        if others := [method for method in methods if method not in settings]:
            maps |= explain(model, seen.images, methods=others, targets=seen.labels, masks=masks, seed=seed)
        maps = {method: maps[method] for method in methods}
        scores = scorecard(
            model,
            seen.images,
            {method: one.raw for method, one in maps.items()},
            masks=seen.masks,
            targets=seen.labels,
            pixels=pixels,
            shares=shares,
            seed=seed,
        )
        confidence = scores[DICE].curves.deletion[:, 0]  # before anything is deleted
        explained[name] = Explained(confidence, maps, {method: one.numbers() for method, one in scores.items()})
    return explained


def difference(
    found: Mapping[str, Explained], one: str, other: str, number: str, methods: Sequence[str] | None = None
) -> Float[Tensor, "b"]:
    """By how much a number is higher for one model than for another, on average over methods, for each picture."""
    return found[one].mean(number, methods) - found[other].mean(number, methods)


def correlation(found: Mapping[str, Explained], number: str) -> float:
    """Pearson's, -1..1, of confidence and a number (on average over methods), over all models and pictures."""
    confidence = torch.cat([one.confidence for one in found.values()])
    values = torch.cat([one.mean(number) for one in found.values()])
    return torch.corrcoef(torch.stack([confidence, values]))[0, 1].item()


def better(values: Tensor, number: str) -> Tensor:
    """The values with the sign for which higher is better."""
    return values if BETTER[number] == "higher" else -values


def worth(found: Mapping[str, Explained]) -> dict[str, Number]:
    """The table: number, training, method; and for each number how wide the widest interval of them is."""
    numbers = {}
    for number in UNITS:
        each = {
            f"{number}, {name}, {method}": interval(one.scores[method][number])
            for name, one in found.items()
            for method in one.maps
        }
        unit = "-0.5..0.5" if number == "road" else "0..1"
        numbers |= {row: Number(one.mean, unit) for row, one in each.items()}
        numbers[f"{number}, ± at most"] = Number(widest(list(each.values())), unit)
    return numbers


def drawn_table(found: Mapping[str, Explained]) -> Figure:
    """The table with its intervals, a panel a number."""
    methods = (*next(iter(found.values())).maps, DICE)
    panels = {
        number: {
            method: {name: ends(interval(one.scores[method][number])) for name, one in found.items()}
            for method in methods
        }
        for number in UNITS
    }
    return draw.intervals(panels, labels=UNITS, title="What a map is worth, by method and by the CNN's training")


def ends(one: Interval) -> tuple[float, float, float]:
    return one.mean, one.low, one.high


def widest(intervals: list[Interval]) -> float:
    """Half of the widest."""
    return max(one.high - one.low for one in intervals) / 2
