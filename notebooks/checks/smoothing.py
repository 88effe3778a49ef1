"""The checks of lesson 3."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor

from labkit.probes.similarity import effective_rank, likeness

from . import Verdict, compare, numbers


def cosine(yours: Callable[[Tensor], Tensor]) -> Verdict:
    """Exercise 1: the mean cosine of two different tokens."""
    x = numbers(9, 4) * torch.linspace(0.2, 3, 9, dtype=torch.float64)[:, None] + 0.7
    n = len(x)
    unit = F.normalize(x, dim=1)
    total = unit.sum(dim=0).square().sum()
    expected = likeness(x[None]).mean[0].double()
    rest = F.normalize(x - x.mean(dim=0), dim=1)
    products, channels = x @ x.T, F.normalize(x, dim=0)
    mistakes = {
        "Each token's cosine with itself is in your mean, n ones: take them away, and divide by the n(n - 1) others.": (
            total / n**2
        ),
        "You took the n ones away, but divide by n² all the same: there are n(n - 1) pairs left.": (total - n) / n**2,
        "You divide by n(n - 1), but the n ones of the diagonal are still in the sum.": total / (n * (n - 1)),
        "Each pair counts twice in the sum and once in your count: divide by n(n - 1), or take j > i alone.": (
            (total - n) / (n * (n - 1) / 2)
        ),
        "These are scalar products: long tokens count more. Bring each token to length 1 first.": (
            (products.sum() - products.trace()) / (n * (n - 1))
        ),
        "You brought the channels to length 1, not the tokens: the norm runs over dim=-1.": (
            (channels.sum(dim=0).square().sum() - channels.square().sum()) / (n * (n - 1))
        ),
        "You took the mean token away first. That is the other question; its answer is about -1/(n - 1) for any tokens.": (
            (rest.sum(dim=0).square().sum() - n) / (n * (n - 1))
        ),
        "You took absolute values: tokens that point apart would count as alike.": (
            ((unit @ unit.T).abs().sum() - n) / (n * (n - 1))
        ),
    }
    return compare(
        lambda: torch.as_tensor(yours(x.clone()), dtype=torch.float64),
        expected,
        mistakes,
        praise="All pairs of different tokens, and no n × n matrix is needed for it.",
        otherwise=f"For these tokens it is {expected:.3f}. Unit vectors u, then Σ over i ≠ j of u_i · u_j, over n(n - 1).",
    )


def rank(yours: Callable[[Tensor], Tensor]) -> Verdict:
    """Exercise 2: exp of the entropy of the singular values' shares."""
    line = numbers(8, 1) @ numbers(1, 5, seed=1)
    even = torch.eye(5, dtype=torch.float64).repeat(2, 1)
    some = numbers(8, 5) @ torch.diag(torch.tensor([3.0, 1, 1, 0.5, 0.1], dtype=torch.float64)) + 0.4
    for x, name, hint in (
        (some, "the first tokens", ""),
        (even, "tokens that lie evenly along 5 directions", "It must be 5 there. "),
        (line, "tokens on one line", "It must be 1 there: is 0 · log 0 NaN in your sum? It counts as 0. "),
    ):
        expected = effective_rank(x[None])[0].double()
        verdict = compare(
            lambda x=x: torch.as_tensor(yours(x.clone()), dtype=torch.float64),
            expected,
            _rank_mistakes(x) if x is some else {},
            praise="",
            otherwise=f"For {name} it is {expected:.3f}. {hint}Yours differs.",
        )
        if not verdict.right:
            return verdict
    return Verdict(True, "1 for tokens on a line, 5 for five even directions, and labkit's number in between.")


def _rank_mistakes(x: Tensor) -> dict[str, Tensor]:
    values = torch.linalg.svdvals(x)
    share = values / values.sum()
    entropy = torch.special.entr(share).sum()
    squared = values.square() / values.square().sum()
    rest = torch.linalg.svdvals(x - x.mean(dim=0))
    return {
        "This is the entropy, in nats. e to its power is a number of directions.": entropy,
        "You squared the singular values: that is the rank of the energy. Roy & Vetterli take σ / Σσ.": (
            torch.special.entr(squared).sum().exp()
        ),
        "The logarithm is to base 2 and the power to base e: take both to the same base.": (entropy / log(2)).exp(),
        "You took the mean token away first. Here the tokens count as they are.": torch.special.entr(rest / rest.sum())
        .sum()
        .exp(),
        "This counts the singular values that are not 0: a direction with next to nothing in it counts like the first.": (
            torch.linalg.matrix_rank(x).double()
        ),
        "That is 1 / Σ p², another count of directions, which looks at the large shares only.": 1
        / share.square().sum(),
        "The shares do not sum to one: p = σ / Σσ, not σ / σ_1.": torch.special.entr(values / values[0]).sum().exp(),
    }


def residuals(yours: Callable[[list[Tensor], Tensor], Tensor]) -> Verdict:
    """Exercise 3: what is left of the differences after each of some attention matrices."""
    layers = [(1.5 * numbers(7, 7, seed=seed)).softmax(dim=-1) for seed in range(1, 4)]
    x = numbers(7, 3) + 0.3

    def left(y: Tensor, *, dim: int = 0, over: Tensor | None = None) -> Tensor:
        return (y - y.mean(dim=dim, keepdim=True)).norm() / (y if over is None else over).norm()

    def chain(matrices: list[Tensor], begin: Tensor = x) -> list[Tensor]:
        states = [begin]
        for a in matrices:
            states.append(a @ states[-1])
        return states

    states = chain(layers)
    half = [0.5 * torch.eye(7, dtype=x.dtype) + 0.5 * a for a in layers]
    stacked = torch.stack
    expected = stacked([left(y) for y in states])
    mistakes = {
        "The first entry is missing: begin with x itself, before any attention.": expected[1:],
        "Each layer was applied to x itself. What the first made is what the second takes.": stacked(
            [left(x), *(left(a @ x) for a in layers)]
        ),
        "The layers act in the other order: the first of the list acts first.": stacked(
            [left(y) for y in chain(layers[::-1])]
        ),
        "You took the mean over the channels away. It is the mean token, over the tokens: dim=0.": stacked(
            [left(y, dim=1) for y in states]
        ),
        "You divided by the length of x. Each residual is a share of its own y: attention also shrinks what is common.": (
            stacked([left(y, over=x) for y in states])
        ),
        "You did not divide: the residual is a share, ‖y - mean‖ / ‖y‖.": stacked([left(y) * y.norm() for y in states]),
        "You divided the squares: take the root of both, ‖·‖ and not ‖·‖².": expected.square(),
        "You multiplied by the columns, Aᵀ x. A row of A says of what a token is made: A @ x.": stacked(
            [left(y) for y in chain([a.T for a in layers])]
        ),
        "This is the chain with a skip connection. Here attention is alone: y = A y.": stacked(
            [left(y) for y in chain(half)]
        ),
    }
    return compare(
        lambda: _stack(yours([a.clone() for a in layers], x.clone())),
        expected,
        mistakes,
        praise="Weighted means of weighted means: after each layer less is left that tells one token from another.",
        otherwise="Keep y, begin with x; note ‖y - mean over the tokens‖ / ‖y‖; then y = A @ y, layer by layer.",
    )


def _stack(answer: object) -> object:
    """A list of numbers is as good as a tensor."""
    if isinstance(answer, (list, tuple)):
        return torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in answer])
    return answer
