"""The selective state space (S6) as a layer: each token says how it is written, how it is read, and how much it counts.

    [r, B, C] = W x          Δ = softplus(W_Δ r + b)          y = scan(x; Δ, A, B, C, D)          A < 0, D learned

Source: Gu & Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, algorithm 2 and section 3.6.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.mixers.scan import selective_scan

SOON, LATE = 1e-3, 0.1
"""Between these lie the Δ of a fresh layer: a token is remembered for 1/Δ tokens, in the slowest state."""


class SelectiveSsm(nn.Module):
    """`b l d -> b l d`, from the first token to the last, each channel for itself but for W.

    states   n numbers of memory a channel, which fade at 1, 2, … n at first
    rank     numbers a token that its Δ are made of
    """

    def __init__(self, dim: int, *, rank: int, states: int = 16) -> None:
        super().__init__()
        self.states, self.rank = states, rank
        self.choose = nn.Linear(dim, rank + 2 * states, bias=False)
        # No linear map of torch's: what starts those anew (`small_weights`) must leave this start alone.
        self.widen = nn.Parameter(torch.empty(rank, dim).uniform_(-(rank**-0.5), rank**-0.5))
        start = torch.empty(dim).uniform_(math.log(SOON), math.log(LATE)).exp()
        self.start = nn.Parameter(start + (-(-start).expm1()).log())  # softplus of this is `start`
        self.log_rate = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(dim, 1))
        self.skip = nn.Parameter(torch.ones(dim))
        self.step = nn.Identity()  # named, so that it can be watched: Δ, `b l d`, how much each token counts

    def forward(self, x: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        # Autocast may halve the precision of the maps, but not of a memory that thousands of tokens are added to.
        exact = torch.promote_types(x.dtype, torch.float32)
        chosen = {name: value.to(exact) for name, value in self.chosen(x).items()}
        return selective_scan(x.to(exact), **chosen, skip=self.skip).to(x.dtype)

    def chosen(self, x: Float[Tensor, "b l d"]) -> dict[str, Tensor]:
        """What the tokens choose: `step`, `write` and `read`, and the `rate`: as the scan and its matrix take them."""
        low, write, read = self.choose(x).split((self.rank, self.states, self.states), dim=-1)
        step = self.step(F.softplus(low @ self.widen + self.start))
        return {"step": step, "rate": -self.log_rate.exp(), "write": write, "read": read}


class OnSequence(nn.Module):
    """A part that takes a sequence `b l c`, where tokens come as `b h w c`: they are read row by row."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        y = self.part(rearrange(x, "b h w c -> b (h w) c"))
        return rearrange(y, "b (h w) c -> b h w c", h=x.shape[1])
