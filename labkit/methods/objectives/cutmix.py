"""A box is cut out of one picture and pasted into another, and the label is shared out by the pixels of each.

Paper    Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019
Adds     what fills the box: pixels of another picture, so that none is wasted; and a label for what is to be seen now
Reads    λ ~ Beta(α, α), one a batch;  a box of √(1-λ) h x √(1-λ) w pixels, its centre anywhere, cut at the border
         x' = x_j in the box, x_i elsewhere         b 3 h w         j: the batch in another order
         y' = k y_i + (1-k) y_j                     b classes       k: the share of pixels outside the box
         mixup:  x' = λ x_i + (1-λ) x_j,  y' likewise          hole:  x' = 0 in the box,  y' = y_i
Costs    a copy of the batch; the model sees as many pictures as without
Departs  edges are rounded to the nearest pixel, where the released code rounds half a side down: with α = 1 a box takes
         0.32 of a picture of 32 pixels a side on average, not 0.30. The rivals are here too: mixup (Zhang et al. 2018)
         and a hole (Cutout, DeVries & Taylor 2017), drawn as CutMix's box is, so that they differ in what fills it
         alone; Cutout's own are squares of one size, another for each picture
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Generator, Tensor, nn

from labkit.models.backbones.metaformer import metaformer
from labkit.paper import Paper

PAPER = Paper(
    number=58,
    id="cutmix",
    title="CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
    year=2019,
    arxiv="1905.04899",
    claim="Who learns from pictures with a box of another in them, and is told the share of each, knows more than who "
    "learns from whole pictures, from pictures with holes or from blends. Beside who learns from whole pictures, it "
    "also knows more of half an object and of two at once, looks more at the object itself, and is less sure of what "
    "is no picture at all.",
)

Mixture = tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b classes"]]
"""Pictures, and the share of each class in each of them."""

Way = Callable[..., Mixture]
"""A way to mix, `way(x, targets, alpha=, rng=)`: `cutmix`, `mixup` or `hole`."""


def cutmix(
    x: Float[Tensor, "b 3 h w"],
    targets: Float[Tensor, "b classes"],
    *,
    alpha: float = 1.0,
    rng: Generator | None = None,
) -> Mixture:
    """Paste a box of 1 - λ of the area, λ ~ Beta(α, α), from a shuffled batch; targets mix by the area pasted.

    One box and one order a batch. rng: of all draws; None: torch's own dice. Raises ValueError for α not above 0.
    """
    share, other = beta(alpha, rng=rng), torch.randperm(len(x), generator=rng).to(x.device)
    rows, columns = box(*x.shape[-2:], area=1 - share, rng=rng)
    x = x.clone()
    pasted = x[other, :, rows, columns]
    x[:, :, rows, columns] = pasted
    kept = 1 - pasted[0, 0].numel() / x[0, 0].numel()
    return x, kept * targets + (1 - kept) * targets[other]


def mixup(
    x: Float[Tensor, "b 3 h w"],
    targets: Float[Tensor, "b classes"],
    *,
    alpha: float = 1.0,
    rng: Generator | None = None,
) -> Mixture:
    """x' = λ x + (1 - λ) x_shuffled with one λ ~ Beta(α, α) a batch, the same for the targets; rng as in `cutmix`."""
    share, other = beta(alpha, rng=rng), torch.randperm(len(x), generator=rng).to(x.device)
    return share * x + (1 - share) * x[other], share * targets + (1 - share) * targets[other]


def hole(
    x: Float[Tensor, "b 3 h w"],
    targets: Float[Tensor, "b classes"],
    *,
    alpha: float = 1.0,
    rng: Generator | None = None,
) -> Mixture:
    """Set a box of 1 - λ of the area, λ ~ Beta(α, α), to 0, the mean colour; targets stay; rng as in `cutmix`."""
    rows, columns = box(*x.shape[-2:], area=1 - beta(alpha, rng=rng), rng=rng)
    x = x.clone()
    x[:, :, rows, columns] = 0
    return x, targets


def box(h: int, w: int, *, area: float, rng: Generator | None = None) -> tuple[slice, slice]:
    """The rows and columns of a box shaped like the picture, with `area` of its pixels (0..1), its centre anywhere.

    What would stick out is cut off: of a box with all the area a quarter may be left. Edges go to the nearest pixel.
    """
    if not 0 <= area <= 1:
        raise ValueError(f"box(area={area}): expected the share of the picture that the box takes, 0..1.")
    side = math.sqrt(area)
    row, column = (int(torch.randint(length, (), generator=rng)) for length in (h, w))
    top, bottom = max(0, round(row - side * h / 2)), min(h, round(row + side * h / 2))
    left, right = max(0, round(column - side * w / 2)), min(w, round(column + side * w / 2))
    return slice(top, bottom), slice(left, right)


def beta(alpha: float, *, rng: Generator | None = None) -> float:
    """One draw from Beta(α, α), 0..1: all shares alike for α = 1, near 0 or 1 below, near a half above."""
    if not alpha > 0:
        raise ValueError(f"beta(alpha={alpha}): expected alpha > 0; to mix less often, lower the chance of mixing.")
    # Two Gamma draws make a Beta draw; torch's own Beta takes no generator.
    first, second = torch._standard_gamma(torch.full((2,), alpha), generator=rng).tolist()
    return first / (first + second)


class Mixed(nn.Module):
    """A model that is taught on mixtures, `b 3 h w -> b classes`: asked, it answers as the model does.

    way      `cutmix`, `mixup` or `hole`, with its alpha
    chance   0..1, that a batch is mixed at all; the paper's is 1 on ImageNet, a half on CIFAR
    """

    def __init__(
        self, model: nn.Module, *, classes: int, way: Way = cutmix, alpha: float = 1.0, chance: float = 1.0
    ) -> None:
        super().__init__()
        if not 0 <= chance <= 1:
            raise ValueError(f"Mixed(chance={chance}): expected the chance that a batch is mixed, 0..1.")
        self.model = model
        self.classes = classes
        self.way = way
        self.alpha = alpha
        self.chance = chance

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b classes"]:
        """The logits of pictures as they come, mixed or not."""
        return self.model(images)

    def loss(
        self, images: Float[Tensor, "b 3 h w"], labels: Int64[Tensor, "b"], *, rng: Generator | None = None
    ) -> Float[Tensor, ""]:
        """The cross-entropy of these pictures with their labels (0..classes-1), in nats, mixed by `chance`."""
        targets = F.one_hot(labels, self.classes).float()
        if torch.rand((), generator=rng) < self.chance:
            images, targets = self.way(images, targets, alpha=self.alpha, rng=rng)
        return F.cross_entropy(self(images).float(), targets)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair: a model of two stages that is taught by CutMix, two odd, oblong pictures."""
    model = metaformer(dims=(8, 16), depths=(1, 1), scale=0.5, classes=5)
    return Mixed(model, classes=5), torch.randn(2, 3, 35, 26)
