"""A picture is turned by 0, 90, 180 and 270 degrees, and the network must say by how much: it has to know what is up.

Paper    Gidaris et al., "Unsupervised Representation Learning by Predicting Image Rotations", ICLR 2018
Adds     a task that needs no labels and no decoder: four answers, made from the picture alone
Reads    loss = mean over y in 0..3 of -log p(y | turn(x, y))         4 b pictures a step, all turns of each
         turn(x, y) = x turned y quarters to the left, by flips and a transpose: no pixel is made up
Costs    four passes a picture; a head of 4 c weights, thrown away afterwards
Departs  asked of any backbone with a `head` too; the paper's AlexNet is left out
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.paper import Paper, Size

PAPER = Paper(
    number=48,
    id="rotnet",
    title="Unsupervised Representation Learning by Predicting Image Rotations",
    year=2018,
    arxiv="1803.07728",
    claim="A network that only has to say by how much a picture was turned must know what is in it: it learns features "
    "that tell objects apart, best in its second block, and without a label.",
)

# A network in network of so many blocks, for CIFAR's pictures.
SIZES = {
    "nin3": Size({"blocks": 3}, 1_004_484, 0.225e9, pixels=32),
    "nin4": Size({"blocks": 4}, 1_411_140, 0.2507e9, pixels=32),
    "nin5": Size({"blocks": 5}, 1_817_796, 0.277e9, pixels=32),
}

TURNS = 4


def rotnet(*, blocks: int = 4, width: int = 192, classes: int = TURNS) -> nn.Module:
    """The paper's network in network, `b 3 h w -> b classes`: each block sees around itself once, then mixes channels.

    Two blocks halve the picture's sides, the others keep them. Raises ValueError for fewer than two blocks.
    """
    if blocks < 2:
        raise ValueError(f"rotnet(blocks={blocks}): expected at least the two blocks that make the picture smaller.")
    first, second = (width, width * 5 // 6, width // 2), (width,) * 3
    parts = [
        _block(3, first, kernel=5, pool=nn.MaxPool2d(3, stride=2, padding=1)),
        _block(first[-1], second, kernel=5, pool=nn.AvgPool2d(3, stride=2, padding=1)),
        *(_block(width, second, kernel=3, pool=None) for _ in range(blocks - 2)),
    ]
    return nn.Sequential(
        OrderedDict(
            blocks=nn.Sequential(*parts),
            pool=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
            head=nn.Linear(width, classes),
        )
    )


def _block(channels: int, widths: tuple[int, ...], *, kernel: int, pool: nn.Module | None) -> nn.Module:
    parts: list[nn.Module] = []
    for size, width in zip((kernel, 1, 1), widths, strict=True):
        conv = nn.Conv2d(channels, width, size, padding=size // 2, bias=False)
        nn.init.normal_(conv.weight, std=(2 / (size**2 * width)) ** 0.5)
        parts += [conv, nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*parts, *([pool] if pool else []))


def turned(images: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b4 3 h w"], Int64[Tensor, "b4"]]:
    """All four turns of each picture, turn by turn, with their labels 0..3 (quarters to the left).

    Raises ValueError for pictures that are not square: turned by a quarter they would have another shape.
    """
    if images.shape[-1] != images.shape[-2]:
        h, w = images.shape[-2:]
        raise ValueError(f"turned() got pictures of {h} x {w}: a quarter turn keeps the shape of squares only.")
    turns = torch.cat([torch.rot90(images, y, (2, 3)) for y in range(TURNS)])
    return turns, torch.arange(TURNS, device=images.device).repeat_interleave(len(images))


class Rotation(nn.Module):
    """A model whose `head` is set aside for one with four answers, `b 3 h w -> 4b 4`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.answers = nn.Linear(model.head.in_features, TURNS)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 4"]:
        """The four logits of pictures as they come, turned or not."""
        return self.answers(features(self.model, images))

    def loss(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor]:
        """The loss over all turns, and which of the 4 b answers were right."""
        views, labels = turned(images)
        logits = self(views)
        return F.cross_entropy(logits.float(), labels), logits.argmax(dim=1) == labels


def features(model: nn.Module, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c"]:
    """What the model hands to its `head`."""
    seen: list[Tensor] = []
    hook = model.head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        model(images)
    finally:
        hook.remove()
    return seen[0]


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair: three narrow blocks, two odd, oblong pictures."""
    return rotnet(blocks=3, width=12), torch.randn(2, 3, 13, 9)
