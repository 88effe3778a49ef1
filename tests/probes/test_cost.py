"""Cost: MACs and memory counted by hand, fused attention included, and the clock's arithmetic."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from labkit.models.backbones import resnet, vit
from labkit.probes import speed as clock
from labkit.probes.cost import cost
from labkit.probes.inputs import Refused
from labkit.probes.speed import exponent, growth, speed, tokens
from labkit.taps import Unreadable


def test_a_vit_by_hand():
    dim, n, classes = 8, 6, 5
    model, images = vit.tiny()
    found = cost(model, tuple(images.shape[-2:]))
    one = n + 1  # with the class token
    block = one * 12 * dim * dim + 2 * one * one * dim
    stem, head = n * dim * 3 * 4 * 4, dim * classes
    assert found.macs == 2 * block + stem + head
    assert [layer.macs for layer in found.layers] == [block] * 2
    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert found.layers[0].parameters == 12 * dim * dim + 9 * dim + 4 * dim
    assert found.layers[0].output == one * dim * 4
    assert [(layer.name, layer.grid, layer.kind) for layer in found.layers][1] == ("blocks.1", (3, 2), "Block")


def test_a_resnet_by_hand_on_an_odd_oblong_picture():
    model, _ = resnet.tiny()
    found = cost(model, (19, 26))
    # Stem 3 -> 4 to 10 x 13; two convolutions 4 -> 4 there; 4 -> 8, 8 -> 8 and the 1 x 1 shortcut on 5 x 7; the head.
    stem, first = 130 * 4 * 3 * 9, 2 * 130 * 4 * 4 * 9
    second = 35 * (8 * 4 * 9 + 8 * 8 * 9 + 8 * 4)
    assert [layer.macs for layer in found.layers] == [first, second]
    assert found.macs == stem + first + second + 8 * 5
    assert [layer.output for layer in found.layers] == [4 * 130 * 4, 8 * 35 * 4]


class Attending(nn.Module):
    """Tokens from 4 x 4 patches, one layer, a head; the layer is torch's own, with a fast path of its own."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.blocks = nn.Sequential(layer, nn.Identity())
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).mT
        return self.head(self.blocks(x).mean(dim=1))


class Fused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (one.unflatten(-1, (2, 4)).transpose(1, 2) for one in self.qkv(x).chunk(3, dim=-1))
        return self.proj(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def test_fused_attention_and_torchs_fast_path_are_counted():
    n = 6
    fused = cost(Attending(Fused()), (12, 8)).layers[0]
    assert fused.macs == n * 4 * 8 * 8 + 2 * n * n * 8
    before = torch.backends.mha.get_fastpath_enabled()
    quick = cost(Attending(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)), (12, 8)).layers[0]
    assert quick.macs == fused.macs + 2 * n * 8 * 16
    assert torch.backends.mha.get_fastpath_enabled() == before


def test_what_training_keeps_is_counted_once_and_weights_are_not():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Sigmoid(), nn.Conv2d(4, 4, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.blocks(x).mean(dim=(2, 3))

    found = cost(Net(), (6, 5))
    # The first convolution keeps the picture, the sigmoid its output, which the second convolution keeps too.
    assert {layer.name: layer.saved for layer in found.layers} == {"blocks.0": 3 * 30 * 4, "blocks.2": 0}
    assert found.saved == 7 * 30 * 4


def test_twice_the_rows_cost_a_convolution_twice_and_attention_more():
    convolutions, _ = resnet.tiny()
    attention, _ = vit.tiny()
    once, twice = (cost(convolutions, (side, 32)).layers[0].macs for side in (16, 32))
    assert twice == 2 * once
    once, twice = (cost(attention, (side, 32)).layers[0].macs for side in (16, 32))
    assert twice > 2 * once


def test_time_is_the_median_and_rates_follow_from_it(monkeypatch):
    model, images = vit.tiny()
    ticks = iter([0.0, 3.0, 10.0, 11.0, 20.0, 22.0, 30.0, 34.0, 40.0, 49.0])  # 3, 1, 2, 4 and 9 seconds
    monkeypatch.setattr(clock.time, "perf_counter", lambda: next(ticks))
    found = speed(model, images, repeats=5, warm_up=1)
    assert (found.seconds, found.batch, found.tokens) == (3.0, 2, 6)
    assert found.spread == (1.5, 6.5)
    assert found.images_per_s == pytest.approx(2 / 3)
    assert found.tokens_per_s == pytest.approx(4)
    assert (found.peak, found.device, found.size) == (None, "cpu", (12, 8))


def test_the_power_that_fits():
    assert exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2)
    assert exponent([16, 64], [5, 5]) == pytest.approx(0)
    assert math.isnan(exponent([7], [3]))
    assert math.isnan(exponent([7, 7], [3, 4]))


@pytest.mark.slow
def test_sizes_that_a_model_refuses_are_skipped_in_its_own_words():
    model, _ = vit.tiny()
    found = growth(model, [8, 10, 16, 32], repeats=1)
    assert [one.size for one in found.speeds] == [one.size for one in found.costs] == [(8, 8), (16, 16), (32, 32)]
    assert list(found.skipped) == [10]
    assert "multiples of the patch" in found.skipped[10]
    assert [one.tokens for one in found.speeds] == [4, 16, 64]
    assert 1 < found.macs_exponent < 2
    with pytest.raises(Refused, match=r"none of the sizes 10, 11: .*multiples of the patch"):
        growth(model, [10, 11], repeats=1)
    convolutions, _ = resnet.tiny()
    assert growth(convolutions, [32, 64, 128], repeats=1).macs_exponent == pytest.approx(1, abs=1e-3)


def test_the_model_is_left_as_it_was():
    model, images = resnet.tiny()
    model.train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    dice = torch.get_rng_state()
    with torch.inference_mode():
        cost(model, (19, 26))
        speed(model.requires_grad_(False), images, repeats=1)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(part.training for part in model.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert torch.equal(torch.get_rng_state(), dice)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_cannot_be_done_is_said():
    model, images = vit.tiny()
    with pytest.raises(Refused, match="at least one run"):
        speed(model, images, repeats=0)
    with pytest.raises(Unreadable, match="DataParallel"):
        cost(nn.DataParallel(model), (12, 8))
    assert tokens(model, (12, 8)) == 6
