"""The frame puts its parts where it says, and the plain mixers do what their names say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from labkit.models.layers import Mlp, OnMap
from labkit.models.mixers.plain import Depthwise, NoMixing, RandomMixing, SelfAttention
from labkit.models.scaffold import Block, Head, Patches, Scaffold
from labkit.probes.attention import attention_maps
from labkit.taps import blocks


class Note(nn.Module):
    """Writes down that it ran, and hands its input on."""

    def __init__(self, name: str, told: list[str]) -> None:
        super().__init__()
        self.name, self.told = name, told

    def forward(self, x):
        self.told.append(self.name)
        return x


def test_parts_run_in_their_order_and_drop_rates_rise_evenly():
    told: list[str] = []
    model = Scaffold(
        depths=(1, 2),
        stem=Note("stem", told),
        block=lambda stage, rate: Note(f"block {stage} {rate:.1f}", told),
        down=lambda stage: Note(f"down {stage}", told),
        end=lambda stage: Note(f"end {stage}", told),
        head=nn.Flatten(),
        drop_path=0.4,
    )
    model(torch.randn(1, 3, 5, 4))
    assert told == ["stem", "block 0 0.0", "end 0", "down 1", "block 1 0.2", "block 1 0.4", "end 1"]


def test_the_picture_enters_channels_last_with_its_rows_as_rows():
    x = torch.arange(12.0).view(1, 3, 2, 2)
    model = Scaffold(depths=(), stem=nn.Identity(), block=lambda stage, rate: nn.Identity(), head=nn.Flatten())
    assert model(x)[0].tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]


def test_a_block_is_its_equation():
    block = Block(3, mixer=Depthwise(3), mlp=Mlp(3), scale=0.3)
    x = torch.randn(2, 5, 4, 3)
    y = x + 0.3 * block.mixer(block.norm1(x))
    torch.testing.assert_close(block(x), y + 0.3 * block.mlp(block.norm2(y)))


def test_a_block_drops_whole_branches_in_training_only():
    block = Block(2, mixer=NoMixing(), mlp=NoMixing(), norm=lambda dim: nn.Identity(), drop_path=0.5)
    x = torch.ones(400, 1, 1, 2)
    seen = block.train()(x)[:, 0, 0, 0].unique().tolist()
    assert seen == [1, 3, 9], "each of two branches, dropped or doubled"
    assert block.eval()(x).unique().tolist() == [4]


def test_stages_need_something_between_them():
    with pytest.raises(ValueError, match=r"Scaffold\(depths=\(1, 1\)\): between stages stands a halving"):
        Scaffold(depths=(1, 1), stem=nn.Identity(), block=lambda stage, rate: nn.Identity(), head=nn.Flatten())


def test_patches_lose_no_pixel_of_an_odd_picture():
    cut = Patches(1, 1, kernel=4, stride=4)
    nn.init.ones_(cut.proj.part.weight)
    nn.init.zeros_(cut.proj.part.bias)
    x = torch.rand(1, 9, 6, 1)
    found = cut(x)
    assert found.shape == (1, 3, 2, 1)
    torch.testing.assert_close(found.sum(), x.sum())


def test_the_head_takes_the_mean_over_the_map():
    head = Head(2, 2, norm=lambda dim: nn.Identity())
    x = torch.randn(1, 3, 5, 2)
    torch.testing.assert_close(head(x)[0], head.fc(x[0].flatten(0, 1).mean(dim=0)))


def test_the_instruments_find_the_blocks_of_a_scaffold():
    model = Scaffold(
        depths=(2,),
        stem=Patches(3, 8, kernel=4, stride=4),
        block=lambda stage, rate: Block(8, mixer=SelfAttention(8, heads=2), mlp=Mlp(8)),
        head=Head(8, 3),
    )
    assert [(one.name, one.after.grid) for one in blocks(model, (20, 28))] == [
        ("stages.0.0", (5, 7)),
        ("stages.0.1", (5, 7)),
    ]
    found = attention_maps(model, torch.randn(1, 3, 20, 28))
    assert [one.grid for one in found] == [(5, 7), (5, 7)]


def test_attention_is_torchs_own():
    mixer = SelfAttention(6, heads=2)
    theirs = nn.MultiheadAttention(6, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(mixer.qkv.weight)
        theirs.in_proj_bias.zero_()
        theirs.out_proj.weight.copy_(mixer.proj.weight)
        theirs.out_proj.bias.copy_(mixer.proj.bias)
    x = torch.randn(2, 3, 5, 6)
    tokens = x.flatten(1, 2)
    torch.testing.assert_close(mixer(x).flatten(1, 2), theirs(tokens, tokens, tokens)[0])
    with pytest.raises(ValueError, match=r"SelfAttention\(dim=6, heads=4\)"):
        SelfAttention(6, heads=4)


def test_a_random_matrix_averages_stays_as_drawn_and_has_one_grid():
    mixer = RandomMixing(grid=(3, 4))
    torch.testing.assert_close(mixer(torch.ones(1, 3, 4, 2)), torch.ones(1, 3, 4, 2))
    assert not list(mixer.parameters())
    x = torch.randn(1, 3, 4, 2)
    torch.testing.assert_close(mixer(x)[0, 1, 2], mixer.matrix[6] @ x[0].flatten(0, 1))
    with pytest.raises(ValueError, match="drawn for a grid of 3 x 4, got 4 x 3"):
        mixer(torch.ones(1, 4, 3, 2))


def test_on_map_turns_there_and_back():
    conv = nn.Conv2d(3, 2, (1, 3), padding=(0, 1))
    x = torch.randn(1, 4, 5, 3)
    torch.testing.assert_close(OnMap(conv)(x).permute(0, 3, 1, 2), conv(x.permute(0, 3, 1, 2)))
