"""The places in a model where values lie on the picture: found by one dry run, for any model."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.taps.blocks import Blocks
from labkit.taps.errors import Unreadable, nothing_found, refuse_wrapped
from labkit.taps.passes import holding
from labkit.taps.reading import evaluating
from labkit.taps.shapes import split_tokens
from labkit.taps.tap import Tap
from labkit.taps.values import first, noise_for
from labkit.taps.watch import Watch

Axes = Literal["b c h w", "b h w c", "b n c"]


@dataclass(frozen=True)
class Form:
    """How one value lies on the picture.

    axes       "b c h w", "b h w c" or "b n c" (tokens row by row, prefix tokens first)
    grid       (h, w) in cells
    channels   c
    prefix     how many tokens without a place come first (class, distillation, register); 0 for maps
    """

    axes: Axes
    grid: tuple[int, int]
    channels: int
    prefix: int = 0

    def to_map(self, value: Tensor) -> Float[Tensor, "b c h w"]:
        """The patches as a map, prefix tokens left out; a view of `value`, so gradients flow."""
        if self.axes == "b n c":
            return rearrange(value[:, self.prefix :], "b (h w) c -> b c h w", h=self.grid[0])
        return value if self.axes == "b c h w" else rearrange(value, "b h w c -> b c h w")

    def to_tokens(self, value: Tensor) -> Float[Tensor, "b n c"]:
        """The patches as tokens row by row, prefix tokens left out; gradients flow."""
        if self.axes == "b n c":
            return value[:, self.prefix :]
        return rearrange(value, "b c h w -> b (h w) c" if self.axes == "b c h w" else "b h w c -> b (h w) c")

    def prefix_of(self, value: Tensor) -> Float[Tensor, "b prefix c"]:
        """The prefix tokens alone; none of them for a map."""
        if self.axes == "b n c":
            return value[:, : self.prefix]
        return value.new_zeros(len(value), 0, self.channels)

    def with_map(self, value: Tensor, new: Float[Tensor, "b c h w"]) -> Tensor:
        """`value` in its own axes, with its patches replaced by `new` and its prefix tokens as they are."""
        if self.axes == "b n c":
            return torch.cat([value[:, : self.prefix], rearrange(new, "b c h w -> b (h w) c")], dim=1)
        return new if self.axes == "b c h w" else rearrange(new, "b c h w -> b h w c")

    def with_tokens(self, value: Tensor, new: Float[Tensor, "b n c"]) -> Tensor:
        """`value` in its own axes, with its patches replaced by the tokens `new`, prefix tokens as they are."""
        if self.axes == "b n c":
            return torch.cat([value[:, : self.prefix], new], dim=1)
        return self.with_map(value, rearrange(new, "b (h w) c -> b c h w", h=self.grid[0]))


@dataclass(frozen=True)
class Site:
    """One module of a model whose output lies on the picture.

    name     its dotted name; `kind` the name of its class
    after    the form of its output; `before` that of its first input, None when that has no place on the picture
    block    True for the blocks of the model: what `reading(model, "b c h w")` reads
    """

    name: str
    kind: str
    after: Form
    before: Form | None
    block: bool


_known: WeakKeyDictionary[nn.Module, dict[tuple[int, int], dict[str, Site]]] = WeakKeyDictionary()


def sites(model: nn.Module, size: tuple[int, int]) -> dict[str, Site]:
    """Every module whose output lies on the picture, for pictures of `size` (height, width), in the order they finish.

    One picture of seeded noise goes through in eval mode; the answer is remembered for the model and size.
    Raises Unreadable for wrapped models and for models in which nothing lies on the picture.
    """
    refuse_wrapped(model)
    known = _known.setdefault(model, {})
    if size not in known:
        known[size] = _dry_run(model, size)
    return known[size]


def blocks(model: nn.Module, size: tuple[int, int]) -> list[Site]:
    """The model's blocks in forward order, each with more than one cell; see `sites`. Unreadable when there is none."""
    found = [site for site in sites(model, size).values() if site.block]
    if not found:
        raise nothing_found(model, "b c h w")
    return found


