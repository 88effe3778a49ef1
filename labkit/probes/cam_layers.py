"""What a class activation map is made of: one layer's activations, and a score's gradient there; which layer, if none
is named, a dry run tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from labkit.probes.inputs import Refused
from labkit.probes.targets import Targets, named, scores, settled
from labkit.taps import Site, blocks, holding, noise_for, site_of, sites


@dataclass(frozen=True)
class Seen:
    """One layer as a pass met it, without prefix tokens.

    gradients   of the sum of the scores, one score an image; None when they were not asked for
    classes     the class of each image; None where a function was the target, or no gradient was asked for
    note        a sentence when the layer is not the one that was to be expected
    """

    site: Site
    activations: Float[Tensor, "b c h w"]
    gradients: Float[Tensor, "b c h w"] | None
    classes: Int64[Tensor, "b"] | None
    note: str | None = None


@dataclass(frozen=True)
class Reach:
    """How far a gradient comes from the output.

    reached   the blocks whose patches it reaches, the last one first
    missed    the names of the blocks behind them, where it reaches no patch
    read      `n`: which tokens of the last block the rest of the model looks at, prefix tokens first
    prefix    how many of these are prefix tokens
    """

    reached: tuple[Site, ...]
    missed: tuple[str, ...]
    read: Bool[Tensor, "n"]
    prefix: int


_known: WeakKeyDictionary[nn.Module, dict[tuple[int, int], Reach]] = WeakKeyDictionary()


def reach(model: nn.Module, size: tuple[int, int]) -> Reach:
    """The blocks that a gradient reaches, for pictures of `size` (height, width): one picture of seeded noise is tried.

    The answer is remembered for the model and size. Raises Refused when it reaches none, and Unreadable as `blocks`.
    """
    known = _known.setdefault(model, {})
    if size not in known:
        known[size] = _dry_run(model, size)
    return known[size]


def last_map(model: nn.Module, size: tuple[int, int]) -> Site:
    """The last module of all, block or not, whose output lies on the picture: what a pooling head pools."""
    return list(sites(model, size).values())[-1]


def look(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    *,
    layer: str | nn.Module | None = None,
    targets: Targets = None,
    gradients: bool = True,
) -> Seen:
    """What is at the layer, by one pass; without a layer, at the last block whose patches a gradient reaches.

    Where the gradient vanishes for all of these images, the block before it is tried (`note` says so), or, for a named
    layer, Refused is raised.
    """
    size = images.shape[-2], images.shape[-1]
    if layer is not None:
        seen = look_at(model, images, site_of(model, layer, size), targets=targets, gradients=gradients)
        if gradients and not seen.gradients.any():
            raise Refused(_nowhere(seen.site.name, reach(model, size)))
        return seen
    there = reach(model, size)
    for tried, site in enumerate(there.reached):
        seen = look_at(model, images, site, targets=targets, gradients=gradients)
        if not gradients or seen.gradients.any():
            return replace(seen, note=_moved(there, tried))
    raise Refused(
        f"the score has no gradient at any block of this {type(model).__name__}: is the target a function of the "
        "logits that ends in a comparison, a rounding or a detach?"
    )


def where(model: nn.Module, size: tuple[int, int], layer: str | nn.Module | None = None) -> tuple[Site, str | None]:
    """The place that `look` looks at, and its note, without a pass."""
    if layer is not None:
        return site_of(model, layer, size), None
    there = reach(model, size)
    return there.reached[0], _moved(there, 0)


def look_at(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    site: Site,
    *,
    targets: Targets = None,
    gradients: bool = True,
) -> Seen:
    """One forward pass, and one backward pass that stops at this layer: no gradient of a weight is computed.

    Where no gradient arrives, `gradients` are zeros.
    """
    gradient = None
    with holding(model, [site.name], graph=gradients) as held:
        # A tensor of inference_mode could not be kept for the backward pass.
        output = model(images.clone() if images.is_inference() else images)
        value = held[site.name]
        if gradients:
            asked = settled(output, targets)
            score = scores(output, asked).sum()
            if score.requires_grad:
                (gradient,) = torch.autograd.grad(score, [value], allow_unused=True)
            gradient = site.after.to_map(torch.zeros_like(value) if gradient is None else gradient)
        return Seen(site, site.after.to_map(value.detach()), gradient, named(asked) if gradients else None)


def _moved(there: Reach, tried: int) -> str | None:
    """What to say when the map is taken at `reached[tried]`: None at the last block of all."""
    passed = [*reversed(there.missed), *(site.name for site in there.reached[:tried])]
    if not passed:
        return None
    why = _why(there) if there.missed else ""
    return f"No gradient reaches the patches at {passed[0]}{why}; this map is taken at {there.reached[tried].name}."


def _nowhere(name: str, there: Reach) -> str:
    others = [site.name for site in there.reached if site.name != name]
    why = _why(there) if name in there.missed else ""
    return (
        f"no gradient reaches the patches at layer {name!r}{why}. Leave the layer out, or name "
        f"{f'an earlier one, for example {others[0]!r}' if others else 'another one'}."
    )


def _why(there: Reach) -> str:
    only = there.read[: there.prefix].any() and not there.read[there.prefix :].any()
    return ", because behind it the class token alone is read" if only else ""


def _dry_run(model: nn.Module, size: tuple[int, int]) -> Reach:
    there = blocks(model, size)
    with holding(model, [site.name for site in there], graph=True) as held:
        noise = noise_for(model, size)
        # Squares: the plain sum of a softmax, or of a normalised output, would have no gradient.
        score = sum(value.float().square().sum() for value in _tensors(model(noise)))
        asked = isinstance(score, Tensor) and score.requires_grad
        gradients = torch.autograd.grad(score, list(held.values()), allow_unused=True) if asked else [None] * len(held)
        found = {name: one for name, one in zip(held, gradients, strict=True) if one is not None}
        reached = [site for site in there if site.name in found and site.after.to_map(found[site.name]).any()]
        if not reached:
            raise Refused(
                f"no gradient comes from the output of this {type(model).__name__} to its blocks ({there[0].name} to "
                f"{there[-1].name}); is its head still all zeros? eigencam needs no gradient, with a layer named."
            )
        last, form = there[-1].name, there[-1].after
        read = torch.zeros(1, form.prefix + form.grid[0] * form.grid[1], 1)
        if last in found:
            read = torch.cat([form.prefix_of(found[last]), form.to_tokens(found[last])], dim=1)
        missed = tuple(site.name for site in there[there.index(reached[-1]) + 1 :])
        return Reach(tuple(reversed(reached)), missed, (read[0] != 0).any(dim=-1), form.prefix)


def _tensors(output: Any) -> Iterator[Tensor]:
    """The floating tensors of whatever a model returns."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, dict):
        yield from (tensor for value in output.values() for tensor in _tensors(value))
    elif isinstance(output, list | tuple):
        yield from (tensor for value in output for tensor in _tensors(value))
