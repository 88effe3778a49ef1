"""What a unit can see at most: the pixels on which it depends, whatever the weights; for any architecture.

There is no table of layers here. The model itself runs, eagerly, with every step replaced by one of the same reach and
no dead ends: weights become noise, so that nothing is zero or cancels; what can block a gradient (ReLU, clipping) lets
everything through; a maximum becomes a mean. Then a unit depends on exactly the pixels at which its gradient is not
zero: through branches, strides, dilation, padding, windows, attention and whatever comes next. Where the picture's
border cuts the field, it is measured again on long strips, one an axis.

Source   the numbers are those of Araujo, Norris & Sim, "Computing Receptive Fields of Convolutional Neural Networks",
         Distill 2019, which derives them layer by layer
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from labkit.probes.receptive_field import unit_of
from labkit.probes.structure import Structure
from labkit.taps import Site, blocks, holding, refuse_wrapped, site_of
from labkit.taps.watch import Watch

STRIPS, THIN = (512, 2048), 64
"""Strips are about this long, the short ones first, and this wide, in pixels: a field beyond is not measured."""

SEEN = 1e-36
"""A gradient below this share of the largest counts as none: Swin masks with -100, which leaves e⁻¹⁰⁰ = 4e-44 of it."""


@dataclass(frozen=True)
class TheoreticalField:
    """What the units of one layer can see at most. Rows and columns; pixels of the picture.

    layer      dotted name; `unit` (row, column) is the one whose pixels are in `pixels`
    pixels     `height width`: True where this unit depends on the picture that was asked about
    size       (rows, columns) of the field, not cut by the border. None where there is no such number: all of any
               picture up to 2048 pixels (`whole`), or more than the only picture size that the model takes
    jump       from one unit's field to the next one's; for windows, which do not slide, picture / grid
    start      first row and column of unit (0, 0)'s field, negative in the padding; None where fields do not slide
    squeezes   the modules that average over the whole picture on the way, when these were left out; else ()
    """

    layer: str
    unit: tuple[int, int]
    pixels: Bool[Tensor, "height width"]
    size: tuple[int, int] | None
    jump: tuple[float, float]
    start: tuple[int, int] | None
    squeezes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the unit depends on every pixel, and as far as can be told would in larger pictures too."""
        return self.size is None and bool(self.pixels.all())

    @property
    def centre(self) -> tuple[float, float] | None:
        """The middle of the unit's field, in pixels from the picture's upper left corner; None where it is all."""
        if self.size is None or self.start is None:
            return None
        return tuple(
            start + unit * jump + size / 2
            for start, unit, jump, size in zip(self.start, self.unit, self.jump, self.size, strict=True)
        )


def theoretical_fields(
    model: nn.Module,
    size: tuple[int, int],
    *,
    layers: Sequence[str | nn.Module] | None = None,
    unit: tuple[int, int] | None = None,
    local: bool = False,
    beyond: bool = True,
) -> tuple[TheoreticalField, ...]:
    """The field of each block (or of the `layers` named) for pictures of `size` (height, width).

    unit    (row, column) on the layer's own grid; the middle one by default
    local   True: averages over the whole picture inside (squeeze-and-excitation, response normalisation) are held
            constant and named, so that the field of the path that keeps its place remains
    beyond  False: no strips, which take most of the time; a field that the picture's border cuts then has no size

    Neither weights nor their training matter, and the model is left as it is.
    Raises Refused for a unit outside the grid; labkit.taps.Unreadable for wrapped models and layers that are not there.
    """
    refuse_wrapped(model)
    chosen = blocks(model, size) if layers is None else [site_of(model, layer, size) for layer in layers]
    units = [unit_of(site, unit) for site in chosen]
    traced = _trace(model, size, [site.name for site in chosen], local)
    found = [_on_the_picture(traced, site, place, size) for site, place in zip(chosen, units, strict=True)]
    for long in STRIPS if beyond else ():
        cut = [i for i, site in enumerate(chosen) if found[i].size is None and site.after.axes != "b n c"]
        names = [chosen[i].name for i in cut]
        strips = [_strip(model, size, axis, long, names, local) for axis in (0, 1)] if cut else [None]
        if None in strips:
            break
        for i in cut:
            found[i] = _on_strips(found[i], [_sliding(strip, chosen[i], axis) for axis, strip in enumerate(strips)])
    return tuple(found)


