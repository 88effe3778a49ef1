"""A head for a model that learned without labels: its features are left as they are, and one linear map is fitted."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.data.tiny_imagenet import TinyImages
from labkit.methods.objectives.rotnet import features
from labkit.training.tasks import normalise

STEPS, RATE = 400, 0.02


def fit_head(model: nn.Module, images: TinyImages, *, size: int, batch: int = 250) -> None:
    """Fit `model.head` to the labels by logistic regression on what it is handed; nothing else of the model moves."""
    weight, bias = probe(seen(model, images, size=size, batch=batch), images.labels, classes=len(images.categories))
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


def probe(x: Float[Tensor, "n c"], labels: Tensor, *, classes: int) -> tuple[Tensor, Tensor]:
    """Weight `classes c` and bias of a logistic regression: full batches, AdamW, the rate falling by half a cosine.

    The features are standardised for the fit, and that is folded into the weights.
    """
    x = x.clone()  # out of inference mode
    mean, spread = x.mean(dim=0), x.std(dim=0) + 1e-6
    x, labels = (x - mean) / spread, labels.to(x.device)
    weight = torch.zeros(classes, x.shape[1], device=x.device, requires_grad=True)
    bias = torch.zeros(classes, device=x.device, requires_grad=True)
    optimiser = torch.optim.AdamW([weight, bias], lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    with torch.enable_grad():
        for _ in range(STEPS):
            loss = F.cross_entropy(F.linear(x, weight, bias), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    folded = (weight / spread).detach()
    return folded, (bias - folded @ mean).detach()
