"""Tokens and maps after each block, for any family, without naming a layer."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn

from labkit.models.backbones.resnet import ResNet
from labkit.models.backbones.vit import ViT
from labkit.taps import Unreadable, reading


def read(model: nn.Module, axes: str, *size: int) -> dict[str, torch.Tensor]:
    with torch.no_grad(), reading(model.eval(), axes) as found:
        model(torch.randn(2, 3, *size))
    return found


@pytest.mark.parametrize(
    ("build", "size", "count", "first", "last_shape"),
    [
        (lambda: timm.create_model("resnet18"), (64, 96), 8, "layer1.0", (2, 512, 2, 3)),
        (lambda: timm.create_model("efficientnet_lite0"), (64, 96), 16, "blocks.0.0", (2, 320, 2, 3)),
        (lambda: timm.create_model("convnext_atto"), (64, 96), 12, "stages.0.blocks.0", (2, 320, 2, 3)),
        (lambda: timm.create_model("regnety_002"), (64, 96), 13, "s1", (2, 368, 2, 3)),
        (lambda: timm.create_model("mambaout_femto"), (64, 96), 18, "stages.0.blocks.0", (2, 288, 2, 3)),
        (lambda: torchvision.models.resnet18(), (64, 96), 8, "layer1.0", (2, 512, 2, 3)),
        (lambda: torchvision.models.mobilenet_v2(), (64, 96), 17, "features.1", (2, 320, 2, 3)),
        (lambda: torchvision.models.vgg11(), (64, 96), 8, "features.0", (2, 512, 4, 6)),
        (lambda: ResNet(widths=(4, 8), depths=(2, 1), classes=3), (37, 50), 3, "stages.0.0", (2, 8, 10, 13)),
    ],
)
def test_maps_of_convolutional_networks(build, size, count, first, last_shape):
    found = read(build(), "b c h w", *size)
    assert len(found) == count
    assert next(iter(found)) == first
    assert tuple(found[list(found)[-1]].shape) == last_shape


def test_swin_maps_have_their_channels_in_front():
    model = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=112, depths=(1, 1), num_heads=(2, 4), embed_dim=28
    )
    # 28 channels on a 28 x 28 grid: only the order of the axes can tell channels from rows, so compare the values.
    taken = []
    hook = model.layers[1].blocks[0].register_forward_hook(lambda module, args, out: taken.append(out))
    found = read(model, "b c h w", 112, 112)
    hook.remove()
    torch.testing.assert_close(found["layers.1.blocks.0"], taken[0].permute(0, 3, 1, 2))


def test_tokens_and_maps_of_one_vit_agree():
    model = ViT(dim=8, depth=2, heads=2, classes=3, image=16, patch=4).eval()
    x = torch.randn(2, 3, 12, 20)
    with torch.no_grad(), reading(model, "b n c") as tokens:
        model(x)
    assert list(tokens) == ["blocks.0", "blocks.1"]
    assert tokens["blocks.1"].shape == (2, 16, 8)
    timms = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=(48, 80)).eval()
    picture = torch.randn(2, 3, 48, 80)
    with torch.no_grad(), reading(timms, "b n c") as tokens:
        timms(picture)
    with torch.no_grad(), reading(timms, "b c h w") as maps:
        timms(picture)
    torch.testing.assert_close(maps["blocks.1"].flatten(2).transpose(1, 2), tokens["blocks.1"][:, 1:])
    with torch.no_grad():
        expected = timms.forward_intermediates(picture, indices=2, norm=False, intermediates_only=True)
    torch.testing.assert_close(maps["blocks.0"], expected[0])


def test_a_model_without_blocks_says_so():
    with pytest.raises(Unreadable, match=r"Sequential showed no blocks.*Tap\('b c h w'\)"):
        read(nn.Sequential(nn.Identity()), "b c h w", 8, 8)
