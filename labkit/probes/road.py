"""ROAD: does the score fall when pixels are filled in from their surroundings, so that no outline gives them away?

Source   Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods", ICML 2022
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.probes.impute import NOISE, imputed
from labkit.probes.inputs import Refused
from labkit.probes.question import Question
from labkit.probes.ranking import Maps, all_ranks
from labkit.probes.targets import Targets

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Road:
    """One method's scores while pixels are filled in.

    share         `t`, 0..1: how much of the picture is filled in
    most_first    `b t`, the most relevant pixels filled in (MoRF): a good map falls early
    least_first   `b t`, the least relevant ones (LeRF): a good map stays up

    Scores are probabilities, 0..1, of the class each image is asked about (or what the target function gives).
    """

    share: Float[Tensor, "t"]
    most_first: Float[Tensor, "b t"]
    least_first: Float[Tensor, "b t"]

    @property
    def combined(self) -> Float[Tensor, "b"]:
        """Half the mean distance of the two curves, -0.5..0.5 for probabilities; 0 = chance, higher is better."""
        return (self.least_first - self.most_first).mean(dim=1) / 2


def road(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    maps: Maps,
    *,
    targets: Targets = None,
    shares: Sequence[float] = SHARES,
    noise: float = NOISE,
    seed: int = 0,
    batch: int = 32,
) -> dict[str, Road]:
    """ROAD for several methods at once; filling and asking go together, `batch` pictures at a time.

    maps     `{name: b h w}`, any grid, higher = matters more
    shares   of the pixels that are filled in, each above 0 and below 1
    noise    standard deviation of what is added where pixels were filled in, in normalised values
    seed     of the noise and of the order of equal values
    """
    if not shares or min(shares) <= 0 or max(shares) >= 1:
        raise Refused(f"road(shares={tuple(shares)}): expected shares above 0 and below 1, for example {SHARES}.")
    ask = Question(model, images, targets)
    b, _, height, width = images.shape
    total = height * width
    orders = all_ranks(maps, images, seed=seed)
    counts = torch.tensor([min(max(round(share * total), 1), total - 1) for share in shares], device=images.device)
    found = torch.empty(2, len(maps), b, len(counts), device=images.device)  # most and least relevant first
    jobs = torch.cartesian_prod(*(torch.arange(n, device=images.device) for n in found.shape))
    for way, method, image, level in (rows.unbind(dim=1) for rows in jobs.split(batch)):
        order = orders[method, image]
        place = torch.where(way[:, None, None] == 0, order, total - 1 - order)
        removed = place < counts[level][:, None, None]
        with torch.no_grad():
            filled = imputed(images[image], removed, noise=noise, seed=seed)
        found[way, method, image, level] = ask(filled, image)[:, 0]
    share = counts / total
    return {name: Road(share, *found[:, method]) for method, name in enumerate(maps)}
