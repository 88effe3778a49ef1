"""ToCo's model by hand, and what its experiment measures: the gap by depth, overlaps, and who is taught what."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from labkit.experiments import toco as lesson
from labkit.experiments._apart import ByDepth, by_depth, covered
from labkit.experiments._lessons import seeded
from labkit.methods.objectives.toco import affinity, cell_labels, class_maps, patch_token_contrast, toco
from labkit.models.backbones.vit import ViT

SMALL = {"dim": 8, "depth": 4, "heads": 2, "patch": 3, "image": 15, "classes": 5}


@torch.no_grad()
def test_three_answers_of_one_pass_by_hand():
    model = toco(**SMALL).double().eval()
    image = torch.randn(2, 3, 15, 12, dtype=torch.float64)
    x = model.vit.embed(image)
    behind = []
    for block in model.vit.blocks:
        x = block(x)
        behind.append(x)
    middle, last = behind[-3], model.vit.norm(x)  # the third from behind
    for sample, told in enumerate(model(image)):
        for way, (weight, source) in enumerate(
            [
                (model.vit.head.weight, last[:, :1]),
                (model.vit.head.weight, last[:, 1:]),
                (model.early.weight, middle[:, 1:]),
            ]
        ):
            strongest = torch.stack([max(column) for column in source[sample].T])
            torch.testing.assert_close(told[way], torch.stack([(row * strongest).sum() for row in weight]))


@torch.no_grad()
def test_the_maps_are_the_middle_block_s_and_lie_as_the_picture():
    model = toco(**SMALL, teacher_block=1).eval()
    image = torch.randn(2, 3, 15, 12)
    logits, tokens, maps = model.look(image)
    torch.testing.assert_close(logits, model(image))
    assert tokens.shape == (2, 20, 8)
    assert maps.shape == (2, 5, 5, 4)
    middle = model.vit.blocks[:2](model.vit.embed(image))
    torch.testing.assert_close(maps, class_maps(middle[:, 1:], model.early.weight, grid=(5, 4)))
    assert model.vit.head.bias is None, "a class map is a product alone"


def test_ptc_moves_the_last_tokens_and_not_the_map_that_teaches():
    model = toco(**SMALL)
    _, tokens, maps = model.look(torch.randn(2, 3, 15, 12))
    assert not maps.requires_grad
    model.contrast(tokens, maps, torch.tensor([1, 4])).backward()
    assert model.early.weight.grad is None
    assert model.vit.head.weight.grad is None
    assert all(parameter.grad.any() for parameter in model.vit.blocks[-1].parameters())


def cosine(a, b) -> float:
    return F.cosine_similarity(a.double(), b.double(), dim=0).item()


@torch.no_grad()
def test_the_gap_by_depth_pair_by_pair():
    vit = ViT(dim=8, depth=2, heads=2, classes=3, image=12, patch=4).eval()
    images, masks = torch.randn(3, 3, 12, 8), torch.zeros(3, 12, 8, dtype=torch.bool)
    masks[0, :4] = True  # the two cells of the first row
    masks[1, 4:12, 4:] = True  # the right ones of the others
    masks[1, 6:8] = True  # half of the fourth's pixels, and of the third's: on the object, too
    masks[2, :2, :3] = True  # less than half of any
    cells = [[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 1], [0] * 6]
    x = vit.embed(images)
    rows = []
    for block in vit.blocks:
        x = block(x)
        rows.append(x)
    rows.append(vit.norm(x))
    found = by_depth(vit, images, masks, batch=2)
    assert found.gap.shape == (3, 3)
    for row, tokens in enumerate(rows):
        for n in range(3):
            pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
            values = {pair: cosine(tokens[n, 1 + pair[0]], tokens[n, 1 + pair[1]]) for pair in pairs}
            same = [value for (i, j), value in values.items() if cells[n][i] == cells[n][j]]
            other = [value for (i, j), value in values.items() if cells[n][i] != cells[n][j]]
            assert found.same[row, n].item() == pytest.approx(sum(same) / len(same), abs=1e-5)
            assert found.mean[row, n].item() == pytest.approx(sum(values.values()) / 30, abs=1e-5)
            if n == 2:
                assert found.different[row, n].isnan()
                assert found.gap[row, n].isnan()
                continue
            assert found.different[row, n].item() == pytest.approx(sum(other) / len(other), abs=1e-5)
            gap = sum(same) / len(same) - sum(other) / len(other)
            assert found.gap[row, n].item() == pytest.approx(gap, abs=1e-5)


def test_masks_of_another_size_are_refused_by_name():
    vit = ViT(dim=8, depth=1, heads=2, classes=3, image=12, patch=4)
    with pytest.raises(ValueError, match=r"masks of shape \(2, 3, 2\).*expected a mask of each picture"):
        by_depth(vit, torch.randn(2, 3, 12, 8), torch.ones(2, 3, 2, dtype=torch.bool))


def test_overlap_by_hand():
    maps = torch.zeros(3, 2, 4)
    maps[0, 0, 0], maps[1, 1] = 0.5, 1.0
    masks = torch.zeros(3, 2, 4, dtype=torch.bool)
    masks[0, 0, :2], masks[1, :, 3] = True, True
    masks[2, 0, 0] = True
    # One of two pixels; one of the four and one more; nothing.
    torch.testing.assert_close(covered(maps, masks), torch.tensor([1 / 2, 1 / 5, 0]))


def test_a_map_as_fine_as_the_mask_covers_all_of_it():
    masks = torch.rand(2, 6, 5) > 0.6
    torch.testing.assert_close(covered(masks.float(), masks), torch.ones(2))


@pytest.mark.parametrize("way", [lesson.NONE, lesson.PTC, lesson.TOLD])
def test_one_step_of_each_way_by_hand(way):
    torch.manual_seed(0)
    masks = torch.zeros(30, 48, 48, dtype=torch.bool)
    masks[:, 6:24, 12:30] = True
    book = lesson.Book(torch.randn(30, 3, 48, 48), torch.arange(30) % 4, masks)
    model = toco(dim=8, depth=3, heads=2, patch=6, image=48, classes=4)
    other = copy.deepcopy(model)
    with seeded(4):
        lesson.teach(model, torch.optim.SGD(model.parameters(), lr=1), book, range(5, 6), way=way, weight=0.7)
    with seeded(4):
        chosen = torch.randint(30, (lesson.BATCH,))
    labels = book.labels[chosen]
    middle, last = other.tokens(book.images[chosen])
    told = (other.vit.head(last[:, 1:].amax(dim=1)), other.early(middle[:, 1:].amax(dim=1)))
    loss = sum(-logits.log_softmax(dim=1)[range(lesson.BATCH), labels].mean() for logits in told) / 2
    if way == lesson.PTC:
        maps = class_maps(middle[:, 1:], other.early.weight, grid=(8, 8)).detach()
        loss = loss + 0.7 * patch_token_contrast(last[:, 1:], affinity(cell_labels(maps, labels)))
    if way == lesson.TOLD:
        truth = torch.zeros(8, 8, dtype=torch.long)
        truth[1:4, 2:5] = 1
        cells = truth.flatten().expand(lesson.BATCH, -1)
        loss = loss + 0.7 * patch_token_contrast(last[:, 1:], affinity(cells))
    loss.backward()
    rate = lesson.RATE * 6 / lesson.RISE
    for moved, start in zip(model.parameters(), other.parameters(), strict=True):
        step = -rate * (torch.zeros_like(start) if start.grad is None else start.grad)
        torch.testing.assert_close(moved - start, step, rtol=1e-3, atol=1e-7)


def test_what_is_shown_of_a_scene():
    tokens = torch.tensor([[[1.0, 0], [0, 2], [-3, 0]]])
    labels = torch.tensor([[0, -1, 3]])
    nothing = torch.zeros(1, 1)
    model = lesson.Found(
        tokens, ByDepth(nothing, nothing, nothing), torch.zeros(1, 1, 3), torch.zeros(1, 1, 3), labels, nothing[0]
    )
    assert lesson.half_sure(model, 0).tolist() == [[0, 0.5, 1]]
    truth = torch.tensor([[1, 0, 0]])  # so the first cell comes last
    found = {lesson.NONE: model, lesson.PTC: model}
    true, told, *alike = lesson.pairs_of(0, truth, model, found)
    assert true.tolist() == [[0, 1, -1], [1, 0, -1], [-1, -1, 0]]
    assert told.tolist() == [[0, 0, 0], [0, 0, -1], [0, -1, 0]]
    for one in alike:
        np.testing.assert_allclose(one, [[1, 0, 0], [0, 1, -1], [0, -1, 1]], atol=1e-6)
