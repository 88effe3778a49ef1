"""Large kernel attention by loops; how far it sees, what it costs, and that it multiplies."""

from __future__ import annotations

import torch
from torch import nn

from labkit.models.backbones.van import ConvMlp, LargeKernelAttention, LkaMixer, van
from labkit.probes.mixing import mixing_map
from labkit.taps import Form


def depthwise(x: torch.Tensor, conv: nn.Conv2d) -> torch.Tensor:
    """`b h w c`: each channel with its own kernel, zeros around, written out."""
    b, h, w, c = x.shape
    reach, step = conv.kernel_size[0] // 2, conv.dilation[0]
    out = conv.bias.expand(b, h, w, c).clone()
    for row in range(h):
        for column in range(w):
            for i in range(-reach, reach + 1):
                for j in range(-reach, reach + 1):
                    y, z = row + i * step, column + j * step
                    if 0 <= y < h and 0 <= z < w:
                        out[:, row, column] += x[:, y, z] * conv.weight[:, 0, i + reach, j + reach]
    return out


def test_lka_is_its_equation():
    lka = LargeKernelAttention(3).double()
    x = torch.randn(2, 5, 7, 3, dtype=torch.float64)
    with torch.no_grad():
        weights = depthwise(depthwise(x, lka.near.part), lka.far.part) @ lka.channels.weight.T + lka.channels.bias
        torch.testing.assert_close(lka(x), x * weights)


def test_the_mixer_adds_what_it_was_given_and_the_mlp_looks_at_neighbours():
    mixer, mlp = LkaMixer(3).double(), ConvMlp(3, ratio=2).double()
    x = torch.randn(1, 4, 5, 3, dtype=torch.float64)
    with torch.no_grad():
        y = nn.functional.gelu(mixer.proj1(x))
        torch.testing.assert_close(mixer(x), x + mixer.proj2(y * mixer.lka.channels(mixer.lka.far(mixer.lka.near(y)))))
        inner = depthwise(mlp.fc1(x), mlp.near.part)
        torch.testing.assert_close(mlp(x), mlp.fc2(nn.functional.gelu(inner)))


def test_it_covers_23_by_23_cells_and_not_21():
    lka, grid = LargeKernelAttention(1), (25, 27)
    form = Form("b h w c", grid, 1)
    nn.init.uniform_(lka.near.part.weight, 0.5, 1)
    nn.init.uniform_(lka.far.part.weight, 0.5, 1)
    x = torch.rand(1, *grid, 1) + 1
    found = mixing_map(lka, x, before=form, after=form, probes=1, side=27).norms[0, 12 * 27 + 13].view(grid)
    seen = found > 0
    assert seen.sum() == 23 * 23
    assert seen[1:24, 2:25].all()


def test_it_is_not_linear():
    lka = LargeKernelAttention(4)
    for part in (lka.near.part, lka.far.part, lka.channels):
        nn.init.zeros_(part.bias)
    x = torch.randn(1, 6, 5, 4)
    torch.testing.assert_close(lka(2 * x), 4 * lka(x))


def test_what_it_costs_beside_one_large_kernel():
    count = sum(p.numel() for p in LargeKernelAttention(32).parameters())
    assert count == 32 * (25 + 1) + 32 * (49 + 1) + 32 * 33 == 3_488
    assert 32 * 32 * 21 * 21 / count > 129


def test_a_published_size_and_its_rounding():
    # Table 5 of the paper: 44.8 M parameters for B3, of which the catalogue has no size.
    with torch.device("meta"):
        model = van(dims=(64, 128, 320, 512), depths=(3, 5, 27, 3))
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == 44.8


def test_stages_end_with_a_norm_and_blocks_begin_with_one():
    model = van(dims=(4, 8), depths=(1, 1), classes=3)
    ends = [stage[-1] for stage in model.stages]
    assert all(isinstance(end, nn.LayerNorm) and end.eps == 1e-6 for end in ends)
    assert isinstance(model.stages[1][1].norm1.part, nn.BatchNorm2d)
    assert model.stages[0][0].scale1.factor.unique().tolist() == [torch.tensor(1e-2).item()]
