"""Adversarial training: learn from the worst picture in a small box around each.

    x' = argmax loss(model(x'), y)   over |x' - x| <= radius, in each colour of each pixel
    by steps  x' ← clip(x' + step · sign(∂ loss / ∂ x'))        from a random start in the box

Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018, section 2 (PGD).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor


def attacked(
    model: Callable[[Tensor], Tensor],
    x: Float[Tensor, "b 3 h w"],
    targets: Float[Tensor, "b classes"],
    *,
    radius: float,
    steps: int,
    scale: Float[Tensor, "1 3 1 1"] | float = 1.0,
    rng: Generator | None = None,
) -> Float[Tensor, "b 3 h w"]:
    """Pictures within `radius` of x that the model gets as wrong as `steps` of gradient can make it.

    radius   in units of RGB 0..1; `scale` is what one such unit is in the units of x (1 / std, for normalised pictures)
    targets  shares of the classes, as for cross-entropy
    rng      the dice that draw the point of the box where the steps begin; None: they begin at the picture itself

    The step is 2.5 radius / steps. No gradient reaches the model's weights. Raises ValueError for a radius below 0 or
    no steps.
    """
    if radius < 0 or steps < 1:
        raise ValueError(f"attacked(radius={radius}, steps={steps}): expected radius >= 0 and at least one step.")
    reach = torch.as_tensor(radius * scale, dtype=x.dtype, device=x.device)
    moved = torch.zeros_like(x) if rng is None else torch.empty(x.shape).uniform_(-1, 1, generator=rng).to(x) * reach
    for _ in range(steps):
        moved.requires_grad_()
        with torch.enable_grad():
            loss = F.cross_entropy(model(x + moved).float(), targets, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, moved)
        moved = moved.detach() + 2.5 / steps * reach * gradient.sign()
        moved = moved.clamp(-reach, reach)
    return x + moved
