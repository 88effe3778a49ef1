"""Attention read from fused models equals the same models step by step, and the models stay as they were."""

from __future__ import annotations

import threading

import pytest
import timm
import torch
import torchvision
from torch import nn

from labkit.models.backbones.vit import ViT
from labkit.taps import Tap, Unreadable, reading

AXES = "b heads q k"


def unfused_maps(model: nn.Module, x: torch.Tensor, kind: type[nn.Module]) -> list[torch.Tensor]:
    """timm's own step-by-step path: fused attention off, and every softmax caught by a hook on what follows it."""
    maps: list[torch.Tensor] = []
    hooks = []
    for part in model.modules():
        if isinstance(part, kind):
            part.fused_attn = False
            hooks.append(part.attn_drop.register_forward_hook(lambda module, args, out: maps.append(args[0])))
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return maps


@pytest.mark.parametrize(
    ("name", "size", "prefix"),
    [
        ("vit_tiny_patch16_224", (64, 96), 1),
        ("deit_tiny_distilled_patch16_224", (64, 96), 2),
        ("vit_small_patch16_dinov3", (64, 96), 5),
        ("vit_little_patch16_reg4_gap_256", (64, 96), 4),
    ],
)
def test_fused_timm_attention_equals_its_unfused_path(name, size, prefix):
    keywords = {} if "dinov3" in name else {"img_size": size}
    model = timm.create_model(name, depth=2, **keywords).eval()
    x = torch.randn(2, 3, *size)
    with torch.no_grad(), reading(model, AXES) as found:
        out = model(x)
    assert list(found) == ["blocks.0.attn", "blocks.1.attn"]
    assert found["blocks.0.attn"].shape[-1] == size[0] * size[1] // 256 + prefix
    with torch.no_grad():
        torch.testing.assert_close(model(x), out, atol=2e-5, rtol=1e-4)
    expected = unfused_maps(model, x, type(model.blocks[0].attn))
    for ours, theirs in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"])
def test_windowed_timm_attention_equals_its_unfused_path(name):
    side = int(name[-3:]) // 2
    model = timm.create_model(name, img_size=side, depths=(2, 1), num_heads=(2, 4), embed_dim=32).eval()
    x = torch.randn(1, 3, side, side)
    with torch.no_grad(), reading(model, AXES) as found:
        model(x)
    expected = unfused_maps(model, x, type(model.layers[0].blocks[0].attn))
    assert len(found) == 3
    for ours, theirs in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-4)


def test_torchvision_attention_equals_asking_the_layer_for_its_weights():
    model = torchvision.models.VisionTransformer(32, 8, 2, 4, 16, 32).eval()
    inputs = []
    layer = model.encoder.layers[1].self_attention
    hook = layer.register_forward_pre_hook(lambda module, args, kwargs: inputs.append(args), with_kwargs=True)
    with torch.no_grad(), reading(model, AXES) as found:
        model(torch.randn(2, 3, 32, 32))
    hook.remove()
    with torch.no_grad():
        _, expected = layer(*inputs[0], need_weights=True, average_attn_weights=False)
    torch.testing.assert_close(found["encoder.layers.encoder_layer_1.self_attention"], expected)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_hugging_face_attention_equals_its_own_output(implementation):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32, image_size=24, patch_size=8
    )
    config._attn_implementation = implementation
    model = transformers.ViTModel(config).eval()
    x = torch.randn(2, 3, 24, 24)
    with torch.no_grad(), reading(model, AXES) as found:
        model(x)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        expected = model(x, output_attentions=True).attentions
    assert len(found) == 2
    for ours, theirs in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-4)


def test_masks_scale_and_grouped_heads_are_followed():
    class Asks(nn.Module):
        def __init__(self, **keywords):
            super().__init__()
            self.keywords = keywords

        def forward(self, q, k, v):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, **self.keywords)

    q, k, v = (torch.randn(2, 4, 5, 3) for _ in range(3))
    bias, allowed = torch.randn(5, 5), torch.rand(5, 5) < 0.7
    allowed[:, 2] = True
    cases = [({"attn_mask": bias}, k, v), ({"attn_mask": allowed}, k, v), ({"is_causal": True}, k, v)]
    cases += [({"scale": 0.3}, k, v), ({"enable_gqa": True}, k[:, :2], v[:, :2])]
    for keywords, keys, values in cases:
        model = Asks(**keywords)
        with reading(model, AXES) as found:
            out = model(q, keys, values)
        torch.testing.assert_close(out, model(q, keys, values), msg=str(keywords))
        torch.testing.assert_close(found[""].sum(-1), torch.ones(2, 4, 5))


def test_channel_attention_is_not_taken_for_token_attention():
    with torch.no_grad(), reading(model := timm.create_model("xcit_nano_12_p16_224", depth=2).eval(), AXES) as found:
        model(torch.randn(1, 3, 224, 224))
    assert list(found) == ["cls_attn_blocks.0.attn", "cls_attn_blocks.1.attn"]


