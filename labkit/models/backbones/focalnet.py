"""Each cell gathers what lies around it at several ranges, weighs them by its own content, and is multiplied by it.

Paper    Yang et al., "Focal Modulation Networks", NeurIPS 2022
Adds     focal modulation in the place of attention: first gather, for all queries at once, then meet the query
Reads    q, z0, g = split(x W)                b h w c,  b h w c,  b h w L+1
         zl = GELU(depthwise(z(l-1)))         l = 1 … L, kernel 3, 5, 7, …
         z(L+1) = GELU(mean of zL)            the whole map
         m  = h(Σ gl · zl)                    a gate gl: one number a cell, no activation
         y  = (q ∘ m) W_out
Costs    4 dim² multiplications a cell for the linear maps and dim · Σ kernel² for the levels: linear in the cells
Departs  the variant with layer scale and norms behind (large, huge) is left out; a picture whose sides are no multiples
         of the patch is padded below and at the right
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import Mlp, OnMap
from labkit.models.scaffold import Block, Head, Patches, Scaffold, small_weights
from labkit.paper import Paper, Size

PAPER = Paper(
    number=54,
    id="focalnet",
    title="Focal Modulation Networks",
    year=2022,
    arxiv="2203.11926",
    claim="Contexts gathered from short to long range, gated by each token's content and multiplied into it, take the "
    "place of attention at a like cost, and do better.",
)

# Tables 1, 2 and 6 of the paper; srf: two focal levels, lrf: three; iso: one stage on a grid of 16 x 16 pixels a cell.
SIZES = {
    "tiny_srf": Size({"dim": 96, "depths": (2, 2, 6, 2), "levels": 2}, 28_427_116, 4.403e9, top1=82.1),
    "tiny_lrf": Size({"dim": 96, "depths": (2, 2, 6, 2), "levels": 3}, 28_647_928, 4.475e9, top1=82.3),
    "iso_tiny": Size({"dim": 192, "depths": (12,), "levels": 3, "patch": 16}, 5_880_280, 1.109e9, top1=74.1),
}


class FocalModulation(nn.Module):
    """Focal modulation, `b h w c -> b h w c`.

    levels   how many ranges are gathered beside the whole map; level l has a kernel of window + 2 l cells (l from 0)
    whole    False leaves the mean of the map out: the gates then weigh the levels alone
    """

    def __init__(self, dim: int, *, levels: int = 2, window: int = 3, whole: bool = True) -> None:
        super().__init__()
        if levels < 1 or window % 2 == 0:
            raise ValueError(
                f"FocalModulation(levels={levels}, window={window}): expected at least one level and an odd window, so "
                "that a cell lies in the middle of its surroundings."
            )
        self.dim, self.levels, self.whole = dim, levels, whole
        self.split = nn.Linear(dim, 2 * dim + levels + 1)
        self.focus = nn.ModuleList(
            OnMap(nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim, bias=False))
            for kernel in range(window, window + 2 * levels, 2)
        )
        self.h = nn.Linear(dim, dim)
        self.gates = nn.Identity()  # named, so that it can be watched: `b h w levels+1`
        self.modulator = nn.Identity()  # likewise: `b h w c`
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        query, context, gates = self.split(x).split((self.dim, self.dim, self.levels + 1), dim=-1)
        gates = self.gates(gates)
        gathered = torch.zeros_like(query)
        for level, focus in enumerate(self.focus):
            context = F.gelu(focus(context))
            gathered = gathered + context * gates[..., level, None]
        if self.whole:
            everything = F.gelu(context.mean(dim=(1, 2), keepdim=True))
            gathered = gathered + everything * gates[..., -1, None]
        modulator = self.modulator(self.h(gathered))
        return self.proj(query * modulator)


def focalnet(
    *,
    dim: int = 96,
    depths: Sequence[int] = (2, 2, 6, 2),
    levels: int = 2,
    window: int = 3,
    patch: int = 4,
    drop_path: float = 0.0,
    classes: int = 1000,
) -> Scaffold:
    """FocalNet-T: the width doubles from stage to stage, and the grid halves."""
    dims = [dim << stage for stage in range(len(depths))]
    model = Scaffold(
        depths=depths,
        stem=Patches(3, dim, kernel=patch, stride=patch, norm=nn.LayerNorm),
        down=lambda stage: Patches(dims[stage - 1], dims[stage], kernel=2, stride=2, norm=nn.LayerNorm),
        block=lambda stage, rate: Block(
            dims[stage],
            mixer=FocalModulation(dims[stage], levels=levels, window=window),
            mlp=Mlp(dims[stage]),
            drop_path=rate,
        ),
        head=Head(dims[-1], classes),
        drop_path=drop_path,
    )
    return model.apply(small_weights)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two stages of one block on an odd, oblong picture."""
    return focalnet(dim=8, depths=(1, 1), classes=5), torch.randn(2, 3, 35, 26)
