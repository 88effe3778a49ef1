"""A head for a model that learned without labels: its features are left as they are, and one linear map is fitted."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.data.tiny_imagenet import TinyImages
from labkit.methods.objectives.rotnet import features
from labkit.probes.linear import linear_probe
from labkit.training.tasks import normalise


def fit_head(model: nn.Module, images: TinyImages, *, size: int, batch: int = 250) -> None:
    """Fit `model.head` to the labels by logistic regression on what it is handed; nothing else of the model moves."""
    weight, bias = linear_probe(
        seen(model, images, size=size, batch=batch), images.labels, classes=len(images.categories)
    )
    with torch.no_grad():
        model.head.weight.copy_(weight)
        model.head.bias.copy_(bias)


@torch.inference_mode()
def seen(model: nn.Module, images: TinyImages, *, size: int, batch: int = 250) -> Float[Tensor, "n c"]:
    """What the head is handed for each picture, resized to `size`, not cropped."""
    device = next(model.parameters()).device
    rows = []
    for chunk in images.images.split(batch):
        x = chunk.to(device).float() / 255
        if x.shape[-1] != size:
            x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        rows.append(features(model, normalise(x)).float())
    return torch.cat(rows)
