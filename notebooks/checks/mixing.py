"""The checks of lesson 6."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from labkit.probes.attention import distances
from labkit.probes.mixing import EXACT, MixingMap, mixing_map
from labkit.probes.mixing_measures import measure_mixing
from labkit.taps import Form

from . import Verdict, compare, numbers

GRID = (2, 3)
ONE, TWO = numbers(4, 4, seed=1), numbers(4, 4, seed=2)


def _mixer(x: Tensor) -> Tensor:
    """Tokens `6 4` to `6 4`: a small layer of attention, and a step to the right."""
    a = (x @ ONE @ x.T / 4).softmax(dim=-1)
    return torch.tanh(a @ x @ TWO) + x.roll(1, dims=0) * x


def mixing(yours: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]) -> Verdict:
    """Exercise 1: who mixes whom, by autograd."""
    x = numbers(6, 4, seed=3)
    form = Form("b n c", GRID, 4)
    many = torch.vmap(_mixer)
    expected = mixing_map(many, x[None], before=form, after=form, probes=EXACT).norms[0]
    blocks = torch.autograd.functional.jacobian(_mixer, x).transpose(1, 2)  # q k c c
    mistakes = {
        "Rows and columns are turned round: M[q, k] has the output's place first.": expected.T,
        "This is the squared norm; take the root.": expected.square(),
        "These are the shares: each row divided by its sum. Here the norms themselves are asked for.": (
            expected / expected.sum(dim=1, keepdim=True)
        ),
        "You summed the channels of y before the gradient: what rises in one and falls in another cancels. Each output channel has a "
        "gradient of its own; square them all, then sum.": blocks.sum(dim=2).square().sum(dim=-1).sqrt(),
        "You summed the derivatives with their signs; they cancel. Square first, then sum, then the root.": (
            blocks.sum(dim=(2, 3))
        ),
        "You summed magnitudes; the Frobenius norm sums squares, and takes the root.": blocks.abs().sum(dim=(2, 3)),
        "You took the mean of the squares over the channels; here it is their sum.": expected / 4,
        "This is the largest entry of each block; here all of them count.": blocks.abs().amax(dim=(2, 3)),
        "This is the largest singular value of each block; the Frobenius norm has all of them.": (
            torch.linalg.matrix_norm(blocks, ord=2)
        ),
        "This is the whole Jacobian. Take the norm of each block: one number a pair of places.": blocks,
    }
    return compare(
        lambda: yours(_mixer, x.clone()),
        expected,
        mistakes,
        praise="This matrix exists for any mixer: attention, convolution, pooling, a scan. It is what the photos showed.",
        otherwise="torch.autograd.functional.jacobian(mixer, x) has the axes n c n c: output place and channel, then "
        "input place and channel. Square, sum over both channels, take the root.",
    )


def softmax_path(yours: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Exercise 2: the Jacobian through the attention matrix, with the values held fixed."""
    x, w_q, w_k, w_v = (numbers(*shape, seed=seed) for seed, shape in enumerate(((5, 4), (3, 4), (3, 4), (3, 4))))
    held = x @ w_v.T

    def layer(x: Tensor, values: Tensor | None = None) -> Tensor:
        a = ((x @ w_q.T) @ (x @ w_k.T).T / 3**0.5).softmax(dim=-1)
        return a @ (x @ w_v.T if values is None else values)

    def jacobian(function: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.autograd.functional.jacobian(function, x).transpose(1, 2)  # i j d c

    expected = jacobian(lambda x: layer(x, held))
    q, k, v = (x @ w.T for w in (w_q, w_k, w_v))
    a = (q @ k.T / 3**0.5).softmax(dim=-1)
    apart = v[None] - (a @ v)[:, None]
    keys = torch.einsum("ij,ijd,ic->ijdc", a, apart, q @ w_k) / 3**0.5
    raw_keys = torch.einsum("ij,jd,ic->ijdc", a, v, q @ w_k) / 3**0.5
    raw_query = torch.einsum("im,md,mc->idc", a, v, k @ w_q) / 3**0.5
    query = expected - keys  # on the diagonal alone
    raw = raw_keys.clone()
    raw[range(5), range(5)] += raw_query
    everywhere = keys + query[range(5), range(5)][:, None]
    mistakes = {
        "The query is missing: x_i also moves its own row of scores, all of them. Add its part on the diagonal.": keys,
        "This is the query's part alone. Each key moves its own score too: A_ij (v_j - y_i) (q_i W_K) / √d.": query,
        "The query's part belongs to the diagonal alone: only x_i makes the query of row i.": everywhere,
        "The mean is missing. When one score rises, the others fall: v_j - y_i, not v_j.": raw,
        "The scale is missing: scores are divided by √d.": expected * 3**0.5,
        "You divided by √d twice.": expected / 3**0.5,
        "This is the whole Jacobian. The path through the values, A_ij W_V, is not asked for.": jacobian(layer),
        "This is the path through the values. The other one is asked for: A moves, the values stay.": (
            jacobian(layer) - expected
        ),
        "The sign is turned round: v_j - y_i.": -expected,
        "i and j are turned round: the output's place comes first.": expected.transpose(0, 1),
        "The last two axes are turned round: channel of y, then channel of x.": expected.transpose(2, 3),
    }
    return compare(
        lambda: yours(x.clone(), w_q, w_k, w_v),
        expected,
        mistakes,
        praise="And with A_ij W_V added it is the whole Jacobian of the layer. Nothing else is in it.",
        otherwise="Through the keys: A_ij (v_j - y_i) ⊗ (q_i W_K) / √d, for every pair. Through the query, where j = i: "
        "Σ_m A_im (v_m - y_i) ⊗ (k_m W_Q) / √d. Give back the axes i j d c.",
    )


def reach(yours: Callable[[Tensor, tuple[int, int]], Tensor]) -> Verdict:
    """Exercise 3: how far a mixing matrix reaches, as a share of an even look."""
    grid = (3, 5)
    norms = numbers(15, 15, seed=4).abs() + 2 * torch.eye(15, dtype=torch.float64)
    map = MixingMap("", norms.square()[None], torch.zeros(1, 15, 15), grid, grid)
    expected = measure_mixing(map).reach[0]
    shares = norms / norms.sum(dim=1, keepdim=True)
    steps = distances(map.attention())[0].double()
    places = torch.stack([torch.arange(15) // 5, torch.arange(15) % 5], dim=1).double()

    def by(steps: Tensor, shares: Tensor = shares) -> Tensor:
        return (shares * steps).sum(dim=1).mean() / steps.mean()

    wrong = torch.stack([torch.arange(15) // 3, torch.arange(15) % 3], dim=1).double()
    mistakes = {
        "This is the mean distance in cells. Divide by that of an even look, and it means the same on every grid.": (
            (shares * steps).sum(dim=1).mean()
        ),
        "You divided by the longest distance there is; here it is the mean over all pairs, an even look.": (
            (shares * steps).sum(dim=1).mean() / steps.max()
        ),
        "These are norms, not shares: divide each row by its sum first.": by(steps, norms),
        "You divided the columns by their sums; a query's row is what sums to one.": by(
            steps, norms / norms.sum(dim=0, keepdim=True)
        ),
        "You divided the whole matrix by its sum. Each query counts the same: each row sums to one.": (
            (norms * steps).sum() / norms.sum() / steps.mean()
        ),
        "You squared the norms; shares are of the norms themselves.": by(
            steps, norms.square() / norms.square().sum(dim=1, keepdim=True)
        ),
        "These are squared distances.": by(steps.square()),
        "You counted rows and columns apart (|Δ row| + |Δ column|); here the straight way is meant.": by(
            (places[:, None] - places[None]).abs().sum(dim=-1)
        ),
        "You took the larger of both steps; here the straight way is meant.": by(
            (places[:, None] - places[None]).abs().amax(dim=-1)
        ),
        "Rows and columns of the grid are turned round: cell i lies in row i // columns.": by(
            torch.cdist(wrong, wrong)
        ),
        "This is one number a query; take their mean.": (shares * steps).sum(dim=1) / steps.mean(),
    }
    return compare(
        lambda: torch.as_tensor(yours(norms.clone(), grid)),
        expected,
        mistakes,
        praise="Comparable between a 4 × 4 and a 16 × 16 grid; it is the horizontal axis of the plane.",
        otherwise="Rows to shares; for each query the mean distance of its shares; the mean over the queries; divided by "
        "the mean distance of all pairs of cells (the pair of a cell with itself counts, too).",
    )
