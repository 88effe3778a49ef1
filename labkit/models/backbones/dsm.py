"""A picture's cosine spectrum sets the weights of its own bands: all cells mixed, with mirrors at the borders.

Paper    Hu et al., "Dynamic Spectrum Mixer for Visual Recognition", 2023
Adds     token mixing as weights on a discrete cosine transform, and a layer that makes these weights from the picture
Reads    X = D_h x D_wᵀ                              b c h w, D D ᵀ = 1: the orthonormal DCT-II, channel by channel
         e = log mean of X² over a band              b groups bands
         w = 2 σ(W2 GELU(W1 e))                      b groups bands; 1 for each band at first
         mixer(x) = D_hᵀ (w_band ∘ X) D_w
Costs    2 (h + w) multiplications a value as matrices (2 log n by the fast transform), and a small MLP a picture
Departs  only the abstract is known to us. It says: cosine transform, weights that a layer makes from the picture and
         that select bands, a pyramid. The rings as bands, the groups, the layer's input (the bands' energies), the
         sigmoid and PoolFormer's frame around it are our reading, so no published size is built
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.models.backbones.metaformer import metaformer
from labkit.models.layers import Mlp
from labkit.models.scaffold import Scaffold
from labkit.paper import Paper

PAPER = Paper(
    number=22,
    id="dsm",
    title="Dynamic Spectrum Mixer for Visual Recognition",
    year=2023,
    arxiv="2309.06721",
    claim="Weights on the bands of a cosine spectrum, made anew from each picture, mix all cells, keep the high "
    "frequencies that attention loses, and see better than weights that are fixed.",
)


def cosines(n: int, like: Tensor) -> Float[Tensor, "n n"]:
    """The orthonormal DCT-II: row i is a_i cos(π i (2 j + 1) / 2 n) over the places j, a_0 = √(1/n), else √(2/n)."""
    i = torch.arange(n, device=like.device)
    waves = torch.cos(math.pi / (2 * n) * (i[:, None] * (2 * i + 1)).to(like.dtype))
    height = torch.where(i == 0, 1 / math.sqrt(n), math.sqrt(2 / n)).to(like.dtype)
    return height[:, None] * waves


def dct(x: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch h w"]:
    """The spectrum over both axes; frequencies rise downwards and to the right, in half turns a side."""
    h, w = x.shape[-2:]
    return cosines(h, x) @ x @ cosines(w, x).T


def idct(spectrum: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch h w"]:
    """The map that has this spectrum."""
    h, w = spectrum.shape[-2:]
    return cosines(h, spectrum).T @ spectrum @ cosines(w, spectrum)


def bands_of(h: int, w: int, *, bands: int, like: Tensor) -> Int64[Tensor, "h w"]:
    """Which ring each frequency lies in, 0 (the mean) to bands - 1: rings of equal width up to the corner."""
    down, across = (torch.arange(n, device=like.device) / n for n in (h, w))
    radius = (down[:, None] ** 2 + across**2).sqrt() / math.sqrt(2)
    return (radius * bands).long()


class SpectrumMixer(nn.Module):
    """Weigh the bands of the cosine spectrum: `b h w c -> b h w c`.

    groups    of channels, each with weights of its own
    dynamic   the weights are made from the picture; False: they are learned once, for all pictures
    """

    def __init__(self, dim: int, *, groups: int = 4, bands: int = 8, dynamic: bool = True) -> None:
        super().__init__()
        if dim % groups:
            raise ValueError(
                f"SpectrumMixer(dim={dim}, groups={groups}): every group needs the same whole number of channels."
            )
        self.groups, self.bands, self.dynamic = groups, bands, dynamic
        if dynamic:
            self.choose = Mlp(groups * bands, ratio=2)
        else:
            self.scores = nn.Parameter(torch.zeros(groups * bands))
        self.weights = nn.Identity()  # named, so that they can be watched: `b groups bands`, 0..2

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        h, w = x.shape[1:3]
        spectrum = dct(rearrange(x, "b h w (g c) -> b g c h w", g=self.groups))
        band = bands_of(h, w, bands=self.bands, like=x)
        scores = self.choose(self.energies(spectrum, band)) if self.dynamic else self.scores.expand(len(x), -1)
        weights = self.weights(2 * rearrange(scores, "b (g k) -> b g k", g=self.groups).sigmoid())
        y = idct(spectrum * weights[:, :, band][:, :, None])
        return rearrange(y, "b g c h w -> b h w (g c)")

    def energies(self, spectrum: Float[Tensor, "b g c h w"], band: Int64[Tensor, "h w"]) -> Float[Tensor, "b gk"]:
        """The logarithm of each group's mean square in each band; of a band without a frequency on this grid, of 0."""
        ring = nn.functional.one_hot(band, self.bands).to(spectrum.dtype)
        mean = torch.einsum("bghw,hwk->bgk", spectrum.pow(2).mean(dim=2), ring) / ring.sum(dim=(0, 1)).clamp(min=1)
        return (mean + 1e-6).log().flatten(1)


def dsm(
    *,
    dims: Sequence[int] = (64, 128, 320, 512),
    depths: Sequence[int] = (2, 2, 6, 2),
    groups: int = 4,
    bands: int = 8,
    scale: float = 1e-5,
    drop_path: float = 0.0,
    classes: int = 1000,
) -> Scaffold:
    """A pyramid of spectrum mixers, in the frame of PoolFormer-S12."""
    return metaformer(
        dims=dims,
        depths=depths,
        mixer=lambda stage, dim: SpectrumMixer(dim, groups=groups, bands=bands),
        scale=scale,
        drop_path=drop_path,
        classes=classes,
    )


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two stages of one block on an odd, oblong picture."""
    return dsm(dims=(8, 16), depths=(1, 1), bands=4, scale=0.5, classes=5), torch.randn(2, 3, 35, 26)
