"""Our backbones compute what timm and torchvision do from the same weights, and keep the contract of an exhibit."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn

from labkit.models.backbones import resnet, vit
from labkit.models.backbones.resnet import ResNet
from labkit.models.backbones.vit import ViT
from labkit.models.layers import ConvStem, DropPath, GridPositions

MODULES = pytest.mark.parametrize("module", [vit, resnet], ids=["vit", "resnet"])


def test_vit_equals_timm_after_copying_its_weights():
    theirs = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=3, num_classes=7
    ).eval()
    nn.init.normal_(theirs.pos_embed)
    ours = ViT(dim=24, depth=3, heads=3, classes=7, image=32, patch=8).eval()
    weights = dict(theirs.state_dict())
    positions = weights.pop("pos_embed")
    weights["cls"] = weights.pop("cls_token")
    weights["cls_position"] = positions[:, :1]
    weights["positions.table"] = positions[:, 1:].transpose(1, 2).reshape(1, 24, 4, 4)
    for part in ("weight", "bias"):
        weights[f"stem.proj.{part}"] = weights.pop(f"patch_embed.proj.{part}")
    ours.load_state_dict(weights)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-4)


def test_published_sizes():
    # DeiT-Ti / ViT-Ti: 5,717,416 parameters with 1,000 classes (timm's vit_tiny_patch16_224 has the same).
    assert sum(p.numel() for p in ViT(dim=192, depth=12, heads=3).parameters()) == 5_717_416


def test_a_basic_block_equals_torchvisions():
    ours = resnet.BasicBlock(4, 6, stride=2)
    shortcut = nn.Sequential(nn.Conv2d(4, 6, 1, stride=2, bias=False), nn.BatchNorm2d(6))
    theirs = torchvision.models.resnet.BasicBlock(4, 6, stride=2, downsample=shortcut)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter)
    ours.load_state_dict({name.replace("downsample", "shortcut"): value for name, value in theirs.state_dict().items()})
    x = torch.randn(2, 4, 7, 9)
    torch.testing.assert_close(ours(x), theirs(x))


def test_fresh_residual_branches_are_silent():
    block = resnet.BasicBlock(4, 4, stride=1)
    x = torch.rand(1, 4, 5, 6)
    torch.testing.assert_close(block(x), x)


def test_positions_keep_their_table_on_its_own_grid_and_stretch_on_another():
    positions = GridPositions(1, grid=4)
    with torch.no_grad():
        positions.table.copy_(torch.arange(4.0).view(1, 1, 4, 1).expand(1, 1, 4, 4))  # each row its number
    assert positions(4, 4).view(4, 4)[:, 0].tolist() == [0, 1, 2, 3]
    stretched = positions(8, 2).view(8, 2)
    torch.testing.assert_close(stretched[:, 0], stretched[:, 1])
    assert (stretched[:, 0].diff() > 0).all(), "rows stay rows: a swapped grid would not rise"


def test_drop_path_keeps_the_mean_and_is_silent_in_eval():
    drop = DropPath(0.25)
    x = torch.ones(4000, 1, 1)
    dropped = drop.train()(x)
    assert sorted(dropped.unique().tolist()) == pytest.approx([0, 1 / 0.75])
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(x), x)


def test_conv_stem_reaches_the_grid_of_its_patch():
    assert ConvStem(16, patch=8)(torch.randn(1, 3, 40, 56)).shape == (1, 16, 5, 7)
    with pytest.raises(ValueError, match=r"ConvStem\(patch=6\): expected a power of two"):
        ConvStem(16, patch=6)


@MODULES
def test_every_parameter_gets_a_gradient(module):
    model, x = module.tiny()
    model.train()
    if module is resnet:  # a silent branch passes no gradient to what lies before its scale
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.ones_(part.weight)
    out = model(x)
    (out * torch.randn_like(out)).sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # The key bias shifts a whole row of logits alike, which the softmax does not see: rounding is all it gets.
    assert without == []


@MODULES
def test_samples_do_not_leak_and_the_same_seed_gives_the_same_output(module):
    torch.manual_seed(5)
    model, x = module.tiny()
    torch.manual_seed(5)
    again, y = module.tiny()
    assert torch.equal(model.eval()(x), again.eval()(y))
    changed = x.clone()
    changed[1] = torch.randn_like(x[1])
    torch.testing.assert_close(model(changed)[0], model(x)[0])
    assert not torch.allclose(model(changed)[1], model(x)[1])


def test_bad_sizes_are_refused_by_name():
    with pytest.raises(ValueError, match="patch 4 got a 10 x 8 picture: both sides must be multiples"):
        vit.tiny()[0](torch.randn(1, 3, 10, 8))
    with pytest.raises(ValueError, match=r"Attention\(dim=10, heads=3\)"):
        ViT(dim=10, depth=1, heads=3)
    with pytest.raises(ValueError, match=r"argument 2 is (shorter|longer)"):
        ResNet(widths=(4, 8), depths=(1,))
