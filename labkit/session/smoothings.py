"""A model before a picture, and how alike its tokens become: with all of its blocks, and without some."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from labkit.probes.smoothing import Alike, Effect, Smoothing, optional, reading
from labkit.session.sitting import Sitting

__all__ = ["Alike", "Effect", "Smoothed", "Smoothing", "possible", "smoothed", "smoothing_steps"]


@dataclass(frozen=True)
class Smoothed:
    """What was found in all blocks of the model that sits before a picture."""

    sitting: Sitting
    found: Smoothing

    @property
    def answers(self) -> tuple[tuple[tuple[str, float], ...], ...]:
        """The five likeliest (category, probability) of the whole model, and then of the one without blocks, if any."""
        passes = (self.found.whole, self.found.without)
        return tuple(self.sitting.top(one.output) for one in passes if one)

    @property
    def top(self) -> tuple[tuple[str, float], ...]:
        """The five likeliest (category, probability) of the whole model."""
        return self.answers[0]

    @property
    def title(self) -> str:
        """ "lab/vit", "lab/vit without blocks 1, 3"."""
        left = self.found.skipped
        without = f" without block{'s' * (len(left) > 1)} {', '.join(map(str, left))}" if left else ""
        return self.sitting.name + without


def smoothing_steps(sitting: Sitting, skip: Sequence[int] = ()) -> Iterator[float | Smoothed]:
    """Read all blocks, and where some are to be left out, once more without them; the share that is done, again and
    again, and the answer at last. Of the blocks to leave out those count that the model has and can do without."""
    skip = possible(sitting, skip)
    for step in sitting.in_turns(reading(sitting.opened.model, sitting.images, skip=skip)):
        yield Smoothed(sitting, step) if isinstance(step, Smoothing) else step


def smoothed(sitting: Sitting, skip: Sequence[int] = ()) -> Smoothed:
    """The same at once."""
    *_, found = smoothing_steps(sitting, skip)
    return found


def possible(sitting: Sitting, skip: Sequence[int]) -> tuple[int, ...]:
    """Those of the blocks that this model has and can do without: a wish may come from another model."""
    if not skip:
        return ()
    with sitting.turn() as model:
        free = optional(model, sitting.images)
    return tuple(block for block in skip if 0 <= block < len(free) and free[block])
