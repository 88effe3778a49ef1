"""How large the part of a map is that holds most of it: exactly, as a central square, and as a Gaussian's width."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def area(shares: Float[Tensor, "*batch n"], part: float) -> Float[Tensor, "*batch"]:
    """The smallest share of the cells (0..1) that together hold `part` of each row, >= 0; NaN of NaN."""
    held = shares.sort(dim=-1, descending=True).values.cumsum(dim=-1)
    needed = (held < part * held[..., -1:]).sum(dim=-1) + 1
    return needed.to(held) / shares.shape[-1] + 0 * held[..., -1]


def central_square(
    heat: Float[Tensor, "*batch height width"], part: float, *, centre: tuple[int, int]
) -> Int64[Tensor, "*batch"]:
    """The side, in pixels and odd, of the smallest square around the pixel `centre` that holds `part` of the heat.

    Its side counts in full where it leaves the picture.
    """
    h, w = heat.shape[-2:]
    row, column = (torch.arange(side, device=heat.device) for side in (h, w))
    ring = torch.maximum((row - centre[0]).abs()[:, None], (column - centre[1]).abs()[None])
    rings = heat.new_zeros(*heat.shape[:-2], max(h, w)).index_add(-1, ring.flatten(), heat.flatten(-2))
    held = rings.cumsum(dim=-1)
    return 2 * (held < part * held[..., -1:]).sum(dim=-1) + 1


def gaussian_width(heat: Float[Tensor, "*batch height width"]) -> Float[Tensor, "*batch 2"]:
    """σ along rows and columns, in pixels: the standard deviation of the heat seen as a distribution of places."""
    widths = []
    for axis in (-2, -1):
        profile = heat.sum(dim=-3 - axis)  # over the other axis
        places = torch.arange(heat.shape[axis], device=heat.device).to(heat)
        share = profile / profile.sum(dim=-1, keepdim=True)
        mean = (share * places).sum(dim=-1, keepdim=True)
        widths.append((share * (places - mean).square()).sum(dim=-1).sqrt())
    return torch.stack(widths, dim=-1)
