"""Relevance and LeGrad, derived again with plain blocks and plain autograd."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn

from labkit.models.backbones.vit import ViT
from labkit.probes.relevance import legrad, relevance
from labkit.probes.rollout import gradient_rollout
from labkit.taps import Unreadable
from tests.probes.test_cam import shaken
from tests.taps.test_passes import traces


@pytest.fixture
def vit() -> ViT:
    torch.manual_seed(3)
    return shaken(ViT(dim=12, depth=3, heads=2, classes=4, image=16, patch=4))


def small(**settings: object) -> nn.Module:
    return shaken(
        timm.create_model("vit_tiny_patch16_224", depth=2, img_size=(32, 48), num_classes=5, **settings), 0.05
    )


def with_attention(block: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """One of our blocks by hand: (its output, its attention, a leaf's child)."""
    part = block.attn
    normed = block.norm1(x)
    q, k, v = part.qkv(normed).unflatten(2, (3, part.heads, -1)).permute(2, 0, 3, 1, 4)
    attn = (q @ k.mT * part.scale).softmax(-1)
    x = x + part.proj((attn @ v).transpose(1, 2).flatten(2))
    return x + block.mlp(block.norm2(x)), attn


def tokens_of(vit: ViT, images: torch.Tensor) -> torch.Tensor:
    x = vit.stem(images)
    h, w = x.shape[-2:]
    x = x.flatten(2).mT + vit.positions(h, w)
    return torch.cat([(vit.cls + vit.cls_position).expand(len(x), -1, -1), x], dim=1)


@pytest.mark.parametrize("targets", [[1, 3], None])
def test_legrad_is_the_gradient_of_each_layers_own_score(vit, targets):
    images = torch.randn(2, 3, 12, 20)
    asked = targets or vit(images).argmax(1).tolist()
    x = tokens_of(vit, images)
    expected = torch.zeros(2, 16, dtype=torch.float64)
    for block in vit.blocks:
        x, attn = with_attention(block, x.detach())
        score = vit.head(vit.norm(x)[:, 0])[[0, 1], asked].sum()
        (gradient,) = torch.autograd.grad(score, attn)
        for image in range(2):
            for head in range(2):
                for query in range(16):
                    expected[image] += gradient[image, head, query].clamp_min(0).double() / (3 * 2 * 16)
    found = legrad(vit, images, targets=targets)
    assert found.raw.shape == (2, 3, 5)
    torch.testing.assert_close(found.raw.double(), expected[:, 1:].view(2, 3, 5), atol=1e-7, rtol=1e-4)
    assert found.targets.tolist() == asked
    assert found.raw.min() >= 0
    assert found.raw.amax((1, 2)).min() > 0


def test_relevance_is_the_class_tokens_row_of_the_gradient_rollout(vit):
    images = torch.randn(2, 3, 12, 20)
    rolled = gradient_rollout(vit, images, targets=[1, 3])
    found = relevance(vit, images, targets=[1, 3])
    torch.testing.assert_close(found.raw, rolled[:, 0, 1:].view(2, 3, 5))
    assert found.targets.tolist() == [1, 3]
    assert relevance(vit, images).targets.tolist() == vit(images).argmax(1).tolist()
    asked = relevance(vit, images, targets=lambda logits: logits[torch.arange(2), torch.tensor([1, 3])])
    assert asked.targets is None
    torch.testing.assert_close(asked.raw, found.raw)


@pytest.mark.parametrize(
    ("settings", "rows", "prefix"),
    [
        ({}, [0], 1),
        ({"reg_tokens": 4}, [0], 5),
        ({"global_pool": "avg", "class_token": False}, range(6), 0),
        ({"global_pool": "avg"}, range(1, 7), 1),
    ],
)
def test_the_rows_are_those_of_the_tokens_that_the_head_reads(settings, rows, prefix):
    model, images = small(**settings), torch.randn(2, 3, 32, 48)
    gained = gradient_rollout(model, images, targets=2) - torch.eye(6 + prefix)
    expected = gained[:, list(rows)].mean(1)[:, prefix:].view(2, 2, 3)
    torch.testing.assert_close(relevance(model, images, targets=2).raw, expected)
    assert legrad(model, images, targets=2).raw.amax((1, 2)).min() > 0


def test_a_distilled_model_is_read_at_both_of_its_tokens():
    model = timm.create_model("deit_tiny_distilled_patch16_224", depth=2, img_size=(32, 48), num_classes=5)
    images = torch.randn(1, 3, 32, 48)
    gained = gradient_rollout(shaken(model, 0.05), images, targets=2)
    torch.testing.assert_close(relevance(model, images, targets=2).raw, gained[:, :2, 2:].mean(1).view(1, 2, 3))


@pytest.mark.parametrize("method", [relevance, legrad])
def test_fused_and_unfused_and_torchvisions_attention_give_the_same(method):
    fused, images = small(), torch.randn(1, 3, 32, 48)
    expected = method(fused, images, targets=2).raw
    for block in fused.blocks:
        assert block.attn.fused_attn
        block.attn.fused_attn = False
    torch.testing.assert_close(method(fused, images, targets=2).raw, expected, atol=1e-8, rtol=1e-3)

    theirs = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=3, hidden_dim=12, mlp_dim=24, num_classes=5
    )
    found = method(shaken(theirs), torch.randn(2, 3, 32, 32), targets=2)
    assert found.raw.shape == (2, 4, 4)
    assert found.raw.amax((1, 2)).min() > 0


