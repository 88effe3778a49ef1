"""Small things said once: which value counts of a module's arguments and answer, and what a dry run looks at."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


def first_tensor(args: tuple, kwargs: dict[str, Any]) -> Tensor | None:
    """The first tensor among a call's arguments; None where there is none."""
    return next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)


def first(value: Any) -> Any:
    """What a module returned, or the first of several that it returned."""
    return value[0] if isinstance(value, tuple) and value else value


def with_first(value: Any, new: Any) -> Any:
    """What a module returned, with `new` in place of `first(value)`."""
    return (new, *value[1:]) if isinstance(value, tuple) else new


def noise_for(model: nn.Module, size: tuple[int, int], *, batch: int = 1) -> Float[Tensor, "batch 3 height width"]:
    """Pictures of seeded noise, in the dtype and on the device of the model's weights; nobody's dice are touched."""
    like = next(model.parameters(), torch.zeros(()))
    noise = torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))
    return noise.to(like.device, like.dtype)
