"""Mixing maps in closed form: what the weights of one linear layer say about it, with no backward pass.

Each is ‖∂y_q / ∂x_k‖_F written out, exact up to rounding, for one picture (b = 1; attention has its own b).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor, nn

from labkit.probes.inputs import Refused
from labkit.probes.mixing import MixingMap

Grid = tuple[int, int]


def of_matrix(matrix: Float[Tensor, "q k"], *, channels: int, grid: Grid, key_grid: Grid | None = None) -> MixingMap:
    """y_q = Σ_k A[q, k] x_k, every channel alike (nn.Linear over tokens, averaging): M = √channels · |A|."""
    return _exact(channels * matrix.square()[None], grid, key_grid or grid)


def of_channelwise(layer: nn.Module, key_grid: Grid, *, channels: int) -> MixingMap:
    """A layer that does the same linear thing to every channel (pooling, upsampling, blur): M = √channels · |A|.

    A is found as the layer's answer to one picture a cell, with a one there and zeros elsewhere.
    """
    n = key_grid[0] * key_grid[1]
    with torch.no_grad():
        answers = layer(torch.eye(n).view(n, 1, *key_grid)) - layer(torch.zeros(1, 1, *key_grid))
    return of_matrix(answers.flatten(1).T, channels=channels, grid=tuple(answers.shape[-2:]), key_grid=key_grid)


def of_convolution(conv: nn.Conv2d, key_grid: Grid) -> MixingMap:
    """Any Conv2d with zero padding: M[q, k] = ‖W[:, :, k - q]‖_F, the kernel's norm at that offset; cut at the border.

    It is the convolution of one channel with the kernel of squared norms.
    """
    if conv.padding_mode != "zeros":
        raise Refused(f"of_convolution: padding_mode={conv.padding_mode!r}; only zeros have this closed form.")
    squares = conv.weight.detach().square().sum(dim=(0, 1))[None, None]
    n = key_grid[0] * key_grid[1]
    spots = torch.eye(n, dtype=squares.dtype, device=squares.device).view(n, 1, *key_grid)
    # Nothing is squared in here, so the squared norms are convolved as they are.
    found = F.conv2d(spots, squares, stride=conv.stride, padding=conv.padding, dilation=conv.dilation)
    return _exact(found.flatten(1).T[None], tuple(found.shape[-2:]), key_grid)


def of_global_filter(weight: Complex[Tensor, "h half c"], grid: Grid) -> MixingMap:
    """y = irfft2(W · rfft2(x)) (GFNet): a circular convolution, M[q, k]² = Σ_c K_c[q - k]² with K = irfft2(W).

    weight   half = w // 2 + 1, as GFNet stores it; the layer is the same with norm="backward" and with "ortho"
    """
    h, w = grid
    if tuple(weight.shape[:2]) != (h, w // 2 + 1):
        raise Refused(f"of_global_filter: a {h} x {w} grid needs {h} x {w // 2 + 1} x c, got {tuple(weight.shape)}.")
    squares = torch.fft.irfft2(weight.detach().movedim(-1, 0), s=grid).square().sum(dim=0)
    rows, columns = (torch.arange(side, device=squares.device) for side in grid)
    down = (rows[:, None] - rows[None, :]) % h  # q k
    across = (columns[:, None] - columns[None, :]) % w
    squared = squares[down[:, None, :, None], across[None, :, None, :]]  # q_row q_column k_row k_column
    return _exact(squared.reshape(1, h * w, h * w), grid, grid)


def of_attention(
    attn: Float[Tensor, "b heads q k"],
    value: Float[Tensor, "heads d c"],
    out: Float[Tensor, "heads c_out d"],
    *,
    grid: Grid,
    key_grid: Grid | None = None,
) -> MixingMap:
    """Attention with A held fixed: M[q, k] = ‖Σ_h A_h[q, k] W_O,h W_V,h‖_F; of one head, its row up to a constant.

    attn    over the patches alone, prefix tokens left out (not renormalised)
    value   W_V,h, from the layer's input to the head's values; `out` W_O,h, from them to the layer's output
    """
    # ‖Σ_h a_h T_h‖² = Σ_hg a_h a_g ⟨T_h, T_g⟩ with T_h = W_O,h W_V,h, and ⟨T_h, T_g⟩ without ever making a T.
    inner = torch.einsum("hod,goe->hgde", out, out) * torch.einsum("hdc,gec->hgde", value, value)
    squared = torch.einsum("bhqk,hg,bgqk->bqk", attn, inner.sum(dim=(2, 3)), attn)
    return _exact(squared.detach().clamp_min(0), grid, key_grid or grid)


def _exact(squared: Float[Tensor, "b q k"], grid: Grid, key_grid: Grid) -> MixingMap:
    return MixingMap("", squared.detach(), torch.zeros_like(squared), grid, key_grid)
