"""Attention in the open: while this mode is on, fused attention is computed step by step and handed over."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from labkit.taps.multi_head import multi_head

SOFTMAXES = {F.softmax, torch.softmax, Tensor.softmax}


class ExplicitAttention(TorchFunctionMode):
    """Answers three calls in place of torch, for the current thread only; the model keeps its fused setting.

    found     called with each map, after its softmax: `… heads q k`
    entered   called with the input of each linear projection, so that a window layout can be recognised later

    The result differs from the fused kernel by rounding alone (about 2e-6 in float32).
    """

    def __init__(self, found: Callable[[Tensor], None], *, entered: Callable[[Tensor], None] | None = None) -> None:
        super().__init__()
        self.found = found
        self.entered = entered

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            return self._attend_multi_head(args, kwargs)
        if func is F.linear and self.entered:
            self.entered(args[0])
        out = func(*args, **kwargs)
        if func in SOFTMAXES and out.ndim == 4 and _dim(args, kwargs) in (-1, 3):
            self.found(out)
        return out

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if enable_gqa:
            key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], dim=-3) for x in (key, value))
        logits = query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale) @ key.transpose(-2, -1)
        if is_causal:
            attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
        if attn_mask is not None:
            logits = logits.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else logits + attn_mask
        return self._mix(logits.softmax(dim=-1), value, dropout_p)[0]

    def _attend_multi_head(self, args, kwargs) -> tuple[Tensor, Tensor | None]:
        def attend(query, key, value, mask, dropout):
            logits = query / math.sqrt(query.shape[-1]) @ key.transpose(-2, -1)
            return self._mix((logits if mask is None else logits + mask).softmax(dim=-1), value, dropout)

        answer = multi_head(args, kwargs, attend)
        if answer is not None:
            return answer
        # A rare kind of call: ask it for one map a head, and give back what was asked for.
        out, attn = F.multi_head_attention_forward(
            *args, **kwargs | {"need_weights": True, "average_attn_weights": False}
        )
        self.found(attn)
        if not kwargs.get("need_weights", True):
            return out, None
        return out, attn.mean(dim=-3) if kwargs.get("average_attn_weights", True) else attn

    def _mix(self, attn: Tensor, value: Tensor, dropout_p: float) -> tuple[Tensor, Tensor]:
        self.found(attn)
        return (F.dropout(attn, dropout_p) if dropout_p else attn) @ value, attn


def _dim(args, kwargs) -> int | None:
    return kwargs["dim"] if "dim" in kwargs else args[1] if len(args) > 1 else None
