"""What is said when a model cannot be opened."""

from __future__ import annotations

from collections import Counter

from torch import nn


class Unreadable(ValueError):
    """The model does not make the tensor asked for, or not where we can see it; the message says what to do."""


def refuse_wrapped(model: nn.Module) -> None:
    """Raise Unreadable for wrappers that hide their insides: compiled, scripted or data-parallel models."""
    kind = type(model).__name__
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        raise Unreadable(f"{kind} runs copies of the model where hooks cannot see them: pass `model.module` instead.")
    if hasattr(model, "_orig_mod"):
        raise Unreadable(f"{kind} is a compiled model, whose steps cannot be watched: pass `model._orig_mod` instead.")
    scripted = (kind for part in model.modules() if (kind := type(part).__name__).endswith("ScriptModule"))
    if (kind := next(scripted, None)) is not None:
        raise Unreadable(f"{kind} is a scripted or traced model, whose steps cannot be watched: pass the Python model.")


def nothing_found(model: nn.Module, axes: str) -> Unreadable:
    """The error for a forward pass in which nothing with these axes was met: names the parts that were met."""
    parts = list(model.named_modules())[1:]
    suspects = [f"{name} ({type(part).__name__})" for name, part in parts if "attention" in type(part).__name__.lower()]
    leaves = Counter(type(part).__name__ for _, part in parts if not any(part.children()))
    met = ", ".join(f"{count} {kind}" for kind, count in leaves.most_common(4)) or "no parts at all"
    if axes != "b heads q k":
        return Unreadable(
            f"{type(model).__name__} showed no blocks with axes {axes!r} ({met}). "
            "Blocks are looked for as items of a Sequential or ModuleList; put a "
            f"labkit.taps.Tap({axes!r}) where the value passes to show it yourself."
        )
    if suspects:
        return Unreadable(
            f"{type(model).__name__} has {suspects[0]}, but no attention was seen in it: it calls "
            "neither scaled_dot_product_attention nor a softmax `b heads q k` over its keys. Put a "
            "labkit.taps.Tap('b heads q k') behind its softmax."
        )
    return Unreadable(
        f"{type(model).__name__} has no attention to read ({met}): it mixes tokens in another way. "
        "Ask for its maps ('b c h w') instead, or choose a transformer, for example lab/vit."
    )
