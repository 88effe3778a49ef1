"""How far a mean over images can be trusted: intervals by drawing the images again, paired where methods are compared.

Source   Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13 (percentile intervals)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.probes.inputs import Refused


@dataclass(frozen=True)
class Interval:
    """A mean over images, and where it would lie with other images of the same kind; in the unit of the values.

    low, high   None for fewer than two images, which say nothing about others
    """

    mean: float
    low: float | None
    high: float | None

    @property
    def above_zero(self) -> bool:
        """True when the whole interval is: of a paired difference, that the first is higher."""
        return self.low is not None and self.low > 0


def interval(
    values: Float[Tensor, "b"],
    minus: Tensor | None = None,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """The mean of one value an image, or of its difference to a baseline's on the same image.

    minus   the baseline's values. The images are drawn together with both of their values: what makes an image easy for
            every method cancels, and the interval of the difference is much narrower than those of the two means

    The same seed draws the same images for every method. With few images (below about 20) the interval is too narrow.
    """
    if values.ndim != 1 or not len(values) or (minus is not None and minus.shape != values.shape):
        shapes = [tuple(one.shape) for one in (values, minus) if one is not None]
        raise Refused(f"interval of values of shape {shapes}: expected one number an image, the same images for both.")
    if not 0 < level < 1 or draws < 1:
        raise Refused(
            f"interval(level={level}, draws={draws}): expected a level between 0 and 1 and at least one draw."
        )
    values = (values if minus is None else values - minus).detach().double().cpu()
    if len(values) < 2:
        return Interval(values.mean().item(), None, None)
    drawn = torch.randint(len(values), (draws, len(values)), generator=torch.Generator().manual_seed(seed))
    means = values[drawn].mean(dim=1)
    low, high = means.quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)).tolist()
    return Interval(values.mean().item(), low, high)


def band(
    curves: Float[Tensor, "b t"], *, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> tuple[Float[Tensor, "t"], Float[Tensor, "t"]] | None:
    """The lower and upper end of the mean curve's interval at every point; None for fewer than two images."""
    if len(curves) < 2:
        return None
    drawn = torch.randint(len(curves), (draws, len(curves)), generator=torch.Generator().manual_seed(seed))
    means = curves[drawn.to(curves.device)].mean(dim=1)
    low, high = (means.quantile((1 + side * level) / 2, dim=0) for side in (-1, 1))
    return low, high
