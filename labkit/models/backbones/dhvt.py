"""What convolutional networks know from birth, given to a transformer: neighbours belong together, channels differ.

Paper    Lu et al., "Bridging the Gap Between Vision Transformers and Convolutional Neural Networks on Small Datasets",
         NeurIPS 2022
Adds     head tokens: each head's channels, averaged over the picture, become a token that all others attend to; a
         convolution in the MLP, whose mean re-weighs the class token (DAFF); overlapping patches (SOPE); no positions
Reads    attention (HI-MHSA), tokens x `b 1+n c`, d = c / heads
         t    = GELU(LN(W mean over tokens of x_head))               b heads heads d, read as b heads c
         x, t = attention([x; t + position])                         b 1+n+heads c
         cls  = cls + mean over heads of t                           and the head tokens are dropped
         MLP (DAFF), patches p `b n c` as a map, class token cls
         u    = GELU(BN(W1 p));  u = u + GELU(BN(depthwise 3x3(u)))  b 4c h w
         p    = BN(W2 u)
         cls  = cls ∘ W4 GELU(W3 mean over cells of p)               factors of either sign
Costs    12 dim² + 36 dim multiplications a cell and block, and 2 dim (n + heads) for the attention itself (n cells);
         a head token adds what attention costs a cell, and all of them are made for dim² a picture
Departs  head tokens stand between class token and patches instead of behind them, which is the same; one machine's
         batch norm for that of several; torch's defaults start the weights, since the narrow models of our experiment
         hardly learn from the paper's deviation of 0.02, the plain one least of all
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.backbones.vit import Attention
from labkit.models.layers import DropPath, GridPositions, Mlp, OnMap
from labkit.models.scaffold import Patches
from labkit.paper import Paper, Size

PAPER = Paper(
    number=90,
    id="dhvt",
    title="Bridging the Gap Between Vision Transformers and Convolutional Neural Networks on Small Datasets",
    year=2022,
    arxiv="2210.05958",
    claim="With few pictures a plain transformer learns poorly for want of two habits: to look at neighbours, and to "
    "tell channels apart. Overlapping patches, a convolution in the MLP and head tokens bring them, and each helps.",
)

# CIFAR-100 (t4 to s2, by size of the patch) and ImageNet (t16 and s16).
SIZES = {
    "t4": Size({"dim": 192, "heads": 4, "patch": 4, "classes": 100}, 6_008_650, 387.8e6, pixels=32),
    "t2": Size({"dim": 192, "heads": 4, "patch": 2, "classes": 100}, 5_845_162, 1.705e9, pixels=32),
    "s4": Size({"dim": 384, "heads": 8, "patch": 4, "classes": 100}, 23_425_450, 1.529e9, pixels=32),
    "s2": Size({"dim": 384, "heads": 8, "patch": 2, "classes": 100}, 22_766_698, 6.195e9, pixels=32),
    "t16": Size({"dim": 192, "heads": 3, "patch": 16}, 6_267_334, 1.355e9),
    "s16": Size({"dim": 384, "heads": 6, "patch": 16}, 24_040_606, 5.033e9, top1=82.3),
}


class Affine(nn.Module):
    """One factor and one offset a channel: `b h w c`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(dim))
        self.offset = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return x * self.factor + self.offset


class OverlappingPatches(nn.Module):
    """SOPE: reach the patches' grid by halvings with 3 x 3 convolutions, `b h_in w_in 3 -> b h w c`.

    The zeros that they pad with are all that a patch learns of where it lies.
    """

    def __init__(self, dim: int, *, patch: int) -> None:
        super().__init__()
        if patch < 2 or patch & (patch - 1):
            raise ValueError(
                f"OverlappingPatches(patch={patch}): expected a power of two, because every step halves the grid."
            )
        steps = patch.bit_length() - 1
        widths = [3, *(dim >> step for step in reversed(range(steps)))]
        layers = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.GELU()]
        if steps > 1:
            layers.pop()  # between halvings; where there is only one, it stands behind it
        self.before = Affine(3)
        self.halve = OnMap(nn.Sequential(*layers))
        self.after = Affine(dim)

    def forward(self, x: Float[Tensor, "b h_in w_in 3"]) -> Float[Tensor, "b h w c"]:
        return self.after(self.halve(self.before(x)))


