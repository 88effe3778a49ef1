"""A block left out, against a model built without it."""

from __future__ import annotations

import copy
import math

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from labkit.models.backbones.vit import ViT
from labkit.probes.effect import changed, divergence, probability, turned
from labkit.probes.inputs import Refused
from labkit.probes.lesion import lesions


@pytest.fixture
def vit() -> ViT:
    model = ViT(dim=12, depth=3, heads=2, classes=4, image=16, patch=4)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model.eval()


class Passes(nn.Module):
    def forward(self, x: torch.Tensor, *_: object) -> torch.Tensor:
        return x


@torch.no_grad()
def test_a_lesion_is_the_model_without_the_block(vit):
    images = torch.randn(2, 3, 12, 20)
    tokens = []
    whole = vit(images)
    label = whole.argmax(1)
    vit.blocks[2].register_forward_hook(lambda module, args, out: tokens.append(out[:, 1:]))
    vit(images)
    found = lesions(vit, images)
    for index, one in enumerate(found):
        without = copy.deepcopy(vit)
        without.blocks[index] = Passes()
        logits = without(images)
        drop = [(whole.softmax(1) - logits.softmax(1))[i, label[i]].item() for i in range(2)]
        assert one.drop.tolist() == pytest.approx(drop, abs=1e-6)
        kl = F.kl_div(logits.log_softmax(1), whole.softmax(1), reduction="none").sum(1)
        assert one.kl.tolist() == pytest.approx(kl.tolist(), abs=1e-6)
    last = found[2]  # without the last block, its tokens are those of the one before
    before = []
    vit.blocks[1].register_forward_hook(lambda module, args, out: before.append(out[:, 1:]))
    vit(images)
    expected = F.cosine_similarity(tokens[0], before[0], dim=-1).mean(1)
    torch.testing.assert_close(last.turned, expected)
    norms = [(before[0] - tokens[0])[i].norm() / tokens[0][i].norm() for i in range(2)]
    torch.testing.assert_close(last.changed, torch.stack(norms))


def test_a_block_that_does_nothing_is_not_missed_and_another_class_can_be_followed(vit):
    for part in (vit.blocks[1].attn.proj, vit.blocks[1].mlp.fc2):
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    images = torch.randn(1, 3, 16, 16)
    one = lesions(vit, images)[1]
    assert one.drop.item() == one.kl.item() == one.changed.item() == 0
    assert one.turned.item() == pytest.approx(1, abs=1e-6)
    drops = [lesions(vit, images, targets=label)[0].drop.item() for label in range(4)]
    assert sum(drops) == pytest.approx(0, abs=1e-6)  # what one class loses, the others gain
    with pytest.raises(Refused, match=r"expected classes in 0\.\.3"):
        lesions(vit, images, targets=4)


def test_blocks_that_change_the_shape_cannot_be_left_out_and_nothing_stays_behind():
    model = timm.create_model("resnet10t", num_classes=5).train()
    found = lesions(model, torch.randn(2, 3, 64, 96))
    assert [one.drop is None for one in found] == [False, True, True, True]
    assert found[1].kl is found[1].turned is found[1].changed is found[1].similarity is None
    assert all(part.training for part in model.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_effects_by_hand():
    before, after = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, math.log(3)]])
    assert probability(after, torch.tensor([1])).item() == pytest.approx(0.75)
    # KL of (1/2, 1/2) from (1/4, 3/4): ½ ln 2 + ½ ln ⅔
    assert divergence(before, after).item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), abs=1e-6)
    tokens = torch.tensor([[[3.0, 0.0], [0.0, 4.0]]])
    assert turned(tokens, tokens.flip(-1)).item() == 0
    assert changed(tokens, 2 * tokens).item() == pytest.approx(1)
    assert turned(tokens, 0 * tokens).item() == 0
