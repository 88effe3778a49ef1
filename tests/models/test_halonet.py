"""Halo attention is dense attention under a mask, query by query; timm's; and what a shift and a wider halo do."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.layers.halo_attn import HaloAttn
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from labkit.models.backbones.halonet import HaloAttention, halonet
from labkit.models.layers import OnMap


def by_loops(mixer: HaloAttention, x: torch.Tensor) -> torch.Tensor:
    """`h w c`: each query for itself, with the keys of its block's window; outside of the picture they are zeros."""
    h, w, c = x.shape
    d, block, halo, stride = c // mixer.heads, mixer.block, mixer.halo, mixer.stride
    rows, columns, window = mixer.distances.rows, mixer.distances.columns, block + 2 * halo
    kv = (x @ mixer.kv.weight.T).view(h, w, mixer.heads, 2, d)
    q = (x @ mixer.q.weight.T).view(h, w, mixer.heads, d)
    out = torch.zeros(-(-h // stride), -(-w // stride), mixer.heads, d, dtype=x.dtype)
    for i in range(0, h, stride):
        for j in range(0, w, stride):
            top, left = i // block * block - halo, j // block * block - halo
            cells = [(y, x) for y in range(top, top + window) for x in range(left, left + window)]
            for head in range(mixer.heads):
                scores, values = [], []
                for y, z in cells:
                    inside = 0 <= y < h and 0 <= z < w
                    key, value = kv[y, z, head] if inside else torch.zeros(2, d, dtype=x.dtype)
                    # A table's middle row is for a key that stands `halo` before the query's own row.
                    place = rows[window - 1 + y - i + halo] + columns[window - 1 + z - j + halo]
                    scores.append(q[i, j, head] @ (key * d**-0.5 + place))
                    values.append(value)
                attn = torch.stack(scores).softmax(dim=0)
                out[i // stride, j // stride, head] = attn @ torch.stack(values)
    return out.flatten(2)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("block", "halo"), [(2, 1), (4, 2)])
def test_it_is_attention_of_each_query_to_its_window(block, halo, stride):
    mixer = HaloAttention(4, heads=2, block=block, halo=halo, stride=stride).double()
    x = torch.randn(1, 5, 7, 4, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(mixer(x)[0], by_loops(mixer, x[0]))


def test_attention_is_timms():
    theirs = HaloAttn(16, num_heads=2, block_size=4, halo_size=3).eval()
    ours = HaloAttention(16, heads=2, block=4, halo=3)
    with torch.no_grad():
        ours.q.weight.copy_(theirs.q.weight[..., 0, 0])
        ours.kv.weight.copy_(theirs.kv.weight[..., 0, 0])
        ours.distances.rows.copy_(theirs.pos_embed.height_rel)
        ours.distances.columns.copy_(theirs.pos_embed.width_rel)
        x = torch.randn(2, 8, 12, 16)
        wanted = theirs(x.movedim(-1, 1)).movedim(1, -1)
    torch.testing.assert_close(ours(x), wanted, rtol=1e-4, atol=1e-5)


def test_a_stage_is_timms():
    """Copied in the order in which both have their weights; statistics adapt, so that nothing cancels."""
    theirs = timm.create_model("halonet_h1", pretrained=False).train()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)  # the last one of a block starts at 0, and would hide it
    ours = halonet().train()
    pairs = [(ours.stem, theirs.stem), (ours.stages[0], theirs.stages[0]), (ours.head, theirs.head.fc)]
    for mine, other in pairs:
        values = [p for name, p in other.named_parameters()]
        for (name, p), value in zip(mine.named_parameters(), values, strict=True):
            assert p.numel() == value.numel(), name
            p.data.copy_(value.data.view_as(p))
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        wanted = theirs.stages[0](theirs.stem(image))
        got = ours.stages[0](ours.stem(image).movedim(1, -1)).movedim(-1, 1)
    assert wanted.std() > 0.1
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)


def test_a_shift_by_a_block_moves_all_and_a_shift_by_a_cell_does_not():
    x = torch.randn(1, 24, 24, 8)

    def error(block: int, by: int) -> float:
        torch.manual_seed(0)
        mixer = HaloAttention(8, heads=2, block=block, halo=1).eval()
        with torch.no_grad():
            moved, there = mixer(x.roll(by, dims=2)), mixer(x).roll(by, dims=2)
        inside = slice(8, 16)
        return (moved - there)[:, inside, inside].abs().max().item()

    assert error(4, 4) < 1e-5
    assert error(4, 1) > 1e-2
    assert error(1, 1) < 1e-5, "a block of one cell is sliding attention"


def test_a_wider_window_costs_rows_of_two_tables_and_no_more():
    def count(halo: int) -> int:
        return sum(p.numel() for p in HaloAttention(64, heads=8, halo=halo).parameters())

    # Two cells more along a side: four rows more in each table, of dim / heads numbers.
    assert count(4) - count(3) == 2 * 4 * 8


def test_what_it_costs_by_hand():
    dim, block, halo, cells = 16, 4, 2, 64
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        HaloAttention(dim, heads=2, block=block, halo=halo)(torch.empty(1, 8, 8, dim))
    window = (block + 2 * halo) ** 2
    tables = 2 * dim * (2 * (block + 2 * halo) - 1)
    assert counter.get_total_flops() / 2 == cells * (3 * dim**2 + 2 * dim * window + tables)


def test_the_watched_weights_are_shares_and_far_cells_get_none():
    mixer, seen = HaloAttention(8, heads=2, block=2, halo=1), []
    mixer.attn.register_forward_hook(lambda module, args, out: seen.append(out))
    x = torch.randn(1, 6, 6, 8, requires_grad=True)
    mixer(x)[0, 2, 2].sum().backward()
    assert seen[0].shape == (1, 2, 9, 4, 16)
    torch.testing.assert_close(seen[0].sum(dim=-1), torch.ones(1, 2, 9, 4))
    reached = x.grad[0].abs().sum(dim=-1) > 0
    assert reached[1:5, 1:5].all()
    assert reached.sum() == 16


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="heads=3"):
        HaloAttention(8, heads=3)
    with pytest.raises(ValueError, match="block=3, stride=2"):
        HaloAttention(8, heads=2, block=3, stride=2)


def test_the_frame_takes_another_mixer():
    made = []

    def mixer(dim: int, stride: int) -> nn.Module:
        made.append((dim, stride))
        return OnMap(nn.Conv2d(dim, dim, 3, stride=stride, padding=1))

    assert halonet(dims=(8, 16), depths=(2, 1), mixer=mixer, classes=5)(torch.randn(2, 3, 33, 20)).shape == (2, 5)
    assert made == [(8, 1), (8, 1), (16, 2)]
