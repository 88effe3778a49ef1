"""Which frequencies the answer hangs on: keep only the coarse ones, keep only the fine ones, and move the border.

Source: Yin et al., "A Fourier Perspective on Model Robustness in Computer Vision", NeurIPS 2019, filter the input so.
The cutoff at which both sides keep as many answers is ours: below it lies as much of what the model needs as above it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.probes.effect import probability
from labkit.probes.inputs import Refused, check_call
from labkit.probes.passband import Passband, filtered
from labkit.probes.targets import classes


@dataclass(frozen=True)
class Crossover:
    """What was found so far; `steps` cutoffs of `b` pictures.

    cutoffs        `steps`, in cycles per pixel
    label, sure    `b`: the model's answer for the whole picture, and its probability
    coarse, fine   `steps b`: the probability of that answer with everything up to the cutoff, and beyond it; 0..1
    coarse_says, fine_says   `steps b`: the answer then
    """

    cutoffs: tuple[float, ...]
    label: Int64[Tensor, "b"]
    sure: Float[Tensor, "b"]
    coarse: Float[Tensor, "steps b"]
    fine: Float[Tensor, "steps b"]
    coarse_says: Int64[Tensor, "steps b"]
    fine_says: Int64[Tensor, "steps b"]

    @property
    def coarse_stays(self) -> Float[Tensor, "steps"]:
        """The share of pictures whose answer stays when only the coarse passes, 0..1."""
        return (self.coarse_says == self.label).float().mean(dim=1)

    @property
    def fine_stays(self) -> Float[Tensor, "steps"]:
        """The share of pictures whose answer stays when only the fine passes, 0..1."""
        return (self.fine_says == self.label).float().mean(dim=1)

    @property
    def where(self) -> float:
        """The cutoff, in cycles per pixel, at which both shares are alike: the last one of several, read off a line
        between cutoffs (over ln f); NaN where they do not cross."""
        lead = (self.coarse_stays - self.fine_stays).tolist()
        for i in range(len(lead) - 1, 0, -1):
            if lead[i - 1] <= 0 < lead[i]:
                share = -lead[i - 1] / (lead[i] - lead[i - 1])
                low, high = (math.log(self.cutoffs[j]) for j in (i - 1, i))
                return math.exp(low + share * (high - low))
        return math.nan


def cutoffs(side: int, steps: int = 10) -> tuple[float, ...]:
    """Evenly spaced over ln f, from between the first and second wave of a picture of `side` pixels to Nyquist."""
    low = 1.5 / side
    return tuple(low * (0.5 / low) ** (i / (steps - 1)) for i in range(steps))


@torch.no_grad()
def crossover(
    model: nn.Module, images: Float[Tensor, "b 3 height width"], at: Sequence[float], *, mean: bool = True
) -> Iterator[Crossover]:
    """A stream: what is known after each cutoff of `at` (two passes each, and one for the whole pictures before).

    mean   the pictures' mean passes on both sides; else on neither

    Raises Refused for images that the model cannot take, for a model without classes, or without a cutoff.
    """
    check_call(model, images)
    if not at:
        raise Refused("expected at least one cutoff in cycles per pixel, got none.")
    output = model(images)
    label = classes(output, None)
    sure = probability(output, label)
    rows: list[tuple[Tensor, ...]] = []
    for cutoff in at:
        coarse = Passband(above=None if mean else 0.0, below=cutoff)
        fine = Passband(above=cutoff, mean=mean)
        answers = [model(filtered(images, band)) for band in (coarse, fine)]
        rows.append((*(probability(one, label) for one in answers), *(one.argmax(dim=1) for one in answers)))
        yield Crossover(tuple(at[: len(rows)]), label, sure, *(torch.stack(part) for part in zip(*rows, strict=True)))
