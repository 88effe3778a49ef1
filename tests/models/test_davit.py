"""Channel attention channel by channel, window attention window by window, timm's numbers, and what each sees."""

from __future__ import annotations

import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from labkit.models.backbones.davit import ChannelAttention, WindowAttention, davit


def test_channel_attention_is_its_equation():
    """A channel's answer is a mean of the queries' channels, weighed by how its key agrees with each value."""
    mixer = ChannelAttention(6, heads=2).double()
    x = torch.randn(1, 3, 5, 6, dtype=torch.float64)
    tokens = x[0].flatten(0, 1)
    with torch.no_grad():
        q, k, v = (tokens @ mixer.qkv.weight.T + mixer.qkv.bias).split(6, dim=-1)
        y = torch.zeros_like(tokens)
        for head in range(2):
            channels = range(3 * head, 3 * head + 3)
            for i in channels:
                scores = torch.stack([(k[:, i] * v[:, j]).sum() / 3**0.5 for j in channels])
                for share, j in zip(scores.softmax(dim=0), channels, strict=True):
                    y[:, i] += share * q[:, j]
        torch.testing.assert_close(mixer(x)[0].flatten(0, 1), mixer.proj(y))


def test_windows_are_attended_one_by_one_and_filled_up_with_zeros():
    mixer = WindowAttention(4, heads=2, window=3)
    x = torch.randn(2, 5, 6, 4)
    filled = torch.zeros(2, 6, 6, 4)
    filled[:, :5] = x
    with torch.no_grad():
        wanted = torch.empty_like(filled)
        for i in (0, 3):
            for j in (0, 3):
                square = (slice(None), slice(i, i + 3), slice(j, j + 3))
                wanted[square] = mixer.inside(filled[square])
        torch.testing.assert_close(mixer(x), wanted[:, :5])


def test_it_is_timms():
    """The same order of parameters, and a picture that neither 7 nor 32 divides."""
    theirs = timm.create_model("davit_tiny", pretrained=False, num_classes=7).eval()
    ours = davit(classes=7).eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p.add_(0.02 * torch.randn_like(p))
        for (name, mine), value in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            assert mine.shape == value.shape, name
            mine.copy_(value)
        images = torch.randn(2, 3, 100, 76)
        wanted = theirs(images)
        assert (wanted[0] - wanted[1]).abs().max() > 0.01, "the answers tell the pictures apart"
        torch.testing.assert_close(ours(images), wanted, rtol=1e-3, atol=1e-4)


def test_one_channel_step_sees_all_and_a_window_itself():
    x = torch.randn(1, 8, 12, 8, dtype=torch.float64, requires_grad=True)

    def seen(mixer: torch.nn.Module) -> torch.Tensor:
        return torch.autograd.grad(mixer.double()(x)[0, 1, 5].sum(), x)[0][0].abs().sum(dim=-1) > 0

    torch.manual_seed(0)
    window = torch.zeros(8, 12, dtype=torch.bool)
    window[0:4, 4:8] = True
    assert seen(ChannelAttention(8, heads=2)).all()
    assert torch.equal(seen(WindowAttention(8, heads=2, window=4)), window)


def test_among_channels_the_order_of_cells_says_nothing():
    mixer, x = ChannelAttention(8, heads=2), torch.randn(1, 4, 6, 8)
    order = torch.randperm(24)
    with torch.no_grad():
        mixed = mixer(x).flatten(1, 2)[:, order]
        torch.testing.assert_close(mixer(x.flatten(1, 2)[:, order].view(1, 4, 6, 8)).flatten(1, 2), mixed)


def test_what_both_cost_by_hand():
    dim, heads, n = 12, 3, 14 * 21

    def macs(mixer: torch.nn.Module) -> float:
        with FlopCounterMode(display=False) as counter:
            mixer.to("meta")(torch.empty(1, 14, 21, dim, device="meta"))
        return counter.get_total_flops() / 2

    assert macs(WindowAttention(dim, heads=heads)) == n * (4 * dim**2 + 2 * dim * 49)
    assert macs(ChannelAttention(dim, heads=heads)) == n * (4 * dim**2 + 2 * dim * 4)


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="dim=8, heads=3"):
        ChannelAttention(8, heads=3)
