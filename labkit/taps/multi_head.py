"""The steps of nn.MultiheadAttention in the open, so that its map lies on the way to its output."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None, float], tuple[Tensor, Tensor]]
"""(query, key, value, mask to add, dropout) to (what is looked up, attention), all `b heads …`."""


def multi_head(args: tuple, kwargs: dict[str, Any], attend: Attend) -> tuple[Tensor, Tensor | None] | None:
    """What F.multi_head_attention_forward returns for this call, with its attention made by `attend`.

    torch's own call returns its weights as a view beside the path to the output, where no gradient would arrive. None
    for calls with parts that only text models use (extra keys, one sequence without a batch).
    """
    given = inspect.signature(F.multi_head_attention_forward).bind(*args, **kwargs)
    given.apply_defaults()
    call = SimpleNamespace(**given.arguments)
    extra = (call.bias_k, call.bias_v, call.static_k, call.static_v)
    if call.query.ndim != 3 or call.add_zero_attn or any(part is not None for part in extra):
        return None
    packed = not call.use_separate_proj_weight
    weights = call.in_proj_weight.chunk(3) if packed else (call.q_proj_weight, call.k_proj_weight, call.v_proj_weight)
    biases = (None,) * 3 if call.in_proj_bias is None else call.in_proj_bias.chunk(3)
    projected = map(F.linear, (call.query, call.key, call.value), weights, biases)  # n b c
    query, key, value = (x.unflatten(-1, (call.num_heads, -1)).permute(1, 2, 0, 3) for x in projected)
    dropout = call.dropout_p if call.training else 0.0
    out, attn = attend(query, key, value, _mask(call, query), dropout)
    out = F.linear(out.permute(2, 0, 1, 3).flatten(2), call.out_proj_weight, call.out_proj_bias)
    if not call.need_weights:
        return out, None
    return out, attn.mean(dim=1) if call.average_attn_weights else attn


def _mask(call: SimpleNamespace, like: Tensor) -> Tensor | None:
    """Both masks of the call as one to add, `b heads q k`; in a boolean mask of this call, True is what is not seen."""
    masks = []
    if call.attn_mask is not None:
        mask = _added(call.attn_mask, like)
        masks.append(mask.unflatten(0, (-1, call.num_heads)) if mask.ndim == 3 else mask)
    if call.key_padding_mask is not None:
        masks.append(_added(call.key_padding_mask, like)[:, None, None])
    return sum(masks) if masks else None


def _added(mask: Tensor, like: Tensor) -> Tensor:
    return like.new_zeros(mask.shape).masked_fill(mask, -float("inf")) if mask.dtype == torch.bool else mask
