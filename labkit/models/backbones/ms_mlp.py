"""Groups of channels step aside, each by its own shift, and are convolved where they land: near and far in one block.

Paper    Zheng et al., "Mixing and Shifting: Exploiting Global and Local Dependencies in Vision MLPs", 2022
Adds     the mix-shift mixer: five groups of channels, shifted by -2 to 2 cells, each with a kernel of its own size
Reads    a_g = depthwise k_g x k_g (roll(x_g, s_g, along the row))         b h w c_g
         d_g = depthwise k_g x k_g (roll(x_g, s_g, along the column))
         x = x + scale ∘ W2 GELU(W1 norm([a_1 … a_5] + [d_1 … d_5]))       one residual, one norm, before the MLP
Costs    2 Σ c_g k_g² multiplications a cell for the mixing, 8 dim² for the MLP; linear in the cells
Departs  pictures of any size are taken; kernels and shifts are those of the released models, where the kernel grows
         from shift -2 to 2 and not with the distance, as the paper's text has it
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import DropPath, Mlp
from labkit.models.scaffold import Patches, PooledHead, Scaffold, Scale, small_weights
from labkit.paper import Paper, Size

PAPER = Paper(
    number=25,
    id="ms_mlp",
    title="Mixing and Shifting: Exploiting Global and Local Dependencies in Vision MLPs",
    year=2022,
    arxiv="2202.06510",
    claim="Channels that are shifted and mixed where they land bring near and far cells together in one block, without "
    "attention and without further weights, and see better for it.",
)

# Table 1 of the paper; parameters and multiplications are those of its released configurations.
SIZES = {
    "tiny": Size({"dims": (96, 192, 384, 768), "depths": (3, 3, 9, 3)}, 28_656_232, 4.438e9, top1=82.1),
    "small": Size({"dims": (96, 192, 384, 768), "depths": (3, 3, 27, 3)}, 50_303_752, 8.667e9, top1=83.4),
    "base": Size({"dims": (128, 256, 512, 1024), "depths": (3, 3, 27, 3)}, 88_696_792, 15.334e9, top1=83.8),
}

SHIFTS = (-2, -1, 0, 1, 2)
KERNELS = ((1, 1, 3, 5, 7), (1, 3, 3, 5, 7), (1, 5, 5, 5, 7), (1, 7, 7, 7, 7))
"""Cells along a side, one a group of channels, stage by stage."""


class MixShift(nn.Module):
    """Shift each group of channels and convolve it where it lands, along rows and along columns: `b h w c -> b h w c`.

    shifts   cells, one a group: content moves right and down by so many. What leaves at one border enters at the other
    kernels  cells along a side, odd, one a group
    """

    def __init__(self, dim: int, *, shifts: Sequence[int] = SHIFTS, kernels: Sequence[int] = KERNELS[0]) -> None:
        super().__init__()
        if len(shifts) != len(kernels) or any(kernel % 2 == 0 for kernel in kernels):
            raise ValueError(
                f"MixShift(shifts={tuple(shifts)}, kernels={tuple(kernels)}): expected one odd kernel a shift."
            )
        widths = [len(group) for group in torch.arange(dim, device="cpu").chunk(len(shifts))]
        if len(widths) < len(shifts):
            raise ValueError(f"MixShift(dim={dim}): fewer groups of channels than the {len(shifts)} shifts; widen dim.")
        self.shifts, self.widths = tuple(shifts), widths
        self.along_rows, self.along_columns = (
            nn.ModuleList(
                nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
                for width, kernel in zip(widths, kernels, strict=True)
            )
            for _ in range(2)
        )

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        groups = rearrange(x, "b h w c -> b c h w").split(self.widths, dim=1)
        across = [
            conv(part.roll(shift, dims=3))
            for conv, part, shift in zip(self.along_rows, groups, self.shifts, strict=True)
        ]
        down = [
            conv(part.roll(shift, dims=2))
            for conv, part, shift in zip(self.along_columns, groups, self.shifts, strict=True)
        ]
        return rearrange(torch.cat(across, dim=1) + torch.cat(down, dim=1), "b c h w -> b h w c")


class MixShiftBlock(nn.Module):
    """x + scale ∘ mlp(norm(mixer(x))): mixed and thought about in one branch, `b h w c -> b h w c`."""

    def __init__(self, dim: int, *, mixer: nn.Module, scale: float = 1e-6, drop_path: float = 0.0) -> None:
        super().__init__()
        self.mixer = mixer
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim)
        self.scale = Scale(dim, scale)
        self.skip = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return x + self.skip(self.scale(self.mlp(self.norm(self.mixer(x)))))


def ms_mlp(
    *,
    dims: Sequence[int] = (96, 192, 384, 768),
    depths: Sequence[int] = (3, 3, 9, 3),
    shifts: Sequence[int] = SHIFTS,
    kernels: Sequence[Sequence[int]] = KERNELS,
    scale: float = 1e-6,
    drop_path: float = 0.0,
    classes: int = 1000,
) -> Scaffold:
    """MS-MLP-Tiny, or one with other shifts (the same at all stages) and kernels (one row of them a stage)."""

    def norm(dim: int) -> nn.Module:
        return nn.LayerNorm(dim, eps=1e-6)

    def block(stage: int, rate: float) -> MixShiftBlock:
        mixer = MixShift(dims[stage], shifts=shifts, kernels=kernels[stage])
        return MixShiftBlock(dims[stage], mixer=mixer, scale=scale, drop_path=rate)

    model = Scaffold(
        depths=depths,
        stem=Patches(3, dims[0], kernel=4, stride=4, norm=norm),
        down=lambda stage: Patches(dims[stage - 1], dims[stage], kernel=2, stride=2, norm=norm),
        block=block,
        head=PooledHead(dims[-1], classes, norm=norm),
        drop_path=drop_path,
    )
    return model.apply(small_weights)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two stages of one block on an odd, oblong picture."""
    return ms_mlp(dims=(10, 20), depths=(1, 1), scale=0.5, classes=5), torch.randn(2, 3, 35, 26)
