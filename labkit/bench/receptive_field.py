"""The effective receptive field over the forward and backward pass that it needs, by hand."""

from __future__ import annotations

import torch

from labkit.bench import Case, Work

IMAGES = 4


def cases(device: str) -> list[Case]:
    """The field of the last block of resnet18 and vit_tiny, for 4 pictures of 224 pixels.

    Floor: a forward pass, and a backward pass from the middle unit to the picture alone. Peer: the usual recipe, with
    `.backward()` on a model whose weights take gradients too.
    """
    import timm

    torch.manual_seed(0)
    images = torch.randn(IMAGES, 3, 224, 224, device=device)
    resnet = timm.create_model("resnet18").eval().to(device)
    vit = timm.create_model("vit_tiny_patch16_224").eval().to(device)
    return [
        _case("effective field, resnet18", resnet, "layer4.1", lambda y: y[:, :, 3, 3], images),
        _case("effective field, vit_tiny", vit, "blocks.11", lambda y: y[:, 1 + 7 * 14 + 7], images),
    ]


def _case(name: str, model: torch.nn.Module, layer: str, middle, images: torch.Tensor) -> Case:
    from labkit.probes.receptive_field import effective_fields

    part = model.get_submodule(layer)

    def score(x: torch.Tensor) -> torch.Tensor:
        kept: list[torch.Tensor] = []
        hook = part.register_forward_hook(lambda module, args, out: kept.append(out))
        model(x)
        hook.remove()
        return middle(kept[0]).relu().sum()

    def by_hand() -> torch.Tensor:
        x = images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(score(x), x)
        return gradient.relu().sum(dim=1)

    def usual() -> torch.Tensor:
        x = images.clone().requires_grad_()
        score(x).backward()
        model.zero_grad()
        return x.grad.relu().sum(dim=1)

    def ours() -> object:
        return effective_fields(model, images, layers=[layer])

    works: tuple[Work, ...] = (by_hand, ours, usual)
    return Case(name, 1.2, works[0], works[1], "with .backward()", works[2])
