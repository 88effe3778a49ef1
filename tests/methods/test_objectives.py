"""The objectives: each equation again by hand, and that nothing is told that should be found out."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labkit.methods.objectives import toco
from labkit.methods.objectives.adversarial import attacked
from labkit.methods.objectives.masked import MaskedAutoencoder, normalised, patches, visible
from labkit.methods.objectives.rotnet import Rotation, features, turned
from labkit.methods.objectives.self_distillation import Prototypes, SelfDistillation
from labkit.models.backbones.vit import ViT


def small(**changes: object) -> ViT:
    return ViT(**{"dim": 8, "depth": 3, "heads": 2, "classes": 3, "image": 16, "patch": 4} | changes)


# Masked autoencoding


def test_a_hidden_patch_is_never_seen():
    task = MaskedAutoencoder(small(), dim=8, heads=2).eval()
    hidden = task.hide(2, 16)
    assert hidden.sum(dim=1).tolist() == [12, 12]
    images = torch.randn(2, 3, 16, 16)
    cut = patches(images, 4)
    cut[hidden] = torch.randn_like(cut[hidden])
    other = cut.view(2, 4, 4, 4, 4, 3).permute(0, 5, 1, 3, 2, 4).reshape(2, 3, 16, 16)
    assert not torch.equal(other, images)
    torch.testing.assert_close(task.painted(images, hidden), task.painted(other, hidden))
    seen = visible(hidden)
    assert seen.shape == (2, 4)
    assert not hidden.gather(1, seen).any()
    assert (seen.diff(dim=1) > 0).all(), "in order, so that each keeps its place"


def test_a_visible_patch_is_heard_and_only_hidden_ones_count():
    torch.manual_seed(0)
    task = MaskedAutoencoder(small(), dim=8, heads=2).eval()
    hidden = task.hide(1, 16)
    images = torch.randn(1, 3, 16, 16)
    painted, wanted = task.painted(images, hidden), normalised(patches(images, 4))
    by_hand = [(painted[0, i] - wanted[0, i]).square().mean() for i in range(16) if hidden[0, i]]
    torch.manual_seed(5)
    expected = torch.stack(by_hand).mean()
    task.hide = lambda *_, **__: hidden
    torch.testing.assert_close(task(images), expected)
    shown = int(visible(hidden)[0, 0])
    changed = images.clone()
    row, column = shown // 4, shown % 4
    changed[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1
    changed[:, 0, 4 * row, 4 * column] += 3
    assert not torch.allclose(task.painted(changed, hidden), painted)


def test_patches_are_cut_row_by_row_and_normalised_one_by_one():
    images = torch.arange(2 * 3 * 8 * 4.0).view(2, 3, 8, 4)
    cut = patches(images, 4)
    assert torch.equal(cut[1, 1].view(4, 4, 3), images[1, :, 4:].permute(1, 2, 0))
    torch.testing.assert_close(normalised(cut).mean(dim=-1), torch.zeros(2, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalised(cut).var(dim=-1), torch.ones(2, 2))
    with pytest.raises(ValueError, match="between 0 and 1"):
        MaskedAutoencoder(small(), share=1)


# Self-distillation


def test_the_loss_of_two_views_by_hand():
    torch.manual_seed(1)
    task = SelfDistillation(small()).eval()
    large, little = [torch.randn(2, 3, 16, 16) for _ in range(2)], [torch.randn(2, 3, 8, 8)]
    start = torch.randn_like(task.centre)
    task.centre.copy_(start)

    def told(vit, head, x):
        return head(vit.norm(vit.blocks(vit.embed(x)))[:, 0])

    with torch.no_grad():
        teacher = [told(task.slow_vit, task.slow_head, x) for x in large]
        student = [told(task.vit, task.head, x) for x in (*large, *little)]
    terms = []
    for i, t in enumerate(teacher):
        for j, s in enumerate(student):
            if i != j:
                p = ((t - start) / 0.04).softmax(-1)
                terms.append(-(p * (s / 0.1).log_softmax(-1)).sum(-1).mean())
    assert len(terms) == 4
    torch.testing.assert_close(task(large, little), torch.stack(terms).mean())
    torch.testing.assert_close(task.centre, 0.9 * start + 0.1 * torch.cat(teacher).mean(0, keepdim=True))


def test_the_teacher_follows_and_stops_in_the_end():
    task = SelfDistillation(small(), momentum=0.9)
    task.head.directions.data += 1
    before, ahead = task.slow_head.directions.clone(), task.head.directions.detach()
    task.follow(1.0)
    torch.testing.assert_close(task.slow_head.directions, before)
    task.follow(0.0)
    torch.testing.assert_close(task.slow_head.directions, 0.9 * before + 0.1 * ahead)
    task([torch.randn(1, 3, 16, 16)] * 2, []).backward()
    assert all(p.grad is None for p in (*task.slow_vit.parameters(), *task.slow_head.parameters()))
    assert task.vit.cls.grad.any()


@pytest.mark.slow
def test_views_of_one_picture_come_to_agree_and_those_of_others_do_not():
    torch.manual_seed(0)
    task = SelfDistillation(small(dim=16, depth=1), momentum=0.9)
    images = 2 * torch.randn(16, 3, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)

    def views():
        return [images + 0.3 * torch.randn_like(images) for _ in range(2)]

    def agreement():
        with torch.no_grad():
            told = [
                task.slow_head(task.slow_vit.norm(task.slow_vit.blocks(task.slow_vit.embed(x)))[:, 0]) for x in views()
            ]
            one, other = (F.normalize(answer - task.centre, dim=1) for answer in told)
            cosine = one @ other.T
        return cosine.diag().mean(), (cosine.sum() - cosine.trace()) / 240

    assert agreement()[1] > 0.9, "at first all are alike"
    optimiser = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], lr=2e-3)
    for step in range(300):
        optimiser.zero_grad()
        task(views(), []).backward()
        optimiser.step()
        task.follow(step / 300)
    same, other = agreement()
    assert same > other + 0.3


def test_prototypes_are_cosines():
    answers = Prototypes(8, count=5)(torch.randn(7, 8))
    assert answers.shape == (7, 5)
    assert answers.abs().max() <= 1 + 1e-6


# Rotation


def test_four_turns_are_all_there_and_four_quarters_are_none():
    images = torch.randn(2, 3, 6, 6)
    views, labels = turned(images)
    assert views.shape == (8, 3, 6, 6)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(views[2], images[0].transpose(1, 2).flip(1)), "to the left: transpose, then upside down"
    assert torch.equal(views[4], images[0].flip(1, 2))
    once = views[2:4]
    assert torch.equal(turned(turned(turned(once)[0][2:4])[0][2:4])[0][2:4], images)
    with pytest.raises(ValueError, match="4 x 6"):
        turned(torch.randn(1, 3, 4, 6))


def test_the_loss_over_all_turns_by_hand():
    model = small().eval()
    task = Rotation(model)
    images = torch.randn(2, 3, 16, 16)
    loss, right = task.loss(images)
    rows = []
    for y in range(4):
        logits = task.answers(model.norm(model.blocks(model.embed(torch.rot90(images, y, (2, 3)))))[:, 0])
        rows.append(F.cross_entropy(logits, torch.full((2,), y)))
    torch.testing.assert_close(loss, torch.stack(rows).mean())
    assert right.shape == (8,)
    assert not model.head._forward_pre_hooks
    torch.testing.assert_close(model.head(features(model, images)), model(images))


# Token contrast


def test_ptc_by_loops():
    torch.manual_seed(2)
    tokens, cells = torch.randn(2, 5, 4), torch.tensor([[1, 1, 0, -1, 0], [2, 0, 2, 2, -1]])
    pairs = toco.affinity(cells)
    pull = push = 0.0
    alike = other = 0
    for b in range(2):
        for i in range(5):
            for j in range(5):
                if i == j or -1 in (cells[b, i], cells[b, j]):
                    assert pairs[b, i, j] == toco.UNSURE
                    continue
                cosine = abs(F.cosine_similarity(tokens[b, i], tokens[b, j], dim=0).item())
                if cells[b, i] == cells[b, j]:
                    pull, alike = pull + cosine, alike + 1
                else:
                    push, other = push + cosine, other + 1
    expected = 0.5 * (1 - pull / (alike + 1)) + 0.5 * push / (other + 1)
    assert toco.patch_token_contrast(tokens, pairs).item() == pytest.approx(expected, abs=1e-6)


def test_ptc_is_nothing_where_labels_are_directions():
    cells = torch.arange(64).view(1, 64) % 4 + 1
    tokens = torch.eye(4)[cells[0] - 1][None]
    assert toco.patch_token_contrast(tokens, toco.affinity(cells)).item() < 1e-3
    alike = toco.affinity(torch.ones(1, 64, dtype=torch.long))
    assert toco.patch_token_contrast(torch.ones(1, 64, 3), alike).item() < 1e-3
    assert toco.patch_token_contrast(torch.ones(1, 64, 3), 0 * alike.clamp_min(0)).item() == pytest.approx(1, abs=0.01)


def test_cells_are_background_unsure_or_the_class():
    maps = torch.zeros(2, 3, 1, 4)
    maps[0, 2, 0] = torch.tensor([0.1, 0.25, 0.5, 0.7])
    maps[1, 0, 0] = torch.tensor([1.0, 0.69, 0.26, 0.0])
    cells = toco.cell_labels(maps, torch.tensor([2, 0]))
    assert cells.tolist() == [[0, 0, -1, 3], [1, -1, -1, 0]]
    with pytest.raises(ValueError, match="low <= high"):
        toco.cell_labels(maps, torch.tensor([2, 0]), low=0.8)


def test_class_maps_run_from_nothing_to_one():
    tokens, weight = torch.randn(2, 6, 4), torch.randn(3, 4)
    maps = toco.class_maps(tokens, weight, grid=(2, 3))
    assert maps.shape == (2, 3, 2, 3)
    assert maps.min() >= 0
    assert maps.max() <= 1
    place = (tokens[1] @ weight[2]).relu()
    by_hand = (place - place.min()) / (place.max() - place.min() + 1e-5)
    torch.testing.assert_close(maps[1, 2].flatten(), by_hand)


def test_ctc_by_loops():
    torch.manual_seed(3)
    whole, crops = torch.randn(2, 2, 4), torch.randn(2, 3, 4)
    positive = torch.tensor([[True, False, True], [False, False, True]])
    terms = []
    for b in range(2):
        heat = lambda p, m, b=b: math.exp(torch.dot(whole[b, p], crops[b, m]).item() / 0.5)  # noqa: E731
        for m in range(3):
            if positive[b, m]:
                for p in range(2):
                    against = sum(heat(p, k) for k in range(3) if not positive[b, k])
                    terms.append(-math.log(heat(p, m) / (heat(p, m) + against)))
    found = toco.class_token_contrast(whole, crops, positive).item()
    assert found == pytest.approx(sum(terms) / len(terms), rel=1e-4)
    assert toco.class_token_contrast(whole, crops, torch.zeros(2, 3, dtype=torch.bool)).item() == 0


def test_token_contrast_answers_as_the_model_does_and_its_maps_belong_to_the_middle_block():
    model = small(depth=4).eval()
    task = toco.TokenContrast(model, teacher_block=-2)
    images = torch.randn(2, 3, 16, 16)
    logits, last, maps = task.look(images)
    torch.testing.assert_close(logits[:, 0], model(images))
    middle = model.blocks[2](model.blocks[1](model.blocks[0](model.embed(images))))[:, 1:]
    torch.testing.assert_close(logits[:, 2], task.early(middle.amax(dim=1)))
    torch.testing.assert_close(maps, toco.class_maps(middle, task.early.weight, grid=(4, 4)))
    assert not maps.requires_grad
    assert last.shape == (2, 16, 8)
    with pytest.raises(ValueError, match="4 blocks"):
        toco.TokenContrast(model, teacher_block=4)


# Attacks


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 3 * 4, generator=torch.Generator().manual_seed(0)))

    def forward(self, x):
        return x.flatten(1) @ self.weight.T


def test_the_worst_picture_of_a_linear_model_is_a_corner_of_the_box():
    model, x = Linear(), torch.randn(5, 3, 2, 2)
    targets = F.one_hot(torch.tensor([0, 1, 0, 1, 1]), 2).float()
    scale = torch.tensor([1.0, 2.0, 4.0]).view(1, 3, 1, 1)
    moved = attacked(model, x, targets, radius=0.1, steps=3, scale=scale) - x
    away = (model.weight[1] - model.weight[0]).view(3, 2, 2)
    sign = torch.where(targets[:, 0] == 1, 1.0, -1.0).view(5, 1, 1, 1)
    torch.testing.assert_close(moved, 0.1 * scale * (sign * away).sign())
    assert model.weight.grad is None
    assert not moved.requires_grad


def test_an_attack_stays_in_its_box_and_hurts():
    torch.manual_seed(4)
    model, x = small().eval(), torch.randn(3, 3, 16, 16)
    targets = F.one_hot(torch.tensor([0, 1, 2]), 3).float()
    bad, other = (
        attacked(model, x, targets, radius=0.05, steps=2, rng=torch.Generator().manual_seed(i)) for i in (1, 2)
    )
    assert not torch.equal(bad, other), "the start is thrown"
    assert (bad - x).abs().max() <= 0.05 + 1e-6
    assert F.cross_entropy(model(bad), targets) > F.cross_entropy(model(x), targets)
    with pytest.raises(ValueError, match="at least one step"):
        attacked(model, x, targets, radius=0.1, steps=0)