@dataclass(frozen=True)
class _Trace:
    """One forward pass whose graph is kept: the picture, and each layer's output with the squeezes met before it."""

    image: Tensor
    held: dict[str, Tensor]
    squeezes: dict[str, tuple[str, ...]]

    def pixels(self, site: Site, unit: tuple[int, int]) -> Bool[Tensor, "height width"]:
        value = self.held[site.name]
        # On strips the grid is another one than the dry run's.
        h = value.shape[2 if site.after.axes == "b c h w" else 1]
        form = site.after if site.after.axes == "b n c" else replace(site.after, grid=(h, 0))
        with torch.inference_mode(False), torch.enable_grad():
            at = form.to_map(value)[0, :, unit[0], unit[1]]
            # Not the plain sum of the channels: after a layer norm that is a constant.
            mix = torch.randn(len(at), generator=torch.Generator().manual_seed(1)).to(at)
            (gradient,) = torch.autograd.grad(at, self.image, mix, retain_graph=True)
        strength = gradient[0].abs().amax(dim=0)
        return strength > SEEN * strength.max()


def _trace(model: nn.Module, size: tuple[int, int], names: Sequence[str], local: bool) -> _Trace:
    like = next(model.parameters(), torch.zeros(()))
    with torch.inference_mode(False):
        image = torch.randn(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        image = image.to(like.device).requires_grad_()
        squeezes: dict[str, tuple[str, ...]] = {}
        with holding(model, names, graph=True) as held, torch.enable_grad(), Watch(model) as watch:
            structure = Structure(local=local, here=lambda: watch.innermost)
            for name in names:
                after = partial(lambda name, *_: squeezes.update({name: tuple(structure.squeezes)}), name)
                watch.on(model.get_submodule(name), after=after)
            with structure:
                model(image)
    return _Trace(image, held, squeezes)


def _strip(
    model: nn.Module, size: tuple[int, int], axis: int, long: int, names: Sequence[str], local: bool
) -> _Trace | None:
    """A trace on a picture that is long in one axis and thin in the other; None for models of one size only."""
    long, thin = long + size[axis] % 256, min(THIN, size[1 - axis])  # the same remainder: the same padding
    try:
        return _trace(model, (long, thin) if axis == 0 else (thin, long), names, local)
    except (AssertionError, RuntimeError, ValueError, TypeError):
        return None


def _on_the_picture(trace: _Trace, site: Site, unit: tuple[int, int], size: tuple[int, int]) -> TheoreticalField:
    """The field on the picture itself; `size` is None where its border cuts it (or may do so)."""
    pixels = trace.pixels(site, unit)
    grid = site.after.grid
    jump = tuple(side / cells for side, cells in zip(size, grid, strict=True))
    field = TheoreticalField(site.name, unit, pixels, None, jump, None, trace.squeezes[site.name])
    box = [_extent(pixels.any(dim=1 - axis)) for axis in (0, 1)]
    if any(low == 0 or high == side - 1 for (low, high), side in zip(box, size, strict=True)):
        return field
    ahead = tuple(u + 1 if u + 1 < side else u - 1 for u, side in zip(unit, grid, strict=True))
    beside = trace.pixels(site, ahead)
    axes = []
    for axis in (0, 1):
        (low, high), (next_low, next_high) = box[axis], _extent(beside.any(dim=1 - axis))
        step = (next_low - low) * (ahead[axis] - unit[axis])
        slides = step > 0 and next_high - next_low == high - low
        axes.append((high - low + 1, step if slides else jump[axis], low - unit[axis] * step if slides else None))
    return _on_strips(field, axes)


def _sliding(trace: _Trace, site: Site, axis: int) -> tuple[int, int, int] | None:
    """(size, jump, start) along the long side of a strip, from two neighbours in its middle; None when it is all."""
    value = trace.held[site.name]
    sides = value.shape[2:4] if site.after.axes == "b c h w" else value.shape[1:3]
    middle = [side // 2 for side in sides]
    spans = []
    for step in (0, 1):
        unit = (middle[0] + step, middle[1]) if axis == 0 else (middle[0], middle[1] + step)
        spans.append(_extent(trace.pixels(site, unit).any(dim=1 - axis)))
    (low, high), (next_low, _) = spans
    if low == 0 or high == trace.image.shape[2 + axis] - 1:
        return None
    return high - low + 1, next_low - low, low - middle[axis] * (next_low - low)


def _on_strips(field: TheoreticalField, axes: list[tuple[int, float, int | None] | None]) -> TheoreticalField:
    if None in axes:
        return field
    sizes, jumps, starts = zip(*axes, strict=True)
    return replace(field, size=sizes, jump=jumps, start=None if None in starts else starts)


def _extent(seen: Bool[Tensor, "n"]) -> tuple[int, int]:
    places = seen.nonzero()
    return int(places[0]), int(places[-1])
