"""A student learns the attention of one layer of a teacher: the one whose heads look near and far at once.

Paper    Zhang et al., "UNIP: Rethinking Pre-trained Attention Patterns for Infrared Semantic Segmentation", ICLR 2025
Adds     a number that finds the hybrid layer (NMI), the distillation of that layer's attention alone (NMI-HAD), and a
         feature pyramid made of the last layer only (LL-FPN)
Reads    NMI_l = I(q; k) / √(H(q) H(k))       of layer l's attention, heads and pictures averaged; p(q) = 1 / n
         l*    = argmin_l |NMI_l - 0.09|
         loss  = mean over pictures, heads, queries of Σ_k T log(T / S)     b heads q k, class token included
                 T: the teacher's attention in layer l*, S: the student's in its last block, with as many heads
         LL-FPN: the last layer's map b c h w  ->  4 h x 4 w, 2 h x 2 w, h x w, h/2 x w/2
Costs    the teacher up to layer l* and the student, a picture; the student's last block learns queries and keys alone
Departs  positions are learned, not fixed sines; the segmentation head behind the pyramid (UPerNet) is left out
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.backbones.vit import ViT
from labkit.paper import Paper, Size
from labkit.taps import reading

PAPER = Paper(
    number=16,
    id="unip",
    title="UNIP: Rethinking Pre-trained Attention Patterns for Infrared Semantic Segmentation",
    year=2025,
    arxiv="2502.02257",
    claim="A ViT's layers are local, hybrid or global, and what it was taught decides which are which; the hybrid "
    "layer serves best where texture is gone, and a student that learns its attention alone gets its pattern.",
)

# Without a head; the last block has the 16 heads of MAE-L, the teacher.
SIZES = {
    "t": Size({"dim": 192, "heads": 3}, 5_524_416, 1.26e9),
    "s": Size({"dim": 384, "heads": 6}, 21_665_664, 4.6e9),
    "b": Size({"dim": 768, "heads": 12}, 85_798_656, 17.6e9),
}

HYBRID = 0.09
"""The NMI of the layer that is worth having; the paper finds any target in 0.06..0.12 to choose the same."""


def unip(
    *,
    dim: int = 192,
    heads: int = 3,
    last_heads: int = 16,
    depth: int = 12,
    image: int = 224,
    patch: int = 16,
    classes: int = 0,
) -> ViT:
    """A student, `b 3 H W -> b c`: a ViT whose last block has the teacher's number of heads; 0 classes: no head.

    Raises ValueError when the channels cannot be shared out among the heads.
    """
    student = ViT(dim=dim, heads=heads, depth=depth, image=image, patch=patch, classes=classes or 1, drop_path=0.1)
    if not classes:
        student.head = nn.Identity()
    last = student.blocks[-1].attn
    if dim % last_heads:
        raise ValueError(
            f"unip(dim={dim}, last_heads={last_heads}): every head needs the same whole number of channels."
        )
    last.heads, last.scale = last_heads, (dim // last_heads) ** -0.5
    return student


def hybrid_layer(nmi: Sequence[float], *, target: float = HYBRID) -> int:
    """The layer, from 0, whose NMI is nearest the target. Raises ValueError where there is no layer."""
    if not len(nmi):
        raise ValueError("hybrid_layer() got no layers: give the NMI of at least one.")
    return min(range(len(nmi)), key=lambda layer: abs(nmi[layer] - target))


def attention_of(vit: ViT, images: Float[Tensor, "b 3 h w"], *, layer: int) -> Float[Tensor, "b heads q k"]:
    """The attention of one layer (from 0, or from behind), class token included, with its graph."""
    with reading(vit.blocks[layer], "b heads q k") as found:
        vit(images)
    (attention,) = found.values()
    return attention


def distillation(student: Float[Tensor, "b heads q k"], teacher: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """KL(teacher || student) in nats, averaged over pictures, heads and queries; 0 where both look at the same.

    Raises ValueError when they do not have the same shape.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"distillation() got a student of {tuple(student.shape)} and a teacher of {tuple(teacher.shape)}: expected "
            "the same pictures, heads and tokens; give the student's last block the teacher's number of heads."
        )
    least = torch.finfo(teacher.dtype).tiny
    surprise = teacher.clamp_min(least).log() - student.clamp_min(least).log()
    return (teacher * surprise).sum(dim=-1).mean()


class LastLayerPyramid(nn.Module):
    """LL-FPN, `b c h w` to four maps of c channels: four and two times as many cells a side, as many, half as many."""

    def __init__(self, dim: int) -> None:
        super().__init__()

        def twice() -> nn.Module:
            return nn.ConvTranspose2d(dim, dim, kernel_size=2, stride=2)

        self.scales = nn.ModuleList(
            [
                nn.Sequential(twice(), nn.BatchNorm2d(dim), nn.GELU(), twice()),
                twice(),
                nn.Identity(),
                nn.MaxPool2d(kernel_size=2, stride=2),
            ]
        )

    def forward(self, last: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        return tuple(scale(last) for scale in self.scales)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair: two blocks, two heads and then four, a 3 x 2 grid."""
    return unip(dim=8, heads=2, last_heads=4, depth=2, image=15, patch=3), torch.randn(2, 3, 9, 6)
