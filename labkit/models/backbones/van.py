"""A large kernel, taken apart into three cheap steps, makes a map of weights that the picture is multiplied by.

Paper    Guo et al., "Visual Attention Network", Computational Visual Media 2023
Adds     large kernel attention (LKA): long range, linear in the cells, different for each channel, no softmax
Reads    a = conv 1x1(depthwise 7x7, every third cell(depthwise 5x5(x)))        b h w c
         LKA(x) = x ∘ a
         mixer(x) = x + P2(LKA(GELU(P1 x)))          P1, P2 linear, a cell for itself
         MLP(x) = W2 GELU(depthwise 3x3(W1 x))
Costs    3 dim² + 74 dim multiplications a cell for the mixer
Departs  nothing; what the paper calls a 21 x 21 kernel covers 23 x 23 cells as it is taken apart, here as there
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import OnMap, batch_norm
from labkit.models.scaffold import Block, Head, Patches, Scaffold, small_weights
from labkit.paper import Paper, Size

PAPER = Paper(
    number=55,
    id="van",
    title="Visual Attention Network",
    year=2022,
    arxiv="2202.09741",
    claim="Large kernel attention adapts to the picture, cell by cell and channel by channel, and reaches far, as "
    "attention does, at a cost that grows with the number of cells and not with its square.",
)

# Tables 2 and 5 of the paper.
SIZES = {
    "b0": Size({"dims": (32, 64, 160, 256), "depths": (3, 3, 5, 2)}, 4_105_800, 0.864e9, top1=75.4),
    "b1": Size({"dims": (64, 128, 320, 512), "depths": (2, 2, 4, 2)}, 13_861_800, 2.495e9, top1=81.1),
    "b2": Size({"dims": (64, 128, 320, 512), "depths": (3, 3, 12, 3)}, 26_578_472, 4.993e9, top1=82.8),
}
RATIOS = (8, 8, 4, 4)


class LargeKernelAttention(nn.Module):
    """x times a map made of x by a kernel of 23 x 23 cells taken apart: `b h w c -> b h w c`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.near = OnMap(nn.Conv2d(dim, dim, 5, padding=2, groups=dim))
        self.far = OnMap(nn.Conv2d(dim, dim, 7, padding=9, dilation=3, groups=dim))
        self.channels = nn.Linear(dim, dim)
        self.weights = nn.Identity()  # named, so that it can be watched: `b h w c`

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        weights = self.weights(self.channels(self.far(self.near(x))))
        return x * weights


class LkaMixer(nn.Module):
    """LKA between two linear maps, with an identity path of its own."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj1 = nn.Linear(dim, dim)
        self.lka = LargeKernelAttention(dim)
        self.proj2 = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        y = F.gelu(self.proj1(x))
        # The block's norm comes before this mixer, so what is added here is the normed x, unlike the block's own path.
        return x + self.proj2(self.lka(y))


class ConvMlp(nn.Module):
    """Two linear maps with a look at the eight neighbours between: `b h w c -> b h w c`."""

    def __init__(self, dim: int, *, ratio: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, ratio * dim)
        self.near = OnMap(nn.Conv2d(ratio * dim, ratio * dim, 3, padding=1, groups=ratio * dim))
        self.fc2 = nn.Linear(ratio * dim, dim)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        x = F.gelu(self.near(self.fc1(x)))
        return self.fc2(x)


def van(
    *,
    dims: Sequence[int] = (32, 64, 160, 256),
    depths: Sequence[int] = (3, 3, 5, 2),
    drop_path: float = 0.0,
    classes: int = 1000,
) -> Scaffold:
    """VAN-B0."""
    model = Scaffold(
        depths=depths,
        stem=Patches(3, dims[0], kernel=7, stride=4, padding=3, norm=batch_norm),
        down=lambda stage: Patches(dims[stage - 1], dims[stage], kernel=3, stride=2, padding=1, norm=batch_norm),
        block=lambda stage, rate: Block(
            dims[stage],
            mixer=LkaMixer(dims[stage]),
            mlp=ConvMlp(dims[stage], ratio=RATIOS[stage]),
            norm=batch_norm,
            scale=1e-2,
            drop_path=rate,
        ),
        end=lambda stage: nn.LayerNorm(dims[stage], eps=1e-6),
        head=Head(dims[-1], classes, norm=lambda dim: nn.Identity()),
        drop_path=drop_path,
    )
    return model.apply(small_weights)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two stages of one block on an odd, oblong picture."""
    return van(dims=(8, 16), depths=(1, 1), classes=5), torch.randn(2, 3, 35, 26)
