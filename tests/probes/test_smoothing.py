"""What the over-smoothing view shows, against cosines by hand and a model built without its blocks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.models.backbones.vit import ViT
from labkit.probes.inputs import Refused
from labkit.probes.layers import Layer, layers
from labkit.probes.smoothing import Smoothing, alike, middles, optional, reading
from labkit.taps import Form


@pytest.fixture
def vit() -> ViT:
    model = ViT(dim=12, depth=3, heads=2, classes=4, image=16, patch=4)
    dice = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=dice))
    return model.eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 12, 20, generator=torch.Generator().manual_seed(1))


class Passes(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def read(model: nn.Module, images: torch.Tensor, skip: tuple[int, ...] = ()) -> Smoothing:
    *shares, found = reading(model, images, skip=skip)
    assert shares == sorted(shares)
    assert all(0 <= share < 1 for share in shares)
    return found


def test_matrices_are_cosines_of_the_tokens(vit, images):
    found = read(vit, images)
    assert found.shown is found.whole
    for layer, one in zip(layers(vit, images), found.whole.layers, strict=True):
        assert one.grid == layer.grid == (3, 5)
        assert one.most == 12
        for b in range(2):
            for i, j in ((0, 14), (3, 7), (9, 9)):
                cosine = F.cosine_similarity(layer.tokens[b, i], layer.tokens[b, j], dim=0)
                assert one.raw[b, i, j].item() == pytest.approx(cosine.item(), abs=1e-6)
                rest = layer.tokens[b] - layer.tokens[b].mean(0)
                cosine = F.cosine_similarity(rest[i], rest[j], dim=0)
                assert one.centred[b, i, j].item() == pytest.approx(cosine.item(), abs=1e-5)
        off = one.raw.sum((1, 2)) - 15
        torch.testing.assert_close(one.measures.raw.mean, off / (15 * 14))


def test_of_a_large_grid_single_tokens_are_shown_and_all_are_measured():
    grid = (6, 40)
    value = torch.randn(1, 7, *grid, generator=torch.Generator().manual_seed(2))
    layer = Layer("wide", Form("b c h w", grid, 7), value)
    one = alike(layer, side=16)
    assert one.grid == (6, 14)  # every third of 40, none of 6
    columns = [int((k + 0.5) * 40 / 14) for k in range(14)]
    assert middles(grid, one.grid).tolist() == [40 * row + column for row in range(6) for column in columns]
    token = layer.tokens[0, 40 * 5 + columns[13]]
    cosine = F.cosine_similarity(token, layer.tokens[0, columns[2]], dim=0)
    assert one.raw[0, 5 * 14 + 13, 2].item() == pytest.approx(cosine.item(), abs=1e-6)
    full = F.normalize(layer.tokens[0], dim=-1)
    mean = (full @ full.T).sum() - 240
    assert one.measures.raw.mean.item() == pytest.approx(mean.item() / (240 * 239), abs=1e-6)
    rest = layer.tokens[0] - layer.tokens[0].mean(0)  # of all tokens, not of those shown
    cosine = F.cosine_similarity(rest[columns[0]], rest[columns[1]], dim=0)
    assert one.centred[0, 0, 1].item() == pytest.approx(cosine.item(), abs=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("skip", [(0,), (1, 2), (2,)])
def test_blocks_left_out_are_a_model_without_them(vit, images, skip):
    found = read(vit, images, skip)
    less = copy.deepcopy(vit)
    for block in skip:
        less.blocks[block] = Passes()
    logits = less(images)
    torch.testing.assert_close(found.without.output, logits)
    torch.testing.assert_close(found.whole.output, vit(images))
    chance, label = vit(images).softmax(1).max(1)
    assert found.effect.label.tolist() == label.tolist()
    torch.testing.assert_close(found.effect.before, chance)
    torch.testing.assert_close(found.effect.after, logits.softmax(1)[torch.arange(2), label])
    entry = found.shown.layers[skip[0]].raw
    if skip[0]:  # what the lost block hands on is what it was given
        torch.testing.assert_close(entry, found.shown.layers[skip[0] - 1].raw)
    assert not torch.allclose(entry, found.whole.layers[skip[0]].raw, atol=1e-3)


def test_the_last_block_left_out_turns_its_tokens_to_those_before(vit, images):
    found = read(vit, images, (2,))
    before, last = (layer.tokens for layer in layers(vit, images)[1:])
    turned = F.cosine_similarity(last, before, dim=-1).mean(1)
    torch.testing.assert_close(found.effect.turned, turned)
    change = (before - last).flatten(1).norm(dim=1) / last.flatten(1).norm(dim=1)
    torch.testing.assert_close(found.effect.changed, change)


class Shrinks(nn.Module):
    """A stem, a block that keeps the shape, a block that halves it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 2, stride=2)
        self.stages = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 6, 2, stride=2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stages(self.stem(x))


def test_a_block_that_changes_the_shape_is_refused_in_a_sentence(images):
    model = Shrinks().eval()
    free = optional(model, images)
    assert False in free
    with pytest.raises(Refused, match=f"block {free.index(False)} cannot be left out of this Shrinks; these can:"):
        read(model, images, (free.index(False),))
    with pytest.raises(Refused, match="block 99 cannot be left out"):
        read(model, images, (99,))


def test_a_model_without_classes_has_no_effect_but_its_tokens_are_read(images):
    model = Shrinks().eval()
    block = optional(model, images).index(True)
    found = read(model, images, (block,))
    assert found.effect is None
    assert found.skipped == (block,)
