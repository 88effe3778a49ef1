"""Answers to the three exercises of 04_frequency. Try first: a wrong answer that was understood is worth more."""

from __future__ import annotations

import torch
from torch import Tensor


def lowpass(x: Tensor, cutoff: float) -> Tensor:
    """A picture `h w` to the same with nothing but its waves up to `cutoff`, in cycles per pixel."""
    h, w = x.shape
    # fftfreq puts zero frequency first, as fft2 does. So nothing has to be shifted, and nothing shifted back.
    frequency = torch.hypot(torch.fft.fftfreq(h)[:, None], torch.fft.fftfreq(w)[None])
    return torch.fft.ifft2(torch.fft.fft2(x) * (frequency <= cutoff)).real


def rings(plane: Tensor) -> Tensor:
    """Numbers over the plane of frequencies, `h w`, zero first, to their mean over each ring."""
    h, w = plane.shape
    frequency = torch.hypot(torch.fft.fftfreq(h)[:, None], torch.fft.fftfreq(w)[None])
    ring = (frequency * max(h, w)).round().long().flatten()  # ring k has its middle at k / longer side
    total = torch.zeros(int(ring.max()) + 1, dtype=plane.dtype).index_add(0, ring, plane.flatten())
    return total / torch.bincount(ring)


def gain(kernel: Tensor, grid: tuple[int, int]) -> Tensor:
    """A kernel to its gain at every frequency of a grid `h w`, zero frequency first."""
    return torch.fft.fft2(kernel, s=grid).abs()  # `s` pads with zeros: the kernel as it lies on the whole picture
