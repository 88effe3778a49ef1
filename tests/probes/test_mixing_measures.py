"""The numbers read off a mixing map, by loops and by hand, and that all token mixers land on one scale."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from labkit.probes import mixing_closed as closed
from labkit.probes.attention import Bands, measure
from labkit.probes.mixing import MixingMap
from labkit.probes.mixing_measures import measure_mixing


def a_map(norms: torch.Tensor, grid: tuple[int, int], key_grid=None) -> MixingMap:
    squared = norms.square()[None]
    return MixingMap("", squared, torch.zeros_like(squared), grid, key_grid or grid)


def test_limits_fix_the_scale():
    itself = measure_mixing(closed.of_channelwise(nn.Identity(), (3, 5), channels=7))
    assert [getattr(itself, name).item() for name in ("nmi", "distance", "reach", "entropy", "own")] == pytest.approx(
        [1, 0, 0, 0, 1], abs=1e-5
    )
    assert itself.area.item() == pytest.approx(1 / 15)
    assert itself.pattern() == "local"
    alike = measure_mixing(a_map(torch.full((15, 15), 3.0), (3, 5)))
    assert [getattr(alike, name).item() for name in ("nmi", "reach", "entropy", "own", "area")] == pytest.approx(
        [0, 1, math.log(15), 1 / 15, 8 / 15], abs=1e-5
    )
    assert alike.pattern() == "global"
    one = measure_mixing(a_map(torch.ones(1, 1), (1, 1)))
    assert (one.distance.item(), one.reach.item(), one.own.item()) == (0, 0, 1)


def test_a_pooling_by_hand():
    # 3 x 3 average on 3 x 5; the rows of shares are even over 4, 6 or 9 cells.
    pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    found = measure_mixing(closed.of_channelwise(pool, (3, 5), channels=2))
    distance = entropy = own = 0.0
    for q in range(15):
        near = [k for k in range(15) if max(abs(q // 5 - k // 5), abs(q % 5 - k % 5)) <= 1]
        distance += sum(math.dist(divmod(q, 5), divmod(k, 5)) for k in near) / len(near) / 15
        entropy += math.log(len(near)) / 15
        own += 1 / len(near) / 15
    assert found.distance.item() == pytest.approx(distance, abs=1e-5)
    assert found.entropy.item() == pytest.approx(entropy, abs=1e-5)
    assert found.own.item() == pytest.approx(own, abs=1e-5)
    even = sum(math.dist(divmod(q, 5), divmod(k, 5)) for q in range(15) for k in range(15)) / 225
    assert found.reach.item() == pytest.approx(distance / even, abs=1e-5)


def test_one_attention_head_measures_as_itself():
    attn = torch.randn(2, 1, 15, 15).mul(2).softmax(dim=-1)
    mixing = closed.of_attention(attn, torch.randn(1, 4, 8), torch.randn(1, 8, 4), grid=(3, 5))
    head = measure(mixing.attention())
    found = measure_mixing(mixing)
    torch.testing.assert_close(mixing.attention().weights[:, 0], attn)
    for name in ("nmi", "distance", "entropy"):
        torch.testing.assert_close(getattr(found, name), getattr(head, name)[:, 0])


def test_a_coarser_answer_owns_all_that_lies_in_its_cell():
    halving = closed.of_channelwise(nn.AvgPool2d(2), (4, 6), channels=3)
    found = measure_mixing(halving)
    assert found.own.item() == pytest.approx(1)
    doubling = measure_mixing(closed.of_channelwise(nn.Upsample(scale_factor=2), (2, 3), channels=3))
    assert doubling.own.item() == pytest.approx(1)
    assert doubling.distance.item() == pytest.approx(0.5**0.5)  # to the middle of its parent, in its own cells


def test_local_to_global_in_order_and_bands_are_the_users():
    maps = [closed.of_convolution(nn.Conv2d(4, 4, k, padding=k // 2, groups=4), (14, 14)) for k in (3, 7, 15, 27)]
    for conv in maps:
        conv.squared.copy_((conv.squared > 0).float())  # even kernels
    found = [measure_mixing(one) for one in maps]
    reach, nmi = ([getattr(one, name).item() for one in found] for name in ("reach", "nmi"))
    assert reach == sorted(reach)
    assert nmi == sorted(nmi, reverse=True)
    assert [one.pattern() for one in found] == ["local", "local", "hybrid", "global"]
    assert reach[-1] == pytest.approx(1)
    assert measure_mixing(maps[0], bands=Bands((0.9, 1.0))).pattern() == "global"


def test_where_a_query_depends_on_nothing_nothing_is_claimed():
    norms = torch.ones(15, 15)
    norms[4] = 0
    found = measure_mixing(a_map(norms, (3, 5)))
    assert all(getattr(found, name).isnan().all() for name in ("nmi", "distance", "reach", "entropy", "own", "area"))
    assert found.pattern() is None
