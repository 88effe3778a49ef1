"""The checks of lesson 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from labkit.probes.attention import AttentionMap, measure
from labkit.probes.rollout import rollout as labkit_rollout

from . import Verdict, compare, numbers


def attention(yours: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Exercise 1: softmax of q kᵀ / √d over the keys."""
    q, k = numbers(2, 5, 3), numbers(2, 7, 3) * 2
    expected = F.scaled_dot_product_attention(q, k, torch.eye(7, dtype=q.dtype).expand(2, -1, -1))
    scores = q @ k.transpose(-2, -1)
    mistakes = {
        "These are the scores. Attention is a distribution: put a softmax over the keys.": scores / 3**0.5,
        "These are the bare scores: divide them by √d, then put a softmax over the keys.": scores,
        "The softmax runs over the queries (dim=-2). Each query shares out what it looks at: dim=-1.": (
            scores / 3**0.5
        ).softmax(-2),
        "The scale is missing: divide the scores by √d, d = q.shape[-1], before the softmax.": scores.softmax(-1),
        "You divided by d; it is √d that keeps the spread of the scores at one.": (scores / 3).softmax(-1),
        "You divided by √(number of keys); it is √d with d = q.shape[-1], the channels of a head.": (
            scores / 7**0.5
        ).softmax(-1),
        "You multiplied by √d; divide by it.": (scores * 3**0.5).softmax(-1),
        "The distributions are right but turned: q must run over rows, k over columns.": expected.transpose(-2, -1),
    }
    return compare(
        lambda: yours(q, k),
        expected,
        mistakes,
        praise="Rows sum to one, every head apart: this is what you hovered over.",
        otherwise="Your rows are not softmax(q kᵀ / √d). Look at the equation once more: scores, scale, softmax.",
    )


def nmi(yours: Callable[[Tensor], Tensor]) -> Verdict:
    """Exercise 2: the normalised mutual information of one attention matrix."""
    everyone_alike = torch.full((12, 12), 1 / 12, dtype=torch.float64)
    itself = torch.eye(12, dtype=torch.float64)
    some = (numbers(12, 12) * 3).softmax(-1)
    for a, name, hint in (
        (some, "a random matrix", ""),
        (everyone_alike, "uniform attention", "p(q, k) = p(q) p(k) there, so nothing can be learnt: 0. "),
        (itself, "the identity", "Is 0 · log 0 NaN in your sum? It counts as 0: torch.special.entr, or clamp. "),
    ):
        expected = measure(_as_map(a[None])).nmi[0, 0].double()
        verdict = compare(
            lambda a=a: torch.as_tensor(yours(a), dtype=torch.float64),
            expected,
            _nmi_mistakes(a) if a is some else {},
            praise="",
            otherwise=f"For {name} the NMI is {expected:.3f}. {hint}Yours differs.",
        )
        if not verdict.right:
            return verdict
    return Verdict(True, "1 for the identity, 0 for uniform attention, and labkit's number in between.")


def _nmi_mistakes(a: Tensor) -> Mapping[str, Tensor]:
    n = len(a)
    joint = a / n
    marginal = joint.sum(0)
    hq, hk = torch.log(torch.tensor(float(n), dtype=a.dtype)), torch.special.entr(marginal).sum()
    information = (joint * (joint / (marginal / n)).log()).sum()
    uniform_keys = (joint * (joint * n * n).log()).sum()
    return {
        "This is the mutual information itself, in nats. Divide by √(H(q) H(k)).": information,
        "You divided by H(q) alone; the paper takes the geometric mean √(H(q) H(k)).": information / hq,
        "You divided by H(k) alone; the paper takes the geometric mean √(H(q) H(k)).": information / hk,
        "You divided by H(q) H(k); the square root is missing.": information / (hq * hk),
        "You divided by the arithmetic mean of the entropies; here it is the geometric one.": 2
        * information
        / (hq + hk),
        "You took p(k) = 1/N. The keys are not looked at equally often: p(k) = Σ_q p(q, k).": uniform_keys
        / (hq * hk).sqrt(),
        "The joint is p(q, k) = A / N. You used A itself, whose sum is N and not one.": (a * (a / a.sum(0)).log()).sum()
        / (hq * hk).sqrt(),
    }


def rollout(yours: Callable[[list[Tensor]], Tensor]) -> Verdict:
    """Exercise 3: chain the layers, half of each the skip connection."""
    layers = [(numbers(12, 12, seed=seed) * 3).softmax(-1) for seed in range(3)]
    eye = torch.eye(12, dtype=torch.float64)
    halves = [0.5 * eye + 0.5 * a for a in layers]
    expected = labkit_rollout([_as_map(a[None]) for a in layers])[0].double()
    mistakes = {
        "The order is turned round. The first layer acts first, so it stands on the right: Â₃ Â₂ Â₁.": halves[0]
        @ halves[1]
        @ halves[2],
        "The skip connection is missing: Â = ½ I + ½ A.": layers[2] @ layers[1] @ layers[0],
        "Your rows sum to 2^layers: take half of I and half of A.": (eye + layers[2])
        @ (eye + layers[1])
        @ (eye + layers[0]),
        "You multiplied element by element (*); chaining layers is the matrix product (@).": halves[2]
        * halves[1]
        * halves[0],
        "This is the last layer alone: chain all of them.": halves[2],
    }
    return compare(
        lambda: yours([a.clone() for a in layers]),
        expected,
        mistakes,
        praise="Row i says from which input patches output token i was made; every row sums to one.",
        otherwise="Start from the identity and multiply Â = ½ I + ½ A from the left, layer by layer.",
    )


def _as_map(attn: Tensor) -> AttentionMap:
    """`heads 12 12` on a grid of 3 x 4 cells, without prefix tokens."""
    cells = torch.arange(12)[None]
    return AttentionMap("made to order", attn.float()[None, None], (3, 4), (3, 4), cells, cells)
