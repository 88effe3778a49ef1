"""All that is asked of a map, for several methods on the same images, beside two maps that know nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from labkit.probes.faithfulness import Curves, curves
from labkit.probes.inputs import check_call
from labkit.probes.localisation import Confidence, Localisation, confidence, localisation
from labkit.probes.ranking import Maps, baselines
from labkit.probes.road import SHARES, Road, road
from labkit.probes.targets import Targets

BASELINES = ("random", "centre")
BETTER = {
    "deletion": "lower",
    "insertion": "higher",
    "road": "higher",
    "drop": "lower",
    "increase": "higher",
    "pointing": "higher",
    "energy": "higher",
}
"""The numbers of a scorecard, and which way is better."""


@dataclass(frozen=True)
class Scores:
    """What one method's maps were worth, image by image; None for what was not asked (no object is known)."""

    curves: Curves
    road: Road
    confidence: Confidence
    localisation: Localisation | None

    def numbers(self) -> dict[str, Float[Tensor, "b"]]:
        """One number an image by the names of BETTER; those of the object are left out when it is not known."""
        found = {
            "deletion": self.curves.deletion_area,
            "insertion": self.curves.insertion_area,
            "road": self.road.combined,
            "drop": self.confidence.drop,
            "increase": self.confidence.increase,
        }
        if self.localisation is not None:
            found |= {"pointing": self.localisation.pointing, "energy": self.localisation.energy}
        return found


def scorecard(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    maps: Maps,
    *,
    masks: Tensor | None = None,
    targets: Targets = None,
    pixels: int | None = None,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    batch: int = 32,
) -> dict[str, Scores]:
    """The scores of every method of `maps` (`{name: b h w}`), and of BASELINES, asked together in full batches.

    masks    the object's pixels, boolean `b height width`, as the model sees the images; None when they are not known
    targets  a class for all images, one for each, or None for the highest; the rest as in `curves` and `road`
    """
    check_call(model, images)
    everything = {**maps, **baselines(images, seed=seed)}
    both = {"targets": targets, "seed": seed, "batch": batch}
    fallen = curves(model, images, everything, pixels=pixels, **both)
    filled = road(model, images, everything, shares=shares, **both)
    left = confidence(model, images, everything, targets=targets, batch=batch)
    return {
        name: Scores(fallen[name], filled[name], left[name], None if masks is None else localisation(one, masks))
        for name, one in everything.items()
    }
