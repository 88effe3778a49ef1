"""The small parts that several backbones share, where their equations are the same."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


class Mlp(nn.Module):
    """Two linear maps with a GELU between: every token for itself, `n c -> n c`."""

    def __init__(self, dim: int, *, ratio: float = 4.0) -> None:
        super().__init__()
        hidden = int(dim * ratio)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "*batch c"]) -> Float[Tensor, "*batch c"]:
        x = F.gelu(self.fc1(x))
        return self.fc2(x)


class PatchStem(nn.Module):
    """Cut the image into `patch x patch` squares and project each to one token: `b 3 H W -> b c h w`."""

    def __init__(self, dim: int, *, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)

    def forward(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b c h w"]:
        return self.proj(image)


class ConvStem(nn.Module):
    """Reach the same grid in steps of two: 3x3 convolutions of stride 2, then a 1x1 projection, `b 3 H W -> b c h w`.

    Source: Xiao et al., "Early Convolutions Help Transformers See Better", NeurIPS 2021, section 4: it costs about one
    transformer block and trains better, above all on little data.
    """

    def __init__(self, dim: int, *, patch: int) -> None:
        super().__init__()
        if patch < 2 or patch & (patch - 1):
            raise ValueError(f"ConvStem(patch={patch}): expected a power of two, because every step halves the grid.")
        self.patch = patch
        steps = patch.bit_length() - 1
        widths = [3, *(dim >> step for step in reversed(range(steps)))]
        halvings = [
            nn.Sequential(
                nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
            )
            for before, after in pairwise(widths)
        ]
        self.halve = nn.Sequential(*halvings)
        self.proj = nn.Conv2d(dim, dim, kernel_size=1)

    def forward(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b c h w"]:
        x = self.halve(image)
        return self.proj(x)


class GridPositions(nn.Module):
    """One learned vector per cell of a square grid, resized (bicubic) when the picture has another grid."""

    def __init__(self, dim: int, *, grid: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, dim, grid, grid) * 0.02)

    def forward(self, h: int, w: int) -> Float[Tensor, "1 n c"]:
        table = self.table
        if (h, w) != table.shape[-2:]:
            table = F.interpolate(table, size=(h, w), mode="bicubic", align_corners=False)
        return rearrange(table, "1 c h w -> 1 (h w) c")


class DropPath(nn.Module):
    """In training, drop a whole residual branch for a sample with probability `rate`; scale the others up to match."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "b *rest"]) -> Float[Tensor, "b *rest"]:
        if not self.training or self.rate == 0:
            return x
        keep = torch.rand(len(x), *(1,) * (x.ndim - 1), device=x.device) >= self.rate
        return x * keep / (1 - self.rate)


class OnMap(nn.Module):
    """A part that takes maps `b c h w` (a convolution, a norm of torch), where the tokens come as `b h w c`."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Float[Tensor, "b h_in w_in c_in"]) -> Float[Tensor, "b h w c"]:
        x = self.part(rearrange(x, "b h w c -> b c h w"))
        return rearrange(x, "b c h w -> b h w c")


def batch_norm(dim: int) -> nn.Module:
    """Batch norm where the tokens come as `b h w c`."""
    return OnMap(nn.BatchNorm2d(dim))


class ConvBn(nn.Sequential):
    """A convolution without bias, its batch norm, and what comes then: `b c_in h_in w_in -> b c h w`.

    kernel   cells a side, or (rows, columns), odd, with zeros around; `then`: an activation, None leaves it linear
    """

    def __init__(
        self,
        dim_in: int,
        dim: int,
        kernel: int | tuple[int, int] = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        then: nn.Module | None = None,
    ) -> None:
        padding = kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)
        conv = nn.Conv2d(dim_in, dim, kernel, stride=stride, padding=padding, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(dim), *([] if then is None else [then]))
