"""How a model is tuned: the spectrum behind every block and what each filter lets through, read off one picture.

`frequency` and `filters` hold the definitions; this is what a window on them asks: everything, and not more of it than
can be shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from labkit.probes.filters import Response, attention_responses, kernel_response
from labkit.probes.frequency import Spectrum, spectrum
from labkit.probes.layers import Layer, run
from labkit.probes.passband import HIGHEST, Passband, filtered
from labkit.taps import Unreadable, calls

MOST = 12
"""How many filters of a layer are taken along: evenly spaced ones, first and last among them."""

Kind = Literal["attention", "convolution"]


@dataclass(frozen=True)
class Filters:
    """Some filters of one layer, and what they let through.

    name          the layer
    kind          heads of attention or kernels of a convolution
    block         which of the model's blocks (from 0) it is part of; None: before, between or behind them
    shown, of     the numbers of the filters taken along, and how many the layer has
    gain          `k h w`: amplitude out for amplitude in, >= 0, zero frequency first
    frequencies   `rings`, in cycles per cell of what the layer is given
    radial        `k rings`: the mean gain of each ring
    """

    name: str
    kind: Kind
    block: int | None
    shown: tuple[int, ...]
    of: int
    gain: Float[Tensor, "k h w"]
    frequencies: Float64[Tensor, "rings"]
    radial: Float[Tensor, "k rings"]


@dataclass(frozen=True)
class Tuning:
    """What the model returned, the spectrum behind each block that has more than one cell, and the layers' filters."""

    output: Tensor
    spectra: tuple[Spectrum, ...]
    filters: tuple[Filters, ...]


@dataclass(frozen=True)
class Passed:
    """What the model returned for a filtered picture, and the spectra then."""

    output: Tensor
    spectra: tuple[Spectrum, ...]


def tuning(
    model: nn.Module, images: Float[Tensor, "b 3 height width"], *, most: int = MOST, grid: tuple[int, int] = (32, 32)
) -> Tuning:
    """Everything at once; `grid` is that of the kernels' gains.

    Raises Refused for images that the model cannot take, and Unreadable when nothing in it lies on the picture.
    """
    output, found = run(model, images)
    spectra = _spectra(found)
    blocks = [one.name for one in spectra]
    try:
        heads = attention_responses(model, images)
    except Unreadable:
        heads = ()
    rows = [
        _some(one, "attention", blocks, chosen := evenly(len(one.gain), most), len(one.gain), chosen) for one in heads
    ]
    return Tuning(output, spectra, (*rows, *_kernels(model, images, blocks, most, grid)))


def passed(model: nn.Module, images: Float[Tensor, "b 3 height width"], band: Passband) -> Passed:
    """The model's output and its blocks' spectra when only the band of the picture passes. Raises as `tuning`."""
    output, found = run(model, filtered(images, band))
    return Passed(output, _spectra(found))


def band_of(low: float, high: float, *, mean: bool = True) -> Passband:
    """The band of two knobs and a switch: low < f <= high in cycles per pixel, and the mean as the switch says.

    0 cuts nothing away below, √½ = 0.71 nothing above. Raises Refused where low is not less than high.
    """
    above = None if low == 0 and mean else low
    return Passband(above=above, below=None if high >= HIGHEST - 1e-4 else high, mean=mean)


def evenly(count: int, most: int) -> tuple[int, ...]:
    """At most `most` of `count` numbers from 0, evenly spaced."""
    return tuple(sorted({round(float(i)) for i in torch.linspace(0, count - 1, min(most, count))}))


def _spectra(found: tuple[Layer, ...]) -> tuple[Spectrum, ...]:
    return tuple(spectrum(layer.map, name=layer.name) for layer in found if prod(layer.grid) > 1)


def _kernels(model: nn.Module, images: Tensor, blocks: list[str], most: int, grid: tuple[int, int]) -> list[Filters]:
    """As `conv_responses`, but of the chosen filters alone: a layer of 512 filters on 512 inputs takes a second."""
    wide = [name for name, part in model.named_modules() if isinstance(part, nn.Conv2d) and max(part.kernel_size) > 1]
    rows = []
    for name, call in calls(model, wide, images[:1]).items():
        weight, dilation = call.module.weight, call.module.dilation
        reach = [1 + (side - 1) * d for side, d in zip(call.module.kernel_size, dilation, strict=True)]
        if all(side <= most_cells for side, most_cells in zip(reach, grid, strict=True)):
            chosen = evenly(len(weight), most)
            response = kernel_response(weight[list(chosen)], grid, dilation=dilation, name=name)
            rows.append(_some(response, "convolution", blocks, chosen, len(weight), range(len(chosen))))
    return rows


def _some(
    response: Response, kind: Kind, blocks: list[str], shown: tuple[int, ...], of: int, rows: range | tuple[int, ...]
) -> Filters:
    inside = [i for i, block in enumerate(blocks) if f"{response.name}.".startswith(f"{block}.")]
    block = max(inside, key=lambda i: len(blocks[i]), default=None)
    some = list(rows)
    return Filters(
        response.name, kind, block, shown, of, response.gain[some], response.frequencies, response.radial[some]
    )
