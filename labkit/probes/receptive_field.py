"""What a unit really sees: how strongly each pixel of the picture moves it, the effective receptive field.

Sources
  effective field   Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks",
                    NeurIPS 2016: the gradient of the central unit; it falls off like a Gaussian
  area ratios       Ding et al., "Scaling Up Your Kernels to 31x31", CVPR 2022 (RepLKNet), section 4 and its released
                    code: the smallest central square that holds 20, 30, 50 and 99 percent
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.probes.extent import area, central_square, gaussian_width
from labkit.probes.inputs import Refused, check_call
from labkit.taps import Site, blocks, holding, site_of

HOW = {"relu": torch.relu, "abs": torch.abs, "square": torch.square}
PARTS = (0.2, 0.3, 0.5, 0.99)


@dataclass(frozen=True)
class EffectiveField:
    """How much each pixel moves one unit of one layer.

    layer     dotted name; `unit` (row, column) on the layer's grid
    heat      `b height width`, >= 0, one a picture, in units of d unit / d pixel (squared for "square"); not normalised
    centre    (row, column) of the pixel under the unit's middle
    """

    layer: str
    unit: tuple[int, int]
    heat: Float[Tensor, "b height width"]
    centre: tuple[int, int]

    @property
    def mean(self) -> Float[Tensor, "height width"]:
        """The mean over the pictures: what the measures of a model are taken of."""
        return self.heat.mean(dim=0)


@dataclass(frozen=True)
class FieldMeasures:
    """How large a field is; each `parts`, one number for each of `parts` (the shares of the heat, 0..1).

    side      of the smallest square around the unit's centre that holds the part, in pixels
    square    the share of the picture in that square, 0..1: RepLKNet's area ratio
    area      the share of the picture's pixels that hold the part, the strongest first: 0..1, never more than `square`
    width     σ along (rows, columns), in pixels: Luo's Gaussian
    """

    parts: tuple[float, ...]
    side: Int64[Tensor, "parts"]
    square: Float[Tensor, "parts"]
    area: Float[Tensor, "parts"]
    width: Float[Tensor, "2"]


def effective_fields(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    *,
    layers: Sequence[str | nn.Module] | None = None,
    unit: tuple[int, int] | None = None,
    how: str = "relu",
) -> tuple[EffectiveField, ...]:
    """The effective field of each block (or of the `layers` named), in eval mode: one forward pass for all of them.

    unit    (row, column) on the layer's own grid; the middle one by default
    how     "relu": RepLKNet's, Σ_c relu(∂ Σ_c relu(y_c) / ∂ pixel); "abs": Σ_c |∂ Σ_c y_c / ∂ pixel|; "square": squares
            in place of magnitudes. After a layer norm the plain sum of channels is a constant: take the block before it

    Raises Refused for images the model cannot take and a unit outside the grid; labkit.taps.Unreadable for a layer that
    is not there or has no place on the picture.
    """
    check_call(model, images)
    if how not in HOW:
        raise Refused(f"how={how!r}: expected one of {', '.join(HOW)}.")
    size = tuple(images.shape[-2:])
    chosen = blocks(model, size) if layers is None else [site_of(model, layer, size) for layer in layers]
    units = [unit_of(site, unit) for site in chosen]
    with torch.inference_mode(False):
        x = images.clone().requires_grad_()
        with holding(model, [site.name for site in chosen], graph=True) as held, torch.enable_grad():
            model(x)
            heats = [
                field_heat(
                    site.after.to_map(held[site.name])[:, :, row, column], x, how=how, keep=site is not chosen[-1]
                )
                for site, (row, column) in zip(chosen, units, strict=True)
            ]
    return tuple(
        EffectiveField(site.name, unit, heat, centre_of(site, unit, size))
        for site, unit, heat in zip(chosen, units, heats, strict=True)
    )


def field_heat(
    unit: Float[Tensor, "b c"], x: Float[Tensor, "b c_in height width"], *, how: str = "relu", keep: bool = False
) -> Float[Tensor, "b height width"]:
    """The heat of one unit (all its channels) in a graph from x, which `keep` saves for another; see EffectiveField."""
    score = unit.relu() if how == "relu" else unit
    (gradient,) = torch.autograd.grad(score.sum(), x, retain_graph=keep)
    return HOW[how](gradient).sum(dim=1)


@torch.no_grad()
def measure_field(
    heat: Float[Tensor, "height width"], *, centre: tuple[int, int], parts: Sequence[float] = PARTS
) -> FieldMeasures:
    """How large the field is; see FieldMeasures. All NaN (and sides of 1) where the heat is zero everywhere.

    RepLKNet takes its ratios of `log_scaled(heat)`, which raises the weak parts; here the heat is taken as it is.
    """
    heat = heat / heat.sum()
    side = torch.stack([central_square(heat, part, centre=centre) for part in parts])
    reach = side // 2
    inside = [
        (middle + reach).clamp_max(length - 1) - (middle - reach).clamp_min(0) + 1
        for middle, length in zip(centre, heat.shape, strict=True)
    ]
    return FieldMeasures(
        parts=tuple(parts),
        side=side,
        square=(inside[0] * inside[1]).to(heat) / heat.numel() + 0 * heat.sum(),
        area=torch.stack([area(heat.flatten(), part) for part in parts]),
        width=gaussian_width(heat),
    )


def log_scaled(heat: Float[Tensor, "*batch height width"]) -> Float[Tensor, "*batch height width"]:
    """log10(heat + 1) over its largest, 0..1: how RepLKNet draws fields. It depends on the heat's scale."""
    raised = (heat + 1).log10()
    return raised / raised.amax(dim=(-2, -1), keepdim=True)


def unit_of(site: Site, unit: tuple[int, int] | None) -> tuple[int, int]:
    """(row, column) on the layer's grid, the middle one for None. Raises Refused outside."""
    h, w = site.after.grid
    row, column = unit or (h // 2, w // 2)
    if not (0 <= row < h and 0 <= column < w):
        raise Refused(
            f"unit={unit}: {site.name} has {h} x {w} units; give (row, column) from 0, 0 to {h - 1}, {w - 1}."
        )
    return row, column


def centre_of(site: Site, unit: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The pixel (row, column) under the middle of a unit, by its place on the grid."""
    row, column = (int((u + 0.5) * side / cells) for u, side, cells in zip(unit, size, site.after.grid, strict=True))
    return row, column
