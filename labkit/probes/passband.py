"""Which frequencies of the picture a model lives on: let some of them through, and see what it says then.

Source: Yin et al., "A Fourier Perspective on Model Robustness in Computer Vision", NeurIPS 2019, filter the input so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.probes.effect import changed, probability, turned
from labkit.probes.inputs import Refused, check_images
from labkit.probes.layers import run
from labkit.probes.rings import radius
from labkit.probes.targets import Targets, classes

HIGHEST = 0.5**0.5
"""The highest frequency there is, in cycles per pixel: the checkerboard's, in the corner of the plane."""


@dataclass(frozen=True)
class Passband:
    """The frequencies that pass: above < f <= below, in cycles per pixel (0.5 = every other pixel). None is no limit.

    The mean has f = 0: it passes where nothing is cut from below, and always with `mean`.
    """

    above: float | None = None
    below: float | None = None
    mean: bool = False

    def __post_init__(self) -> None:
        low = -1.0 if self.above is None else self.above
        high = HIGHEST + 1 if self.below is None else self.below
        ends = [end for end in (self.above, self.below) if end is not None]
        if not low < high or not all(0 <= end <= HIGHEST + 1e-6 for end in ends):
            raise Refused(
                f"Passband(above={self.above}, below={self.below}): expected cycles per pixel in 0..{HIGHEST:.2f}, and "
                "above less than below."
            )


def low_pass(cutoff: float) -> Passband:
    """The mean and everything up to `cutoff`, in cycles per pixel."""
    return Passband(below=cutoff)


def high_pass(cutoff: float) -> Passband:
    """Everything beyond `cutoff`; the mean is lost. With `low_pass(cutoff)` it adds up to the picture."""
    return Passband(above=cutoff)


def band_pass(above: float, below: float) -> Passband:
    """What lies between two cutoffs; the mean is lost."""
    return Passband(above=above, below=below)


@dataclass(frozen=True)
class Passing:
    """What a model makes of the pictures when some frequencies pass; `steps` passbands.

    names         the blocks
    label         `b`: the class that is followed
    sure          `b`: its probability for the whole picture, 0..1
    probability   `steps b`: its probability for what has passed, 0..1
    said          `steps b`: the class with the highest logit then
    kept          `steps b`: share of the picture's variance (its mean apart) that passes, 0..1; 0 for a flat picture
    turned        `steps layers b`: mean cosine of each block's tokens with those of the whole picture, -1..1
    changed       `steps layers b`: relative change of these tokens, 0 = none
    """

    bands: tuple[Passband, ...]
    names: tuple[str, ...]
    label: Int64[Tensor, "b"]
    sure: Float[Tensor, "b"]
    probability: Float[Tensor, "steps b"]
    said: Int64[Tensor, "steps b"]
    kept: Float[Tensor, "steps b"]
    turned: Float[Tensor, "steps layers b"]
    changed: Float[Tensor, "steps layers b"]


@torch.no_grad()
def filtered(images: Float[Tensor, "b c height width"], band: Passband) -> Float[Tensor, "b c height width"]:
    """The pictures with nothing but the frequencies of the band: an ideal filter, sharp and without phase.

    The picture counts as repeating itself: what differs between its left and right (or upper and lower) edge is an edge
    too. Sharp cutoffs ring. In normalised images the lost mean is the grey of the training data.
    """
    size = tuple(images.shape[-2:])
    f = radius(size)
    # The small term keeps frequencies that are the cutoff up to rounding on the same side.
    passes = f <= (HIGHEST + 1 if band.below is None else band.below) + 1e-9
    if band.above is not None:
        passes &= f > band.above + 1e-9
    passes[0, 0] |= band.mean
    single = images if images.dtype == torch.float64 else images.float()
    plane = torch.fft.rfft2(single) * passes.to(single)
    return torch.fft.irfft2(plane, s=size).to(images.dtype)


@torch.no_grad()
def passing(
    model: nn.Module, images: Float[Tensor, "b 3 height width"], bands: Sequence[Passband], *, targets: Targets = None
) -> Passing:
    """Follow one class an image (its own answer, or `targets`) and all blocks' tokens through the passbands.

    One pass for the whole pictures and one a band. Raises Refused for bad images or targets, or without a band.
    """
    check_images(images)
    if not bands:
        raise Refused("expected at least one passband, got none.")
    output, before = run(model, images)
    label = classes(output, targets)
    whole = _variance(images)
    rows: list[tuple[Tensor, ...]] = []
    for band in bands:
        passed = filtered(images, band)
        logits, after = run(model, passed)
        pairs = [(was.tokens, now.tokens) for was, now in zip(before, after, strict=True)]
        rows.append(
            (
                probability(logits, label),
                logits.argmax(dim=1),
                torch.where(whole > 0, _variance(passed) / whole.clamp_min(1e-30), 0).clamp(0, 1),
                torch.stack([turned(was, now) for was, now in pairs]),
                torch.stack([changed(was, now) for was, now in pairs]),
            )
        )
    names = tuple(layer.name for layer in before)
    return Passing(tuple(bands), names, label, probability(output, label), *(map(torch.stack, zip(*rows, strict=True))))


def _variance(images: Tensor) -> Float[Tensor, "b"]:
    return images.float().var(dim=(2, 3), correction=0).sum(dim=1)
