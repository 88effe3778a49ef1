"""Whether a ViT's patch tokens tell an object from the rest, block by block, and whether a class map lies on it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labkit.models.backbones.vit import ViT
from labkit.probes.saliency import resized
from labkit.probes.similarity import cells_of, gap
from labkit.taps import reading

OBJECT = 0.5
"""From this value of its class map on (0..1) a pixel is called object, as in ToCo's evaluation."""


@dataclass(frozen=True)
class ByDepth:
    """How alike a ViT's patch tokens are: cosines, -1..1; a row for each block, then one for the last behind the norm.

    same, different   of two tokens that both lie on the object or both beside it, and of which one does; NaN where a
                      picture has no such pair
    mean              of all pairs: one direction that all tokens share lifts it, though they still differ in the rest
    """

    same: Float[Tensor, "depth n"]
    different: Float[Tensor, "depth n"]
    mean: Float[Tensor, "depth n"]

    @property
    def gap(self) -> Float[Tensor, "depth n"]:
        """How well the tokens tell the object from the rest: 0 not at all, 1 at right angles, at most 2."""
        return self.same - self.different


@torch.no_grad()
def by_depth(vit: ViT, images: Float[Tensor, "n 3 h w"], masks: Tensor, *, batch: int = 64) -> ByDepth:
    """How alike the patch tokens of any labkit ViT are behind each block, within objects' masks (or boxes) and across.

    masks   `n h w`, boolean, in the pixels that the model sees; a cell is on the object if half of its pixels are

    The first rows are the tokens as each block gives them out; the last one is what the model's norm makes of them,
    which its classifier and ToCo's loss are given. Put the model in eval mode first. Raises ValueError for masks that
    are not one a picture, or of another size.
    """
    if masks.shape != (len(images), *images.shape[-2:]):
        raise ValueError(
            f"by_depth got masks of shape {tuple(masks.shape)} for pictures of {tuple(images.shape)}: expected a mask "
            "of each picture, in the pixels that the model sees."
        )
    same, different, every = [], [], []
    for some, mask in zip(images.split(batch), masks.split(batch), strict=True):
        with reading(vit, "b n c") as found:
            vit(some)
        blocks = list(found.values())
        tokens = [one[:, 1:].float() for one in (*blocks, vit.norm(blocks[-1]))]
        cells = cells_of(mask, tuple(side // vit.patch for side in mask.shape[1:]))
        gaps = [gap(one, cells) for one in tokens]
        same.append(torch.stack([one.same for one in gaps]))
        different.append(torch.stack([one.different for one in gaps]))
        every.append(torch.stack([gap(one, torch.zeros_like(cells)).same for one in tokens]))
    return ByDepth(torch.cat(same, dim=1), torch.cat(different, dim=1), torch.cat(every, dim=1))


def covered(maps: Float[Tensor, "n rows columns"], masks: Bool[Tensor, "n h w"]) -> Float[Tensor, "n"]:
    """Intersection over union, 0..1, of the pixels where a map (bilinear) is at least OBJECT and those of the mask."""
    large = resized(maps, tuple(masks.shape[1:])) >= OBJECT
    return (large & masks).sum(dim=(1, 2)) / (large | masks).sum(dim=(1, 2))
