"""Masked autoencoding: most patches are hidden, and a small decoder must paint them from what the others tell.

    loss = mean over hidden patches of (decoder(encoder(visible)) - patch)²          patches normalised one by one

The encoder never sees a hidden patch, not even as an empty token, so it is cheap: a quarter of the tokens.

Source: He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022, section 3 and table 1.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.models.backbones.vit import Block, ViT
from labkit.models.layers import GridPositions


class MaskedAutoencoder(nn.Module):
    """A ViT and the decoder it is taught with; `share` of the patches is hidden, drawn anew for each picture.

    The stem must cut patches that do not overlap: what a convolution has seen of its neighbours is not hidden.
    """

    def __init__(self, vit: ViT, *, share: float = 0.75, dim: int = 64, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        if not 0 < share < 1:
            raise ValueError(f"MaskedAutoencoder(share={share}): expected a share between 0 and 1 of hidden patches.")
        self.vit = vit
        self.share = share
        width = vit.norm.normalized_shape[0]
        self.narrow = nn.Linear(width, dim)
        self.hidden = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.positions = GridPositions(dim, grid=vit.positions.table.shape[-1])
        self.blocks = nn.Sequential(*(Block(dim, heads=heads, drop_path=0.0) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.paint = nn.Linear(dim, 3 * vit.patch**2)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, ""]:
        """The loss of these pictures."""
        wanted = normalised(patches(images, self.vit.patch))
        hidden = self.hide(*wanted.shape[:2], device=images.device)
        painted = self.painted(images, hidden)
        return (painted - wanted).square().mean(dim=-1)[hidden].mean()

    def hide(self, b: int, n: int, *, device: torch.device | str = "cpu") -> Tensor:
        """`b n`: True for the patches that are hidden, equally many in each picture."""
        order = torch.rand(b, n, device=device).argsort(dim=1)
        return order < round(self.share * n)

    def painted(self, images: Float[Tensor, "b 3 h w"], hidden: Tensor) -> Float[Tensor, "b n p"]:
        """The decoder's answer for all patches, hidden or not."""
        b, n = hidden.shape
        seen = visible(hidden)
        x = self.vit.embed(images)
        cls, x = x[:, :1], x[:, 1:].gather(1, seen[..., None].expand(-1, -1, x.shape[-1]))
        x = self.vit.norm(self.vit.blocks(torch.cat([cls, x], dim=1)))
        x = self.narrow(x)
        cls, x = x[:, :1], x[:, 1:]
        everything = self.hidden.expand(b, n, -1).to(x.dtype)
        everything = everything.scatter(1, seen[..., None].expand(-1, -1, x.shape[-1]), x)
        h, w = (side // self.vit.patch for side in images.shape[-2:])
        everything = everything + self.positions(h, w)
        x = self.blocks(torch.cat([cls, everything], dim=1))
        return self.paint(self.norm(x)[:, 1:])


def visible(hidden: Tensor) -> Int64[Tensor, "b v"]:
    """The places of the patches that are not hidden, in order; equally many a picture."""
    count = int((~hidden[0]).sum())
    return hidden.int().argsort(dim=1, stable=True)[:, :count]


def patches(images: Float[Tensor, "b 3 h w"], side: int) -> Float[Tensor, "b n p"]:
    """The pictures cut into squares of `side` pixels, row by row."""
    return rearrange(images, "b c (h i) (w j) -> b (h w) (i j c)", i=side, j=side)


def normalised(cut: Float[Tensor, "b n p"]) -> Float[Tensor, "b n p"]:
    """Each patch with mean 0 and variance 1: what is asked for is its structure, not its light."""
    return (cut - cut.mean(dim=-1, keepdim=True)) / (cut.var(dim=-1, keepdim=True) + 1e-6).sqrt()
