"""What a model makes of the waves of a picture: its tuning, read once, and its answer when only a band passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from labkit.data.images import open_image, photo_names
from labkit.probes.crossover import Crossover, crossover, cutoffs
from labkit.probes.tuning import Passed, Tuning, band_of, passed, tuning
from labkit.session.sitting import Sitting

__all__ = ["Crossover", "Passed", "Tuned", "Tuning", "band_of", "crossings", "heard", "photos", "tuned"]


@dataclass(frozen=True)
class Tuned:
    """A model before a picture: the spectra behind its blocks, what its filters let through, and its answer.

    crossings   what has been asked at all cutoffs so far: whether the mean passes -> what came out
    """

    sitting: Sitting
    tuning: Tuning
    crossings: dict[bool, Crossover] = field(default_factory=dict)

    @property
    def top(self) -> tuple[tuple[str, float], ...]:
        """The five likeliest (category, probability) of the whole picture."""
        return self.sitting.top(self.tuning.output)


def tuned(sitting: Sitting) -> Tuned:
    """Read everything that does not depend on a band. Raises as `labkit.probes.tuning.tuning`."""
    with sitting.turn() as model:
        return Tuned(sitting, tuning(model, sitting.images))


def heard(sitting: Sitting, low: float, high: float, *, mean: bool = True) -> Passed:
    """The model's answer and spectra when only low < f <= high (cycles per pixel) of the picture passes."""
    with sitting.turn() as model:
        return passed(model, sitting.images, band_of(low, high, mean=mean))


def photos(sitting: Sitting) -> Tensor:
    """All photos of the lab as this model takes them, `b 3 h w`; the visitor's own is not among them, so that numbers
    can be compared."""
    like = sitting.images
    return torch.stack([sitting.opened.transform(open_image(name)) for name in photo_names()]).to(like)


def crossings(sitting: Sitting, *, mean: bool = True) -> Iterator[tuple[float, Crossover]]:
    """(share that is done, what is known so far): the lab's photos, cut at all cutoffs; see labkit.probes.crossover."""
    at = cutoffs(sitting.images.shape[-1])
    for found in sitting.in_turns(crossover(sitting.opened.model, photos(sitting), at, mean=mean)):
        yield len(found.cutoffs) / len(at), found
