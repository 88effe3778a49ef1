"""Channel weights without gradients: what the score does when a channel is shown alone, or taken away.

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

from labkit.probes.saliency import resized
from labkit.probes.targets import Targets, classes, scores
from labkit.taps import Site, Tail, evaluating

Weights = tuple[Float[Tensor, "b c"], Int64[Tensor, "b"] | None]
"""One weight a channel, and the class that was asked for (None where a function was the target)."""


def score_weights(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    activations: Float[Tensor, "b c h w"],
    *,
    targets: Targets = None,
    chunk: int = 64,
) -> Weights:
    """α_k = softmax over k of y(image · s(A_k)), with A_k brought to the picture's size and s its stretch to 0..1.

    In the normalised picture 0 is the mean colour, as in the paper's code. Departs: the score of an empty picture that
    the paper takes off every y is the same for all channels, and the softmax does not see it. Where A_k is constant,
    s(A_k) = 0.
    """
    b, c = activations.shape[:2]
    found = []
    with torch.inference_mode(False), torch.no_grad(), evaluating(model):
        asked = _fixed(model(images), targets)
        for channels, rows in _chunks(b, c, chunk, images.device):
            masks = resized(activations[rows, channels], images.shape[-2:])
            low, high = masks.amin(dim=(1, 2), keepdim=True), masks.amax(dim=(1, 2), keepdim=True)
            masks = (masks - low) / torch.where(high > low, high - low, 1)
            found.append(_scores(model(images[rows] * masks[:, None].to(images.dtype)), asked, b))
        return torch.cat(found).view(c, b).T.softmax(dim=1), _classes(asked)


def ablation_weights(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    site: Site,
    *,
    targets: Targets = None,
    chunk: int = 64,
) -> Weights:
    """w_k = (y - y_k) / |y|: the share of the score that is lost when channel k of the patches is 0 at this layer.

    Only what lies behind the layer runs, once a channel. Departs: the paper divides by y, which would turn the signs of
    a negative score around. A score of 0 divides by 1.
    """
    b, c = len(images), site.after.channels
    tail = Tail(model, site.name, images)
    found = []
    with torch.inference_mode(False), torch.no_grad():
        asked = _fixed(tail.output, targets)
        whole = _scores(tail.output, asked, b)
        for channels, rows in _chunks(b, c, chunk, images.device):
            value = tail.value[rows]
            site.after.to_map(value)[torch.arange(len(rows), device=rows.device), channels] = (
                0  # a view: written in value
            )
            found.append(_scores(tail(value, rows), asked, b))
        without = torch.cat(found).view(c, b).T
        scale = torch.where(whole != 0, whole.abs(), 1)
        return (whole[:, None] - without) / scale[:, None], _classes(asked)


def _chunks(b: int, c: int, chunk: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """(channel, image) of each row of each chunk: all images of the first channel, then of the next one."""
    together = max(1, chunk // b)
    for channels in torch.arange(c, device=device).split(together):
        yield channels.repeat_interleave(b), torch.arange(b, device=device).repeat(len(channels))


def _fixed(output: Tensor, targets: Targets) -> Targets:
    """The targets with the argmax settled by the whole picture, so that every channel answers for the same class."""
    return targets if callable(targets) else classes(output, targets)


def _classes(asked: Targets) -> Tensor | None:
    return None if callable(asked) else asked


def _scores(output: Tensor, asked: Targets, b: int) -> Float[Tensor, "n"]:
    # A function was written for the batch of images: it is given one channel of all of them at a time.
    return torch.cat([scores(one, asked) for one in output.split(b)]).float()
