"""Each channel and each place gets a gate between 0 and 1, made of all the others: what matters stays, the rest fades.

Paper    Roy et al., "Recalibrating Fully Convolutional Networks with Spatial and Channel 'Squeeze & Excitation'
         Blocks", IEEE TMI 2019
Adds     a gate a place (sSE) beside the known gate a channel (cSE), and both together (scSE), for segmentation
Reads    cSE(x) = x ∘ σ(W2 ReLU(W1 mean_hw x))        b h w c,  W1: c/r x c,  W2: c x c/r
         sSE(x) = x ∘ σ(w · x_hw)                     w: c
         scSE(x) = max(cSE(x), sSE(x))                entry by entry
Costs    2 c²/r numbers a picture for cSE, c multiplications a place for sSE
Departs  the U-Net is ours, after the form of the paper's three: one width throughout, two convolutions a block, a gate
         behind every block. Joining by a sum, as the conference paper had it, is a switch
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import OnMap
from labkit.paper import Paper

PAPER = Paper(
    number=23,
    id="scse",
    title="Recalibrating Fully Convolutional Networks with Spatial and Channel 'Squeeze & Excitation' Blocks",
    year=2018,
    arxiv="1808.08127",
    claim="Gates for channels and places boost the features that matter and suppress the weak ones: a U-Net segments "
    "better (a Dice score 4 to 9 points higher) for about 1.5 % more weights.",
)

SIZES = {}


class ChannelGate(nn.Module):
    """cSE: squeezes the map to one number a channel, and gives each channel a gate: `b h w c -> b h w c`.

    reduction   how many times fewer numbers the bottleneck has than there are channels
    """

    def __init__(self, dim: int, *, reduction: int = 2) -> None:
        super().__init__()
        if reduction < 1 or dim % reduction:
            raise ValueError(
                f"ChannelGate(dim={dim}, reduction={reduction}): expected channels that the reduction divides evenly."
            )
        self.fc1 = nn.Linear(dim, dim // reduction)
        self.fc2 = nn.Linear(dim // reduction, dim)
        self.gate = nn.Identity()  # named, so that it can be watched: `b 1 1 c`

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        squeezed = x.mean(dim=(1, 2), keepdim=True)
        return x * self.gate(self.fc2(F.relu(self.fc1(squeezed))).sigmoid())


class PlaceGate(nn.Module):
    """sSE: squeezes the channels to one number a place, and gives each place a gate: `b h w c -> b h w c`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(dim, 1)
        self.gate = nn.Identity()  # named, so that it can be watched: `b h w 1`

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return x * self.gate(self.fc(x).sigmoid())


class BothGates(nn.Module):
    """scSE: both gates on the same map, and the larger answer (or the sum of both): `b h w c -> b h w c`."""

    def __init__(self, dim: int, *, join: str = "max", reduction: int = 2) -> None:
        super().__init__()
        if join not in ("max", "sum"):
            raise ValueError(f"BothGates(join={join!r}): expected max or sum.")
        self.join = torch.maximum if join == "max" else torch.add
        self.channel = ChannelGate(dim, reduction=reduction)
        self.spatial = PlaceGate(dim)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return self.join(self.channel(x), self.spatial(x))


def gates(kind: str, dim: int, *, join: str = "max") -> nn.Module:
    """The recalibration of this kind. Raises ValueError for a name that is none."""
    made = {
        "none": nn.Identity,
        "channel": lambda: ChannelGate(dim),
        "spatial": lambda: PlaceGate(dim),
        "both": lambda: BothGates(dim, join=join),
    }
    if kind not in made:
        raise ValueError(f"no gates are called {kind!r}: expected {', '.join(made)}.")
    return made[kind]()


class GatedConvs(nn.Sequential):
    """Two convolutions and what recalibrates them: `b h w before -> b h w dim`."""

    def __init__(self, before: int, dim: int, *, kernel: int, gate: nn.Module) -> None:
        parts = []
        for inside in (before, dim):
            conv = nn.Conv2d(inside, dim, kernel, padding=kernel // 2, bias=False)
            parts.append(OnMap(nn.Sequential(conv, nn.BatchNorm2d(dim), nn.ReLU())))
        super().__init__(*parts, gate)


class UNet(nn.Module):
    """Down by halves, up again, and across at each floor: pictures `b 3 h w` to a score a pixel, `b classes h w`.

    floors   how often the map is halved
    kernel   pixels along a side of every convolution, odd
    """

    def __init__(
        self, *, dim: int, floors: int, classes: int, kernel: int = 3, kind: str = "both", join: str = "max"
    ) -> None:
        super().__init__()

        def block(before: int) -> GatedConvs:
            return GatedConvs(before, dim, kernel=kernel, gate=gates(kind, dim, join=join))

        self.down = nn.ModuleList(block(dim if floor else 3) for floor in range(floors))
        self.middle = block(dim)
        self.up = nn.ModuleList(block(2 * dim) for _ in range(floors))
        self.head = nn.Linear(dim, classes)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b classes h w"]:
        least = 2 ** len(self.down)
        if min(x.shape[-2:]) < least:
            raise ValueError(
                f"this U-Net halves a picture {len(self.down)} times: expected sides of at least {least} pixels, got "
                f"{x.shape[-2]} x {x.shape[-1]}."
            )
        x, across = x.movedim(1, -1), []
        for block in self.down:
            x = block(x)
            across.append(x)
            x = F.max_pool2d(x.movedim(-1, 1), 2, ceil_mode=True).movedim(1, -1)
        x = self.middle(x)
        for block, fine in zip(self.up, reversed(across), strict=True):
            x = F.interpolate(x.movedim(-1, 1), size=fine.shape[1:3], mode="nearest").movedim(1, -1)
            x = block(torch.cat([fine, x], dim=-1))
        return self.head(x).movedim(-1, 1)


def scse(*, dim: int = 64, floors: int = 4, classes: int = 2) -> UNet:
    """A U-Net of the paper's width and kernel, with both gates behind each block."""
    return UNet(dim=dim, floors=floors, classes=classes, kernel=5)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair: a U-Net of one floor with both gates, two odd, oblong pictures."""
    return UNet(dim=8, floors=1, classes=3), torch.randn(2, 3, 13, 10)
