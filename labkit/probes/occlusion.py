"""Occlusion: how far the score falls when a window of the picture is covered.

Source   Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from labkit.probes.inputs import Refused
from labkit.probes.question import Question, Unit
from labkit.probes.saliency import Saliency
from labkit.probes.targets import Targets


def occlusion(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    *,
    window: tuple[int, int] | None = None,
    stride: tuple[int, int] | None = None,
    baseline: float = 0.0,
    targets: Targets = None,
    unit: Unit = "logit",
    batch: int = 32,
) -> Saliency:
    """At each pixel the mean fall of the score over the windows that cover it: raw `b height width`, the score's unit.

    window    (rows, columns) in pixels that are covered; None for about an eighth of each side
    stride    from one window to the next; None for half a window. The last window ends at the picture's edge
    baseline  what covers it, in normalised values: 0 is the mean colour

    Windows lie on a lattice, so the map is Rᵀ · falls · C, with the pixels that each row and column of windows covers:
    nothing of a picture's size is kept for a window. `batch` covered pictures go in one pass.
    """
    height, width = images.shape[-2:]
    window = window or (-(-height // 8), -(-width // 8))
    stride = stride or (-(-window[0] // 2), -(-window[1] // 2))
    fit = (1 <= step <= side <= whole for step, side, whole in zip(stride, window, (height, width), strict=True))
    if not all(fit):
        raise Refused(
            f"occlusion(window={window}, stride={stride}): expected windows within the picture's {height} x {width} "
            "pixels, and steps from 1 pixel to one window, so that every pixel is covered."
        )
    ask = Question(model, images, targets, unit=unit)
    rows, columns = (
        _bands(whole, side, step, images) for whole, side, step in zip((height, width), window, stride, strict=True)
    )
    # Window n lies in row n // across and column n % across of the lattice.
    order = torch.arange(len(rows) * len(columns), device=images.device)
    across = len(columns)
    falls = torch.empty(len(images), len(order), device=images.device)
    cover = torch.full((), baseline, dtype=images.dtype, device=images.device)
    for some in order.split(batch):
        covered = (rows[some // across][:, None, :, None] * columns[some % across][:, None, None, :]).bool()
        for image, picture in enumerate(images):
            left = ask(torch.where(covered, cover, picture), image)
            falls[image, some] = ask.answers[image] - left[:, 0]
    on_lattice = falls.view(len(images), len(rows), across)
    total = rows.float().T @ on_lattice @ columns.float()
    times = rows.float().sum(dim=0)[:, None] * columns.float().sum(dim=0)
    chosen = None if ask.classes is None else ask.classes[:, 0]
    return Saliency(total / times, "Occlusion", chosen)


def answers_without(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    *,
    grid: tuple[int, int],
    window: tuple[int, int],
    baseline: float = 0.0,
    batch: int = 32,
) -> Float[Tensor, "cells classes"]:
    """All probabilities for one picture (b is 1), each cell of `grid` in turn covered by a window around its middle.

    window    (rows, columns) in pixels; at the edge of the picture it is cut off
    baseline  what covers it, in normalised values: 0 is the mean colour

    Raises Refused for more than one picture and for a window or a grid that is not within its pixels.
    """
    size = tuple(images.shape[-2:])
    if len(images) != 1 or not all(1 <= n <= whole for n, whole in zip((*grid, *window), size * 2, strict=True)):
        raise Refused(
            f"answers_without(grid={grid}, window={window}) of {len(images)} pictures: expected one picture, a grid "
            f"and a window from 1 to its {size[0]} x {size[1]} pixels."
        )
    ask = Question(model, images, "all")
    rows, columns = (_around(whole, cells, side, images) for whole, cells, side in zip(size, grid, window, strict=True))
    order = torch.arange(grid[0] * grid[1], device=images.device)
    cover = torch.full((), baseline, dtype=images.dtype, device=images.device)
    found = []
    for some in order.split(batch):
        covered = rows[some // grid[1]][:, None, :, None] & columns[some % grid[1]][:, None, None, :]
        found.append(ask(torch.where(covered, cover, images), 0))
    return torch.cat(found)


def _around(length: int, cells: int, side: int, like: Tensor) -> Bool[Tensor, "cells length"]:
    """Which pixels of one axis a window of `side` around the middle of each cell covers."""
    middles = (torch.arange(cells, device=like.device) + 0.5) * length / cells
    starts = (middles - side / 2).round()[:, None]
    pixels = torch.arange(length, device=like.device)
    return (pixels >= starts) & (pixels < starts + side)


def _bands(length: int, side: int, step: int, like: Tensor) -> Float[Tensor, "windows length"]:
    """Which pixels of one axis each window covers, 0 or 1."""
    starts = torch.arange(0, length - side + step, step, device=like.device).clamp_max(length - side)
    pixels = torch.arange(length, device=like.device)
    return ((pixels >= starts[:, None]) & (pixels < starts[:, None] + side)).to(like.dtype)
