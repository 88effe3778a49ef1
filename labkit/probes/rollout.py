"""Attention through the whole depth: which patches reach the class token when all layers are chained.

Sources
  rollout            Abnar & Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, section 3
  gradient rollout   Chefer, Gur & Wolf, "Generic Attention-model Explainability", ICCV 2021, equations 5-6
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.probes.attention import AttentionMap, placed
from labkit.probes.inputs import check_call
from labkit.probes.targets import Targets, scores
from labkit.taps import Unreadable, evaluating, layouts, reading


def rollout(maps: Sequence[AttentionMap], *, residual: float = 0.5) -> Float[Tensor, "b n n"]:
    """R = Â_L … Â_2 Â_1 with Â = residual · I + (1 - residual) · mean over heads of A; rows sum to one.

    Row i says from which input tokens output token i is made; prefix tokens come first, so row 0 is the class token.
    Raises Unreadable for models whose layers do not all look from all tokens to all tokens (windows, pooled keys).
    """
    if not 0 <= residual < 1:
        raise ValueError(f"rollout(residual={residual}): expected a share in 0..1, 1 left out; the paper has 0.5.")
    matrices = [attention.dense().mean(dim=1) for attention in _square(maps)]
    identity = torch.eye(matrices[0].shape[-1], device=matrices[0].device, dtype=matrices[0].dtype)
    steps = [residual * identity + (1 - residual) * attn for attn in matrices]
    return reduce(lambda before, step: step @ before, steps)


def gradient_rollout(
    model: nn.Module, images: Float[Tensor, "b 3 height width"], *, targets: Targets = None
) -> Float[Tensor, "b n n"]:
    """R = R + Ā R layer by layer from R = I, with Ā = mean over heads of relu(∂score/∂A · A): relevance for one class.

    targets   a class for all images, one for each, a function of the logits that gives one score an image, or None for
              the highest logit

    The result is not normalised: its scale is that of the score's gradient. The model may be frozen and the call may
    stand inside `inference_mode`; no `.grad` is left behind.
    """
    check_call(model, images)
    places = layouts(model, tuple(images.shape[-2:]))
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        # A frozen model has no graph of its own: the picture starts one.
        x = images.clone().requires_grad_()
        with reading(model, "b heads q k") as found:
            logits = model(x)
        score = scores(logits, targets).sum()
        gradients = torch.autograd.grad(score, list(found.values()), allow_unused=True)
    weighted = {
        name: torch.zeros_like(attn) if gradient is None else (gradient * attn).clamp_min(0).detach()
        for (name, attn), gradient in zip(found.items(), gradients, strict=True)
    }
    maps = _square(placed(weighted, places, batch=len(images)))
    relevance = torch.eye(maps[0].dense().shape[-1], device=images.device).expand(len(images), -1, -1)
    for attention in maps:
        relevance = relevance + attention.dense().mean(dim=1) @ relevance
    return relevance


def _square(maps: Sequence[AttentionMap]) -> list[AttentionMap]:
    if not maps:
        raise ValueError("rollout needs the maps of at least one layer, got none.")
    square = [attention for attention in maps if len(attention.queries) == 1 and attention.grid == attention.key_grid]
    square = [attention for attention in square if attention.weights.shape[-2] == attention.weights.shape[-1]]
    if len(square) < len(maps) or len({attention.weights.shape[-1] for attention in maps}) > 1:
        raise Unreadable(
            "rollout chains layers in which all tokens look at all tokens; this model has windows, pooled keys or "
            "changing grids. Look at its layers one by one, or choose a plain vision transformer."
        )
    return square
