"""A residual network: stacks of 3x3 convolutions that each only add a correction to what came in.

Paper    He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (basic blocks)
Adds     y = x + F(x): the identity path carries the signal, so depth trains
Reads    F(x) = BN(conv(ReLU(BN(conv(x)))))        b c h w
Costs    18 c² multiplications a cell and block
Departs  the stem is one 3x3 convolution of stride 2 without pooling, for small pictures; the pre-addition scale of each
         branch starts at zero (Goyal et al. 2017), so that training starts from the identity
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.taps import Tap


class BasicBlock(nn.Module):
    def __init__(self, dim_in: int, dim: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim_in, dim, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(dim)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(dim)
        nn.init.zeros_(self.bn2.weight)
        same = stride == 1 and dim_in == dim
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(dim_in, dim, 1, stride=stride, bias=False), nn.BatchNorm2d(dim))
        )
        self.map = Tap("b c h w")

    def forward(self, x: Float[Tensor, "b c_in h_in w_in"]) -> Float[Tensor, "b c h w"]:
        branch = F.relu(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        x = F.relu(self.shortcut(x) + branch)
        return self.map(x)


class ResNet(nn.Module):
    """`b 3 H W` (any size of at least 16 pixels a side) to `b classes` logits."""

    def __init__(
        self, *, widths: Sequence[int] = (32, 64, 128, 256), depths: Sequence[int] = (2, 2, 2, 2), classes: int = 1000
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        self.stages = nn.Sequential()
        dim_in = widths[0]
        for index, (dim, depth) in enumerate(zip(widths, depths, strict=True)):
            stage = nn.Sequential()
            for block in range(depth):
                stage.append(BasicBlock(dim_in, dim, stride=2 if block == 0 and index > 0 else 1))
                dim_in = dim
            self.stages.append(stage)
        self.head = nn.Linear(dim_in, classes)

    def forward(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b classes"]:
        x = self.stem(image)
        x = self.stages(x)
        x = x.mean(dim=(2, 3))
        return self.head(x)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two stages of one block on an odd, oblong picture."""
    return ResNet(widths=(4, 8), depths=(1, 1), classes=5), torch.randn(2, 3, 19, 26)
