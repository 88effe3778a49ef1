"""All attention maps of a fused transformer, and every measure on top, over its plain forward pass."""

from __future__ import annotations

import torch
from torch import nn

from labkit.bench import Case

IMAGES = 8


def cases(device: str) -> list[Case]:
    """All attention maps of timm's vit_tiny_patch16_224 (batch 8, 224 pixels), and with every measure on top.

    Floor: the plain fused forward pass. Peer: the usual way by hand, fused attention switched off in every block and a
    hook on each `attn_drop`; it gives the maps and no measures.
    """
    import timm

    from labkit.probes.attention import attention_maps, measure

    torch.manual_seed(0)
    fused, unfused = (timm.create_model("vit_tiny_patch16_224").eval().to(device) for _ in range(2))
    images = torch.randn(IMAGES, 3, 224, 224, device=device)
    kept: list[torch.Tensor] = []
    for part in unfused.modules():
        if hasattr(part, "fused_attn"):
            part.fused_attn = False
            part.attn_drop.register_forward_hook(lambda module, args, out: kept.append(out))

    def plain(model: nn.Module) -> torch.Tensor:
        with torch.inference_mode():
            return model(images)

    def by_hand() -> None:
        kept.clear()
        plain(unfused)

    def maps() -> object:
        return attention_maps(fused, images)

    def measures() -> object:
        return [measure(attention) for attention in attention_maps(fused, images)]

    return [
        Case("attention maps", 1.2, lambda: plain(fused), maps, "timm unfused with hooks", by_hand),
        Case("attention measures", 1.5, lambda: plain(fused), measures, "timm unfused with hooks, maps only", by_hand),
    ]
