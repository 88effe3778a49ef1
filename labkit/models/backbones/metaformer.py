"""A transformer with its attention taken out and a plain average of the neighbours put in: the frame does the work.

Paper    Yu et al., "MetaFormer Is Actually What You Need for Vision", CVPR 2022
Adds     MetaFormer, the frame of norm, mixer and MLP, as the thing to study; PoolFormer, the same with a mixer that has
         nothing to learn
Reads    mixer(x) = mean of x over the 3 x 3 around a cell, less x itself        b h w c
         x = x + s1 · mixer(norm(x)) ;  x = x + s2 · MLP(norm(x))
         norm: over h, w and c of a picture together, then a factor and an offset a channel
Costs    no parameters and 9 additions a value for the mixing; 8 dim² multiplications a cell and block for the MLP
Departs  the mixer is a part, so that others can be tried in the same frame; the head takes the norm of the map and then
         the mean, as the paper's models do (timm takes the mean first)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import Mlp, OnMap
from labkit.models.scaffold import Block, Head, Patches, Scaffold, small_weights
from labkit.paper import Paper, Size

PAPER = Paper(
    number=29,
    id="metaformer",
    title="MetaFormer Is Actually What You Need for Vision",
    year=2022,
    arxiv="2111.11418",
    claim="The frame of a transformer, not its attention, makes it strong: with a plain average of the neighbours as "
    "the only mixing it keeps up with attention.",
)

# Table 1 of the paper for the shapes, table 2 for top-1.
SIZES = {
    "s12": Size({"dims": (64, 128, 320, 512), "depths": (2, 2, 6, 2)}, 11_915_176, 1.812e9, top1=77.2),
    "s24": Size({"dims": (64, 128, 320, 512), "depths": (4, 4, 12, 4)}, 21_388_968, 3.392e9, top1=80.3),
    "s36": Size({"dims": (64, 128, 320, 512), "depths": (6, 6, 18, 6), "scale": 1e-6}, 30_862_760, 4.97e9, top1=81.4),
    "m36": Size({"dims": (96, 192, 384, 768), "depths": (6, 6, 18, 6), "scale": 1e-6}, 56_172_520, 8.76e9, top1=82.1),
    "m48": Size({"dims": (96, 192, 384, 768), "depths": (8, 8, 24, 8), "scale": 1e-6}, 73_473_448, 11.53e9, top1=82.5),
}


class Pooling(nn.Module):
    """The mean of the cells around, less the cell itself: 0 on a constant map, borders included.

    pool   cells along a side of the square, odd
    """

    def __init__(self, *, pool: int = 3) -> None:
        super().__init__()
        if pool % 2 == 0:
            raise ValueError(
                f"Pooling(pool={pool}): a square with a cell in its middle has an odd side; try {pool + 1}."
            )
        self.pool = pool

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        maps = rearrange(x, "b h w c -> b c h w")
        around = F.avg_pool2d(maps, self.pool, stride=1, padding=self.pool // 2, count_include_pad=False)
        # The block adds x once more: without the minus the mixer could only ever smooth.
        return rearrange(around - maps, "b c h w -> b h w c")


def map_norm(dim: int) -> nn.Module:
    """Mean 0 and variance 1 over a picture's whole map, all its channels together."""
    return OnMap(nn.GroupNorm(1, dim))


def metaformer(
    *,
    dims: Sequence[int] = (64, 128, 320, 512),
    depths: Sequence[int] = (2, 2, 6, 2),
    mixer: Callable[[int, int], nn.Module] = lambda stage, dim: Pooling(),
    scale: float = 1e-5,
    drop_path: float = 0.0,
    classes: int = 1000,
) -> Scaffold:
    """PoolFormer-S12, or the same frame with another mixer: `mixer(stage, dim)` makes one, `b h w c -> b h w c`."""
    model = Scaffold(
        depths=depths,
        stem=Patches(3, dims[0], kernel=7, stride=4, padding=2),
        down=lambda stage: Patches(dims[stage - 1], dims[stage], kernel=3, stride=2, padding=1),
        block=lambda stage, rate: Block(
            dims[stage],
            mixer=mixer(stage, dims[stage]),
            mlp=Mlp(dims[stage]),
            norm=map_norm,
            scale=scale,
            drop_path=rate,
        ),
        head=Head(dims[-1], classes, norm=map_norm),
        drop_path=drop_path,
    )
    return model.apply(small_weights)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two stages of one block on an odd, oblong picture."""
    return metaformer(dims=(8, 16), depths=(1, 1), scale=0.5, classes=5), torch.randn(2, 3, 35, 26)
