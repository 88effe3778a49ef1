"""A CNN that has learned from attacked pictures beside others: whose maps of what mattered lie on the object?

Paper    Nourelahi et al., "How explainable are adversarially-robust CNNs?", 2022
Adds     the question whether a training that makes a CNN robust makes it explainable; many methods, many CNNs and
         several measures at once; and that two of the measures follow how sure a CNN is
Reads    robust:      loss = -log p(y | x'),  x' the worst picture with |x' - x| <= radius, by PGD        b 3 h w
         insertion:   the area under p(y | the first pixels of the map's order), up to the picture itself
         deletion:    the area under p(y | all but the first pixels),            down to nothing
                      both hold p(y | x) as a factor: a CNN that is half as sure has half of each
         per confidence:  area / p(y | x)                                                                 b
Costs    the training: `steps` passes forth and back more for each step; the measures: as in labkit.probes
Departs  one small CNN in the place of five large ones, and CutMix in the place of AdvProp, as the third training. The
         areas per confidence are ours (the paper shows that the plain ones are biased). Attacked pixels may leave 0..1
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Generator, Tensor, nn

from labkit.methods.objectives.adversarial import attacked
from labkit.models.backbones.resnet import ResNet
from labkit.paper import Paper

PAPER = Paper(
    number=15,
    id="robust_explain",
    title="How explainable are adversarially-robust CNNs?",
    year=2022,
    arxiv="2205.13042",
    claim="A CNN that has learned from attacked pictures is explained better by gradients, but not by class activation "
    "maps; GradCAM and RISE are the best methods whatever the training; and insertion and deletion say less of a map "
    "than of how sure the CNN is.",
)


class Robust(nn.Module):
    """A model that is taught on the worst picture near each: asked, it answers as the model does.

    radius   how far each colour of each pixel may move, in units of RGB 0..1; found by so many `steps` of gradient
    std      what the pictures' colours were divided by, where they are normalised
    """

    def __init__(
        self, model: nn.Module, *, radius: float = 4 / 255, steps: int = 2, std: Sequence[float] = (1.0, 1.0, 1.0)
    ) -> None:
        super().__init__()
        if len(std) != 3 or min(std) <= 0:
            raise ValueError(f"Robust(std={tuple(std)}): expected three numbers above 0, one a colour.")
        self.model = model
        self.radius = radius
        self.steps = steps
        self.std = tuple(std)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b classes"]:
        """The logits of pictures as they come, attacked or not."""
        return self.model(images)

    def worst(
        self, images: Float[Tensor, "b 3 h w"], labels: Int64[Tensor, "b"], *, rng: Generator | None = None
    ) -> Float[Tensor, "b 3 h w"]:
        """The pictures within `radius` that the model gets most wrong; rng: see `attacked`."""
        targets = F.one_hot(labels, self.model.head.out_features).to(images)
        scale = 1 / torch.tensor(self.std, device=images.device).view(1, 3, 1, 1)
        return attacked(self, images, targets, radius=self.radius, steps=self.steps, scale=scale, rng=rng)

    def loss(
        self, images: Float[Tensor, "b 3 h w"], labels: Int64[Tensor, "b"], *, rng: Generator | None = None
    ) -> Float[Tensor, ""]:
        """The cross-entropy of the worst pictures with the labels (0..classes-1), in nats."""
        return F.cross_entropy(self(self.worst(images, labels, rng=rng)).float(), labels)


def robust_explain(
    *,
    widths: Sequence[int] = (24, 48, 96, 144),
    depths: Sequence[int] = (1, 1, 1, 1),
    radius: float = 4 / 255,
    classes: int = 50,
) -> Robust:
    """The CNN of the lab's three trainings (`lab/cnn-plain`, `cnn-cutmix`, `cnn-robust`), as the third is taught."""
    return Robust(ResNet(widths=widths, depths=depths, classes=classes), radius=radius)


def per_confidence(areas: Float[Tensor, "b"], confidence: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
    """Areas under a probability (0..1) as shares of the probability of the whole picture, each by its own; >= 0.

    1 = on the way as probable as the whole, on average; above 1 where parts are surer than the whole. So a CNN is not
    said to have a better map for being surer. Raises ValueError for probabilities that are not above 0 and at most 1.
    """
    if not ((confidence > 0) & (confidence <= 1)).all():
        low, high = confidence.min().item(), confidence.max().item()
        raise ValueError(f"per_confidence: expected probabilities above 0, at most 1, got {low:.3g} to {high:.3g}.")
    return areas / confidence


def ranked(scores: Float[Tensor, "*axes methods"]) -> Float[Tensor, "*axes methods"]:
    """The place of each method among all, 1 = the highest score; methods with the same score share their places."""
    higher = (scores[..., None, :] > scores[..., :, None]).sum(dim=-1)
    alike = (scores[..., None, :] == scores[..., :, None]).sum(dim=-1)
    return 1 + higher + (alike - 1) / 2


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair: a CNN of two stages that is taught on attacked pictures, two odd, oblong pictures."""
    model = robust_explain(widths=(4, 8), depths=(1, 1), classes=5)
    for name, weight in model.named_parameters():
        if name.endswith("bn2.weight"):  # a fresh branch is closed: behind it nothing would learn yet
            nn.init.constant_(weight, 0.5)
    return model, torch.randn(2, 3, 19, 26)