def test_ours_shows_its_taps():
    model = ViT(dim=8, depth=2, heads=2, classes=3, image=16, patch=4).eval()
    x = torch.randn(1, 3, 12, 8)
    with reading(model, AXES) as found:
        model(x)
    assert {name: tuple(attn.shape) for name, attn in found.items()} == dict.fromkeys(
        ["blocks.0.attn", "blocks.1.attn"], (1, 2, 7, 7)
    )
    assert found["blocks.1.attn"].requires_grad, "the tensors of the pass itself, in its graph"


def state_of(model: nn.Module) -> dict:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called")
    return {
        "hooks": [len(getattr(part, hook)) for part in model.modules() for hook in hooks],
        "modes": [part.training for part in model.modules()],
        "fused": [getattr(part, "fused_attn", None) for part in model.modules()],
        "grads": [(p.requires_grad, p.grad) for p in model.parameters()],
        "names": [sorted(vars(part)) for part in model.modules()],
    }


@pytest.mark.parametrize("axes", [AXES, "b n c", "b c h w"])
def test_nothing_is_left_behind_also_after_an_error(axes):
    model = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=32).train()
    model.blocks[1].eval()
    model.blocks[0].requires_grad_(False)
    before, random = state_of(model), torch.get_rng_state()
    with torch.no_grad(), reading(model, axes):
        model(torch.ones(1, 3, 32, 32))
    assert state_of(model) == before
    assert torch.equal(torch.get_rng_state(), random)

    def stumble():
        with reading(model, axes):
            model(torch.ones(1, 3, 17, 17))

    with pytest.raises(AssertionError, match="Input height"):
        stumble()
    assert state_of(model) == before
    plain = model.eval()(torch.ones(1, 3, 32, 32))
    assert torch.isfinite(plain).all()


@pytest.mark.parametrize(
    "build",
    [
        lambda: ViT(dim=8, depth=3, heads=2, classes=3, image=16, patch=4),
        lambda: timm.create_model(
            "vit_tiny_patch16_224", embed_dim=8, num_heads=2, depth=3, img_size=16, patch_size=4, dynamic_img_size=True
        ),
    ],
    ids=["ours", "timm"],
)
def test_two_threads_read_the_same_model_without_mixing(build):
    model = build().eval()
    sizes, seen, gate = [(8, 8), (12, 16)], {}, threading.Barrier(2)

    def work(size):
        gate.wait(timeout=20)
        shapes = set()
        for _ in range(25):
            with torch.no_grad(), reading(model, AXES) as found:
                model(torch.randn(1, 3, *size))
            shapes |= {(len(found), name, attn.shape[-1]) for name, attn in found.items()}
        seen[size] = shapes

    threads = [threading.Thread(target=work, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    names = [f"blocks.{layer}.attn" for layer in range(3)]
    assert seen == {(8, 8): {(3, name, 5) for name in names}, (12, 16): {(3, name, 13) for name in names}}


def test_frozen_models_and_inference_mode():
    model = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=32).eval().requires_grad_(False)
    with torch.inference_mode(), reading(model, AXES) as found:
        model(torch.randn(1, 3, 32, 32))
    assert found["blocks.0.attn"].shape == (1, 3, 5, 5)


def run(model: nn.Module, axes: str = AXES) -> dict:
    with torch.no_grad(), reading(model, axes) as found:
        model(torch.randn(1, 3, 32, 32))
    return found


def test_errors_name_the_module_and_the_way_out():
    with pytest.raises(Unreadable, match=r"ResNet has no attention .*Conv2d.*'b c h w'"):
        run(timm.create_model("resnet18").eval())
    with pytest.raises(Unreadable, match=r"DataParallel.*model\.module"):
        run(nn.DataParallel(nn.Identity()))
    with pytest.raises(Unreadable, match=r"compiled.*_orig_mod"):
        run(torch.compile(nn.Identity()))
    with pytest.raises(Unreadable, match="scripted or traced"):
        run(RecursiveScriptModule())
    with pytest.raises(ValueError, match=r"reading\(model, 'q k'\): expected one of 'b heads q k'"):
        run(nn.Identity(), "q k")
    with pytest.raises(ValueError, match=r"Tap\('attn'\): expected one of"):
        Tap("attn")


class RecursiveScriptModule(nn.Module):
    """Stands for torch.jit's class of this name, which newer versions of torch warn about when used."""


def test_a_hidden_attention_is_named_in_the_error():
    class SecretAttention(nn.Module):
        def __init__(self):
            super().__init__()
            self.proj = nn.Linear(32, 32)

        def forward(self, x):
            return self.proj(x)

    with pytest.raises(Unreadable, match=r"0 \(SecretAttention\), but no attention was seen in it.*Tap"):
        run(nn.Sequential(SecretAttention()))


@pytest.mark.gpu
def test_on_cuda_everything_stays_on_the_device():
    model = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=32).eval().cuda()
    with torch.no_grad(), reading(model, AXES) as found:
        model(torch.randn(1, 3, 32, 32, device="cuda"))
    assert found["blocks.0.attn"].is_cuda
