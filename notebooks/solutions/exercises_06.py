"""Answers to the three exercises of 06_mixing. Try first: a wrong answer that was understood is worth more."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def mixing(mixer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A mixer of tokens and `n c`, to `n n`: the norm of the Jacobian's block for each pair, query and key."""
    jacobian = torch.autograd.functional.jacobian(mixer, x)  # n c (of y), n c (of x)
    return jacobian.square().sum(dim=(1, 3)).sqrt()


def softmax_path(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> Tensor:
    """Tokens `n c` and three maps `d c`, to `n n d c`: what reaches y_i from x_j through the attention matrix alone."""
    q, k, v = (x @ w.T for w in (w_q, w_k, w_v))
    scale = q.shape[1] ** -0.5
    a = (scale * q @ k.T).softmax(dim=-1)
    apart = v[None] - (a @ v)[:, None]  # i j d: how far value j lies from the mean that i makes
    through_keys = torch.einsum("ij,ijd,ic->ijdc", a, apart, q @ w_k)
    through_query = torch.einsum("im,imd,mc->idc", a, apart, k @ w_q)
    own = torch.arange(len(x))
    path = through_keys.clone()
    path[own, own] += through_query  # the query is the token's own
    return scale * path


def reach(norms: Tensor, grid: tuple[int, int]) -> Tensor:
    """A mixing matrix `n n` on a grid (rows, columns), to one number: 0 = itself, 1 = everywhere alike."""
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in grid), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], dim=1).to(norms)
    steps = torch.cdist(places, places)
    shares = norms / norms.sum(dim=1, keepdim=True)
    return (shares * steps).sum(dim=1).mean() / steps.mean()
