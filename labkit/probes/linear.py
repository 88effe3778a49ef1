"""What a layer knows, as far as one linear map can read it: logistic regression on features that stay as they are.

Source: Alain & Bengio, "Understanding intermediate layers using linear classifier probes", ICLR 2017 workshop.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

STEPS, RATE = 400, 0.02


def linear_probe(
    x: Float[Tensor, "n c"], labels: Int64[Tensor, "n"], *, classes: int, steps: int = STEPS
) -> tuple[Float[Tensor, "classes c"], Float[Tensor, "classes"]]:
    """Weight and bias of a logistic regression: full batches, AdamW, the rate falling by half a cosine.

    The features are standardised for the fit, and that is folded into the weights.
    """
    x = x.clone()  # out of inference mode
    mean, spread = x.mean(dim=0), x.std(dim=0) + 1e-6
    x, labels = (x - mean) / spread, labels.to(x.device)
    weight = torch.zeros(classes, x.shape[1], device=x.device, requires_grad=True)
    bias = torch.zeros(classes, device=x.device, requires_grad=True)
    optimiser = torch.optim.AdamW([weight, bias], lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    with torch.enable_grad():
        for _ in range(steps):
            loss = F.cross_entropy(F.linear(x, weight, bias), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    folded = (weight / spread).detach()
    return folded, (bias - folded @ mean).detach()
