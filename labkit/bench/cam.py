"""Class activation maps over the passes that they cannot do without."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from labkit.bench import Case, Work

IMAGES, SIZE = 8, (224, 224)


def cases(device: str) -> list[Case]:
    """GradCAM and EigenCAM of 8 pictures of 224 pixels, AblationCAM of one; each with the map at the picture's size.

    Floors, by hand for these two models: for GradCAM one forward pass and one backward pass that stops at the layer,
    without the gradient of any weight; for EigenCAM one forward pass; for AblationCAM one forward pass, and what lies
    behind the layer for all channels, 64 at a time. pytorch-grad-cam's AblationCAM runs the whole network once a
    channel, which takes minutes here: it is left out.
    """
    import timm

    from labkit.probes.cam import cam

    torch.manual_seed(0)
    names = ("resnet18", "vit_tiny_patch16_224")
    resnet, vit = (timm.create_model(name).eval().requires_grad_(False).to(device) for name in names)
    images = torch.randn(IMAGES, 3, *SIZE, device=device)

    def ours(model: nn.Module, method: str, pictures: Tensor = images) -> Work:
        return lambda: cam(model, pictures, method=method).display(SIZE)

    def peer(name: str, method: str) -> tuple[str, Work | None]:
        return "pytorch-grad-cam", _by_pytorch_grad_cam(name, method, images) if find_spec("pytorch_grad_cam") else None

    def forward(model: nn.Module) -> Work:
        return partial(_forward, model, images)

    def backward(model: nn.Module) -> Work:
        return partial(_backward, model, images)

    captum = partial(_by_captum, resnet, images) if find_spec("captum") else None
    return [
        Case("GradCAM, resnet18", 1.05, backward(resnet), ours(resnet, "gradcam"), *peer(names[0], "GradCAM")),
        Case("GradCAM, resnet18, beside captum", 1.05, backward(resnet), ours(resnet, "gradcam"), "captum", captum),
        Case("GradCAM, vit_tiny", 1.05, backward(vit), ours(vit, "gradcam"), *peer(names[1], "GradCAM")),
        Case("EigenCAM, resnet18", 1.5, forward(resnet), ours(resnet, "eigencam"), *peer(names[0], "EigenCAM")),
        Case("EigenCAM, vit_tiny", 1.5, forward(vit), ours(vit, "eigencam"), *peer(names[1], "EigenCAM")),
        Case(
            "AblationCAM, resnet18",
            1.3,
            partial(_ablate, resnet, images[:1]),
            ours(resnet, "ablationcam", images[:1]),
        ),
    ]


@torch.inference_mode()
def _forward(model: nn.Module, images: Tensor) -> Tensor:
    return model(images)


def _backward(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        if hasattr(model, "blocks"):
            x = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(images))))
            x = model.blocks[:-1](x)
        else:
            x = model.forward_features(images)
    x.requires_grad_()
    y = model.norm(model.blocks[-1](x)) if hasattr(model, "blocks") else x
    (gradient,) = torch.autograd.grad(model.forward_head(y).amax(dim=1).sum(), x)
    return gradient


@torch.inference_mode()
def _ablate(model: nn.Module, images: Tensor) -> list[Tensor]:
    x = model.forward_features(images)
    scores = [model.forward_head(x)]
    for channels in torch.arange(x.shape[1], device=x.device).split(64):  # on a CPU faster than all at once
        without = x.repeat(len(channels), 1, 1, 1)
        without[torch.arange(len(channels), device=x.device), channels] = 0
        scores.append(model.forward_head(without))
    return scores


def _by_pytorch_grad_cam(name: str, method: str, images: Tensor) -> Work:
    import pytorch_grad_cam
    import timm

    # With weights that take gradients, without which it cannot work.
    model = timm.create_model(name).eval().to(images.device)
    vit = hasattr(model, "blocks")
    cam = getattr(pytorch_grad_cam, method)(
        model=model,
        target_layers=[model.blocks[-2] if vit else model.layer4],
        reshape_transform=(lambda x: x[:, 1:].mT.unflatten(2, (14, 14))) if vit else None,
    )
    return partial(cam, images, None)


def _by_captum(model: nn.Module, images: Tensor) -> Tensor:
    from captum.attr import LayerAttribution, LayerGradCam

    maps = LayerGradCam(model, model.layer4).attribute(images, target=0)
    return LayerAttribution.interpolate(maps, SIZE, "bilinear")
