"""Which number of the model's output is to be explained: a class, one a picture, a function, or the highest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labkit.probes.inputs import Refused

Targets = int | Sequence[int] | Tensor | Callable[[Tensor], Tensor] | None
"""A class for all images, one for each, a function of the model's output that gives `b` scores, or None: the argmax."""


def classes(logits: object, targets: Targets) -> Int64[Tensor, "b"]:
    """The class asked for, one an image, on the logits' device. Raises Refused out of range, or for a function."""
    check_logits(logits)
    b, count = logits.shape
    if targets is None:
        return logits.argmax(dim=1)
    if callable(targets):
        raise Refused("a function was given as target where a class is needed: pass an int, a list of ints, or None.")
    asked = torch.as_tensor(targets, device=logits.device)
    if asked.is_floating_point() or asked.dtype == torch.bool or asked.ndim > 1:
        raise Refused(f"targets={targets!r}: expected whole numbers, one for all images or one each.")
    if asked.ndim == 1 and len(asked) != b:
        raise Refused(f"targets={targets!r}: {len(asked)} classes for {b} images; give one for all, or one each.")
    if (asked < 0).any() or (asked >= count).any():
        raise Refused(f"targets={targets!r}: expected classes in 0..{count - 1}, one for all images or one each.")
    return asked.long().expand(b)


def scores(logits: object, targets: Targets) -> Float[Tensor, "b"]:
    """The number to explain, one an image; in the graph where `logits` is. Raises Refused when it cannot be had."""
    if callable(targets):
        found = targets(logits)
        if not isinstance(found, Tensor) or found.ndim != 1:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise Refused(
                f"the target function gave {shape}: expected a tensor with one score an image, shape (batch,)."
            )
        return found
    chosen = classes(logits, targets)
    return logits.gather(1, chosen[:, None])[:, 0]


def settled(logits: object, targets: Targets) -> Int64[Tensor, "b"] | Callable[[Tensor], Tensor]:
    """The targets with the argmax settled by these logits, so that every later question is about the same class."""
    return targets if callable(targets) else classes(logits, targets)


def named(asked: Int64[Tensor, "b"] | Callable[[Tensor], Tensor]) -> Int64[Tensor, "b"] | None:
    """The class of each image among settled targets; None where a function was the target."""
    return None if callable(asked) else asked


def check_logits(logits: object) -> None:
    """Raise Refused unless the model's output is `b classes`."""
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise Refused(
            f"the model returns {shape}, not logits of shape (batch, classes): pass a function as target that gives "
            "one score an image."
        )
