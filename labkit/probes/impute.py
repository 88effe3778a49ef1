"""Fill removed pixels so that nothing can be told from their outline: noisy linear imputation, many pictures at once.

Source   Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods", ICML 2022, section 4.2

Each removed pixel is the mean of its eight neighbours, the four direct ones counting twice; neighbours that are removed
too are unknowns of the same linear system, one for every picture. The released code hands each to a direct solver. Here
all are solved together by conjugate gradients, with a multigrid cycle as preconditioner: a fixed number of steps of
plain arithmetic on whole pictures, on any device. `STEPS` of them come within 1e-3 of the direct solution in normalised
values, up to 95 % removed; the noise that is added afterwards has a standard deviation of 1e-2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

STEPS = 7
NOISE = 0.01
DAMPING = 0.8  # of the Jacobi sweeps: the stencil's largest eigenvalue is 4/3, so each kind of ripple shrinks


def imputed(
    images: Float[Tensor, "n c h w"],
    removed: Bool[Tensor, "n h w"],
    *,
    noise: float = NOISE,
    seed: int = 0,
) -> Float[Tensor, "n c h w"]:
    """The images with their removed pixels filled from what is left, plus noise of this standard deviation.

    The noise is one field for all pictures, so that methods are compared under the same noise; at least one pixel of
    each picture has to be left.
    """
    gone = removed[:, None].to(torch.float32)
    known = images.float() * (1 - gone)
    system = _System(gone)
    start = _pyramid(known, gone) * gone
    filled = system.solve(_around(known) * gone, start)
    if noise:
        field = torch.randn(1, *images.shape[1:], generator=torch.Generator().manual_seed(seed))
        filled += noise * field.to(images.device) * gone
    return torch.where(removed[:, None], filled.to(images.dtype), images)


class _System:
    """(d x - Σ neighbours' weights x) = right-hand side on the removed pixels, 0 elsewhere; d is 1 inside the picture.

    The weights are [1 2 1]ᵀ[1 2 1] / 12 without its middle (1/3), so a sum over neighbours is two sweeps of [1 2 1].
    """

    def __init__(self, gone: Float[Tensor, "n 1 h w"]) -> None:
        self.gone = gone
        # What neighbours beyond the edge would weigh is left out, as in the released code.
        self.weight = _around(torch.ones_like(gone[:1]))
        self.middle = (self.weight + 1 / 3) * gone
        self.sweep = DAMPING / self.weight * gone
        # A coarse cell is an unknown when all its pixels are.
        self.coarse = None if min(gone.shape[-2:]) < 4 else _System(-F.max_pool2d(-gone, 2, ceil_mode=True))

    def solve(self, right: Tensor, x: Tensor) -> Tensor:
        """Conjugate gradients from `x`, for every picture and colour on its own."""
        rest = right - self.apply(x)
        step, before = torch.zeros_like(x), torch.ones_like(x[..., :1, :1])
        for _ in range(STEPS):
            direction = self.cycle(rest)
            strength = _dot(rest, direction)
            step = torch.addcmul(direction, strength / before.clamp_min(1e-30), step)
            pushed = self.apply(step)
            # Where all is solved already, both are 0.
            along = strength / _dot(step, pushed).clamp_min(1e-30)
            x, rest, before = torch.addcmul(x, along, step), torch.addcmul(rest, along, pushed, value=-1), strength
        return x

    def apply(self, x: Tensor) -> Tensor:
        return _binomial(x).mul_(-1 / 12 * self.gone).addcmul_(self.middle, x)

    def cycle(self, rest: Tensor) -> Tensor:
        """One symmetric V-cycle: a damped sweep, the rest corrected on a grid half as fine, a damped sweep."""
        x = rest * self.sweep
        if self.coarse is None:
            for _ in range(8):
                x = torch.addcmul(x, rest - self.apply(x), self.sweep)
            return x
        correction = self.coarse.cycle(_halved(rest - self.apply(x)) * self.coarse.gone)
        x = torch.addcmul(x, _doubled(correction, rest.shape[-2:]), self.gone)
        return torch.addcmul(x, rest - self.apply(x), self.sweep)


def _binomial(x: Tensor) -> Tensor:
    """[1 2 1]ᵀ[1 2 1] at every pixel, zeros around the picture. By slices: conv2d takes eight times as long."""
    x = F.pad(x, (1, 1, 1, 1))
    x = torch.add(x[..., :-2, :], x[..., 1:-1, :], alpha=2).add_(x[..., 2:, :])
    return torch.add(x[..., :-2], x[..., 1:-1], alpha=2).add_(x[..., 2:])


def _around(x: Tensor) -> Tensor:
    """The weighted sum of the eight neighbours: 1/6 for the direct ones, 1/12 across corners."""
    return _binomial(x).div_(12).sub_(x, alpha=1 / 3)


def _halved(x: Tensor) -> Tensor:
    """Sums of [1 3 3 1]/4 along both axes at every second pixel: the transpose of `_doubled`."""
    x = F.pad(x, (1, 1 + x.shape[-1] % 2, 1, 1 + x.shape[-2] % 2))
    x = torch.add(x[..., :-3:2, :] + x[..., 3::2, :], x[..., 1:-2:2, :] + x[..., 2:-1:2, :], alpha=3)
    return torch.add(x[..., :-3:2] + x[..., 3::2], x[..., 1:-2:2] + x[..., 2:-1:2], alpha=3).div_(16)


def _doubled(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")[..., : size[0], : size[1]]


def _dot(a: Tensor, b: Tensor) -> Float[Tensor, "n c 1 1"]:
    return (a * b).sum(dim=(2, 3), keepdim=True)


def _pyramid(known: Float[Tensor, "n c h w"], gone: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n c h w"]:
    """A first guess: each removed pixel takes the mean of its cell in the finest grid where that knows anything."""
    share = F.avg_pool2d(1 - gone, 2, ceil_mode=True)
    mean = F.avg_pool2d(known, 2, ceil_mode=True) / share.clamp_min(1e-9)
    still = (share == 0).to(share)
    if max(share.shape[-2:]) > 1:
        mean = mean * (1 - still) + _pyramid(mean * (1 - still), still) * still
    return _doubled(mean, known.shape[-2:])
