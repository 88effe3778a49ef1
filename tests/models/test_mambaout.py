"""The gated convolution by loops and in its limits, the whole model against timm's, and where a sequence is long."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from labkit.models.backbones.mambaout import GatedBlock, GatedConv, long_from, mambaout
from labkit.models.layers import Mlp
from labkit.models.mixers.plain import NoMixing, SelfAttention
from labkit.models.scaffold import Block
from labkit.probes.mixing import mixing_map
from labkit.taps import Form


def test_the_mixer_is_its_equation():
    mixer = GatedConv(3, kernel=3).double()
    x = torch.randn(2, 4, 5, 3, dtype=torch.float64)
    conv = mixer.mixer.part
    with torch.no_grad():
        wide = x @ mixer.fc1.weight.T + mixer.fc1.bias
        gate, still, moved = wide[..., :8], wide[..., 8:13], wide[..., 13:]  # 8 = int(8/3 · 3), of which 3 are moved
        around = conv.bias.expand_as(moved).clone()
        for row in range(4):
            for column in range(5):
                for i in range(max(0, row - 1), min(4, row + 2)):
                    for j in range(max(0, column - 1), min(5, column + 2)):
                        kernel = conv.weight[:, 0, i - row + 1, j - column + 1]
                        around[:, row, column] += moved[:, i, j] * kernel
        product = F.gelu(gate) * torch.cat([still, around], dim=-1)
        torch.testing.assert_close(mixer(x), product @ mixer.fc2.weight.T + mixer.fc2.bias)


def test_a_shut_gate_lets_nothing_through_and_a_block_without_weights_is_the_identity():
    mixer = GatedConv(6)
    with torch.no_grad():
        mixer.fc1.weight[:16].zero_()
        mixer.fc1.bias[:16].zero_()  # GELU(0) = 0
        x = torch.randn(1, 3, 4, 6)
        torch.testing.assert_close(mixer(x), mixer.fc2.bias.expand(1, 3, 4, 6))
        nn.init.zeros_(mixer.fc2.bias)
        torch.testing.assert_close(GatedBlock(6, mixer=mixer)(x), x)


def test_it_sees_7_by_7_cells_and_without_its_convolution_itself():
    grid, form = (9, 11), Form("b h w c", (9, 11), 4)
    x = torch.randn(1, *grid, 4)
    seen = {}
    for name, part in (("conv", None), ("nothing", NoMixing())):
        row = mixing_map(GatedConv(4, mixer=part), x, before=form, after=form, probes=1).norms[0, 4 * 11 + 5]
        seen[name] = (row > 0).view(grid)
    assert seen["conv"].sum() == 49
    assert seen["conv"][1:8, 2:9].all()
    assert seen["nothing"].sum() == 1


def test_what_it_costs_by_hand():
    # dim = 6, hidden = 16: 6 · 32 + 32, then 6 · 49 + 6, then 16 · 6 + 6.
    assert sum(p.numel() for p in GatedConv(6).parameters()) == 224 + 300 + 102


def test_an_even_kernel_and_a_gate_too_narrow_are_refused():
    with pytest.raises(ValueError, match=r"kernel=4, ratio=2.66667.*odd kernel"):
        GatedConv(8, kernel=4)
    with pytest.raises(ValueError, match=r"ratio=0.5.*at least 1"):
        GatedConv(8, ratio=0.5)


def test_a_sequence_is_long_where_attention_costs_more_than_the_rest():
    dim = 8
    block = Block(dim, mixer=SelfAttention(dim, heads=2), mlp=Mlp(dim))

    def flops(tokens: int) -> int:
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            block.to("meta")(torch.empty(1, 1, tokens, dim))
        return counter.get_total_flops()

    n = long_from(dim)
    assert n == 48
    linear = 2 * flops(n) - flops(2 * n) // 2  # of a n + b n²: 2 f(n) - f(2n) / 2 = a n
    assert linear == 24 * dim**2 * n
    assert flops(n) - linear == linear, "at 6 dim tokens both are alike"


def test_it_equals_timms_after_copying_its_weights():
    shape = {"dims": (8, 12, 16, 24), "depths": (1, 2, 1, 1)}
    theirs = timm.models.mambaout.MambaOut(**shape, downsample="conv", num_classes=5).eval()
    ours = mambaout(**shape, classes=5).eval()
    with torch.no_grad():
        for one in theirs.parameters():
            one.add_(0.1 * torch.randn_like(one))  # else all norms are ones and tell nothing
    given, wanted = list(theirs.state_dict().values()), ours.state_dict()
    ours.load_state_dict({n: v.reshape(wanted[n].shape) for n, v in zip(wanted, given, strict=True)})
    x = torch.randn(2, 3, 67, 45)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-4)
