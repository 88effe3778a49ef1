"""A Mamba block without its scan: what is left is a convolution under a gate, and for seeing it may be enough.

Paper    Yu, Wang, "MambaOut: Do We Really Need Mamba for Vision?", CVPR 2025
Adds     a test of need: the block of the vision Mambas, less the one part they are named for, in plain stages; and a
         measure of when a sequence is long
Reads    (g, i, c) = split(x W1)               b h w c;  g: hidden, i: hidden - dim, c: dim channels, hidden = 8/3 dim
         mixer(x)  = W2 (GELU(g) ∘ [i, depthwise 7x7(c)])
         x = x + mixer(norm(x))                no MLP: the two linear maps of the mixer stand for it
         long: n > 6 dim                       from there on the n² part of attention outweighs the linear rest
Costs    8 dim² + 49 dim multiplications a cell and block, linear in the cells
Departs  nothing; the paper's models at other sizes differ in widths and depths alone
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import DropPath, OnMap
from labkit.models.scaffold import Patches, Scaffold, small_weights
from labkit.paper import Paper, Size

PAPER = Paper(
    number=81,
    id="mambaout",
    title="MambaOut: Do We Really Need Mamba for Vision?",
    year=2024,
    arxiv="2405.07992",
    claim="A scan with a memory pays where a sequence is long and read in one direction; telling what is in a picture "
    "is neither, so the Mamba block does as well there with its scan taken out.",
)

# Table 1 of the paper, at 224 pixels.
SIZES = {
    "femto": Size({"dims": (48, 96, 192, 288), "depths": (3, 3, 9, 3)}, 7_304_536, 1.148e9, top1=78.9),
    "kobe": Size({"dims": (48, 96, 192, 288), "depths": (3, 3, 15, 3)}, 9_141_208, 1.506e9, top1=80.0),
    "tiny": Size({"dims": (96, 192, 384, 576), "depths": (3, 3, 9, 3)}, 26_545_096, 4.470e9, top1=82.7),
}


class GatedConv(nn.Module):
    """A depthwise convolution of a part of the channels, under a gate: `b h w c -> b h w c`.

    kernel   cells along a side, odd
    ratio    hidden channels of the gate, and of what it is multiplied with, a channel of x; at least 1
    mixer    what stands in the place of the convolution on its `dim` channels, `b h w c -> b h w c`
    """

    def __init__(self, dim: int, *, kernel: int = 7, ratio: float = 8 / 3, mixer: nn.Module | None = None) -> None:
        super().__init__()
        if kernel % 2 == 0 or ratio < 1:
            raise ValueError(
                f"GatedConv(kernel={kernel}, ratio={ratio:g}): expected an odd kernel, so that a cell lies in its "
                "middle, and a ratio of at least 1, so that the hidden channels hold those of the convolution."
            )
        hidden = int(ratio * dim)
        self.parts = (hidden, hidden - dim, dim)
        self.fc1 = nn.Linear(dim, 2 * hidden)
        self.gate = nn.Identity()  # named, so that it can be watched: `b h w hidden`
        self.mixer = mixer or OnMap(nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim))
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        gate, still, moved = self.fc1(x).split(self.parts, dim=-1)
        gate = self.gate(F.gelu(gate))
        return self.fc2(gate * torch.cat([still, self.mixer(moved)], dim=-1))


class GatedBlock(nn.Module):
    """x + mixer(norm(x)), and no MLP: `b h w c -> b h w c`."""

    def __init__(self, dim: int, *, mixer: nn.Module, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.mixer = mixer
        self.skip = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return x + self.skip(self.mixer(self.norm(x)))


class MlpHead(nn.Module):
    """The mean over the map, and two linear maps with a norm before each: `b h w c -> b classes`."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.norm2 = nn.LayerNorm(4 * dim, eps=1e-6)
        self.fc2 = nn.Linear(4 * dim, classes)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b classes"]:
        x = self.norm1(x.mean(dim=(1, 2)))
        x = F.gelu(self.fc1(x))
        return self.fc2(self.norm2(x))


def long_from(dim: int) -> int:
    """Tokens from which attention's n² part outweighs the rest of a transformer's block: 4 dim n² > 24 dim² n.

    The block has an MLP of ratio 4; multiplications and additions are counted apart (source: the paper, section 3.2).
    """
    return 6 * dim


def token_norm(dim: int) -> nn.Module:
    return nn.LayerNorm(dim, eps=1e-6)


def mambaout(
    *,
    dims: Sequence[int] = (96, 192, 384, 576),
    depths: Sequence[int] = (3, 3, 9, 3),
    mixer: Callable[[int, int], nn.Module] = lambda stage, dim: GatedConv(dim),
    drop_path: float = 0.0,
    classes: int = 1000,
) -> Scaffold:
    """MambaOut-Tiny, or the same frame with another mixer: `mixer(stage, dim)` makes one, `b h w c -> b h w c`."""

    def down(dim_in: int, dim: int) -> Patches:
        return Patches(dim_in, dim, kernel=3, stride=2, padding=1, norm=token_norm)

    model = Scaffold(
        depths=depths,
        stem=nn.Sequential(down(3, dims[0] // 2), nn.GELU(), down(dims[0] // 2, dims[0])),
        down=lambda stage: down(dims[stage - 1], dims[stage]),
        block=lambda stage, rate: GatedBlock(dims[stage], mixer=mixer(stage, dims[stage]), drop_path=rate),
        head=MlpHead(dims[-1], classes),
        drop_path=drop_path,
    )
    return model.apply(small_weights)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two stages of one block on an odd, oblong picture."""
    return mambaout(dims=(8, 16), depths=(1, 1), classes=5), torch.randn(2, 3, 35, 26)
