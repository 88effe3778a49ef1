"""A picture is turned by 0, 90, 180 and 270 degrees, and the network must say by how much: it has to know what is up.

Paper    Gidaris et al., "Unsupervised Representation Learning by Predicting Image Rotations", ICLR 2018
Adds     a task that needs no labels and no decoder: four answers, made from the picture alone
Reads    loss = mean over y in 0..3 of -log p(y | turn(x, y))         4 b pictures a step, all turns of each
         turn(x, y) = x turned y quarters to the left, by flips and a transpose: no pixel is made up
Costs    four passes a picture; a head of 4 c weights, thrown away afterwards
Departs  asked here of any backbone with a `head`, in the place of the paper's network in network and AlexNet
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

TURNS = 4


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