def test_torchvisions_transformer_and_ours_with_the_same_weights_have_the_same_maps():
    theirs = shaken(
        torchvision.models.VisionTransformer(
            image_size=16, patch_size=4, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=32, num_classes=3
        )
    )
    ours = ViT(dim=8, depth=2, heads=2, classes=3, image=16, patch=4).eval()
    with torch.no_grad():
        ours.stem.proj.load_state_dict(theirs.conv_proj.state_dict())
        ours.cls.copy_(theirs.class_token)
        ours.cls_position.copy_(theirs.encoder.pos_embedding[:, :1])
        ours.positions.table.copy_(theirs.encoder.pos_embedding[:, 1:].mT.unflatten(2, (4, 4)))
        for mine, other in zip(ours.blocks, theirs.encoder.layers, strict=True):
            mine.norm1.load_state_dict(other.ln_1.state_dict())
            mine.norm2.load_state_dict(other.ln_2.state_dict())
            mine.attn.qkv.weight.copy_(other.self_attention.in_proj_weight)
            mine.attn.qkv.bias.copy_(other.self_attention.in_proj_bias)
            mine.attn.proj.load_state_dict(other.self_attention.out_proj.state_dict())
            mine.mlp.fc1.load_state_dict(other.mlp[0].state_dict())
            mine.mlp.fc2.load_state_dict(other.mlp[3].state_dict())
        ours.norm.load_state_dict(theirs.encoder.ln.state_dict())
        ours.head.load_state_dict(theirs.heads.head.state_dict())
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(ours(images), theirs(images), atol=1e-5, rtol=1e-4)
    for method in (relevance, legrad):
        raw = method(ours, images, targets=1).raw
        torch.testing.assert_close(method(theirs, images, targets=1).raw, raw, atol=1e-7, rtol=1e-3)


@pytest.mark.parametrize("method", [relevance, legrad])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_frozen_models_in_any_mode_and_nothing_stays(vit, method, mode):
    images = torch.randn(3, 3, 12, 20)
    expected = method(vit, images, targets=[0, 1, 2]).raw
    vit.requires_grad_(False).train()
    dice = torch.get_rng_state()
    with mode():
        found = method(vit, images, targets=[0, 1, 2]).raw
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(method(vit, images[1:2], targets=1).raw, expected[1:2], atol=1e-7, rtol=1e-4)
    assert not found.requires_grad
    assert vit.training
    assert traces(vit) == []
    assert images.grad is None
    assert torch.equal(dice, torch.get_rng_state())


def test_what_has_no_such_attention_is_refused_with_what_to_use():
    swin = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=56, depths=(1, 1), num_heads=(2, 2), embed_dim=16, num_classes=5
    )
    with pytest.raises(Unreadable, match=r"one stack of transformer blocks on one grid.*Use gradcam or layercam"):
        legrad(swin, torch.randn(1, 3, 56, 56))
    with pytest.raises(Unreadable, match="windows, pooled keys"):
        relevance(swin, torch.randn(1, 3, 56, 56))
    resnet = timm.create_model("resnet18")
    for method in (relevance, legrad):
        with pytest.raises(Unreadable, match="no attention to read"):
            method(resnet, torch.randn(1, 3, 64, 64))
