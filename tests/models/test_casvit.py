"""The additive mixer by loops, what it is linear in, what it sees, and what it costs."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from labkit.models.backbones.casvit import AdditiveMixer, CellGate, ChannelGate, TwoHeads
from labkit.probes.mixing import mixing_map
from labkit.taps import Form


def around(x: torch.Tensor, conv: nn.Conv2d) -> torch.Tensor:
    """A depthwise 3 x 3 convolution of `h w c`, cell by cell."""
    h, w, _ = x.shape
    y = conv.bias.expand_as(x).clone()
    for row in range(h):
        for column in range(w):
            for i in range(max(0, row - 1), min(h, row + 2)):
                for j in range(max(0, column - 1), min(w, column + 2)):
                    y[row, column] += x[i, j] * conv.weight[:, 0, i - row + 1, j - column + 1]
    return y


def gated(x: torch.Tensor, cells: CellGate, channels: ChannelGate) -> torch.Tensor:
    norm = cells.norm
    normed = (around(x, cells.around) - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    hidden = (normed * norm.weight + norm.bias).clamp(min=0)
    x = x * torch.sigmoid(hidden @ cells.one.weight.view(-1))[..., None]
    return x * torch.sigmoid(channels.mix.weight[..., 0, 0] @ x.mean(dim=(0, 1)))


def test_the_mixer_is_its_equation():
    mixer = AdditiveMixer(3).double().eval()
    with torch.no_grad():
        for module in mixer.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)
        x = torch.randn(1, 4, 5, 3, dtype=torch.float64)
        q, k, v = (x[0] @ mixer.qkv.weight[..., 0, 0].T).split(3, dim=-1)
        weights = around(gated(q, *mixer.query) + gated(k, *mixer.key), mixer.weigh)
        torch.testing.assert_close(mixer(x)[0], around(weights * v, mixer.proj))


def test_with_its_weights_held_it_is_linear_in_the_values():
    mixer = AdditiveMixer(4).double().eval()
    nn.init.zeros_(mixer.proj.bias)
    held = torch.randn(1, 4, 5, 6, dtype=torch.float64)
    x, y = torch.randn(2, 1, 5, 6, 4, dtype=torch.float64)
    with torch.no_grad():
        assert not torch.allclose(mixer(x + 2 * y), mixer(x) + 2 * mixer(y)), "its weights come from the picture"
        mixer.weights.register_forward_hook(lambda module, args, out: held.expand_as(out))
        torch.testing.assert_close(mixer(x + 2 * y), mixer(x) + 2 * mixer(y))


def test_gates_lie_between_0_and_1_and_shut_gates_leave_a_bias():
    mixer = AdditiveMixer(4).eval()
    seen = []
    for part in (*mixer.query, *mixer.key):
        part.gate.register_forward_hook(lambda module, args, out: seen.append(out))
    x = torch.randn(2, 5, 6, 4)
    with torch.no_grad():
        mixer(x)
        assert [one.shape[1:] for one in seen] == [(1, 5, 6), (4, 1, 1)] * 2
        assert all(one.min() > 0 and one.max() < 1 for one in seen)
        for gate in (mixer.query[1].gate, mixer.key[1].gate):
            gate.register_forward_hook(lambda module, args, out: torch.zeros_like(out))
        v = mixer.qkv(x.movedim(-1, 1)).chunk(3, dim=1)[2]
        wanted = mixer.proj(mixer.weigh.bias[:, None, None] * v)
        torch.testing.assert_close(mixer(x), wanted.movedim(1, -1))


@pytest.mark.parametrize(("channels", "wanted"), [(False, 49), (True, 13 * 13)])
def test_only_the_gate_over_channels_sees_the_whole_picture(channels, wanted):
    """Three 3 x 3 convolutions in a row see 7 x 7 cells: in the gate, over the sum, and behind the product."""
    torch.manual_seed(0)
    mixer = AdditiveMixer(6, channels=channels).double().eval()
    x, form = torch.randn(1, 13, 13, 6, dtype=torch.float64), Form("b h w c", (13, 13), 6)
    row = mixing_map(mixer, x, before=form, after=form, probes=2).norms[0, 13 * 6 + 6]
    assert (row > 0).sum() == wanted


def test_what_it_costs_by_hand():
    dim, n = 8, 30
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        mixer = AdditiveMixer(dim)
        mixer(torch.empty(1, 5, 6, dim))
    # Four 3 x 3 kernels a channel, 3 dim² for q, k and v, a number a cell twice, and two channel gates a picture.
    assert counter.get_total_flops() / 2 == n * (3 * dim**2 + 36 * dim + 2 * dim) + 2 * dim**2


def test_the_answer_is_the_mean_of_both_heads():
    head = TwoHeads(4, 3).eval()
    x = torch.randn(2, 5, 6, 4)
    with torch.no_grad():
        pooled = head.norm(x).mean(dim=(1, 2))
        torch.testing.assert_close(head(x), 0.5 * head.fc(pooled) + 0.5 * head.teacher(pooled))
