"""A plain vision transformer: the picture becomes a row of tokens, and every block lets each token look at all others.

Paper    Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", ICLR 2021
Adds     self-attention as the only spatial mixing, a class token, learned positions
Reads    A = softmax(Q Kᵀ / √d)            b heads q k     each row sums to one
         x = x + (A V) W_O ;  x = x + MLP(LN(x))           b n c
Costs    12 dim² multiplications a token and block, and 2 dim n for the attention itself (n tokens)
Departs  dropout is left out; the stem is a part (a patch cut as in the paper, or convolutions); positions are resized
         to the picture's grid, so that any picture whose sides are multiples of the patch goes in
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import DropPath, GridPositions, Mlp, PatchStem
from labkit.taps import Tap


class Attention(nn.Module):
    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(
                f"Attention(dim={dim}, heads={heads}): every head needs the same whole number of channels."
            )
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.attn = Tap("b heads q k")
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        q, k, v = rearrange(self.qkv(x), "b n (three heads d) -> three b heads n d", three=3, heads=self.heads)
        attn = (q @ k.transpose(-2, -1) * self.scale).softmax(dim=-1)
        attn = self.attn(attn)
        x = rearrange(attn @ v, "b heads n d -> b n (heads d)")
        return self.proj(x)


class Block(nn.Module):
    def __init__(self, dim: int, *, heads: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads=heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim)
        self.skip = DropPath(drop_path)
        self.tokens = Tap("b n c")

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        x = x + self.skip(self.attn(self.norm1(x)))
        x = x + self.skip(self.mlp(self.norm2(x)))
        return self.tokens(x)


class ViT(nn.Module):
    """`b 3 H W` (H and W multiples of the patch) to `b classes` logits."""

    def __init__(
        self,
        *,
        dim: int = 192,
        depth: int = 12,
        heads: int = 3,
        classes: int = 1000,
        image: int = 224,
        patch: int = 16,
        stem: nn.Module | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.patch = patch
        self.stem = stem or PatchStem(dim, patch=patch)
        self.cls = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.cls_position = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.positions = GridPositions(dim, grid=image // patch)
        rates = torch.linspace(0, drop_path, depth, device="cpu").tolist()
        self.blocks = nn.Sequential(*(Block(dim, heads=heads, drop_path=rate) for rate in rates))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, classes)
        self.apply(_init)

    def forward(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b classes"]:
        x = self.embed(image)
        x = self.blocks(x)
        return self.head(self.norm(x)[:, 0])

    def embed(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b n c"]:
        """What the first block is given: the class token, then one token a patch, each with its position."""
        height, width = image.shape[-2:]
        if height % self.patch or width % self.patch:
            raise ValueError(
                f"ViT with patch {self.patch} got a {height} x {width} picture: both sides must be multiples of the "
                "patch; resize it first."
            )
        x = self.stem(image)
        h, w = x.shape[-2:]
        x = rearrange(x, "b c h w -> b (h w) c") + self.positions(h, w)
        cls = (self.cls + self.cls_position).expand(len(x), -1, -1)
        return torch.cat([cls, x], dim=1)


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two blocks, two heads, a 3 x 2 grid."""
    return ViT(dim=8, depth=2, heads=2, classes=5, image=16, patch=4), torch.randn(2, 3, 12, 8)
