"""What two methods answered to "which pixels decided?" for one class: their maps, RISE's error, and the films."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int64
from PIL import Image
from torch import Tensor

from labkit.probes.faithfulness import Curves
from labkit.probes.question import Question
from labkit.probes.saliency import Saliency
from labkit.session.sitting import Sitting

__all__ = ["Explained", "Film", "Likely", "Pair", "likeliest"]


@dataclass(frozen=True)
class Likely:
    """A class among the likeliest: its number, its name and its probability, 0..1."""

    index: int
    name: str
    chance: float


@dataclass(frozen=True)
class Film:
    """A map's pixels go, the most important first, or come back.

    turn     `height width`: the step, from 0, in which each pixel is changed
    curves   the score after each step; see labkit.probes.faithfulness
    """

    turn: Int64[Tensor, "height width"]
    curves: Curves


@dataclass(frozen=True)
class Explained:
    """One method's map for one class.

    masks    RISE alone: how many so far, and how many were asked for
    error    RISE alone, `h w`: the standard error of the map, in its unit; infinite where it is not known
    trail    RISE alone: (masks, largest standard error as a share of the map's range), as it went
    film     None while RISE is at work
    """

    saliency: Saliency
    masks: tuple[int, int] | None = None
    error: Float[Tensor, "h w"] | None = None
    trail: tuple[tuple[int, float], ...] = ()
    film: Film | None = None

    @property
    def method(self) -> str:
        return self.saliency.method

    @property
    def raw(self) -> Float[Tensor, "h w"]:
        return self.saliency.raw[0]

    @property
    def signed(self) -> bool:
        """Whether something in the map speaks against the class."""
        return bool((self.raw < 0).any())

    @property
    def scale(self) -> tuple[float, float]:
        """The ends of its colours, in its unit: even around 0 where it is signed, else from 0. A map of RISE is all
        far above 0 (masks keep half of the picture everywhere), so it is shown from its lowest value."""
        low, high = float(self.raw.min()), float(self.raw.max())
        if self.signed:
            return -max(-low, high), max(-low, high)
        return (low if self.masks else 0.0), high


@dataclass(frozen=True)
class Pair:
    """Two methods' answers for one class of the model that sits before a picture.

    classes   the likeliest, at most five, the likeliest first
    target    the class that is explained, one of them
    blurred   the picture that insertion starts from, in the model's pixels
    blank     the colour (0..255) of what deletion takes away
    """

    sitting: Sitting
    classes: tuple[Likely, ...]
    target: int
    blurred: Image.Image
    blank: tuple[int, int, int]
    sides: tuple[Explained, Explained]

    @property
    def top(self) -> tuple[tuple[str, float], ...]:
        return tuple((one.name, one.chance) for one in self.classes)


def likeliest(sitting: Sitting, most: int = 5) -> tuple[Likely, ...]:
    """The likeliest classes; Refused for a model that gives none."""
    with sitting.turn() as model:
        chances = Question(model, sitting.images, "all").answers[0]
    names = sitting.opened.categories
    found = zip(*(part.tolist() for part in chances.topk(min(most, len(chances)))), strict=True)
    return tuple(Likely(at, names[at] if at < len(names) else f"class {at}", chance) for chance, at in found)
