"""The patches stand in a row and are read twice, forth and back, each time with a memory that the patches write to.

Paper    Zhu et al., "Vision Mamba: Efficient Visual Representation Learning with Bidirectional State Space Model",
         ICML 2024
Adds     the bidirectional Mamba block in the place of attention and MLP; a class token in the middle of the row
Reads    x, z = split(W_in norm(t))                           b l e,  e = 2 dim
         y→ = S6(SiLU(conv→(x)))                              conv: 4 tokens up to this one, each channel for itself
         y← = flip S6(SiLU(conv←(flip x)))                    with weights of its own
         t = t + W_out((y→ + y←)/2 ∘ SiLU(z))                 b l dim
         S6: h_t = exp(Δ_t A) ∘ h_(t-1) + Δ_t B_t x_t,  y_t = C_t · h_t + D ∘ x_t,  with Δ, B, C made of x
Costs    6 dim² multiplications a token for W_in and W_out, and e (2 rank + 2 n + 4) each way, with rank = dim / 16 and
         n = 16 states; the scan itself takes 4 e n more each way, which no counter of matrix products sees and the
         sizes below leave out. All is linear in the tokens
Departs  both directions start alike (in the paper's code the steps of the way back start at 0.69, those of the way
         forth at 0.001 to 0.1); sums before the norms instead of in them, which is the same; sides that are no
         multiples of the patch are padded, and positions resized to the picture's grid
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import DropPath, GridPositions
from labkit.models.mixers.ssm import SelectiveSsm
from labkit.models.scaffold import Patches, small_weights
from labkit.paper import Paper, Size

PAPER = Paper(
    number=63,
    id="vim",
    title="Vision Mamba: Efficient Visual Representation Learning with Bidirectional State Space Model",
    year=2024,
    arxiv="2401.09417",
    claim="Attention is not needed: a row of patches that is read forth and back by a state-space scan gives each "
    "patch the whole picture, at a cost that grows with the patches and not with their square, and does better.",
)

# Tables 1 and 2 of the paper.
SIZES = {
    "tiny": Size({"dim": 192}, 7_148_008, 1.293e9, top1=76.1),
    "small": Size({"dim": 384}, 25_796_584, 4.852e9, top1=80.5),
    "base": Size({"dim": 768}, 97_598_440, 18.767e9, top1=81.9),
}
Ways = Literal["both", "forth", "back"]
Place = Literal["middle", "first", "last"]


class Reading(nn.Module):
    """One way along the row: a glance at the three tokens before, then the selective scan: `b l e -> b l e`."""

    def __init__(self, dim: int, *, rank: int, states: int, kernel: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, kernel, padding=kernel - 1, groups=dim)
        self.ssm = SelectiveSsm(dim, rank=rank, states=states)

    def forward(self, x: Float[Tensor, "b l e"]) -> Float[Tensor, "b l e"]:
        x = self.conv(x.mT)[..., : x.shape[1]].mT  # what is cut off has looked ahead
        return self.ssm(F.silu(x))


class BothWays(nn.Module):
    """The bidirectional Mamba mixer, `b l c -> b l c`.

    ways   "both", or one of them alone: then no token hears of those that come later on that way
    """

    def __init__(self, dim: int, *, states: int = 16, ways: Ways = "both") -> None:
        super().__init__()
        self.ways = ways
        self.expand = nn.Linear(dim, 4 * dim, bias=False)
        rank = -(-dim // 16)
        self.forth = Reading(2 * dim, rank=rank, states=states)
        self.back = Reading(2 * dim, rank=rank, states=states)
        self.proj = nn.Linear(2 * dim, dim, bias=False)

    def forward(self, x: Float[Tensor, "b l c"]) -> Float[Tensor, "b l c"]:
        x, z = self.expand(x).chunk(2, dim=-1)
        heard = []
        if self.ways != "back":
            heard.append(self.forth(x))
        if self.ways != "forth":
            heard.append(self.back(x.flip(1)).flip(1))
        return self.proj(sum(heard) / len(heard) * F.silu(z))


class VimBlock(nn.Module):
    """`b n c -> b n c`, the class token first, as in a transformer; the mixer reads it where `place` says."""

    def __init__(self, dim: int, *, states: int, ways: Ways, place: Place, drop_path: float) -> None:
        super().__init__()
        self.place = place
        self.norm = nn.RMSNorm(dim, eps=1e-5)
        self.mixer = BothWays(dim, states=states, ways=ways)
        self.skip = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        before = {"first": 0, "middle": (x.shape[1] - 1) // 2, "last": x.shape[1] - 1}[self.place]
        y = self.norm(x)
        row = torch.cat([y[:, 1 : before + 1], y[:, :1], y[:, before + 1 :]], dim=1)
        row = self.mixer(row)
        y = torch.cat([row[:, before : before + 1], row[:, :before], row[:, before + 1 :]], dim=1)
        return x + self.skip(y)


class Vim(nn.Module):
    """`b 3 H W` to `b classes` logits."""

    def __init__(
        self,
        *,
        dim: int,
        depth: int,
        states: int,
        ways: Ways,
        place: Place,
        image: int,
        patch: int,
        drop_path: float,
        classes: int,
    ) -> None:
        super().__init__()
        self.stem = Patches(3, dim, kernel=patch, stride=patch)
        self.cls = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.cls_position = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.positions = GridPositions(dim, grid=image // patch)
        rates = torch.linspace(0, drop_path, depth, device="cpu").tolist()
        self.blocks = nn.Sequential(
            *(VimBlock(dim, states=states, ways=ways, place=place, drop_path=rate) for rate in rates)
        )
        self.norm = nn.RMSNorm(dim, eps=1e-5)
        self.head = nn.Linear(dim, classes).apply(small_weights)
        with torch.no_grad():
            for block in self.blocks:
                block.mixer.proj.weight.div_(depth**0.5)  # as many branches are added up

    def forward(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b classes"]:
        x = self.stem(rearrange(image, "b c h w -> b h w c"))
        h, w = x.shape[1:3]
        x = rearrange(x, "b h w c -> b (h w) c") + self.positions(h, w)
        cls = (self.cls + self.cls_position).expand(len(x), -1, -1)
        x = torch.cat([cls, x], dim=1)
        x = self.blocks(x)
        return self.head(self.norm(x)[:, 0])


def vim(
    *,
    dim: int = 192,
    depth: int = 24,
    states: int = 16,
    ways: Ways = "both",
    place: Place = "middle",
    image: int = 224,
    patch: int = 16,
    drop_path: float = 0.0,
    classes: int = 1000,
) -> Vim:
    """Vim-Ti."""
    return Vim(
        dim=dim,
        depth=depth,
        states=states,
        ways=ways,
        place=place,
        image=image,
        patch=patch,
        drop_path=drop_path,
        classes=classes,
    )


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two blocks, a grid of 3 x 2 patches, cut at the edge."""
    return vim(dim=8, depth=2, states=3, image=16, patch=4, classes=5), torch.randn(2, 3, 11, 8)
