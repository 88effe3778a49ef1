"""The frame that most backbones share: a stem, stages of blocks with a halving between, a head. Mixers are parts of it.

    image `b 3 H W`  ->  stem  ->  [ block block … ]  ->  down  ->  [ block … ]  -> …  ->  head  ->  `b classes`

Between stem and head all is `b h w c`. One stage is an isotropic model, several are a pyramid. A block is

    x = x + scale1 · mixer(norm1(x))      who speaks with whom; any module `b h w c -> b h w c`
    x = x + scale2 · mlp(norm2(x))        each cell for itself

and the frame never asks what its parts are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import DropPath, OnMap

Norm = Callable[[int], nn.Module]
"""channels -> a norm of `b h w c`."""


class Scaffold(nn.Module):
    """`b 3 H W` to `b classes`, of any sides that the stem and the halvings take.

    depths    blocks a stage
    stem      `b H W 3 -> b h w c`
    block     (stage, drop rate) -> a block; the rates rise evenly over the depth, from 0 to `drop_path`
    down      stage -> what comes before that stage's blocks, for all stages but the first
    end       stage -> what comes after its blocks, where there is such a thing
    head      `b h w c -> b classes`
    """

    def __init__(
        self,
        *,
        depths: Sequence[int],
        stem: nn.Module,
        block: Callable[[int, float], nn.Module],
        head: nn.Module,
        down: Callable[[int], nn.Module] | None = None,
        end: Callable[[int], nn.Module] | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if len(depths) > 1 and down is None:
            raise ValueError(f"Scaffold(depths={tuple(depths)}): between stages stands a halving; give down=.")
        rates = iter(torch.linspace(0, drop_path, sum(depths), device="cpu").tolist())
        self.stem = stem
        self.stages = nn.Sequential()
        for stage, depth in enumerate(depths):
            before = [down(stage)] if stage else []
            blocks = [block(stage, next(rates)) for _ in range(depth)]
            after = [end(stage)] if end else []
            self.stages.append(nn.Sequential(*before, *blocks, *after))
        self.head = head

    def forward(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b classes"]:
        x = rearrange(image, "b c h w -> b h w c")
        x = self.stem(x)
        x = self.stages(x)
        return self.head(x)


class Block(nn.Module):
    """Mix the tokens, then think about each: `b h w c -> b h w c`.

    scale   what each branch is multiplied with at first, channel by channel, and learned; None: no such scale
    """

    def __init__(
        self,
        dim: int,
        *,
        mixer: nn.Module,
        mlp: nn.Module,
        norm: Norm = nn.LayerNorm,
        scale: float | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1 = norm(dim)
        self.mixer = mixer
        self.scale1 = nn.Identity() if scale is None else Scale(dim, scale)
        self.norm2 = norm(dim)
        self.mlp = mlp
        self.scale2 = nn.Identity() if scale is None else Scale(dim, scale)
        self.skip = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        x = x + self.skip(self.scale1(self.mixer(self.norm1(x))))
        x = x + self.skip(self.scale2(self.mlp(self.norm2(x))))
        return x


class Scale(nn.Module):
    """One learned factor a channel, small at first: a fresh block is nearly the identity (Touvron et al. 2021)."""

    def __init__(self, dim: int, start: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((dim,), start))

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return x * self.factor


class Patches(nn.Module):
    """A convolution with a stride, then a norm where one is given: the stem, and the halving between stages.

    `b h_in w_in dim_in -> b h w dim`. With kernel = stride the patches do not overlap, and what is left over at the
    lower and right edge is padded with zeros, so that no pixel is lost on odd pictures.
    """

    def __init__(
        self, dim_in: int, dim: int, *, kernel: int, stride: int, padding: int = 0, norm: Norm | None = None
    ) -> None:
        super().__init__()
        self.cut = stride if kernel == stride else 1
        self.proj = OnMap(nn.Conv2d(dim_in, dim, kernel, stride=stride, padding=padding))
        self.norm = nn.Identity() if norm is None else norm(dim)

    def forward(self, x: Float[Tensor, "b h_in w_in c_in"]) -> Float[Tensor, "b h w c"]:
        h, w = x.shape[1:3]
        x = nn.functional.pad(x, (0, 0, 0, -w % self.cut, 0, -h % self.cut))
        x = self.proj(x)
        return self.norm(x)


class Head(nn.Module):
    """A norm, the mean over the map, a linear map: `b h w c -> b classes`."""

    def __init__(self, dim: int, classes: int, *, norm: Norm = nn.LayerNorm) -> None:
        super().__init__()
        self.norm = norm(dim)
        self.fc = nn.Linear(dim, classes)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b classes"]:
        x = self.norm(x)
        x = x.mean(dim=(1, 2))
        return self.fc(x)


class PooledHead(nn.Module):
    """The mean over the map, a norm, a linear map: `b h w c -> b classes`."""

    def __init__(self, dim: int, classes: int, *, norm: Norm = nn.LayerNorm) -> None:
        super().__init__()
        self.norm = norm(dim)
        self.fc = nn.Linear(dim, classes)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b classes"]:
        x = x.mean(dim=(1, 2))
        x = self.norm(x)
        return self.fc(x)


def small_weights(module: nn.Module) -> None:
    """For `model.apply`: linear maps start normal with a deviation of 0.02, their bias at 0."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
