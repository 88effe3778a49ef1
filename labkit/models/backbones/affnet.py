"""A picture's spectrum makes the filter it is multiplied by: a convolution as large as the map, new for each picture.

Paper    Huang et al., "Adaptive Frequency Filters As Efficient Global Token Mixers", ICCV 2023
Adds     the adaptive frequency filter (AFF), a global mixer by way of the Fourier transform, and AFFNet around it
Reads    X = rfft2(x)                                b c h w/2+1, complex, orthonormal
         M = shrink(L2(ReLU(L1(X))))                 L: complex linear, in 8 groups of channels; ReLU and soft shrinkage
                                                     (0.01) on the real and the imaginary part
         y = x + irfft2(M ∘ X)                       that is x + x * k, circular, with the kernel k = irfft2(M)
Costs    2 dim² / 8 complex multiplications a frequency, and n log n for the two transforms (n cells)
Departs  nothing that the paper states; the activation of the mask is ReLU and that of the convolutions SiLU
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Complex, Float
from torch import Tensor, nn

from labkit.models.layers import ConvBn, DropPath, OnMap
from labkit.models.scaffold import small_weights
from labkit.paper import Paper, Size

PAPER = Paper(
    number=8,
    id="affnet",
    title="Adaptive Frequency Filters As Efficient Global Token Mixers",
    year=2023,
    arxiv="2307.14008",
    claim="A filter in the frequency domain, made from the picture it filters, is a dynamic convolution as large as "
    "the map: a global token mixer at the price of a Fourier transform, and a more accurate one than local mixers.",
)

# Table 1 of the paper, at 256 pixels.
SIZES = {
    "et": Size({"dims": (64, 104, 144), "narrow": 48, "expand": 2}, 1_436_264, 0.356e9, pixels=256, top1=73.0),
    "t": Size({"dims": (96, 160, 192), "narrow": 48}, 2_654_232, 0.786e9, pixels=256, top1=77.0),
    "base": Size({"dims": (128, 256, 320), "narrow": 64}, 5_568_696, 1.454e9, pixels=256, top1=79.8),
}


class ComplexGroups(nn.Module):
    """A complex linear map in groups of channels: `b c h w -> b c h w`, complex."""

    def __init__(self, dim: int, *, groups: int) -> None:
        super().__init__()
        if dim % groups:
            raise ValueError(
                f"ComplexGroups(dim={dim}, groups={groups}): every group needs the same number of channels."
            )
        self.groups = groups
        each = dim // groups
        self.weight = nn.Parameter(0.02 * torch.randn(2, groups, each, each))
        self.bias = nn.Parameter(0.02 * torch.randn(2, groups, each))

    def forward(self, x: Complex[Tensor, "b c h w"]) -> Complex[Tensor, "b c h w"]:
        # In real numbers, four products: so they are counted as what they cost.
        re, im = self._times(x.real, 0) - self._times(x.imag, 1), self._times(x.imag, 0) + self._times(x.real, 1)
        return torch.complex(re + self._offset(0), im + self._offset(1))

    def _times(self, x: Float[Tensor, "b c h w"], part: int) -> Float[Tensor, "b c h w"]:
        x = rearrange(x, "b (g c) h w -> b g c h w", g=self.groups)
        return rearrange(torch.einsum("bgihw,gio->bgohw", x, self.weight[part]), "b g c h w -> b (g c) h w")

    def _offset(self, part: int) -> Float[Tensor, "c 1 1"]:
        return self.bias[part].flatten()[:, None, None]


class FrequencyFilter(nn.Module):
    """The adaptive frequency filter, `b h w c -> b h w c`.

    For a filter that is held it is a convolution. But a shift of the picture turns the phases that the filter is made
    of, so a shifted picture gets another filter, and not the shifted answer.
    """

    def __init__(self, dim: int, *, groups: int = 8, shrink: float = 0.01) -> None:
        super().__init__()
        self.first = ComplexGroups(dim, groups=groups)
        self.second = ComplexGroups(dim, groups=groups)
        self.shrink = shrink
        self.seen = nn.Identity()  # named, so that it can be watched: the mask as `b c h half`, complex

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        maps = rearrange(x, "b h w c -> b c h w")
        spectrum = torch.fft.rfft2(maps, norm="ortho")
        filtered = torch.fft.irfft2(self.mask(spectrum) * spectrum, s=maps.shape[-2:], norm="ortho")
        return x + rearrange(filtered, "b c h w -> b h w c")

    def mask(self, spectrum: Complex[Tensor, "b c h half"]) -> Complex[Tensor, "b c h half"]:
        """The filter that a spectrum makes for itself."""
        hidden = self.first(spectrum)
        hidden = torch.complex(F.relu(hidden.real), F.relu(hidden.imag))
        mask = self.second(hidden)
        mask = torch.complex(F.softshrink(mask.real, self.shrink), F.softshrink(mask.imag, self.shrink))
        return self.seen(mask)


class AffBlock(nn.Module):
    """x + AFF(norm(local(norm(x)))): near neighbours first, then all; `b h w c -> b h w c`."""

    def __init__(self, dim: int, *, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.local = OnMap(InvertedResidual(dim, dim, expand=2))
        self.norm2 = nn.LayerNorm(dim)
        self.mixer = FrequencyFilter(dim)
        self.skip = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        y = self.local(self.norm1(x))
        y = self.mixer(self.norm2(y))
        return x + self.skip(y)


class InvertedResidual(nn.Module):
    """Widen, look around in each channel, narrow again (MobileNetV2): `b c h w`; a skip where the shape stays."""

    def __init__(self, dim_in: int, dim: int, *, expand: int, stride: int = 1) -> None:
        super().__init__()
        wide = expand * dim_in
        self.widen = ConvBn(dim_in, wide, then=nn.SiLU())
        self.around = ConvBn(wide, wide, 3, stride=stride, groups=wide, then=nn.SiLU())
        self.narrow = ConvBn(wide, dim)
        self.same = stride == 1 and dim_in == dim

    def forward(self, x: Float[Tensor, "b c_in h_in w_in"]) -> Float[Tensor, "b c h w"]:
        y = self.narrow(self.around(self.widen(x)))
        return x + y if self.same else y


class AffStage(nn.Module):
    """Halve the grid, run the AFF blocks, and merge what they made with what they were given: `b c h w`."""

    def __init__(self, dim_in: int, dim: int, *, expand: int, rates: Sequence[float]) -> None:
        super().__init__()
        self.down = InvertedResidual(dim_in, dim, expand=expand, stride=2)
        self.blocks = nn.Sequential(*(AffBlock(dim, drop_path=rate) for rate in rates))
        self.norm = nn.LayerNorm(dim)
        self.proj = ConvBn(dim, dim)
        self.merge = ConvBn(2 * dim, dim, then=nn.SiLU())

    def forward(self, x: Float[Tensor, "b c_in h_in w_in"]) -> Float[Tensor, "b c h w"]:
        x = self.down(x)
        y = self.norm(self.blocks(rearrange(x, "b c h w -> b h w c")))
        y = self.proj(rearrange(y, "b h w c -> b c h w"))
        return self.merge(torch.cat([x, y], dim=1))


class AffNet(nn.Module):
    """`b 3 H W` (any size of at least 32 pixels a side) to `b classes` logits."""

    def __init__(
        self,
        *,
        dims: Sequence[int],
        depths: Sequence[int],
        narrow: int,
        expand: int,
        drop_path: float,
        classes: int,
    ) -> None:
        super().__init__()
        self.stem = ConvBn(3, 16, 3, stride=2, then=nn.SiLU())
        self.early = nn.Sequential(
            InvertedResidual(16, 32, expand=expand),
            InvertedResidual(32, narrow, expand=expand, stride=2),
            *(InvertedResidual(narrow, narrow, expand=expand) for _ in range(2)),
        )
        rates = iter(torch.linspace(0, drop_path, sum(depths), device="cpu").tolist())
        self.stages = nn.Sequential()
        before = narrow
        for dim, depth in zip(dims, depths, strict=True):
            self.stages.append(AffStage(before, dim, expand=expand, rates=[next(rates) for _ in range(depth)]))
            before = dim
        wide = min(4 * before, 960)
        self.last = ConvBn(before, wide, then=nn.SiLU())
        self.head = nn.Linear(wide, classes)

    def forward(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b classes"]:
        x = self.early(self.stem(image))
        x = self.stages(x)
        x = self.last(x).mean(dim=(2, 3))
        return self.head(x)


def affnet(
    *,
    dims: Sequence[int] = (128, 256, 320),
    depths: Sequence[int] = (2, 4, 3),
    narrow: int = 64,
    expand: int = 4,
    drop_path: float = 0.0,
    classes: int = 1000,
) -> AffNet:
    """AFFNet: three early halvings by convolutions, then three stages with frequency filters."""
    model = AffNet(dims=dims, depths=depths, narrow=narrow, expand=expand, drop_path=drop_path, classes=classes)
    return model.apply(small_weights)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two stages of one block on an odd, oblong picture."""
    return affnet(dims=(8, 16), depths=(1, 1), narrow=8, expand=2, classes=5), torch.randn(2, 3, 67, 50)
