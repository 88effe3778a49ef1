"""What a model costs: parameters, multiplications and memory, layer by layer, counted over what really runs.

Multiply-adds (MACs) are counted by torch's own counter, fused attention included: convolutions and matrix products, one
MAC for two of its FLOPs. Norms, activations, softmax and additions are not counted, as is the custom; neither are
Fourier transforms, sorts and scans with kernels of their own, so mixers made of these look cheaper than they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from labkit.taps import blocks, evaluating, noise_for, refuse_wrapped
from labkit.taps.watch import Watch


@dataclass(frozen=True)
class LayerCost:
    """One block, for one picture.

    grid         (h, w) of its output; `kind` the name of its class
    parameters   how many numbers it has learned
    macs         multiply-adds of a forward pass
    output       bytes of its output; `saved` bytes that training keeps for the backward pass
    """

    name: str
    kind: str
    grid: tuple[int, int]
    parameters: int
    macs: int
    output: int
    saved: int


@dataclass(frozen=True)
class Cost:
    """The whole model, for one picture of `size`: sums over all of it, so more than its `layers`; units as there."""

    size: tuple[int, int]
    parameters: int
    macs: int
    saved: int
    layers: tuple[LayerCost, ...]


def cost(model: nn.Module, size: tuple[int, int]) -> Cost:
    """Parameters, MACs and activation memory of the model and its blocks, for one picture of `size` (height, width)."""
    refuse_wrapped(model)
    listed = blocks(model, size)
    image = noise_for(model, size)
    with evaluating(model), _no_fast_path():
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            model(image)
        saved = _saved(model, image, [site.name for site in listed])
    by_name = counter.get_flop_counts()
    root = type(model).__name__
    layers = tuple(
        LayerCost(
            site.name,
            site.kind,
            site.after.grid,
            sum(parameter.numel() for parameter in model.get_submodule(site.name).parameters()),
            sum(by_name.get(f"{root}.{site.name}", {}).values()) // 2,
            (site.after.channels * (math.prod(site.after.grid) + site.after.prefix)) * image.element_size(),
            saved[site.name],
        )
        for site in listed
    )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Cost(size, parameters, counter.get_total_flops() // 2, saved[""], layers)


def _saved(model: nn.Module, image: Tensor, names: Sequence[str]) -> dict[str, int]:
    """Bytes kept for the backward pass by each named module and by the whole model (""), every memory counted once."""
    own = {parameter.untyped_storage().data_ptr() for parameter in (*model.parameters(), *model.buffers())}
    total = dict.fromkeys(["", *names], 0)
    met: set[int] = set()
    alive: list[Tensor] = []  # so that no memory is given away and met again as another's
    with torch.inference_mode(False), torch.enable_grad(), Watch(model) as watch:

        def pack(value: Tensor) -> Tensor:
            memory = value.untyped_storage()
            if memory.data_ptr() not in own | met:
                met.add(memory.data_ptr())
                alive.append(value)
                where = watch.innermost
                for name in total:
                    if not name or where == name or where.startswith(f"{name}."):
                        total[name] += memory.nbytes()
            return value

        with saved_tensors_hooks(pack, lambda value: value):
            model(image.clone().requires_grad_())
    return total


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """torch's own encoder layers take a fused path in eval mode, which its counter does not see."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