class HeadTokenAttention(nn.Module):
    """HI-MHSA: attention in which every head has a token of its own, `b n c -> b n c`, the class token first."""

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.widen = nn.Linear(dim // heads, dim)
        self.norm = nn.LayerNorm(dim // heads)
        self.positions = nn.Parameter(0.02 * torch.randn(heads, dim))
        self.attention = Attention(dim, heads=heads)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        x = torch.cat([x[:, :1], self.head_tokens(x), x[:, 1:]], dim=1)
        cls, tokens, patches = self.attention(x).tensor_split((1, 1 + self.heads), dim=1)
        return torch.cat([cls + tokens.mean(dim=1, keepdim=True), patches], dim=1)

    def head_tokens(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b heads c"]:
        """What each head's channels hold on average, class token included, told to all channels."""
        means = rearrange(x.mean(dim=1), "b (heads d) -> b heads d", heads=self.heads)
        tokens = rearrange(self.widen(means), "b heads (parts d) -> b heads parts d", parts=self.heads)
        tokens = F.gelu(self.norm(tokens))
        return rearrange(tokens, "b heads parts d -> b heads (parts d)") + self.positions


class Daff(nn.Module):
    """The MLP with a convolution inside; the class token passes by, and is weighed by what came out: `b n c`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        wide = 4 * dim
        # The norms take these biases away again; they are there because the published sizes count them.
        self.expand = nn.Sequential(nn.Conv2d(dim, wide, 1), nn.BatchNorm2d(wide), nn.GELU())
        self.around = nn.Sequential(nn.Conv2d(wide, wide, 3, padding=1, groups=wide), nn.BatchNorm2d(wide), nn.GELU())
        self.narrow = nn.Sequential(nn.Conv2d(wide, dim, 1), nn.BatchNorm2d(dim))
        self.excite = nn.Sequential(nn.Linear(dim, dim // 4), nn.GELU(), nn.Linear(dim // 4, dim))
        self.factors = nn.Identity()  # named, so that they can be watched: `b c`, of either sign

    def forward(self, x: Float[Tensor, "b n c"], grid: tuple[int, int]) -> Float[Tensor, "b n c"]:
        cls, patches = x[:, :1], rearrange(x[:, 1:], "b (h w) c -> b c h w", h=grid[0])
        u = self.expand(patches)
        u = u + self.around(u)
        patches = self.narrow(u)
        factors = self.factors(self.excite(patches.mean(dim=(2, 3))))
        return torch.cat([cls * factors[:, None], rearrange(patches, "b c h w -> b (h w) c")], dim=1)


class PlainMlp(nn.Module):
    """Each token for itself, wherever it lies: `b n c`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mlp = Mlp(dim)

    def forward(self, x: Float[Tensor, "b n c"], grid: tuple[int, int]) -> Float[Tensor, "b n c"]:
        return self.mlp(x)


class DhvtBlock(nn.Module):
    """`b n c -> b n c`, the class token first; the MLP is told the grid in which the others lie."""

    def __init__(self, dim: int, *, attention: nn.Module, mlp: nn.Module, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attention = attention
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = mlp
        self.skip = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b n c"], grid: tuple[int, int]) -> Float[Tensor, "b n c"]:
        x = x + self.skip(self.attention(self.norm1(x)))
        return x + self.skip(self.mlp(self.norm2(x), grid))


class Dhvt(nn.Module):
    """`b 3 H W` to `b classes` logits."""

    def __init__(
        self,
        *,
        dim: int,
        depth: int,
        heads: int,
        patch: int,
        sope: bool,
        head_tokens: bool,
        daff: bool,
        positions: int | None,
        drop_path: float,
        classes: int,
    ) -> None:
        super().__init__()
        self.stem = OverlappingPatches(dim, patch=patch) if sope else Patches(3, dim, kernel=patch, stride=patch)
        self.cls = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.positions = None if positions is None else GridPositions(dim, grid=positions)
        rates = torch.linspace(0, drop_path, depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(
            DhvtBlock(
                dim,
                attention=(HeadTokenAttention if head_tokens else Attention)(dim, heads=heads),
                mlp=(Daff if daff else PlainMlp)(dim),
                drop_path=rate,
            )
            for rate in rates
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, classes)

    def forward(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b classes"]:
        x = self.stem(rearrange(image, "b c h w -> b h w c"))
        h, w = x.shape[1:3]
        x = rearrange(x, "b h w c -> b (h w) c")
        if self.positions is not None:
            x = x + self.positions(h, w)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x, (h, w))
        return self.head(self.norm(x)[:, 0])


def dhvt(
    *,
    dim: int = 192,
    depth: int = 12,
    heads: int = 3,
    patch: int = 16,
    sope: bool = True,
    head_tokens: bool = True,
    daff: bool = True,
    positions: int | None = None,
    drop_path: float = 0.0,
    classes: int = 1000,
) -> Dhvt:
    """DHVT-T; without its three parts and with learned positions (of a grid so many cells a side) it is a plain ViT."""
    return Dhvt(
        dim=dim,
        depth=depth,
        heads=heads,
        patch=patch,
        sope=sope,
        head_tokens=head_tokens,
        daff=daff,
        positions=positions,
        drop_path=drop_path,
        classes=classes,
    )


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two blocks, two heads, a grid of 3 x 2 cells."""
    return dhvt(dim=8, depth=2, heads=2, patch=4, classes=5), torch.randn(2, 3, 11, 8)
