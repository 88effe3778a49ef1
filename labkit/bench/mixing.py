"""Mixing maps by probing, over the same vector-Jacobian products written by hand in one batch."""

from __future__ import annotations

import torch

from labkit.bench import Case, Work


def cases(device: str) -> list[Case]:
    """One probe a query, 196 or 256 queries: a block of vit_tiny, one of mambaout_femto, a depthwise 7 x 7 convolution.

    Floor: the input repeated once a query, one forward pass, one backward pass with each query's signs in its own row.
    Peer: torch.func.vmap over torch.func.vjp, one forward pass for all rows.
    """
    import timm

    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224").eval().to(device)
    mamba = timm.create_model("mambaout_femto").eval().to(device)
    wide = torch.nn.Sequential(torch.nn.Conv2d(64, 64, 7, padding=3, groups=64)).eval().to(device)
    return [
        _case("mixing map, vit block on 14 x 14", vit.blocks[5], torch.randn(1, 197, 192, device=device), "b n c", 14),
        _case("mixing map, mambaout block on 14 x 14", mamba.stages[2].blocks[4], *_map(14, 192, device)),
        _case("mixing map, 7 x 7 depthwise on 16 x 16", wide, torch.randn(1, 64, 16, 16, device=device), "b c h w", 16),
    ]


def _map(side: int, channels: int, device: str) -> tuple[torch.Tensor, str, int]:
    return torch.randn(1, side, side, channels, device=device), "b h w c", side


def _case(name: str, block: torch.nn.Module, x: torch.Tensor, axes: str, side: int) -> Case:
    from labkit.probes.mixing import mixing_map
    from labkit.taps import Form

    channels = x.shape[1] if axes == "b c h w" else x.shape[-1]
    form = Form(axes, (side, side), channels, x.shape[1] - side**2 if axes == "b n c" else 0)
    block.requires_grad_(False)
    n = side * side
    signs = torch.randint(0, 2, (n, channels), device=x.device).float() * 2 - 1
    seeds = torch.diag_embed(signs.T).permute(1, 2, 0)  # query, token, channel

    def by_hand() -> torch.Tensor:
        many = x.repeat(n, *[1] * (x.ndim - 1)).requires_grad_()
        y = block(many)
        (gradients,) = torch.autograd.grad(y, many, form.with_tokens(torch.zeros_like(y), seeds))
        return form.to_tokens(gradients).square().sum(dim=-1)

    def vectorised() -> torch.Tensor:
        y, pull = torch.func.vjp(block, x)
        asked = form.with_tokens(y.new_zeros(n, *y.shape[1:]), seeds)
        (gradients,) = torch.func.vmap(pull)(asked[:, None])
        return form.to_tokens(gradients[:, 0]).square().sum(dim=-1)

    def ours() -> object:
        return mixing_map(block, x, before=form, after=form, probes=1)

    works: tuple[Work, ...] = (by_hand, ours, vectorised)
    return Case(name, 1.1, works[0], works[1], "torch.func vmap of vjp", works[2])
