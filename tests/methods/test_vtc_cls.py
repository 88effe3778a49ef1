"""VTC-CLS's importance, its choice and its reader, by loops and by hand in float64; and what the experiment counts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from labkit.data.scenes import CATEGORIES, SHAPES, scene
from labkit.data.transforms import Transform
from labkit.experiments import vtc_cls as lesson
from labkit.experiments._lessons import seeded
from labkit.experiments._mixers import macs
from labkit.methods.selection.vtc_cls import Reader, VtcCls, importance, keep, prefill, vtc_cls, watched, without_last
from labkit.models.backbones.vit import Block, ViT


def vit() -> ViT:
    """Three blocks whose class token clearly prefers some patches, in double precision."""
    found = ViT(dim=8, depth=3, heads=2, classes=5, image=20, patch=4).double().eval()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.normal_(std=0.4)
    return found


def reader(**changes: int) -> Reader:
    sizes = {"dim": 6, "heads": 2, "depth": 1, "questions": 3, "answers": 5} | changes
    return Reader(8, **sizes).double().eval()


def looks_of(block: Block, x: Tensor) -> list[float]:
    """How much the first of these tokens `n c` looks at each of the others, on average over two heads."""
    normed = block.norm1(x)
    q, k, _ = (normed @ block.attn.qkv.weight.T + block.attn.qkv.bias).split(8, dim=-1)
    found = [0.0] * (len(x) - 1)
    for head in (slice(0, 4), slice(4, 8)):
        shares = [math.exp(sum(q[0, head] * key[head]) / 2) for key in k]
        found = [one + share / sum(shares) / 2 for one, share in zip(found, shares[1:], strict=True)]
    return found


@torch.no_grad()
def test_importance_is_the_class_token_s_row_in_the_blocks_that_are_used():
    whole, image = vit(), torch.randn(2, 3, 20, 12).double()
    tokens, looks = watched(without_last(whole), image)
    assert looks.shape == (2, 2, 15), "the last of three blocks is not used, nor is the class token's look at itself"
    x = whole.embed(image)
    for block, found in zip(whole.blocks[:2], looks, strict=True):
        torch.testing.assert_close(found, torch.tensor([looks_of(block, one) for one in x]).double())
        x = block(x)
    torch.testing.assert_close(tokens, x[:, 1:])
    assert (looks.sum(dim=2) < 1).all(), "no renormalisation"


def test_a_sum_a_largest_and_a_smallest_by_hand():
    looks = torch.tensor([[[0.5, 0.25, 0.125]], [[0.125, 0.25, 0.5]], [[0.0, 0.25, 0.0]]])
    assert importance(looks).tolist() == [[0.625, 0.75, 0.625]]
    assert importance(looks, how="max").tolist() == [[0.5, 0.25, 0.5]]
    assert importance(looks, how="min").tolist() == [[0, 0.25, 0]]


def test_the_highest_are_kept_in_the_order_of_the_picture():
    tokens = torch.arange(12.0).view(2, 3, 2).repeat(1, 2, 1)
    scores = torch.tensor([[0.1, 0.9, 0.0, 0.3, 0.2, 0.8], [0.9, 0.1, 0.2, 0.0, 0.3, 0.8]])
    found = keep(tokens, scores, kept=3)
    assert torch.equal(found[0], tokens[0, [1, 3, 5]])
    assert torch.equal(found[1], tokens[1, [0, 4, 5]])


@torch.no_grad()
def test_with_all_kept_the_answer_is_the_same_to_the_bit():
    whole, image, question = vit(), torch.randn(2, 3, 12, 20).double(), torch.tensor([2, 0])
    asked = reader()
    tokens, _ = watched(without_last(whole), image)
    full = asked(tokens, question)
    assert torch.equal(VtcCls(without_last(whole), asked, kept=15)(image, question), full)
    assert not torch.allclose(VtcCls(without_last(whole), asked, kept=14)(image, question), full)


@torch.no_grad()
def test_the_model_reads_what_is_kept_and_no_more():
    encoder, asked, image = without_last(vit()), reader(), torch.randn(2, 3, 20, 12).double()
    tokens, looks = watched(encoder, image)
    for first, how in ((0, "sum"), (1, "sum"), (0, "max"), (0, "min")):
        joined = {"sum": sum, "max": max, "min": min}[how]
        model, answers = VtcCls(encoder, asked, kept=4, first=first, how=how), []
        for b in range(2):
            scores = [joined([one[b, i].item() for one in looks[first:]]) for i in range(15)]
            best = sorted(sorted(range(15), key=scores.__getitem__)[-4:])
            answers.append(asked(tokens[b : b + 1, best]))
        torch.testing.assert_close(model(image), torch.cat(answers))
    assert vtc_cls(asked, dim=8, depth=3, heads=2, patch=4, image=20, kept=3, first=1, how="min").how == "min"


@torch.no_grad()
def test_the_reader_is_its_equation():
    one, tokens, question = reader(), torch.randn(2, 4, 8).double(), torch.tensor([1, 2])
    found = one(tokens, question)
    first, _, second = one.project
    for b in range(2):
        x = torch.nn.functional.gelu(tokens[b] @ first.weight.T + first.bias) @ second.weight.T + second.bias
        x = torch.cat([x, one.questions[question[b]][None]])
        x = one.blocks[0](x[None])[0, 4]  # only the question's place is asked
        torch.testing.assert_close(found[b], one.head(one.norm(x)))
    torch.testing.assert_close(one(tokens), one(tokens, torch.tensor([0, 0])))
    torch.testing.assert_close(one(tokens.flip(1)), one(tokens))  # it knows no order


@torch.no_grad()
def test_an_encoder_without_its_last_block_leaves_the_model_as_it_was():
    whole, image = vit(), torch.randn(1, 3, 20, 20).double()
    before = whole(image)
    encoder = without_last(whole)
    encoder.blocks[0].attn.qkv.weight.zero_()
    assert len(encoder.blocks) == 2
    assert len(whole.blocks) == 3
    assert torch.equal(whole(image), before)


@pytest.mark.slow
def test_the_published_encoder_uses_23_blocks_and_keeps_64_of_576_patches():
    with torch.device("meta"):
        model = vtc_cls(reader(depth=1))
        tokens = model.encoder.embed(torch.empty(1, 3, 336, 336))
    assert (len(model.encoder.blocks), model.kept, model.first, model.how) == (23, 64, 0, "sum")
    assert tokens.shape == (1, 577, 1024)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: importance(torch.rand(2, 1, 4), how="mean"), r"how='mean'\): expected one of sum, max, min"),
        (lambda: keep(torch.rand(1, 4, 2), torch.rand(1, 4), kept=5), r"kept=5\) got 4 patches"),
        (lambda: keep(torch.rand(1, 4, 2), torch.rand(1, 4), kept=0), r"kept=0\) got 4 patches: keep at least one"),
        (
            lambda: VtcCls(without_last(vit()), reader(), kept=3, first=2),
            r"first=2\): expected one of the blocks 0 to 1",
        ),
        (lambda: VtcCls(without_last(vit()), reader(), kept=3, first=-1), r"first=-1\)"),
    ],
)
def test_what_does_not_fit_is_refused(call, expected):
    with pytest.raises(ValueError, match=expected):
        call()


def test_a_prefill_is_what_the_counter_counts():
    one = reader(depth=2)
    counted = macs(one.blocks, torch.randn(1, 7, 6).double())
    assert prefill(7, dim=6, depth=2, mlp=8 * 6 * 6) == counted
    # One block of width 2 with an MLP of 10, three tokens: 3 · (16 + 10) + 2 · 9 · 2.
    assert prefill(3, dim=2, depth=1, mlp=10) == 114
    # 6.5 of LLaMA-7B's 6.7 billion parameters are those of its blocks.
    assert prefill(1, **lesson.LLAVA) == 32 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096)


# The experiment's instruments


def test_the_share_of_the_object_in_the_highest_patches():
    covered = torch.tensor([[1.0, 0.5, 0.5], [0.0, 0.25, 1.0]])
    scores = torch.tensor([[3.0, 2.0, 1.0], [2.0, 1.0, 0.0]])
    torch.testing.assert_close(lesson.held(covered, scores, kept=2), torch.tensor([0.75, 0.2]))


def test_scores_are_those_of_the_blocks_from_the_first_on():
    seen = lesson.Seen(torch.tensor([[[3.0, 4.0], [0.0, 1.0]]]), torch.tensor([[[0.5, 0.25]], [[0.25, 0.125]]]))
    found = seen.scores(first=2, how="sum", seed=0)
    assert list(found) == ["class token", "block 1", "block 2", "length", "random"]
    assert found["class token"].tolist() == found["block 2"].tolist() == [[0.25, 0.125]]
    assert found["length"].tolist() == [[5, 1]]
    with seeded(0):
        assert torch.equal(found["random"], torch.rand(1, 2))


def test_pictures_are_there_twice_in_a_row():
    seen = lesson.Seen(torch.randn(3, 2, 4), torch.rand(5, 3, 2))
    found = seen.twice(slice(1, None))
    assert torch.equal(found.tokens, seen.tokens[[1, 1, 2, 2]])
    assert torch.equal(found.looks, seen.looks[:, [1, 1, 2, 2]])


def test_the_question_s_own_look_is_its_row_in_the_first_block():
    one, tokens, asked = reader(depth=2), torch.randn(2, 5, 8).double(), torch.tensor([1, 2])
    found = lesson.looked_at(one, tokens, asked)
    with torch.no_grad():
        x = torch.cat([one.project(tokens), one.questions[asked][:, None]], dim=1)
        q, k, _ = one.blocks[0].attn.qkv(one.blocks[0].norm1(x)).split(6, dim=-1)
        for b in range(2):
            rows = [(q[b, 5, at] @ k[b, :, at].T / 3**0.5).softmax(dim=0) for at in (slice(0, 3), slice(3, 6))]
            torch.testing.assert_close(found[b], (rows[0] + rows[1])[:5] / 2)


def test_each_scene_is_asked_about_both_of_its_things(monkeypatch):
    monkeypatch.setattr(lesson, "LEARN", 2)
    monkeypatch.setattr(lesson, "ASK", 1)
    found = lesson.questions(Transform(64, (0.5,) * 3, (0.5,) * 3, 1.0, "bilinear"), patch=8, seed=4)
    assert found.images.shape == (3, 3, 64, 64)
    for i in range(3):
        made = scene(12 + i, size=(64, 64), others=1)
        torch.testing.assert_close(found.images[i], made.pixels / 255 * 2 - 1)
        for row, thing in zip((2 * i, 2 * i + 1), made.things, strict=True):
            assert list(SHAPES)[found.asked[row]] == thing.shape
            assert CATEGORIES["colour"][found.answers[row]] == thing.colour
            assert found.covered[row].sum() * 64 == pytest.approx(thing.mask.sum().item())
            top, left, _, _ = thing.box
            assert found.covered[row].view(8, 8)[top // 8].sum() > 0
            assert found.covered[row].view(8, 8)[:, left // 8].sum() > 0


def test_one_of_four_pairs_has_but_one_colour():
    pairs = [(a, b) for a in range(4) for b in range(4)]
    assert sum(1 if a == b else 1 / 2 for a, b in pairs) / len(pairs) == lesson.EITHER
