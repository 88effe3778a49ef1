"""The check cells of lesson 6: the solution passes, and every usual mistake is told by its name."""

from __future__ import annotations

import pytest
import torch

from notebooks.checks import mixing as checks
from notebooks.solutions import exercises_06 as solutions


@pytest.mark.parametrize("exercise", ["mixing", "softmax_path", "reach"])
def test_the_solution_is_right(exercise):
    verdict = getattr(checks, exercise)(getattr(solutions, exercise))
    assert verdict.right, verdict.text
    assert verdict.text
    assert "replace the … by your lines" in getattr(checks, exercise)(lambda *_: None).text


def blocks(mixer, x):
    return torch.autograd.functional.jacobian(mixer, x).transpose(1, 2)


def attention(x, w_q, w_k, w_v):
    q, k, v = (x @ w.T for w in (w_q, w_k, w_v))
    return q, k, v, (q @ k.T / q.shape[1] ** 0.5).softmax(-1)


def whole(*given):
    def layer(x):
        _, _, v, a = attention(x, *given[1:])
        return a @ v

    return blocks(layer, given[0])


def values(x, w_q, w_k, w_v):
    return attention(x, w_q, w_k, w_v)[3][:, :, None, None] * w_v


def keys_alone(x, w_q, w_k, w_v):
    q, _, v, a = attention(x, w_q, w_k, w_v)
    return torch.einsum("ij,ijd,ic->ijdc", a, v[None] - (a @ v)[:, None], q @ w_k) / q.shape[1] ** 0.5


def without_the_mean(x, w_q, w_k, w_v):
    q, k, v, a = attention(x, w_q, w_k, w_v)
    path = torch.einsum("ij,jd,ic->ijdc", a, v, q @ w_k)
    path[range(5), range(5)] += torch.einsum("im,md,mc->idc", a, v, k @ w_q)
    return path / q.shape[1] ** 0.5


def query_everywhere(*given):
    query = (solutions.softmax_path(*given) - keys_alone(*given))[range(5), range(5)]
    return keys_alone(*given) + query[:, None]


def steps(grid, distance):
    h, w = grid
    places = torch.stack([torch.arange(h * w) // w, torch.arange(h * w) % w], 1).double()
    return distance(places[:, None] - places[None])


def straight(apart):
    return apart.square().sum(-1).sqrt()


def even(grid):
    """Distances of which the mean is one."""
    return steps(grid, straight) / steps(grid, straight).mean()


def reach(norms, grid, *, distance=straight, even=torch.mean, dim=1):
    far = steps(grid, distance)
    return (norms / norms.sum(dim, keepdim=True) * far).sum(1).mean() / even(far)


MISTAKES = [
    ("mixing", lambda *given: solutions.mixing(*given).T, "turned round"),
    ("mixing", lambda *given: solutions.mixing(*given) ** 2, "take the root"),
    ("mixing", lambda *given: torch.nn.functional.normalize(solutions.mixing(*given), p=1), "These are the shares"),
    ("mixing", lambda *given: blocks(*given).sum(2).norm(dim=-1), "before the gradient"),
    ("mixing", lambda *given: blocks(*given).sum((2, 3)), "with their signs"),
    ("mixing", lambda *given: blocks(*given).abs().sum((2, 3)), "summed magnitudes"),
    ("mixing", lambda *given: blocks(*given).square().mean((2, 3)).sqrt(), "the mean of the squares"),
    ("mixing", lambda *given: blocks(*given).abs().amax((2, 3)), "the largest entry"),
    ("mixing", lambda *given: torch.linalg.matrix_norm(blocks(*given), ord=2), "singular value"),
    ("mixing", blocks, "whole Jacobian"),
    ("mixing", lambda mixer, x: x, "Expected the shape (6, 6), got (6, 4)"),
    ("softmax_path", keys_alone, "The query is missing"),
    ("softmax_path", lambda *given: solutions.softmax_path(*given) - keys_alone(*given), "query's part alone"),
    ("softmax_path", query_everywhere, "diagonal alone"),
    ("softmax_path", without_the_mean, "The mean is missing"),
    ("softmax_path", lambda *given: 3**0.5 * solutions.softmax_path(*given), "scale is missing"),
    ("softmax_path", lambda *given: solutions.softmax_path(*given) / 3**0.5, "twice"),
    ("softmax_path", whole, "This is the whole Jacobian"),
    ("softmax_path", values, "path through the values"),
    ("softmax_path", lambda *given: -solutions.softmax_path(*given), "sign"),
    ("softmax_path", lambda *given: solutions.softmax_path(*given).transpose(0, 1), "i and j"),
    ("softmax_path", lambda *given: solutions.softmax_path(*given).transpose(2, 3), "last two axes"),
    ("softmax_path", lambda *given: 7 * solutions.softmax_path(*given), "Through the keys"),
    ("reach", lambda *given: reach(*given, even=lambda far: 1), "in cells"),
    ("reach", lambda *given: reach(*given, even=torch.max), "longest distance"),
    ("reach", lambda norms, grid: reach(norms, grid) * norms.sum(1).mean(), "Rows to shares"),
    ("reach", lambda norms, grid: (norms * even(grid)).sum(1).mean(), "norms, not"),
    ("reach", lambda *given: reach(*given, dim=0), "columns by their sums"),
    ("reach", lambda norms, grid: reach(norms / norms.sum(), grid, dim=(0, 1)) * 15, "whole matrix"),
    ("reach", lambda norms, grid: reach(norms**2, grid), "squared the norms"),
    ("reach", lambda *given: reach(*given, distance=lambda apart: straight(apart) ** 2), "squared distances"),
    ("reach", lambda *given: reach(*given, distance=lambda apart: apart.abs().sum(-1)), "rows and columns apart"),
    ("reach", lambda *given: reach(*given, distance=lambda apart: apart.abs().amax(-1)), "larger of both"),
    ("reach", lambda norms, grid: reach(norms, grid[::-1]), "Rows and columns of the grid"),
    (
        "reach",
        lambda norms, grid: (norms / norms.sum(1, keepdim=True) * even(grid)).sum(1),
        "one number a query",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("exercise", "wrong", "told"), MISTAKES, ids=[f"{e}: {t}" for e, _, t in MISTAKES])
def test_a_mistake_is_told_by_its_name(exercise, wrong, told):
    verdict = getattr(checks, exercise)(wrong)
    assert not verdict.right
    assert told in verdict.text
