"""MCTF's criteria, its matching and a whole block, one number after the other in float64; that twins cost nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from labkit.experiments._mixers import macs
from labkit.experiments.mctf import divergence, fusing, share_of
from labkit.methods.tokens.mctf import Criteria, Mctf, Tokens, added, averaged, match, mctf, through
from labkit.models.backbones.vit import ViT


def small(**changes: int) -> ViT:
    """A ViT with positions and a class token that can be told from its cells; in double precision."""
    vit = ViT(**{"dim": 8, "depth": 3, "heads": 2, "classes": 5, "image": 20, "patch": 4} | changes).double().eval()
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.normal_(std=0.4)
    return vit


def start(x: Tensor) -> Tokens:
    return Tokens(x, torch.ones_like(x[..., 0]), torch.arange(x.shape[1]).repeat(len(x), 1))


def matched(scores: list[list[float]], count: int) -> list[list[int]]:
    """The groups of one picture's tokens in their new order, found greedily: `scores[i][j]` of places 2i and 2j + 1."""
    even, odd = range(len(scores)), range(len(scores[0]))
    groups = {("even", i): [2 * i] for i in even} | {("odd", j): [2 * j + 1] for j in odd}
    best = {i: max(odd, key=lambda j: scores[i][j]) for i in even if i > 0}  # the class token takes no part
    for i in sorted(best, key=lambda i: -scores[i][best[i]])[: count // 2]:
        groups["odd", best[i]] += groups.pop(("even", i))
    stand = [i for i in even if i > 0 and ("even", i) in groups]
    best = {j: max(stand, key=lambda i: scores[i][j]) for j in odd}
    for j in sorted(best, key=lambda j: -scores[best[j]][j])[: count - count // 2]:
        groups["even", best[j]] += groups.pop(("odd", j))
    return [sorted(groups[key]) for key in sorted(groups)]


def groups_of(place: Tensor) -> list[list[int]]:
    return [(place == one).nonzero().flatten().tolist() for one in range(int(place.max()) + 1)]


def test_a_score_by_hand():
    # cos = 0.6; looked at 0.1 and 0.4 where the least is 0.1; sizes 2 and 1 where the least is 1.
    x = torch.tensor([[[1.0, 0.0], [3.0, 4.0]]])
    found = Criteria(2, 4, 1)(x, torch.tensor([[0.1, 0.4]]), torch.tensor([[2.0, 1.0]]))
    assert found.shape == (1, 1, 1)
    assert found.item() == pytest.approx(0.8**0.5 * (1 * 0.25) ** 0.25 * (0.5 * 1))


def test_scores_are_their_equation():
    x, received = torch.randn(2, 9, 4).double(), torch.rand(2, 9).double()
    size = torch.randint(1, 5, (2, 9)).double()
    found = Criteria(0.7, 20, 40)(x, received, size)
    for b in range(2):
        for i in range(0, 9, 2):
            for j in range(1, 9, 2):
                cosine = x[b, i] @ x[b, j] / (x[b, i].norm() * x[b, j].norm())
                u, v = received[b].min() / received[b], size[b].min() / size[b]
                wanted = ((cosine + 1) / 2) ** (1 / 0.7) * (u[i] * u[j]) ** (1 / 20) * (v[i] * v[j]) ** (1 / 40)
                torch.testing.assert_close(found[b, i // 2, j // 2], wanted)


def test_an_infinite_temperature_leaves_its_criterion_out():
    given = torch.randn(1, 7, 3), torch.rand(1, 7), torch.rand(1, 7)
    assert torch.equal(Criteria(math.inf, math.inf, math.inf)(*given), torch.ones(1, 4, 3))
    blind = Criteria(1, math.inf, math.inf)
    assert torch.equal(blind(*given), blind(given[0], torch.rand(1, 7), torch.rand(1, 7)))


def test_opposite_tokens_have_a_score_of_zero_and_no_root_of_less():
    x = torch.full((1, 2, 3), 0.1)
    x[:, 1] *= -1
    found = Criteria(3, math.inf, math.inf)(x, torch.ones(1, 2), torch.ones(1, 2))
    assert found.item() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(("n", "count"), [(5, 1), (5, 2), (12, 5), (13, 6), (21, 10), (22, 10), (9, 0)])
def test_matching_is_what_a_patient_reader_finds(n, count):
    scores = torch.rand(3, n - n // 2, n // 2)
    place = match(scores, count)
    for one, found in zip(scores, place, strict=True):
        assert groups_of(found) == matched(one.tolist(), count)
        assert found[0] == 0
        assert (found == 0).sum() == 1, "the class token stays alone"


def test_a_token_goes_where_its_partner_has_gone():
    # Place 2 goes into 1 (0.9), then 1 into 4 (0.8): all three are one, and the class token and 3 stay.
    scores = torch.tensor([[[9.0, 9.0], [0.9, 0.1], [0.8, 0.2]]])
    assert match(scores, 2).tolist() == [[0, 1, 1, 2, 1]]


@torch.no_grad()
def test_a_block_is_its_equation():
    block, x, size = small().blocks[0], torch.randn(2, 14, 8).double(), torch.randint(1, 4, (2, 14)).double()
    found = through(block, Tokens(x, size, start(x).place), count=4, scores=Criteria())
    for b in range(2):
        alone = block.norm1(x[b])
        q, k, _ = (alone @ block.attn.qkv.weight.T + block.attn.qkv.bias).split(8, dim=-1)
        attn = torch.zeros(2, 14, 14).double()
        for head, at in enumerate((slice(0, 4), slice(4, 8))):
            for i in range(14):
                row = torch.stack([(q[i, at] @ k[j, at] / 2).exp() * size[b, j] for j in range(14)])
                attn[head, i] = row / row.sum()
        received = attn.mean(dim=(0, 1))
        groups = matched(Criteria()(x[b : b + 1], received[None], size[b : b + 1])[0].tolist(), 4)
        weight = received * size[b]
        fused = torch.stack([sum(weight[i] * x[b, i] for i in group) / weight[group].sum() for group in groups])
        v = block.norm1(fused) @ block.attn.qkv.weight[16:].T + block.attn.qkv.bias[16:]
        mixed = torch.zeros(10, 8).double()
        for head, at in enumerate((slice(0, 4), slice(4, 8))):
            for query, rows in enumerate(groups):
                for key, columns in enumerate(groups):
                    share = sum(weight[i] * attn[head, i, columns].sum() for i in rows) / weight[rows].sum()
                    mixed[query, at] += share * v[key, at]
        y = fused + mixed @ block.attn.proj.weight.T + block.attn.proj.bias
        torch.testing.assert_close(found.x[b], y + block.mlp(block.norm2(y)))
        assert found.size[b].tolist() == [size[b, group].sum() for group in groups]
        assert groups_of(found.place[b]) == groups


@torch.no_grad()
def test_where_nothing_is_fused_it_is_the_plain_model():
    vit, image = small(), torch.randn(2, 3, 20, 12).double()
    torch.testing.assert_close(Mctf(vit, fuse=(0, 0, 0))(image), vit(image), rtol=1e-12, atol=0)
    assert not torch.allclose(Mctf(vit, fuse=(0, 4, 0))(image), vit(image))


@torch.no_grad()
def test_twins_become_one_and_nothing_is_lost():
    blocks = small().blocks
    first, once = torch.randn(2, 1, 8).double(), torch.randn(2, 12, 8).double()
    x = torch.cat([first, once.repeat_interleave(2, dim=1)], dim=1)
    tokens, plain = start(x), blocks(x)
    for block, count in zip(blocks, (12, 0, 0), strict=True):
        tokens = through(block, tokens, count=count, scores=Criteria(1, math.inf, math.inf))
    assert tokens.size.tolist() == [[1] + [2] * 12] * 2
    torch.testing.assert_close(tokens.x.gather(1, tokens.place[..., None].expand(-1, -1, 8)), plain)


@torch.no_grad()
def test_every_first_token_is_in_one_of_the_last():
    seen: list[tuple[int, ...]] = []
    model = Mctf(small(image=56, depth=12), fuse=(0, *(16,) * 11))  # 14 x 14 cells, as DeiT has
    for block in model.vit.blocks:
        block.tokens.register_forward_hook(lambda part, args, out: seen.append(out.shape))
        block.attn.attn.register_forward_hook(
            lambda part, args, out: torch.testing.assert_close(out.sum(dim=-1), torch.ones_like(out[..., 0]))
        )
    tokens = model.fused(torch.randn(2, 3, 56, 56).double())
    assert [shape[1] for shape in seen] == [197, 181, 165, 149, 133, 117, 101, 85, 69, 53, 37, 21]
    assert tokens.size.sum(dim=1).tolist() == [197, 197]
    for place, size in zip(tokens.place, tokens.size, strict=True):
        assert place.bincount().tolist() == size.tolist()


@torch.no_grad()
def test_ten_tokens_are_left_and_never_more_than_half_go():
    vit, image = small(), torch.randn(1, 3, 20, 12).double()
    assert Mctf(vit, fuse=(99, 0, 0)).fused(image).x.shape[1] == 10
    assert Mctf(small(image=40), fuse=(99, 0, 0)).fused(torch.randn(1, 3, 40, 40).double()).x.shape[1] == 51


@torch.no_grad()
def test_of_two_equal_pairs_the_one_less_looked_at_is_fused():
    x = torch.eye(3).repeat_interleave(2, dim=0)[None][:, [4, 0, 1, 2, 3]]  # class token; twins at 1, 2 and at 3, 4
    received = torch.tensor([[0.2, 0.3, 0.3, 0.1, 0.1]])
    place = match(Criteria()(x, received, torch.ones(1, 5)), 1)
    assert groups_of(place[0]) == [[0], [2], [3, 4], [1]]
    assert groups_of(match(Criteria()(x, received.flip(1), torch.ones(1, 5)), 1)[0]) == [[0], [1, 2], [4], [3]]


@pytest.mark.parametrize("fuse", [(1, 2), (1, 2, -1)])
def test_numbers_that_do_not_fit_the_blocks_are_refused(fuse):
    with pytest.raises(ValueError, match="expected a number from 0 for each of the 3 blocks"):
        Mctf(small(), fuse=fuse)


def test_sums_and_means_of_those_who_share_a_place():
    x, place = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[1, 0, 1]])
    assert added(x, place, count=2).tolist() == [[2, 5]]
    assert averaged(x, torch.tensor([[3.0, 1.0, 1.0]]), place, count=2).tolist() == [[2, 7 / 4]]


def test_the_paper_s_model_leaves_its_first_block_whole():
    assert mctf(dim=6, depth=4, heads=1).fuse == (0, 16, 16, 16)


# The experiment's instruments


def test_what_is_saved_by_hand():
    # One block of width 8, 26 tokens, of which 8 go: their values, their place in W_O and in the MLP, and the mixing.
    vit, image = small(depth=1, patch=4), torch.randn(1, 3, 20, 20).double()
    less = 8 * (8 * 8 + 8 * 8 + 8 * 32 * 2) + (26**2 - 18**2) * 8
    more = 13 * 13 * 8  # scores
    assert macs(vit, image) - macs(Mctf(vit, fuse=(8,)), image) == less - more


def test_a_divergence_and_a_share_by_hand():
    whole, other = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    assert divergence(whole, other).item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert share_of(torch.tensor([[1.0, 0.5]]), torch.tensor([[1.0, 3.0]])).item() == pytest.approx(0.625)
    assert fusing(small(), 3, Criteria()).fuse == (0, 3, 3)
