"""How fine a model's features are: the spectrum of the map behind each block.

Sources
  log-amplitude, half diagonal   Park & Kim, "How Do Vision Transformers Work?", ICLR 2022, figure 2 and appendix; the
                                 released code takes log(|F| + 1e-6) of each channel, the mean over pictures and
                                 channels, and along the half diagonal the difference from the first value
  high-frequency share           Wang et al., "Anti-Oversmoothing in Deep Vision Transformers", ICLR 2022, ask the same
                                 of everything but the mean
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from labkit.probes.inputs import Refused
from labkit.probes.layers import layers
from labkit.probes.rings import diagonal, frequencies, multiplicity, radius, ring_means

LOW, HIGH = 1 / 6, 1 / 3
"""Where low frequencies end and high ones begin, in cycles per cell: thirds of the way to Nyquist."""

_FLOOR = 1e-6  # Park & Kim's, added to every amplitude


class Bands(NamedTuple):
    """Mean log-amplitude of the rings in three bands, `b` each, in nats; NaN where a small grid has no such ring.

    low    0 < f < 1/6 cycles per cell
    mid    1/6 <= f < 1/3
    high   1/3 <= f, to the corners
    """

    low: Float[Tensor, "b"]
    mid: Float[Tensor, "b"]
    high: Float[Tensor, "b"]


@dataclass(frozen=True)
class Spectrum:
    """The spectrum of one layer's map, mean over its channels, one an image.

    name, grid    the block and its (h, w) in cells
    frequencies   `rings`, cycles per cell: 0 = the mean, 0.5 = Nyquist along an axis, 0.71 = the checkerboard
    radial        log-amplitude ring by ring, in nats: ln of |F| / (h w), so that at 0 it is the ln of the mean's size
    diagonal      Park & Kim's curve, in nats: log-amplitude at (f, f) less that of the mean; 0 first, mostly negative
    steps         where on the diagonal, in units of π: 0 = the mean, 1 = (π, π), which itself is left out
    high          share of the variance over the map beyond 0.25 cycles per cell, 0..1; see `high_frequency`
    """

    name: str
    grid: tuple[int, int]
    frequencies: Float64[Tensor, "rings"]
    radial: Float[Tensor, "b rings"]
    diagonal: Float[Tensor, "b steps"]
    steps: Float64[Tensor, "steps"]
    high: Float[Tensor, "b"]

    @property
    def bands(self) -> Bands:
        """Low, middle and high log-amplitude."""
        f = self.frequencies
        inside = ((f > 0) & (f < LOW), (f >= LOW) & (f < HIGH), f >= HIGH)
        return Bands(*(self.radial[:, one.to(self.radial.device)].mean(dim=1) for one in inside))

    @property
    def slope(self) -> Float[Tensor, "b"]:
        """High less low log-amplitude, in nats: 0 = as much fine as coarse, -2 = a seventh of it."""
        return self.bands.high - self.bands.low

    @property
    def delta(self) -> Float[Tensor, "b"]:
        """Park & Kim's Δ log-amplitude: the last value of the half diagonal, in nats; NaN where a side has 1 or 2."""
        return self.diagonal[:, -1] if len(self.steps) > 1 else torch.full_like(self.high, torch.nan)


def spectra(model: nn.Module, images: Float[Tensor, "b 3 height width"]) -> tuple[Spectrum, ...]:
    """The spectrum behind every block, in forward order; prefix tokens are left out."""
    return tuple(spectrum(layer.map, name=layer.name) for layer in layers(model, images))


@torch.no_grad()
def spectrum(maps: Float[Tensor, "b c h w"], *, name: str = "") -> Spectrum:
    """The spectrum of maps, mean of the channels' log-amplitudes; see Spectrum. Raises Refused for a single cell."""
    grid = _grid(maps)
    amplitude = torch.fft.rfft2(maps).abs()
    high = _share_beyond(amplitude, grid, 0.25)
    log = amplitude.add_(_FLOOR).log_().mean(dim=1)
    along = diagonal(log, grid)
    return Spectrum(
        name=name,
        grid=grid,
        frequencies=frequencies(grid),
        radial=ring_means(log, grid) - math.log(math.prod(grid)),
        diagonal=along - along[:, :1],
        steps=2 * torch.arange(along.shape[1], dtype=torch.float64) / min(grid),
        high=high,
    )


@torch.no_grad()
def high_frequency(maps: Float[Tensor, "b c h w"], *, beyond: float = 0.25) -> Float[Tensor, "b"]:
    """The share of the variance over the map that lies beyond a frequency: 0..1.

    beyond   cycles per cell; 0.25 is half of Nyquist

    Σ |F|² beyond / Σ |F|² without the mean, over all channels: 1 for a checkerboard, 0 for a slow wave, 0.8 (one less
    π/16) for white noise, and 0 where the map is constant. The mean is left out: how much it outweighs the rest is
    what the tokens' cosine similarity says.
    """
    grid = _grid(maps)
    return _share_beyond(torch.fft.rfft2(maps).abs(), grid, beyond)


def _share_beyond(amplitude: Tensor, grid: tuple[int, int], beyond: float) -> Float[Tensor, "b"]:
    weight = multiplicity(grid).expand(grid[0], -1)
    fine = (radius(grid) > beyond) * weight
    energy = amplitude.square().sum(dim=1, dtype=torch.float64)
    mean = energy[:, 0, 0].clone()
    energy[:, 0, 0] = 0
    total, above = ((energy * one.to(energy.device)).sum(dim=(1, 2)) for one in (weight, fine))
    # Less than the rounding error of the mean is not a pattern.
    varies = total > (4 * torch.finfo(amplitude.dtype).eps) ** 2 * mean * math.prod(grid)
    return torch.where(varies, above / total.clamp_min(torch.finfo(torch.float64).tiny), 0).to(amplitude.dtype)


def _grid(maps: Tensor) -> tuple[int, int]:
    h, w = maps.shape[-2:]
    if h * w < 2:
        raise Refused(
            f"expected maps `b c h w` with more than one cell, got {tuple(maps.shape)}: one cell has no frequencies; "
            "choose an earlier layer."
        )
    return h, w
