"""Gates by hand, what they weigh, and that the larger of two answers is never below either."""

from __future__ import annotations

import math

import pytest
import torch

from labkit.experiments.scse import auc, dice
from labkit.models.backbones.scse import BothGates, ChannelGate, PlaceGate, UNet, gates


def weights(module):
    return sum(p.numel() for p in module.parameters())


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_a_gate_a_channel_and_a_gate_a_place_by_loops():
    channel, place = ChannelGate(4, reduction=2).double(), PlaceGate(4).double()
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64)
    expected, by_place = torch.empty_like(x), torch.empty_like(x)
    with torch.no_grad():
        for b in range(2):
            means = [x[b, :, :, c].mean().item() for c in range(4)]
            hidden = [
                max(0.0, sum(w * m for w, m in zip(row, means, strict=True)) + bias)
                for row, bias in zip(channel.fc1.weight.tolist(), channel.fc1.bias.tolist(), strict=True)
            ]
            for c in range(4):
                z = sum(w * h for w, h in zip(channel.fc2.weight[c].tolist(), hidden, strict=True))
                expected[b, :, :, c] = x[b, :, :, c] * sigmoid(z + channel.fc2.bias[c].item())
            for i in range(2):
                for j in range(3):
                    z = sum(w * v for w, v in zip(place.fc.weight[0].tolist(), x[b, i, j].tolist(), strict=True))
                    by_place[b, i, j] = x[b, i, j] * sigmoid(z + place.fc.bias.item())
        torch.testing.assert_close(channel(x), expected)
        torch.testing.assert_close(place(x), by_place)


def test_both_joined_by_the_larger_or_by_the_sum():
    torch.manual_seed(0)
    larger, summed = BothGates(6), BothGates(6, join="sum")
    summed.load_state_dict(larger.state_dict())
    x = torch.rand(2, 3, 5, 6)
    with torch.no_grad():
        one, other = larger.channel(x), larger.spatial(x)
        torch.testing.assert_close(summed(x), one + other)
        assert (larger(x) >= one).all()
        assert (larger(x) >= other).all()
        assert ((larger(x) == one) | (larger(x) == other)).all()
        assert (one != other).any()


def test_what_the_gates_weigh():
    # The sheet's numbers for 64 channels: C²/r · 2 + C/r + C, and C + 1.
    assert (weights(ChannelGate(64)), weights(PlaceGate(64)), weights(BothGates(64))) == (4_192, 65, 4_257)


def test_five_blocks_carry_gates_and_nothing_else_differs():
    bare, gated = (UNet(dim=8, floors=2, classes=3, kind=kind) for kind in ("none", "both"))
    assert weights(gated) - weights(bare) == 5 * weights(BothGates(8))
    gated.load_state_dict(bare.state_dict(), strict=False)
    for block in (*gated.down, gated.middle, *gated.up):
        block[2] = torch.nn.Identity()
    x = torch.randn(1, 3, 9, 14)
    torch.testing.assert_close(gated.eval()(x), bare.eval()(x))


def test_bad_parts_are_refused():
    with pytest.raises(ValueError, match=r"ChannelGate\(dim=6, reduction=4\): expected channels that the reduction"):
        ChannelGate(6, reduction=4)
    with pytest.raises(ValueError, match="join='mean'"):
        BothGates(4, join="mean")
    with pytest.raises(ValueError, match="no gates are called 'places': expected none, channel, spatial, both"):
        gates("places", 4)
    with pytest.raises(ValueError, match="at least 8 pixels, got 7 x 20"):
        UNet(dim=4, floors=3, classes=2)(torch.randn(1, 3, 7, 20))


def test_dice_and_area_by_hand():
    from labkit.experiments.scse import Book

    answers = torch.tensor([[[0, 1, 1, 2, 3, 4, 5, 5]]])
    said = torch.tensor([[[1, 1, 0, 2, 3, 4, 5, 0]]])
    images = said.float().expand(1, 3, 1, 8)
    book = Book(images, answers, images, answers)
    model = torch.nn.Module()
    model.forward = lambda x: torch.nn.functional.one_hot(x[:, 0].long(), 6).movedim(-1, 1).float()
    assert dice(model, book).tolist() == pytest.approx([0.5, 1, 1, 1, 2 / 3])
    opened = torch.tensor([[[0.1, 0.4, 0.4, 0.9]]])
    things = torch.tensor([[[False, False, True, True]]])
    # Pairs (object, ground): 0.4 beats 0.1 and draws with 0.4; 0.9 beats both.
    assert auc(opened, things) == pytest.approx(3.5 / 4)
