"""A model's structure without its numbers: every step runs as one of the same reach that blocks no gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

# What can stop a gradient, and what takes its place: as local, with a slope that is nowhere zero.
_OPEN = dict.fromkeys((F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6, F.hardtanh), F.leaky_relu)
_OPEN |= {F.hardswish: F.silu, F.hardsigmoid: torch.sigmoid, F.threshold: F.leaky_relu}
_MEANS = {F.adaptive_max_pool2d: F.adaptive_avg_pool2d, torch.amax: torch.mean, Tensor.amax: Tensor.mean}

# What does nothing to the reach at all: clipping, and batch norms (in eval mode a scale for each channel).
_NOTHING = {torch.clamp, Tensor.clamp, Tensor.clamp_, torch.clamp_min, Tensor.clamp_min, Tensor.clamp_max}
_NOTHING |= {F.batch_norm, torch.batch_norm}

# What can turn a map into one number a channel, and norms whose statistics go over the whole map.
_AVERAGES = {torch.mean, Tensor.mean, torch.sum, Tensor.sum, torch.amax, Tensor.amax, Tensor.norm, torch.norm}
_AVERAGES |= {torch.linalg.vector_norm, torch.std, Tensor.std, torch.var, Tensor.var}
_AVERAGES |= {F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.avg_pool2d, torch._C._nn.avg_pool2d}
_STATISTICS = {F.group_norm, F.instance_norm, torch.group_norm, torch.instance_norm}


class Structure(TorchFunctionMode):
    """While this is on, in this thread, a model in float64 shows by its gradients what depends on what.

    local      True: what averages a whole map is held constant, and the name that `here()` gives is noted
    squeezes   the names noted so far, in order

    Weights are replaced by noise as they are met (the model keeps its own), because trained or freshly made ones may be
    zero; gradients may not pass a ReLU, a clip or a maximum everywhere, so these are opened.
    """

    def __init__(self, *, local: bool, here: Callable[[], str]) -> None:
        super().__init__()
        self.local, self.here = local, here
        self.squeezes: dict[str, None] = {}
        self._noise: dict[nn.Parameter, Tensor] = {}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        args, kwargs = tree_map(self._double, (args, kwargs or {}))
        if func in _NOTHING:
            return args[0]
        if func in _OPEN:
            return _OPEN[func](args[0])
        if func is F.max_pool2d or func is torch.max_pool2d:
            return _mean_pool(*args, **{name: value for name, value in kwargs.items() if name != "return_indices"})
        if self.local and func in _STATISTICS:
            self.squeezes[self.here()] = None
            return args[0]
        out = _MEANS.get(func, func)(*args, **kwargs)
        if self.local and func in _AVERAGES and _is_squeeze(args[0], out):
            self.squeezes[self.here()] = None
            return out.detach()
        return out

    def _double(self, value: Any) -> Any:
        if isinstance(value, nn.Parameter):
            if value not in self._noise:
                self._noise[value] = _noise(value, seed=len(self._noise))
            return self._noise[value]
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _noise(parameter: Tensor, *, seed: int) -> Tensor:
    """Numbers that keep values at the order of one: scales around 1, matrices by the number of their inputs."""
    dice = torch.Generator().manual_seed(seed)
    shape = tuple(parameter.shape)
    if parameter.ndim < 2:
        return (0.5 + torch.rand(shape, generator=dice, dtype=torch.float64)).to(parameter.device)
    inputs = parameter[0].numel()
    return (torch.randn(shape, generator=dice, dtype=torch.float64) / inputs**0.5).to(parameter.device)


def _mean_pool(x: Tensor, kernel_size, stride=None, padding=0, dilation=1, ceil_mode: bool = False) -> Tensor:
    """The mean over the places among which a max pooling chooses."""
    (kh, kw), (dh, dw), (ph, pw) = (_pair(one) for one in (kernel_size, dilation, padding))
    sh, sw = _pair(stride or kernel_size)
    x = F.pad(x, (pw, pw, ph, ph))
    if ceil_mode:  # as far as a window that starts inside still reaches
        h, w = x.shape[-2:]
        x = F.pad(x, (0, -(w - dw * (kw - 1) - 1) % sw, 0, -(h - dh * (kh - 1) - 1) % sh))
    ones = x.new_ones(x.shape[1], 1, kh, kw) / (kh * kw)
    return F.conv2d(x, ones, stride=(sh, sw), dilation=(dh, dw), groups=x.shape[1])


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _is_squeeze(given: Any, out: Any) -> bool:
    """Whether a map, channels first or last, became one value a channel."""
    if not isinstance(given, Tensor) or not isinstance(out, Tensor) or given.ndim != 4:
        return False
    if out.ndim == 2:
        return True
    first, last = (out.shape[2:], given.shape[2:]), (out.shape[1:3], given.shape[1:3])
    return out.ndim == 4 and any(tuple(after) == (1, 1) != tuple(before) for after, before in (first, last))
