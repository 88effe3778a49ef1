"""A linear map over the cells of the grid, shared by all channels: the token half of an MLP-Mixer.

    y = W2 GELU(W1 x)            W1: hidden x n,  W2: n x hidden,  n = h w cells          b h w c

Source: Tolstikhin et al., "MLP-Mixer: An all-MLP Architecture for Vision", NeurIPS 2021, equation 1.
"""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.layers import Mlp


class TokenMlp(nn.Module):
    """Each channel's whole map through one small network, the same for all channels: `b h w c -> b h w c`.

    grid    (rows, columns) it belongs to: its weights are one a pair of cells, so it takes no other
    ratio   hidden numbers a cell
    """

    def __init__(self, *, grid: tuple[int, int], ratio: float = 0.5) -> None:
        super().__init__()
        self.grid = grid
        self.mlp = Mlp(grid[0] * grid[1], ratio=ratio)

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        h, w = x.shape[1:3]
        if (h, w) != self.grid:
            raise ValueError(
                f"TokenMlp has weights for a grid of {self.grid[0]} x {self.grid[1]} cells, got {h} x {w}: resize the "
                "picture so that it falls into that grid, or build the model for this one."
            )
        y = self.mlp(rearrange(x, "b h w c -> b c (h w)"))
        return rearrange(y, "b c (h w) -> b h w c", h=h)
