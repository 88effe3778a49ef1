"""Does a map depend on what the model has learnt? Its layers are filled with noise, and the maps compared.

Source   Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, section 3

Departs: there, layers are initialised anew; here each parameter is drawn from a normal distribution with its own mean
and standard deviation, because how a foreign model was initialised is not known. Running means and variances stay.
Of the paper's measures of likeness it has the rank correlations, of the maps and of their sizes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.probes.inputs import Refused
from labkit.taps import blocks, refuse_wrapped

Explain = Callable[[nn.Module], Tensor]
Order = Literal["cascading", "independent"]


@dataclass(frozen=True)
class Randomised:
    """How alike the maps still are, layer by layer from the output down.

    layers     the names of the parts whose parameters were replaced
    order      cascading: with all parts above it; independent: each alone
    likeness   `layers b`, -1..1: Spearman's rank correlation with the untouched model's map; 0 where one of them is
               constant. A method that explains the model falls to about 0
    sizes      `layers b`, the same for the maps' absolute values
    """

    layers: tuple[str, ...]
    order: Order
    likeness: Float[Tensor, "layers b"]
    sizes: Float[Tensor, "layers b"]


def randomised(
    model: nn.Module,
    explain: Explain,
    *,
    size: tuple[int, int],
    order: Order = "cascading",
    layers: Sequence[str] | None = None,
    seed: int = 0,
) -> Randomised:
    """Run `explain(model)`, which gives maps `b h w`, for the model and for copies with more and more noise in them.

    explain   has to use the model it is given: `lambda model: cam(model, images, targets=281).raw`. Name the target:
              the highest class changes with the weights
    size      (height, width) of its pictures, by which the model's blocks are found
    layers    dotted names of parts, from the output down; None for the head, the blocks, and the stem

    The model itself is never changed: noise goes into a copy, so memory for a second model is needed.
    """
    refuse_wrapped(model)
    groups = _groups(model, size) if layers is None else {name: _within(model, name) for name in layers}
    with torch.inference_mode(False):
        ours = copy.deepcopy(model)
    dice = torch.Generator().manual_seed(seed)
    own = {name: parameter.detach().clone() for name, parameter in ours.named_parameters()}
    noise = {name: _noise(parameter, dice) for name, parameter in own.items()}
    before = explain(ours).detach()
    found = []
    for names in groups.values():
        _fill(ours, {name: noise[name] for name in names})
        found.append(explain(ours).detach())
        if order == "independent":
            _fill(ours, {name: own[name] for name in names})
    likeness = torch.stack([spearman(before, after) for after in found])
    sizes = torch.stack([spearman(before.abs(), after.abs()) for after in found])
    return Randomised(tuple(groups), order, likeness, sizes)


def spearman(a: Float[Tensor, "b h w"], b: Tensor) -> Float[Tensor, "b"]:
    """Rank correlation image by image, -1..1; equal values share their mean rank; 0 where a map is constant."""
    if a.shape != b.shape:
        raise Refused(f"maps of shapes {tuple(a.shape)} and {tuple(b.shape)}: expected the same grid for both.")
    a, b = (ranks - ranks.mean(dim=1, keepdim=True) for ranks in (_mean_ranks(a), _mean_ranks(b)))
    scale = (a.square().sum(dim=1) * b.square().sum(dim=1)).sqrt()
    return torch.where(scale > 0, (a * b).sum(dim=1) / torch.where(scale > 0, scale, 1), 0).float()


def _mean_ranks(maps: Tensor) -> Float[Tensor, "b cells"]:
    flat = maps.flatten(1).double().contiguous()
    ordered = flat.sort(dim=1).values
    first, behind = (torch.searchsorted(ordered, flat, right=right) for right in (False, True))
    return (first + behind).double() / 2


def _groups(model: nn.Module, size: tuple[int, int]) -> dict[str, list[str]]:
    """Parameters by the block they belong to, from the output down. What is between two goes with the upper."""
    names = [site.name for site in blocks(model, size)]
    groups: dict[str, list[str]] = {"stem": []} | {name: [] for name in names} | {"head": []}
    parameters = [name for name, _ in model.named_parameters()]
    owner = {name: next((block for block in names if name.startswith(f"{block}.")), None) for name in parameters}
    inside = [at for at, name in enumerate(parameters) if owner[name]]
    for at, name in enumerate(parameters):
        after = next((owner[parameters[later]] for later in inside if later > at), "head")
        group = owner[name] or ("stem" if not inside or at < inside[0] else after)
        groups[group].append(name)
    return {name: groups[name] for name in reversed(groups) if groups[name]}


def _within(model: nn.Module, name: str) -> list[str]:
    found = [one for one, _ in model.named_parameters() if one == name or one.startswith(f"{name}.")]
    if not found:
        raise Refused(f"layers has {name!r}, but {type(model).__name__} has no parameters there.")
    return found


def _noise(like: Tensor, dice: torch.Generator) -> Tensor:
    drawn = torch.randn(like.shape, generator=dice).to(like.device, like.dtype)
    spread = like.std() if like.numel() > 1 else like.abs().mean()
    return drawn * spread + like.mean()


def _fill(model: nn.Module, values: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            model.get_parameter(name).copy_(value)
