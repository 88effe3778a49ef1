"""Class activation maps without gradients: what the score does when a channel is shown alone, or taken away.

Sources
  scorecam      Wang et al., "Score-CAM", CVPR Workshops 2020, algorithm 1
  ablationcam   Desai & Ramaswamy, "Ablation-CAM", WACV 2020, equation 3

Both go through the channels in chunks of a fixed size, all images of the batch together, so memory does not grow with
the number of channels; nothing goes through the host on the way.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.probes.cam_methods import weighted, wide
from labkit.probes.saliency import resized
from labkit.probes.targets import Targets, named, scores, settled
from labkit.taps import Site, Tail, evaluating

Answered = tuple[Float[Tensor, "b h w"], Int64[Tensor, "b"] | None]
"""The map, and the class that was asked for (None where a function was the target)."""


def scorecam(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    activations: Float[Tensor, "b c h w"],
    *,
    targets: Targets = None,
    chunk: int = 64,
) -> Answered:
    """L = Σ_k w_k A_k with w = softmax over k of y(image · s(A_k)); s stretches to the picture's size and to 0..1.

    In the normalised picture 0 is the mean colour, as in the paper's code. Departs: the score of an empty picture that
    the paper takes off every y is the same for all channels, and the softmax does not see it. Where A_k is constant,
    s(A_k) = 0.
    """
    b, c = activations.shape[:2]
    found = []
    with torch.inference_mode(False), torch.no_grad(), evaluating(model):
        asked = settled(model(images), targets)
        for channels, rows in _chunks(b, c, chunk, images.device):
            maps = activations[rows, channels]
            masks = resized(maps, (images.shape[-2], images.shape[-1]))
            low, high = masks.amin(dim=(1, 2), keepdim=True), masks.amax(dim=(1, 2), keepdim=True)
            # Asked of the coarse map: enlarging a constant one leaves rounding, which would be stretched to a pattern.
            varies = (maps != maps[:, :1, :1]).any(dim=2, keepdim=True).any(dim=1, keepdim=True) & (high > low)
            masks = torch.where(varies, (masks - low) / torch.where(varies, high - low, 1), 0)
            found.append(_scores(model(images[rows] * masks[:, None]), asked, b))
        return weighted(activations, torch.cat(found).view(c, b).T.softmax(dim=1)), named(asked)


def ablationcam(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    site: Site,
    *,
    targets: Targets = None,
    chunk: int = 64,
) -> Answered:
    """L = Σ_k w_k A_k with w_k = (y - y_k) / |y|: the share of the score that is lost when channel k is 0 in all cells.

    Prefix tokens stay as they are. One pass through the whole model; then only what lies behind the layer runs, once a
    channel. Departs: the paper divides by y, which would turn the signs of a negative score around. A score of 0
    divides by 1.
    """
    b, c = len(images), site.after.channels
    tail = Tail(model, site.name, images)
    found, value = [], tail.value[:0]
    with torch.inference_mode(False), torch.no_grad():
        activations = site.after.to_map(tail.value)
        asked = settled(tail.output, targets)
        whole = _scores(tail.output, asked, b)
        for channels, rows in _chunks(b, c, chunk, images.device):
            if len(value) != len(rows):
                value = tail.value.repeat(len(rows) // b, *[1] * (tail.value.ndim - 1))
            # One channel a row is taken away and put back (the maps are a view): the rest is copied only once.
            maps, at = site.after.to_map(value), torch.arange(len(rows), device=rows.device)
            maps[at, channels] = 0
            found.append(_scores(tail(value, rows), asked, b))
            maps[at, channels] = activations[rows, channels]
        without = torch.cat(found).view(c, b).T
        weights = (whole[:, None] - without) / torch.where(whole != 0, whole.abs(), 1)[:, None]
        return weighted(activations, weights), named(asked)


def _chunks(b: int, c: int, chunk: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """(channel, image) of each row of each chunk: all images of the first channel, then of the next one."""
    together = max(1, chunk // b)
    for channels in torch.arange(c, device=device).split(together):
        yield channels.repeat_interleave(b), torch.arange(b, device=device).repeat(len(channels))


def _scores(output: Tensor, asked: Targets, b: int) -> Float[Tensor, "n"]:
    """One score a row; the rows are the images of the batch, again and again."""
    if callable(asked):  # it was written for the batch of images: it is given one channel of all of them at a time
        return wide(torch.cat([scores(one, asked) for one in output.split(b)]))
    # Not by `scores`, which would check the classes, through the host, in every chunk.
    return wide(output.gather(1, asked.repeat(len(output) // b)[:, None])[:, 0])
