"""Attention within windows cell by cell, with its shifts and its pooled parts; and that it moves with the picture."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from labkit.models.backbones.tic_msaconv import MsaConv, WindowedAttention, tic_msaconv

UP, DOWN, LEFT, RIGHT = (-1, 0), (1, 0), (0, -1), (0, 1)


def by_loops(mixer: WindowedAttention, x: torch.Tensor) -> torch.Tensor:
    """`h w c`: each cell and head for itself."""
    h, w, c = x.shape
    d, reach = c // mixer.heads, mixer.kernel // 2
    out = torch.zeros_like(x)
    for head in range(mixer.heads):
        mine = slice(head * d, (head + 1) * d)
        q, k, v = (part[..., mine] for part in (x @ mixer.qkv.weight.T + mixer.qkv.bias).split(c, dim=-1))
        down, right = (UP, DOWN, LEFT, RIGHT)[head % 4]
        parts = [
            (slice(i * h // mixer.pooled, -(-(i + 1) * h // mixer.pooled)),
             slice(j * w // mixer.pooled, -(-(j + 1) * w // mixer.pooled)))
            for i in range(mixer.pooled) for j in range(mixer.pooled)
        ]  # fmt: skip
        for i in range(h):
            for j in range(w):
                keys, values = [], []
                for dy in range(-reach, reach + 1):
                    for dx in range(-reach, reach + 1):
                        y, z = i + dy * mixer.dilation, j + dx * mixer.dilation
                        inside = 0 <= y < h and 0 <= z < w
                        there = ((y + mixer.shift * down) % h, (z + mixer.shift * right) % w)
                        keys.append(k[there] if inside else torch.zeros_like(k[0, 0]))
                        values.append(v[there] if inside else torch.zeros_like(v[0, 0]))
                keys += [k[part].mean(dim=(0, 1)) for part in parts]
                values += [v[part].mean(dim=(0, 1)) for part in parts]
                attn = (torch.stack(keys) @ q[i, j] / d**0.5).softmax(dim=0)
                out[i, j, mine] = attn @ torch.stack(values)
    return out


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"kernel": 5, "heads": 2},
        {"dilation": 2},
        {"heads": 4, "shift": 2},
        {"heads": 2, "pooled": 2},
        {"heads": 4, "shift": 3, "pooled": 3, "kernel": 3, "dilation": 2},
    ],
    ids=str,
)
def test_it_is_attention_of_each_cell_to_its_window(how):
    mixer = WindowedAttention(4, **how).double()
    x = torch.randn(1, 6, 7, 4, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(mixer(x)[0], by_loops(mixer, x[0]))


@pytest.mark.parametrize("stride", [1, 2])
def test_the_convolution_comes_after_and_is_one_of_the_sum(stride):
    op = MsaConv(4, 6, attention=WindowedAttention(4), stride=stride).double()
    x = torch.randn(2, 5, 6, 4, dtype=torch.float64)
    with torch.no_grad():
        mixed = (x + op.attention(x)).movedim(-1, 1)
        wanted = F.conv2d(mixed, op.conv.part.weight, stride=stride, padding=1).clamp(min=0).movedim(1, -1)
        torch.testing.assert_close(op(x), wanted)
        op.attention.qkv.weight.zero_()
        op.attention.qkv.bias.zero_()
        plain = F.conv2d(x.movedim(-1, 1), op.conv.part.weight, stride=stride, padding=1).relu().movedim(1, -1)
        torch.testing.assert_close(op(x), plain)


def test_the_inside_of_a_crop_is_that_of_the_picture():
    """Two operations see 2 cells around each, so that so far from the border of a crop nothing of the border shows."""
    torch.manual_seed(0)
    ops = torch.nn.Sequential(*(MsaConv(4, 4, attention=WindowedAttention(4, heads=2)) for _ in range(2))).double()
    x = torch.randn(1, 15, 18, 4, dtype=torch.float64)
    with torch.no_grad():
        whole, crop = ops(x)[:, 3:14, 4:16], ops(x[:, 3:14, 4:16])
    torch.testing.assert_close(crop[:, 4:-4, 4:-4], whole[:, 4:-4, 4:-4])
    assert (crop - whole).abs().max() > 1e-3, "at the border of the crop zeros are asked"


def test_a_shift_reaches_around_the_border_and_pooling_everything():
    x = torch.randn(1, 9, 9, 8, dtype=torch.float64, requires_grad=True)

    def seen(**how) -> torch.Tensor:
        torch.manual_seed(0)
        out = WindowedAttention(8, heads=4, **how).double()(x)
        return torch.autograd.grad(out[0, 0, 0].sum(), x)[0][0].abs().sum(dim=-1) > 0

    assert seen().nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    shifted = seen(shift=3)
    assert shifted[6, 0], "three up from the first row is the third from below"
    assert shifted[0, 6]
    assert not shifted[4, 4]
    assert seen(pooled=1).all()


def test_outside_of_the_picture_keys_of_zero_take_their_share():
    mixer, seen = WindowedAttention(4), []
    mixer.attn.register_forward_hook(lambda module, args, out: seen.append(out))
    with torch.no_grad():
        for linear in (mixer.qkv.weight[:8], mixer.qkv.bias[:8]):
            linear.zero_()  # all scores are 0: each of the nine cells has a ninth, also where there is none
        mixer.qkv.weight[8:].copy_(torch.eye(4))
        mixer.qkv.bias.zero_()
        y = mixer(torch.ones(1, 5, 5, 4))
    torch.testing.assert_close(seen[0], torch.full((1, 1, 25, 9), 1 / 9))
    torch.testing.assert_close(y[0, 0, 0], torch.full((4,), 4 / 9))
    torch.testing.assert_close(y[0, 2, 2], torch.ones(4))


def test_what_it_costs_by_hand():
    dim, kernel, n = 8, 5, 30
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        MsaConv(dim, 16, attention=WindowedAttention(dim, kernel=kernel), kernel=kernel)(torch.empty(1, 5, 6, dim))
    assert counter.get_total_flops() / 2 == n * (3 * dim**2 + 2 * kernel**2 * dim + kernel**2 * dim * 16)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="heads=3"):
        WindowedAttention(8, heads=3)
    with pytest.raises(ValueError, match="kernel=4"):
        WindowedAttention(8, kernel=4)


def test_one_set_of_weights_takes_any_picture():
    model = tic_msaconv(dims=(8, 12), depths=(1, 1), classes=5).eval()
    for size in ((17, 64), (64, 17), (33, 33)):
        assert model(torch.randn(1, 3, *size)).shape == (1, 5)
