"""Which frequencies a layer's filters let through: convolution kernels, learned global filters, rows of attention.

All three are kernels. A kernel's gain at a frequency is the amplitude of its discrete Fourier transform, zero-padded to
the wanted grid; where the kernel lies only turns the phase, so an attention row need not be moved to its query first.

Sources
  kernels          the DFT of a convolution, as in Rabiner & Gold; several inputs add up in power
  global filters   Rao et al., "Global Filter Networks for Image Classification", NeurIPS 2021
  attention rows   Park & Kim, "How Do Vision Transformers Work?", ICLR 2022, call them low-pass; here it is measured
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float, Float64
from torch import Tensor, nn

from labkit.probes.attention import AttentionMap, attention_maps
from labkit.probes.inputs import Refused, check_call
from labkit.probes.rings import frequencies, ring_means, whole_plane
from labkit.taps import calls

CHUNK = 256
"""How many rows of attention are transformed at once: the memory they take does not grow with the grid."""


@dataclass(frozen=True)
class Response:
    """What filters let through; `k` filters (output channels, or heads).

    name          the layer
    gain          `k h w`: amplitude out for amplitude in, >= 0, at every frequency of the grid, zero frequency first
                  (`fftshift` brings it to the middle)
    frequencies   `rings`, in cycles per cell of what the layer is given: 0..0.5 along the axes, to 0.71 in the corners
    radial        `k rings`: the mean gain of each ring
    """

    name: str
    gain: Float[Tensor, "k h w"]
    frequencies: Float64[Tensor, "rings"]
    radial: Float[Tensor, "k rings"]


@torch.no_grad()
def kernel_response(
    weight: Float[Tensor, "k inputs kh kw"],
    grid: tuple[int, int] = (32, 32),
    *,
    dilation: tuple[int, int] = (1, 1),
    name: str = "",
) -> Response:
    """The gain of each output channel of a convolution: √Σ over its inputs of |DFT of the kernel|².

    That is the amplitude that comes out when every input channel carries this frequency at amplitude 1 and independent
    phases; for a depthwise kernel it is |DFT| itself, and at zero frequency |Σ weights|. A stride folds frequencies
    afterwards and is not part of it. Raises Refused when the kernel (dilated) is larger than the grid.
    """
    k, inputs, kh, kw = weight.shape
    reach = (1 + (kh - 1) * dilation[0], 1 + (kw - 1) * dilation[1])
    if reach[0] > grid[0] or reach[1] > grid[1]:
        raise Refused(f"a kernel of {reach[0]} x {reach[1]} cells does not fit a grid of {grid[0]} x {grid[1]}.")
    kernel = weight.new_zeros(k, inputs, *reach, dtype=_real(weight.dtype))
    kernel[..., :: dilation[0], :: dilation[1]] = weight.to(kernel.dtype)
    half = torch.fft.rfft2(kernel, s=grid).abs().square().sum(dim=1).sqrt()
    return _response(half, grid, name)


def conv_responses(
    model: nn.Module, images: Float[Tensor, "b 3 height width"], *, grid: tuple[int, int] = (32, 32)
) -> tuple[Response, ...]:
    """The response of every convolution that looks further than its own cell, in the order in which they run.

    Convolutions over one cell (1 x 1) let everything through alike and are left out, and so are those that did not run.
    Raises Refused for images that the model cannot take.
    """
    check_call(model, images)
    wide = [name for name, part in model.named_modules() if isinstance(part, nn.Conv2d) and max(part.kernel_size) > 1]
    return tuple(
        kernel_response(call.module.weight, grid, dilation=call.module.dilation, name=name)
        for name, call in calls(model, wide, images[:1]).items()
        if max(1 + (side - 1) * d for side, d in zip(call.module.kernel_size, call.module.dilation, strict=True))
        <= min(grid)
    )


@torch.no_grad()
def global_filter_response(weight: Complex[Tensor, "h half c"], grid: tuple[int, int], *, name: str = "") -> Response:
    """The gain of filters learned in the frequency domain, `y = irfft2(rfft2(x) * weight)`, one a channel.

    weight   complex, with half = w // 2 + 1; a real `h half c 2` (as GFNet stores it) goes through
             `torch.view_as_complex` first

    The columns that are their own mirror (0, and w / 2 where w is even) act by their symmetric part only; the way over
    the kernel accounts for it. Raises Refused when the weight does not belong to the grid.
    """
    if tuple(weight.shape[:2]) != (grid[0], grid[1] // 2 + 1):
        raise Refused(
            f"expected weights ({grid[0]}, {grid[1] // 2 + 1}, channels) for a grid of {grid[0]} x {grid[1]}, "
            f"got {tuple(weight.shape)}."
        )
    kernel = torch.fft.irfft2(weight.movedim(-1, 0), s=grid)
    return _response(torch.fft.rfft2(kernel).abs(), grid, name)


def attention_responses(model: nn.Module, images: Float[Tensor, "b 3 height width"]) -> tuple[Response, ...]:
    """The response of every layer's heads, mean over the pictures; see `attention_response`.

    Layers in which no patch asks (class attention) are left out. Raises Unreadable when the model has no attention.
    """
    found = attention_maps(model, images)
    return tuple(attention_response(one) for one in found if bool((one.queries >= 0).any()))


@torch.no_grad()
def attention_response(attention: AttentionMap) -> Response:
    """The gain of each head, every row of attention seen as a kernel: mean over queries and pictures of |DFT|, 0..1.

    Rows are taken over the patches alone and renormalised, so that the gain at zero frequency is 1. Looking at oneself
    lets everything through (1 everywhere); looking at all cells alike lets nothing but the mean through. Where keys are
    pooled, frequencies are in cycles per pooled cell. Raises Refused for layers in which no patch asks.
    """
    h, w = attention.key_grid
    heads, asking = attention.heads, attention.queries >= 0
    if not bool(asking.any()):
        raise Refused(
            f"in {attention.name or 'this layer'} no patch asks (class attention): there are no rows to read."
        )
    total = attention.weights.new_zeros(heads, h, w // 2 + 1, dtype=_real(attention.weights.dtype))
    for window, keys in enumerate(attention.keys):
        asks = asking[window].nonzero()[:, 0].to(total.device)
        looked = (keys >= 0).to(total.device)
        cells = keys.to(total.device)[looked]
        for some in asks.split(CHUNK):
            rows = attention.weights[:, window, :, some][..., looked].to(total.dtype)
            rows = rows / rows.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(total.dtype).tiny)
            laid = rows.new_zeros(*rows.shape[:-1], h * w)
            laid[..., cells] = rows
            total += torch.fft.rfft2(laid.unflatten(-1, (h, w))).abs().sum(dim=(0, 2))
    return _response(total / (int(asking.sum()) * len(attention.weights)), (h, w), attention.name)


def _response(half: Tensor, grid: tuple[int, int], name: str) -> Response:
    return Response(name, whole_plane(half, grid), frequencies(grid), ring_means(half, grid))


def _real(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype.itemsize >= 4 else torch.float32
