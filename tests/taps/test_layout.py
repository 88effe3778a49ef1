"""Where the tokens lie: the dry run agrees with the libraries' own window functions."""

from __future__ import annotations

import gc
import weakref

import pytest
import timm
import torch
import torchvision
from timm.models.maxxvit import grid_partition
from timm.models.swin_transformer import window_partition

from labkit.taps import PADDING, Unreadable, layouts


def cell_numbers(h: int, w: int) -> torch.Tensor:
    return torch.arange(h * w).view(1, h, w, 1)


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"])
def test_swin_windows_with_and_without_shift(name):
    window = 7 if "window7" in name else 8
    model = timm.create_model(name, img_size=16 * window, depths=(2, 1), num_heads=(1, 2), embed_dim=16)
    plain, shifted, last = layouts(model, (16 * window, 16 * window)).values()
    side, half = 4 * window, window // 2
    cells = cell_numbers(side, side)
    expected = window_partition(cells, (window, window)).flatten(1)
    rolled = window_partition(torch.roll(cells, (-half, -half), dims=(1, 2)), (window, window)).flatten(1)
    assert plain.grid == plain.key_grid == (side, side)
    torch.testing.assert_close(plain.queries, expected)
    torch.testing.assert_close(shifted.queries, rolled)
    assert last.grid == (side // 2, side // 2)


@pytest.mark.slow
def test_maxvit_blocks_and_grids():
    model = timm.create_model("maxvit_tiny_rw_224")
    found = layouts(model, (224, 224))
    strided = found["stages.1.blocks.0.attn_grid.attn"]
    torch.testing.assert_close(strided.keys, grid_partition(cell_numbers(28, 28), (7, 7)).flatten(1))


def test_torchvision_swin_pads_odd_pictures():
    model = torchvision.models.SwinTransformer([4, 4], 12, [2], [2], [5, 5])
    plain, shifted = layouts(model, (52, 72)).values()
    assert plain.grid == (13, 18)
    padded = torch.nn.functional.pad(cell_numbers(13, 18) - PADDING, (0, 0, 0, 2, 0, 2)) + PADDING
    torch.testing.assert_close(plain.queries, window_partition(padded, (5, 5)).flatten(1))
    rolled = torch.roll(padded, (-2, -2), dims=(1, 2))
    torch.testing.assert_close(shifted.queries, window_partition(rolled, (5, 5)).flatten(1))


def test_prefix_tokens_pooled_keys_and_class_attention():
    distilled = layouts(timm.create_model("deit_tiny_distilled_patch16_224", depth=1, img_size=(48, 80)), (48, 80))
    assert distilled["blocks.0.attn"].queries.tolist() == [[-1, -2, *range(15)]]
    assert distilled["blocks.0.attn"].grid == (3, 5)
    pooled = layouts(timm.create_model("pvt_v2_b0", depths=(1, 1, 1, 1)), (64, 96))["stages.0.blocks.0.attn"]
    assert (pooled.grid, pooled.key_grid) == ((16, 24), (2, 3))
    asks = layouts(timm.create_model("cait_xxs24_224", depth=1, img_size=(48, 80)), (48, 80))[
        "blocks_token_only.0.attn"
    ]
    assert asks.queries.tolist() == [[-1]]
    assert asks.keys.tolist() == [[-1, *range(15)]]


def test_thinned_queries_of_levit():
    thinned = layouts(timm.create_model("levit_128s"), (224, 224))["stages.1.downsample.attn_downsample"]
    assert (thinned.grid, thinned.key_grid) == ((7, 7), (14, 14))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hiera_tiny_224", "twins_svt_small", "nextvit_small"])
def test_what_cannot_be_placed_is_refused_by_name(name):
    model = timm.create_model(name)
    with pytest.raises(Unreadable, match=r"(blocks|stages)\.[\d.]+\w+ \(\w+\) (attends|looks)"):
        layouts(model, (224, 224))


@pytest.mark.slow
def test_the_dry_run_leaves_modes_and_numbers_alone_and_lets_the_model_go():
    model = timm.create_model("efficientformerv2_s0").train()
    numbers = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    layouts(model, (224, 224))
    assert all(part.training for part in model.modules())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, numbers[name]) for name, value in model.state_dict().items())
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
