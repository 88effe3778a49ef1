"""The filter that a picture makes for itself: is it a convolution, is it as large as the map, is it new each time?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from typing import Annotated, Literal

import torch
from jaxtyping import Complex, Float
from matplotlib.figure import Figure
from torch import Tensor, nn

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import DIMS, TELLS, Lesson, scenes, shown, taught
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.affnet import PAPER, FrequencyFilter
from labkit.models.mixers.plain import Depthwise
from labkit.models.scaffold import Scaffold
from labkit.taps import calls
from labkit.viz import experiments as draw

PLACE = "stages.0.0.mixer"
SAME = 1e-10
"""So small a difference, in double precision and relative, is rounding."""
MUCH = 0.1
"""So large a part counts: of a filter that differs from picture to picture, of a kernel beyond its 3 x 3 middle."""
CELLS = (7, 14, 28, 56)


def experiment(
    *,
    filters: Annotated[Literal["own", "another's", "none"], "the filter each picture gets after learning"] = "own",
    keep: Annotated[Literal["all", "low", "high"], "frequencies of the filter that are kept"] = "all",
    steps: Annotated[int, Slider(50, 1000, 50), "how long the model is taught"] = 300,
    seed: Annotated[int, Slider(0, 99), "of weights and scenes"] = 0,
) -> Readout:
    """Teach a small model with frequency filters, and take its first filter apart."""
    book = scenes(seed=seed)
    model, own = taught(lambda stage, dim: FrequencyFilter(dim), book, steps=steps, seed=seed)
    _, near = taught(lambda stage, dim: Depthwise(dim), book, steps=steps, seed=seed)
    accuracy = {"own": own, "3 x 3": near}
    for other in ("another's", "none"):
        with filtered(model, filters=other):
            accuracy[other] = tell(model, book)
    with filtered(model, filters=filters, keep=keep):
        chosen = tell(model, book)

    masks, kernels, error = taken_apart(model, book)
    varies = (masks - masks.mean(dim=0)).abs().pow(2).mean().sqrt() / masks.abs().pow(2).mean().sqrt()
    energy = torch.fft.fftshift(kernels.pow(2).mean(dim=(0, 1)))
    h, w = energy.shape
    far = 1 - (energy[h // 2 - 1 : h // 2 + 2, w // 2 - 1 : w // 2 + 2].sum() / energy.sum()).item()
    ours, dense = ([macs(side * side, DIMS[0]) for side in CELLS] for macs in (fourier_macs, dense_macs))

    swapped = accuracy["another's"]
    same, new, large, cheap = error < SAME, varies.item() > MUCH, far > MUCH, ours[-1] < dense[-1]
    better = book.learned(own) and own > near + TELLS
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(same, new, large, cheap, better),
        because=(
            f"Filter and circular convolution differ by {error:.0e}; a filter varies by {varies:.0%} from picture to "
            f"picture; {far:.0%} of the kernel lies beyond its 3 x 3 middle; on {CELLS[-1]} x {CELLS[-1]} cells it "
            f"costs {ours[-1] / dense[-1]:.1%} of a dense kernel. With filters of other pictures the model tells "
            f"{swapped:.0%} instead of {own:.0%}; with 3 x 3 convolutions in their place it tells {near:.0%}, so after "
            f"{steps} steps filters are {'better' if better else 'not better'} than these."
        ),
        numbers={
            "difference from a convolution": Number(error, "of the largest value"),
            "filter varies": Number(varies.item(), "deviation over pictures / size"),
            "kernel beyond 3 x 3": Number(far, "of its energy"),
            "cost of 7 x 7 cells": Number(ours[0] / dense[0], "of a dense kernel's multiply-adds"),
            "cost of 56 x 56 cells": Number(ours[-1] / dense[-1], "of a dense kernel's multiply-adds"),
            "accuracy": Number(own, "0..1"),
            "accuracy, filters swapped": Number(swapped, "0..1"),
            "accuracy, no filters": Number(accuracy["none"], "0..1"),
            "accuracy, 3 x 3 convolutions": Number(near, "0..1"),
            "accuracy as turned": Number(chosen, "0..1"),
        },
        figures=_figures(book, masks, kernels, accuracy, chosen, f"{filters}, {keep}", ours, dense),
    )


def taken_apart(model: Scaffold, book: Lesson) -> tuple[Complex[Tensor, "b c h half"], Float[Tensor, "b c h w"], float]:
    """The first filter's masks for 64 pictures, the kernels that they are, and how far the two ways differ.

    The difference is that of the filter's answer from the convolution written out, of the largest value, in double
    precision.
    """
    x = calls(model, [PLACE], book.asked[:64])[PLACE].x.detach().double()
    mixer = deepcopy(model.get_submodule(PLACE)).double()
    with torch.inference_mode():
        maps = x.permute(0, 3, 1, 2)
        masks = mixer.mask(torch.fft.rfft2(maps, norm="ortho"))
        kernels = torch.fft.irfft2(masks, s=maps.shape[-2:])
        by_fourier = mixer(x).permute(0, 3, 1, 2)
        error = (by_fourier - maps - convolved(maps, kernels)).abs().max() / by_fourier.abs().max()
    return masks, kernels, error.item()


def tell(model: Scaffold, book: Lesson) -> float:
    """The share of the asked pictures that the model tells right, 0..1."""
    with torch.inference_mode():
        return (model(book.asked).argmax(dim=1) == book.answers).float().mean().item()


@contextmanager
def filtered(model: nn.Module, *, filters: str = "own", keep: str = "all") -> Iterator[None]:
    """Inside, every picture's filters are its own, those of the next picture, or nothing; of all frequencies or some.

    Low is up to a quarter of a cycle a cell, half of Nyquist; high is the rest.
    """

    def turned(_module: object, _given: object, mask: Tensor) -> Tensor:
        mask = {"own": mask, "another's": mask.roll(1, dims=0), "none": torch.zeros_like(mask)}[filters]
        h, half = mask.shape[-2:]
        slow = torch.fft.fftfreq(h).abs()[:, None].maximum(torch.arange(half) / h) <= 0.25
        return mask * {"all": torch.ones_like(slow), "low": slow, "high": ~slow}[keep]

    with ExitStack() as stack:
        for part in model.modules():
            if isinstance(part, FrequencyFilter):
                stack.callback(part.seen.register_forward_hook(turned).remove)
        yield


def convolved(maps: Float[Tensor, "b c h w"], kernels: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """The circular convolution of each map with its kernel, written out as the sum it is."""
    h, w = maps.shape[-2:]
    total = torch.zeros_like(maps)
    for row in range(h):
        for column in range(w):
            total += kernels[..., row, column, None, None] * maps.roll((row, column), dims=(-2, -1))
    return total


def fourier_macs(cells: int, dim: int, *, groups: int = 8) -> float:
    """Multiply-adds of one filter: two complex maps in groups over half the plane, and two transforms (estimated).

    A real transform of n values takes about 2.5 n log2 n operations, half of them multiplications; a complex
    product takes 4.
    """
    frequencies = cells / 2 + math.sqrt(cells)
    return dim * (2 * 4 * dim / groups * frequencies + 4 * frequencies + 2 * 1.25 * cells * math.log2(cells))


def dense_macs(cells: int, dim: int) -> float:
    """Multiply-adds of a kernel as large as the map, a channel for itself: each cell meets each."""
    return float(dim * cells * cells)


def _figures(
    book: Lesson,
    masks: Complex[Tensor, "b c h half"],
    kernels: Float[Tensor, "b c h w"],
    accuracy: dict[str, float],
    chosen: float,
    turned: str,
    ours: list[float],
    dense: list[float],
) -> dict[str, Figure]:
    strongest = kernels.pow(2).mean(dim=(0, 2, 3)).argmax().item()
    strong = torch.fft.fftshift(kernels[:4, strongest], dim=(-2, -1))
    gains = torch.fft.fftshift(torch.fft.fft2(kernels[:4, strongest]).abs(), dim=(-2, -1))
    pictures = [f"picture {i}" for i in range(4)]
    bars = {"own filters": accuracy["own"], "another's": accuracy["another's"], "no filters": accuracy["none"]}
    bars["3 x 3 convolution"] = accuracy["3 x 3"]
    return {
        "gains": draw.maps(
            list(gains.numpy()),
            names=pictures,
            photo=shown(book.asked[0]),
            label="gain |M|",
            title=f"The filter of channel {strongest}, picture by picture (the mean in the middle)",
        ),
        "kernels": draw.maps(
            list(strong.numpy()),
            names=pictures,
            label="kernel (of either sign)",
            signed=True,
            title="The same as a kernel: as large as the map (itself in the middle)",
        ),
        "accuracy": draw.rivals(
            bars | {f"as turned: {turned}": chosen},
            label="share of 512 new scenes told right",
            chosen=f"as turned: {turned}",
            line=(book.chance, "chance"),
            top=1.0,
            title="Does it matter whose filter it is?",
        ),
        "cost": draw.curves(
            [side**2 for side in CELLS],
            {"by Fourier (transforms estimated)": ours, "dense kernel as large as the map": dense},
            across="cells of the grid",
            up="multiply-adds of one mixer",
            logarithmic=True,
            title=f"What a larger picture costs, at {DIMS[0]} channels",
        ),
    }
