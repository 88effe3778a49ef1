"""Does the model believe the map? The score while pixels go, the most important first, and while they come back.

Source   deletion and insertion: Petsiuk, Das & Saenko, "RISE", BMVC 2018, section 4.2

As there: one row's worth of pixels a step (224 steps at 224 pixels), deletion to zeros in normalised values (the mean
colour), insertion from the picture under a Gaussian blur of 11 x 11 pixels and σ = 5, the probability of the class that
was highest for the whole picture, the area by trapezoids. The blur mirrors the picture at its edge, where the released
code lets it fade to zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.probes.inputs import Refused
from labkit.probes.question import Question
from labkit.probes.ranking import Maps, all_ranks
from labkit.probes.targets import Targets

BLUR, SIGMA = 11, 5.0


@dataclass(frozen=True)
class Curves:
    """One method's curves: the score of each image, step by step.

    share      `t`, 0..1: how much of the picture has been changed
    deletion   `b t`, from the whole picture to nothing; a good map falls early
    insertion  `b t`, from the blurred picture to the whole one; a good map rises early

    Scores are probabilities, 0..1, of the class each image is asked about (or what the target function gives).
    """

    share: Float[Tensor, "t"]
    deletion: Float[Tensor, "b t"]
    insertion: Float[Tensor, "b t"]

    @property
    def deletion_area(self) -> Float[Tensor, "b"]:
        """Area under the deletion curve, 0..1 for probabilities: lower is better."""
        return torch.trapezoid(self.deletion, self.share, dim=1)

    @property
    def insertion_area(self) -> Float[Tensor, "b"]:
        """Area under the insertion curve, 0..1 for probabilities: higher is better."""
        return torch.trapezoid(self.insertion, self.share, dim=1)


def curves(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    maps: Maps,
    *,
    targets: Targets = None,
    pixels: int | None = None,
    seed: int = 0,
    batch: int = 32,
) -> dict[str, Curves]:
    """Deletion and insertion for several methods at once: full batches of `batch` pictures across methods and images.

    maps      `{name: b h w}`, any grid, higher = matters more; smaller ones are made larger (bilinear)
    targets   the class that is followed, chosen on the whole pictures
    pixels    changed a step; None for as many as the picture is wide
    seed      orders pixels of equal value; see `labkit.probes.ranking.ranks`

    The ends of the curves are the same for all methods, so they are asked once. Raises Refused for bad input.
    """
    ask = Question(model, images, targets)
    b, _, height, width = images.shape
    pixels = width if pixels is None else pixels
    if not 1 <= pixels <= height * width:
        raise Refused(f"curves(pixels={pixels}): expected 1 to all {height * width} pixels a step.")
    orders = all_ranks(maps, images, seed=seed)
    turn = orders // pixels  # the step that changes each pixel, from 0
    steps = -(-height * width // pixels)

    whole, blank, blurred = images, torch.zeros_like(images), blur(images)
    before, after = torch.stack([whole, blurred]), torch.stack([blank, whole])
    which = torch.arange(b, device=images.device)
    found = torch.empty(2, len(maps), b, steps + 1, device=images.device)  # deletion and insertion
    found[:, :, :, 0] = torch.stack([ask.answers[:, 0], ask(blurred, which)[:, 0]])[:, None]
    found[:, :, :, -1] = torch.stack([ask(blank, which)[:, 0], ask.answers[:, 0]])[:, None]

    inner = torch.cartesian_prod(*(torch.arange(n, device=images.device) for n in (2, len(maps), b, steps - 1)))
    for way, method, image, step in (rows.unbind(dim=1) for rows in inner.split(batch) if len(rows)):
        changed = turn[method, image] <= step[:, None, None]
        pictures = torch.where(changed[:, None], after[way, image], before[way, image])
        found[way, method, image, step + 1] = ask(pictures, image)[:, 0]
    share = (torch.arange(steps + 1, device=images.device) * pixels).clamp_max(height * width) / (height * width)
    return {name: Curves(share, *found[:, method]) for method, name in enumerate(maps)}


def blur(images: Float[Tensor, "b c h w"], *, side: int = BLUR, sigma: float = SIGMA) -> Float[Tensor, "b c h w"]:
    """A Gaussian of `side` x `side` pixels, mirrored at the edge; Refused where the picture is too small for it."""
    reach = side // 2
    if min(images.shape[-2:]) <= reach:
        raise Refused(
            f"images of {tuple(images.shape[-2:])} pixels are too small for a blur of {side} x {side} pixels."
        )
    at = torch.arange(-reach, reach + 1, device=images.device, dtype=torch.float32)
    bell = torch.softmax(-(at**2) / (2 * sigma**2), dim=0).to(images.dtype)
    flat = F.pad(images, (reach, reach, reach, reach), mode="reflect").flatten(0, 1)[:, None]
    return F.conv2d(F.conv2d(flat, bell.view(1, 1, -1, 1)), bell.view(1, 1, 1, -1)).view_as(images)
