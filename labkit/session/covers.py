"""What a model says of a picture with a part of it covered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from labkit.probes.occlusion import answers_without
from labkit.probes.question import Question
from labkit.session.sitting import Sitting, halving


@dataclass(frozen=True)
class Covered:
    """What a model says of a picture with a part of it covered by the mean colour.

    whole     `classes`: the probabilities of the whole picture
    grid      (h, w) of the places that a cover can be put on
    windows   (rows, columns) in pixels of each cover
    answers   one a cover, `cells classes`: the probabilities with that cover around the middle of each cell
    """

    sitting: Sitting
    whole: Float[Tensor, "classes"]
    grid: tuple[int, int]
    windows: tuple[tuple[int, int], ...]
    answers: tuple[Float[Tensor, "cells classes"], ...]

    @property
    def top(self) -> tuple[tuple[str, float], ...]:
        """The five likeliest (category, probability 0..1) of the whole picture."""
        return self.sitting.top(self.whole.log()[None])


def cover(
    sitting: Sitting, *, grid: tuple[int, int] = (12, 12), parts: Sequence[float] = (0.125, 0.25, 0.375)
) -> Covered:
    """Cover the picture at every place, with squares whose sides are these `parts` (0..1) of its own.

    Raises labkit.probes.inputs.Refused for a model without a classifier, in one sentence.
    """
    size = sitting.images.shape[-2:]
    windows = tuple((max(1, round(part * size[0])), max(1, round(part * size[1]))) for part in parts)
    with sitting.turn() as model:
        whole = Question(model, sitting.images, "all").answers[0].cpu()
        answers = tuple(
            halving(partial(_covered, model, sitting.images, grid, window), 32).result.cpu() for window in windows
        )
    return Covered(sitting, whole, grid, windows, answers)


def _covered(model: nn.Module, images: Tensor, grid: tuple[int, int], window: tuple[int, int], batch: int) -> Tensor:
    return answers_without(model, images, grid=grid, window=window, batch=batch)