def site_of(model: nn.Module, layer: str | nn.Module, size: tuple[int, int]) -> Site:
    """The site of a layer given by its dotted name or as a module.

    Raises Unreadable when there is no such layer (naming the nearest), or when its output does not lie on the picture.
    """
    names = {part: name for name, part in model.named_modules()}
    name = layer if isinstance(layer, str) else names.get(layer)
    there = sites(model, size)
    if name is None:
        raise Unreadable(f"layer={type(layer).__name__}(…) is not a part of this {type(model).__name__}.")
    if name not in there:
        if name not in names.values():
            near = difflib.get_close_matches(name, there, n=3, cutoff=0.4) or [s.name for s in blocks(model, size)][-3:]
            raise Unreadable(f"{type(model).__name__} has no layer {name!r}; did you mean {' or '.join(near)}?")
        raise Unreadable(
            f"the output of layer {name!r} does not lie on the picture (no grid of more than one cell was recognised), "
            f"or it did not run; choose another, for example {[*there][-1]!r}."
        )
    return there[name]


def _dry_run(model: nn.Module, size: tuple[int, int]) -> dict[str, Site]:
    noise = noise_for(model, size)
    outputs: dict[str, tuple[nn.Module, Any, list[tuple[int, int]]]] = {}
    inputs: dict[str, Form | None] = {}
    with torch.inference_mode(), evaluating(model), Watch(model) as watch:
        tapped = {name for axes in ("b c h w", "b n c") for name in watch.taps(axes)}
        found = Blocks(model, watch)
        for name, part in watch.parts:
            watch.on(part, before=lambda value, sides, name=name: inputs.setdefault(name, _form(value, sides)))
            watch.on(part, after=lambda value, sides, n=name, p=part: outputs.setdefault(n, (p, first(value), sides)))
        model(noise)
    listed = tapped or {name for name, _, _ in found.results()}
    there: dict[str, Site] = {}
    for name, (part, value, sides) in outputs.items():
        after = _form(value, sides)
        if after is not None and name and not isinstance(part, Tap):
            there[name] = Site(name, type(part).__name__, after, inputs.get(name), block=name in listed)
    if not there:
        raise nothing_found(model, "b c h w")
    _check_order(
        model, noise, next((site for site in there.values() if site.block and site.after.axes == "b n c"), None)
    )
    return there


def _check_order(model: nn.Module, noise: Tensor, site: Site | None) -> None:
    """Raise Unreadable unless the tokens lie row by row: a change of the upper left corner must show there.

    Tokens carry no sign of their place; some models (Hiera) shuffle them.
    """
    if site is None or min(site.after.grid) < 3:
        return
    other = noise.clone()
    height, width = noise.shape[-2:]
    other[..., : height // 2, : width // 2] *= -1
    with holding(model, [site.name]) as held:
        model(noise)
        before = site.after.to_map(held[site.name])
        model(other)
        change = (site.after.to_map(held[site.name]) - before).float().square().mean(dim=1)[0]
    h, w = site.after.grid
    inside = change[: h // 2, : w // 2].mean()
    if not inside > 2 * change[-(h // 2) :, -(w // 2) :].mean():
        raise Unreadable(
            f"the tokens after {site.name!r} ({site.kind}) do not lie row by row: a change in one corner of the "
            "picture shows all over them, and labkit cannot place them on it. Choose another model, or undo the "
            "shuffle in the model and show the tokens there with labkit.taps.Tap('b n c')."
        )


def _form(value: Any, sides: list[tuple[int, int]]) -> Form | None:
    """The form of one value, told by the maps met before it (latest first); None when it fits none of them."""
    if not isinstance(value, Tensor) or value.ndim not in (3, 4) or not value.is_floating_point():
        return None
    if len(value) != 1:  # one picture went in: windows are folded into the batch
        return None
    if value.ndim == 3:
        split = split_tokens(value.shape[1], sides)
        return Form("b n c", split[0], value.shape[2], split[1]) if split else None
    front, behind = tuple(value.shape[2:4]), tuple(value.shape[1:3])  # the sides, if channels stand in front, or behind
    if front in sides and math.prod(front) > 1:
        return Form("b c h w", front, value.shape[1])
    return Form("b h w c", behind, value.shape[3]) if behind in sides and math.prod(behind) > 1 else None
