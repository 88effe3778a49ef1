"""What an intervention does: the output and the tokens after it, set against those before."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F


def probability(logits: Float[Tensor, "b classes"], label: Int64[Tensor, "b"]) -> Float[Tensor, "b"]:
    """The softmax probability of one class an image, 0..1."""
    return logits.float().softmax(dim=1).gather(1, label[:, None])[:, 0]


def divergence(before: Float[Tensor, "b classes"], after: Float[Tensor, "b classes"]) -> Float[Tensor, "b"]:
    """KL(before ‖ after) of the class distributions, in nats: 0 = the same, no upper end."""
    told, asked = (logits.double().log_softmax(dim=1) for logits in (before, after))
    return F.kl_div(asked, told, log_target=True, reduction="none").sum(dim=1).clamp_min(0).float()


def turned(before: Float[Tensor, "b n c"], after: Float[Tensor, "b n c"]) -> Float[Tensor, "b"]:
    """The mean cosine of each token with itself afterwards, -1..1: 1 = no token has turned. 0 for zero tokens."""
    return F.cosine_similarity(before, after, dim=-1, eps=torch.finfo(before.dtype).tiny).mean(dim=1)


def changed(before: Float[Tensor, "b n c"], after: Float[Tensor, "b n c"]) -> Float[Tensor, "b"]:
    """|after - before| / |before| over all tokens: 0 = the same, 1 = as much as there was."""
    size = before.flatten(1).norm(dim=1)
    return (after - before).flatten(1).norm(dim=1) / size.clamp_min(torch.finfo(before.dtype).tiny)
