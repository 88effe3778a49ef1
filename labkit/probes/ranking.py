"""In which order a map's pixels go, and two maps that know nothing of the model, to be compared with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labkit.probes.inputs import Refused
from labkit.probes.saliency import resized

Maps = Mapping[str, Tensor]
"""Maps by the name of their method: each `b h w` on any grid, higher = matters more."""


def ranks(maps: Float[Tensor, "b h w"], *, seed: int = 0) -> Int64[Tensor, "b h w"]:
    """The place of every pixel in its map's order: 0 = the highest value goes first, h · w - 1 = the lowest.

    Equal values go in a random order drawn from `seed`, the same for all maps of this size. Reading order would not do:
    a constant map would take the picture away from the top.
    """
    b, h, w = maps.shape
    shuffled = torch.randperm(h * w, generator=torch.Generator().manual_seed(seed)).to(maps.device)
    order = shuffled[maps.flatten(1)[:, shuffled].argsort(dim=1, descending=True, stable=True)]
    places = torch.arange(h * w, device=maps.device).expand(b, -1)
    return torch.empty_like(order).scatter_(1, order, places).view(b, h, w)


def all_ranks(maps: Maps, images: Float[Tensor, "b 3 height width"], *, seed: int) -> Int64[Tensor, "m b height width"]:
    """The ranks of several methods' maps, made as large as the images (bilinear) where they are not. Raises Refused."""
    if not maps:
        raise Refused("maps is empty: pass the maps of at least one method, {name: `b h w`}.")
    size = tuple(images.shape[-2:])
    found = []
    for name, one in maps.items():
        if one.ndim != 3 or len(one) != len(images):
            raise Refused(
                f"maps[{name!r}] has shape {tuple(one.shape)}: expected `b h w`, one for each of {len(images)}."
            )
        if not torch.isfinite(one).all():
            raise Refused(f"maps[{name!r}] holds NaN or infinity: its pixels have no order.")
        one = one.detach().to(images.device, torch.float32)
        found.append(ranks(one if one.shape[1:] == size else resized(one, size), seed=seed))
    return torch.stack(found)


def baselines(
    images: Float[Tensor, "b 3 height width"], *, seed: int = 0
) -> dict[str, Float[Tensor, "b height width"]]:
    """What every method has to beat: "random" (even noise, its own for each image) and "centre" (the nearer to the
    middle the higher, 1 in the middle, 0 in the corners: photographers put things there)."""
    b, _, h, w = images.shape
    noise = torch.rand(b, h, w, generator=torch.Generator().manual_seed(seed)).to(images.device)
    row, column = (torch.linspace(-1 + 1 / side, 1 - 1 / side, side, device=images.device) for side in (h, w))
    near = 1 - ((row[:, None] ** 2 + column**2) / 2).sqrt()
    return {"random": noise, "centre": near.expand(b, h, w)}
