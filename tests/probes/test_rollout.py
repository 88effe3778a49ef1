"""Rollout and gradient rollout, derived again with plain loops and plain autograd."""

from __future__ import annotations

import pytest
import timm
import torch

from labkit.models.backbones.vit import ViT
from labkit.probes.attention import attention_maps
from labkit.probes.rollout import gradient_rollout, rollout
from labkit.taps import Unreadable


@pytest.fixture
def vit() -> ViT:
    torch.manual_seed(3)
    model = ViT(dim=12, depth=3, heads=2, classes=4, image=16, patch=4)
    for parameter in model.parameters():  # far from the tame initial weights, so that every map differs
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


def test_rollout_is_the_chain_of_mixed_matrices(vit):
    maps = attention_maps(vit, torch.randn(2, 3, 12, 20))
    result = rollout(maps, residual=0.3)
    for image in range(2):
        expected = torch.eye(16, dtype=torch.float64)
        for attention in maps:
            mean = sum(attention.weights[image, 0, head].double() for head in range(2)) / 2
            expected = (0.3 * torch.eye(16) + 0.7 * mean) @ expected
        torch.testing.assert_close(result[image].double(), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(result.sum(-1), torch.ones(2, 16))
    with pytest.raises(ValueError, match=r"residual=1\.5\): expected a share"):
        rollout(maps, residual=1.5)
    with pytest.raises(ValueError, match="at least one layer"):
        rollout([])


def reference(vit: ViT, x: torch.Tensor, targets: list[int]) -> torch.Tensor:
    """Chefer's rule with the maps kept by hooks and one ordinary backward pass."""
    kept = []
    hooks = [
        block.attn.attn.register_forward_hook(lambda module, args, out: (out.retain_grad(), kept.append(out))[1])
        for block in vit.blocks
    ]
    logits = vit(x.clone().requires_grad_())
    sum(logits[image, target] for image, target in enumerate(targets)).backward()
    for hook in hooks:
        hook.remove()
    relevance = torch.eye(kept[0].shape[-1]).repeat(len(x), 1, 1)
    for attn in kept:
        relevance = relevance + (attn.grad * attn).clamp_min(0).mean(1).detach() @ relevance
    vit.zero_grad(set_to_none=True)
    return relevance


def test_gradient_rollout_equals_one_backward_pass_with_hooks(vit):
    x = torch.randn(2, 3, 12, 20)
    expected = reference(vit, x, [1, 3])
    torch.testing.assert_close(gradient_rollout(vit, x, targets=[1, 3]), expected, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(
        gradient_rollout(vit, x, targets=lambda logits: logits[torch.arange(2), torch.tensor([1, 3])]), expected
    )
    best = vit(x).argmax(1).tolist()
    torch.testing.assert_close(gradient_rollout(vit, x), reference(vit, x, best), atol=1e-6, rtol=1e-4)
    assert not torch.allclose(gradient_rollout(vit, x, targets=0), expected)


def test_gradient_rollout_on_frozen_models_in_inference_mode_leaves_nothing(vit):
    x = torch.randn(1, 3, 16, 16)
    expected = gradient_rollout(vit, x, targets=2)
    vit.requires_grad_(False).train()
    with torch.inference_mode():
        result = gradient_rollout(vit, x, targets=2)
    torch.testing.assert_close(result, expected)
    assert vit.training
    assert all(p.grad is None and not p.requires_grad for p in vit.parameters())
    assert x.grad is None
    assert not x.requires_grad


def test_a_fused_foreign_model_gives_gradients_too():
    model = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=32).eval()
    result = gradient_rollout(model, torch.randn(1, 3, 32, 32), targets=5)
    assert result.shape == (1, 5, 5)
    assert (result[0] >= torch.eye(5)).all()
    assert result[0, 0, 1:].sum() > 0


def test_what_cannot_be_rolled_out_is_explained(vit):
    x = torch.randn(1, 3, 16, 16)
    with pytest.raises(ValueError, match=r"targets=4: expected classes in 0\.\.3"):
        gradient_rollout(vit, x, targets=4)
    swin = timm.create_model("swin_tiny_patch4_window7_224", img_size=56, depths=(2,), num_heads=(2,), embed_dim=16)
    with pytest.raises(Unreadable, match="windows, pooled keys"):
        rollout(attention_maps(swin, torch.randn(1, 3, 56, 56)))
