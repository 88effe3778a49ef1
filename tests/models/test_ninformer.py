"""The gated block by loops and by matrices, its one norm, and what it costs by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from labkit.models.backbones.ninformer import Gating, NinBlock, mixer_block, ninformer
from labkit.models.layers import Mlp
from labkit.models.mixers.plain import NoMixing

GRID = (2, 3)


def test_the_mixer_is_its_equation():
    mixer = Gating(4, inner=mixer_block(4, grid=GRID, hidden=5)).double()
    x = torch.randn(2, *GRID, 4, dtype=torch.float64)
    cells, channels = mixer.inner.mixer.mlp, mixer.inner.mlp
    with torch.no_grad():
        y = x.reshape(2, 6, 4)
        normed = F.layer_norm(y, (4,))
        z = y.clone()
        for channel in range(4):  # the same two matrices over the six cells, for every channel
            hidden = F.gelu(normed[:, :, channel] @ cells.fc1.weight.T + cells.fc1.bias)
            z[:, :, channel] += hidden @ cells.fc2.weight.T + cells.fc2.bias
        gate = z.clone()
        for cell in range(6):
            hidden = F.gelu(F.layer_norm(z[:, cell], (4,)) @ channels.fc1.weight.T + channels.fc1.bias)
            gate[:, cell] += hidden @ channels.fc2.weight.T + channels.fc2.bias
        wanted = gate * (y @ mixer.proj.weight.T + mixer.proj.bias)
        torch.testing.assert_close(mixer(x), wanted.view_as(x))


def test_a_gate_of_ones_leaves_a_linear_map_and_a_gate_of_nothing_a_square():
    x = torch.randn(1, *GRID, 4)
    inner = mixer_block(4, grid=GRID, hidden=5)
    mixer = Gating(4, inner=inner)
    with torch.no_grad():
        mixer.gate.register_forward_hook(lambda module, args, out: torch.ones_like(out))
        torch.testing.assert_close(mixer(x), mixer.proj(x))
        square = Gating(4, inner=NoMixing())
        nn.init.eye_(square.proj.weight)
        nn.init.zeros_(square.proj.bias)
        torch.testing.assert_close(square(x), x**2)


def test_its_jacobian_is_that_of_a_product():
    """The Jacobian of a linear map times a gate is diag(gate) W + diag(W x) · ∂gate/∂x: both halves move with x."""
    mixer = Gating(4, inner=mixer_block(4, grid=GRID, hidden=5)).double()
    x = torch.randn(1, *GRID, 4, dtype=torch.float64)
    whole = torch.autograd.functional.jacobian(mixer, x).view(24, 24)
    inner = torch.autograd.functional.jacobian(mixer.inner, x).view(24, 24)
    straight = torch.block_diag(*[mixer.proj.weight] * 6)
    by_hand = mixer.inner(x).flatten()[:, None] * straight + mixer.proj(x).flatten()[:, None] * inner
    torch.testing.assert_close(whole, by_hand.detach())


def test_both_branches_share_one_norm():
    block = NinBlock(4, mixer=NoMixing(), mlp=Mlp(4, ratio=2)).double()
    x = torch.randn(1, *GRID, 4, dtype=torch.float64)
    with torch.no_grad():
        block.norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
        middle = x + F.layer_norm(x, (4,)) * block.norm.weight
        wanted = middle + block.mlp(F.layer_norm(middle, (4,)) * block.norm.weight)
        torch.testing.assert_close(block(x), wanted)


def test_what_it_costs_by_hand():
    dim, hidden, n = 8, 12, 6
    mixer = Gating(dim, inner=mixer_block(dim, grid=GRID, hidden=hidden))
    assert sum(p.numel() for p in mixer.parameters()) == (
        (dim * dim + dim) + 4 * dim + (2 * n * hidden + hidden + n) + (2 * dim * hidden + hidden + dim)
    )
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        mixer.to("meta")(torch.empty(1, *GRID, dim))
    assert counter.get_total_flops() / 2 == n * (dim**2 + 4 * hidden * dim)


def test_another_grid_is_refused():
    with pytest.raises(ValueError, match=r"8 x 8 cells of 4 pixels.*36 x 32 pixels.*32 x 32.*grid=\(9, 8\)"):
        ninformer(dim=8, depth=1, hidden=8, classes=3)(torch.randn(1, 3, 36, 32))
