"""Over-smoothing by depth and CKA of two models, over the plain forward passes that they stand on."""

from __future__ import annotations

import torch
from torch import nn

from labkit.bench import Case

IMAGES, MANY = 8, 32


def cases(device: str) -> list[Case]:
    """All measures of all layers of timm's vit_tiny_patch16_224 (batch 8), and CKA of its layers with deit_tiny's (32).

    Floor: the forward pass, or both. Peer of the first: the usual way by hand, which gives less: hooks, all pairs of
    tokens, the singular values. Peer of the second: torch_cka's way (its steps, not the package), with HSIC in float32,
    each pair of layers on its own.
    """
    import timm

    from labkit.probes.cka import agreement
    from labkit.probes.similarity import smoothness

    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224").eval().to(device)
    other = timm.create_model("deit_tiny_patch16_224").eval().to(device)
    few, many = (torch.randn(count, 3, 224, 224, device=device) for count in (IMAGES, MANY))

    def plain(part: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
        kept: list[torch.Tensor] = []
        hooks = [block.register_forward_hook(lambda module, args, out: kept.append(out)) for block in part.blocks]
        with torch.inference_mode():
            part(images)
        for hook in hooks:
            hook.remove()
        return kept

    def by_hand() -> None:
        n = 196
        pairs = ~torch.eye(n, dtype=torch.bool, device=device)
        for value in plain(model, few):
            tokens = nn.functional.normalize(value[:, 1:], dim=-1)
            (tokens @ tokens.mT)[:, pairs].mean(dim=1)
            share = torch.linalg.svdvals(value[:, 1:])
            share = share / share.sum(dim=1, keepdim=True)
            torch.special.entr(share).sum(dim=1).exp()

    def pairwise() -> None:
        a, b = plain(model, many), plain(other, many)

        def hsic(k: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
            n = len(k)
            ones = torch.ones(n, 1, device=device)
            result = torch.trace(k @ m) + (ones.T @ k @ ones @ ones.T @ m @ ones) / ((n - 1) * (n - 2))
            return (result - (ones.T @ k @ m @ ones) * 2 / (n - 2)) / (n * (n - 3))

        for x in a:
            k = x.flatten(1) @ x.flatten(1).T
            k.fill_diagonal_(0)
            for y in b:
                m = y.flatten(1) @ y.flatten(1).T
                m.fill_diagonal_(0)
                hsic(k, m) / (hsic(k, k) * hsic(m, m)).abs().sqrt()

    def both() -> None:
        plain(model, many)
        plain(other, many)

    return [
        Case("token similarity", 2.5, lambda: plain(model, few), lambda: smoothness(model, few), "by hand", by_hand),
        Case("CKA, 12 x 12 layers", 1.3, both, lambda: agreement(model, many, other=other), "pair by pair", pairwise),
    ]
