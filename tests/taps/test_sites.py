"""Sites: where values lie on the picture, in any model, and the way there and back."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from labkit.models.backbones import resnet
from labkit.models.backbones.vit import ViT
from labkit.taps import Form, Tap, Unreadable, blocks, site_of, sites

HIGH, WIDE = 48, 80


def small_vit() -> ViT:
    return ViT(dim=12, depth=3, heads=2, classes=4, image=32, patch=8)


@pytest.mark.parametrize(
    ("name", "options", "axes", "grid", "prefix"),
    [
        ("vit_tiny_patch16_224", {"depth": 2, "img_size": (HIGH, WIDE)}, "b n c", (3, 5), 1),
        ("deit_tiny_distilled_patch16_224", {"depth": 2, "img_size": (HIGH, WIDE)}, "b n c", (3, 5), 2),
        ("convnext_atto", {}, "b c h w", (1, 2), 0),
        ("mambaout_femto", {"depths": (1, 1, 1, 1)}, "b h w c", (2, 3), 0),
        ("swin_tiny_patch4_window7_224", {"depths": (1, 1, 1, 1), "img_size": (HIGH, WIDE)}, "b h w c", (2, 3), 0),
        ("pvt_v2_b0", {}, "b n c", (2, 3), 0),
    ],
)
def test_the_last_block_of_every_family_is_placed(name, options, axes, grid, prefix):
    model = timm.create_model(name, **options).eval()
    last = blocks(model, (HIGH, WIDE))[-1].after
    assert (last.axes, last.grid, last.prefix) == (axes, grid, prefix)


def test_the_blocks_are_those_that_reading_reads():
    from labkit.taps import reading

    model = timm.create_model("convnext_atto").eval()
    with torch.no_grad(), reading(model, "b c h w") as found:
        model(torch.randn(1, 3, HIGH, WIDE))
    there = blocks(model, (HIGH, WIDE))
    assert [block.name for block in there] == [name for name, value in found.items() if value.shape[-1] > 1]
    assert {block.name: block.after.grid for block in there} == {name: tuple(v.shape[-2:]) for name, v in found.items()}


def test_our_own_blocks_are_those_with_a_tap_and_know_what_went_in():
    here = blocks(small_vit(), (24, 40))
    assert [block.name for block in here] == ["blocks.0", "blocks.1", "blocks.2"]
    assert here[0].before == here[0].after == Form("b n c", (3, 5), 12, 1)
    model, x = resnet.tiny()
    first, second = blocks(model, tuple(x.shape[-2:]))
    assert (first.before.grid, first.after.grid, second.after.grid) == ((10, 13), (10, 13), (5, 7))


@pytest.mark.parametrize(
    ("axes", "shape", "spot"),  # the spot: picture 1, channel 4, row 1, column 0
    [("b c h w", (4, 5, 2, 3), (1, 4, 1, 0)), ("b h w c", (4, 2, 3, 5), (1, 1, 0, 4)), ("b n c", (4, 7, 5), (1, 4, 4))],
)
def test_a_value_survives_the_way_to_a_map_and_back(axes, shape, spot):
    form = Form(axes, (2, 3), 5, 1 if axes == "b n c" else 0)
    value = torch.randn(shape)
    assert form.to_map(value)[1, 4, 1, 0] == value[spot]
    assert form.to_tokens(value)[1, 3, 4] == value[spot]
    assert torch.equal(form.with_map(value, form.to_map(value)), value)
    assert torch.equal(form.with_tokens(value, form.to_tokens(value)), value)
    assert form.prefix_of(value).shape == (4, form.prefix, 5)
    changed = form.with_tokens(value, form.to_tokens(value) + 1)
    torch.testing.assert_close(form.to_map(changed), form.to_map(value) + 1)
    assert torch.equal(form.prefix_of(changed), form.prefix_of(value))


def test_a_layer_is_found_by_name_and_as_a_module():
    model = small_vit().eval()
    size = (24, 40)
    assert site_of(model, "blocks.1.norm1", size) == site_of(model, model.blocks[1].norm1, size)
    assert not site_of(model, "blocks.1.norm1", size).block


def test_a_layer_that_is_not_there_names_the_nearest():
    model = small_vit().eval()
    with pytest.raises(Unreadable, match=r"ViT has no layer 'block.1'; did you mean blocks.1"):
        site_of(model, "block.1", (24, 40))
    with pytest.raises(Unreadable, match=r"'head' does not lie on the picture"):
        site_of(model, "head", (24, 40))
    with pytest.raises(Unreadable, match=r"layer=ReLU.* is not a part of this ViT"):
        site_of(model, nn.ReLU(), (24, 40))


def test_windows_are_not_taken_for_a_picture():
    model = timm.create_model("swin_tiny_patch4_window7_224", depths=(1, 1, 1, 1)).eval()
    assert "layers.0.blocks.0.attn" not in sites(model, (224, 224))  # 64 windows of 49 tokens
    assert "layers.0.blocks.0.mlp" in sites(model, (224, 224))


def test_windows_as_large_as_a_map_met_before_are_not_taken_for_it():
    class Folding(nn.Module):
        def __init__(self):
            super().__init__()
            self.coarse, self.fine, self.windows = nn.Conv2d(3, 4, 4, 4), nn.Conv2d(3, 4, 2, 2), nn.Linear(4, 4)

        def forward(self, x):
            coarse, fine = self.coarse(x), self.fine(x)  # 2 x 4 cells, 4 x 8 cells
            windows = fine.unflatten(2, (2, 2)).unflatten(4, (2, 4)).permute(0, 2, 4, 3, 5, 1).reshape(-1, 8, 4)
            return self.windows(windows).mean() + coarse.mean()

    assert [*sites(Folding(), (8, 16))] == ["coarse", "fine"]


def test_where_a_model_shows_its_blocks_nothing_else_counts():
    class Shown(nn.Module):
        def __init__(self):
            super().__init__()
            self.proj, self.map = nn.Conv2d(3, 4, 3, stride=2), Tap("b c h w")

        def forward(self, x):
            return self.map(self.proj(x))

    class Conv(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

        def forward(self, x):
            return self.norm(self.conv(x))

    model = nn.Sequential(Shown(), nn.Sequential(Conv(), Conv()))
    assert [block.name for block in blocks(model, (9, 15))] == ["0"]
    assert "1.1" in sites(model, (9, 15))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count", "grid"), [("pvt_v2_b0", 8, (7, 7)), ("tiny_vit_5m_224", 12, (7, 7))])
def test_stages_that_end_in_a_norm_or_a_reshape_give_way_to_their_blocks(name, count, grid):
    here = blocks(timm.create_model(name).eval(), (224, 224))
    assert len(here) == count
    assert here[-1].after.grid == grid


def test_tokens_that_are_shuffled_are_refused():
    with pytest.raises(Unreadable, match=r"after 'blocks\.0' \(HieraBlock\) do not lie row by row"):
        sites(timm.create_model("hiera_tiny_224").eval(), (224, 224))


def test_wrapped_models_are_refused():
    with pytest.raises(Unreadable, match=r"DataParallel.*model\.module"):
        sites(nn.DataParallel(small_vit()), (24, 40))


def test_a_model_with_nothing_on_the_picture_says_so():
    with pytest.raises(Unreadable, match="showed no blocks"):
        sites(nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2)), (4, 4))


def test_the_dry_run_leaves_no_trace():
    model = small_vit().train()
    state = torch.get_rng_state()
    sites(model, (24, 40))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(part.training for part in model.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
