"""Attention with its matrix held fixed: what the values carry, and what the softmax adds when the picture moves.

An attention layer depends on its input twice: through the values, y = A V W_O, and through A itself. The attention map
shows the first alone; the Jacobian has both.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from labkit.probes.inputs import Refused, check_call
from labkit.probes.mixing import MixingMap, check_site, mixing_map
from labkit.taps import calls, evaluating, site_of

_SOFTMAXES = {F.softmax, torch.softmax, Tensor.softmax}


class HeldAttention(TorchFunctionMode):
    """While this is on, in this thread, no gradient flows through an attention matrix; every value stays what it is.

        with HeldAttention():
            maps = mixing_maps(model, images)      # the blocks as if each A were a constant

    Covers softmax along the last axis of three or more, fused attention, and nn.MultiheadAttention.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention or func is F.multi_head_attention_forward:
            # A is made of queries and keys alone, and these enter nowhere else.
            args = (*(one.detach() for one in args[:2]), *args[2:])
            kwargs = kwargs | {name: kwargs[name].detach() for name in ("query", "key") if name in kwargs}
            return func(*args, **kwargs)
        out = func(*args, **kwargs)
        return out.detach() if func in _SOFTMAXES and out.ndim > 2 else out


@dataclass(frozen=True)
class AttentionParts:
    """The Jacobian of one attention layer and the two parts it is the sum of, each as a mixing map.

    live       J: the layer as it is
    held       with A held fixed, Σ_h A_h[q, k] W_O,h W_V,h: what the attention map shows
    softmax    J - held: what comes through A, because queries and keys move too

    The parts may cancel, so their norms do not add up: |held - softmax| <= live <= held + softmax.
    """

    live: MixingMap
    held: MixingMap
    softmax: MixingMap

    @property
    def share_of_softmax(self) -> Float[Tensor, "b"]:
        """‖softmax‖_F / (‖softmax‖_F + ‖held‖_F) of the whole Jacobians, 0..1; 0: A does not depend on the picture."""
        held, softmax = (part.squared.sum(dim=(1, 2)).sqrt() for part in (self.held, self.softmax))
        return softmax / (softmax + held)


def attention_parts(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    layer: str | nn.Module,
    *,
    probes: int = 4,
    seed: int = 0,
    side: int = 16,
) -> AttentionParts:
    """The mixing of an attention layer, alone or in its block, with A live and held fixed; see `mixing_map`.

    Raises Refused for a layer without softmax attention, or whose input has no place on the picture.
    """
    check_call(model, images)
    site = check_site(site_of(model, layer, tuple(images.shape[-2:])))
    with evaluating(model):
        call = calls(model, [site.name], images)[site.name]

        def held(x: Tensor) -> Tensor:
            with HeldAttention():
                return call(x)

        def part(function) -> MixingMap:
            form = {"before": site.before, "after": site.after}
            return mixing_map(function, call.x, **form, probes=probes, seed=seed, side=side, name=site.name)

        live, fixed = part(call), part(held)
        # Two passes whose values cancel and whose gradients do not.
        softmax = part(lambda x: call(x) - held(x))
    if not softmax.squared.any():
        raise Refused(f"no softmax attention was met in {site.name!r} ({site.kind}): there is nothing to hold fixed.")
    return AttentionParts(live, fixed, softmax)
