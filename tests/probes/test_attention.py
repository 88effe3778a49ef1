"""The attention measures, derived again with loops in float64, at limit cases, and by hand."""

from __future__ import annotations

import math

import pytest
import timm
import torch

from labkit.probes.attention import AttentionMap, Bands, attend, attention_maps, distances, measure
from labkit.taps import PADDING


def a_map(weights: torch.Tensor, grid: tuple[int, int], *, prefix: int = 0, key_grid=None) -> AttentionMap:
    """A global layer from `b heads q k`, prefix tokens first."""
    key_grid = key_grid or grid
    places = [torch.cat([-1 - torch.arange(prefix), torch.arange(h * w)])[None] for h, w in (grid, key_grid)]
    return AttentionMap("layer", weights[:, None], grid, key_grid, *places)


def gaussian(sigma: float, grid: tuple[int, int]) -> torch.Tensor:
    rows, columns = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) for side in grid), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], dim=1)
    squared = ((places[:, None] - places[None]) ** 2).sum(-1)
    return (-squared / (2 * sigma**2)).softmax(dim=-1)[None, None]


def by_loops(attn: torch.Tensor, grid: tuple[int, int], prefix: int) -> dict[str, float]:
    """The definitions, one query and one key at a time, for one head `q k` with `prefix` tokens in front."""
    rows = attn.double()[prefix:]
    n = len(rows)
    joint = [[0.0] * n for _ in range(n)]
    distance = entropy = lost = 0.0
    for q in range(n):
        mass = sum(rows[q, prefix + k].item() for k in range(n))
        lost += (1 - mass) / n
        for k in range(n):
            p = rows[q, prefix + k].item() / mass
            joint[q][k] = p / n
            distance += p / n * math.dist(divmod(q, grid[1]), divmod(k, grid[1]))
            entropy -= p * math.log(p) / n if p > 0 else 0
    key = [sum(joint[q][k] for q in range(n)) for k in range(n)]
    information = sum(
        joint[q][k] * math.log(joint[q][k] / (key[k] / n)) for q in range(n) for k in range(n) if joint[q][k] > 0
    )
    key_entropy = -sum(p * math.log(p) for p in key if p > 0)
    nmi = information / math.sqrt(math.log(n) * key_entropy)
    return {"nmi": nmi, "distance": distance, "entropy": entropy, "prefix": lost}


def test_every_measure_equals_its_definition_on_an_odd_oblong_grid_with_prefix_tokens():
    grid, prefix = (3, 5), 2
    logits = 3 * torch.randn(2, 3, 17, 17, generator=torch.Generator().manual_seed(1))
    attention = a_map(logits.softmax(-1), grid, prefix=prefix)
    measures = measure(attention)
    for image in range(2):
        for head in range(3):
            expected = by_loops(attention.weights[image, 0, head], grid, prefix)
            for name, value in expected.items():
                assert getattr(measures, name)[image, head].item() == pytest.approx(value, abs=2e-5), name


@pytest.mark.parametrize(
    ("sigma", "expected"), [(0.5, 0.763), (1, 0.499), (2, 0.275), (3, 0.160), (5, 0.051), (8, 0.011)]
)
def test_nmi_of_gaussians_on_a_14_by_14_grid(sigma, expected):
    # The values were measured on their own, see the paper's sheet in the docs; the metric falls as the pattern widens.
    measures = measure(a_map(gaussian(sigma, (14, 14)), (14, 14)))
    assert measures.nmi.item() == pytest.approx(expected, abs=6e-4)


def test_limits_fix_the_scale():
    n, grid = 15, (3, 5)
    itself = measure(a_map(torch.eye(n)[None, None], grid))
    assert itself.nmi.item() == pytest.approx(1, abs=1e-6)
    assert itself.distance.item() == itself.entropy.item() == 0
    alike = measure(a_map(torch.full((1, 1, n, n), 1 / n), grid))
    assert alike.nmi.item() < 1e-6
    assert alike.entropy.item() == pytest.approx(math.log(n), abs=1e-5)
    one = torch.zeros(1, 1, n, n)
    one[..., 7] = 1
    everyone_at_one = measure(a_map(one, grid))
    assert everyone_at_one.nmi.item() == 0
    # By hand: the centre of a 3 x 5 grid; distances 0, 1 (x 4), 2 (x 2), √2 (x 4), √5 (x 4).
    assert everyone_at_one.distance.item() == pytest.approx((4 + 4 + 4 * 2**0.5 + 4 * 5**0.5) / 15, abs=1e-6)
    lonely = measure(a_map(torch.ones(1, 1, 1, 1), (1, 1)))
    assert (lonely.nmi.item(), lonely.distance.item(), lonely.entropy.item()) == (0, 0, 0)


def test_windows_measure_like_the_dense_matrix_they_stand_for():
    # A 4 x 6 grid in six windows of 2 x 2, in scrambled order.
    cells = torch.arange(24).view(2, 2, 3, 2).permute(0, 2, 1, 3).reshape(6, 4)[torch.tensor([3, 0, 5, 1, 4, 2])]
    weights = torch.randn(2, 6, 3, 4, 4).mul(2).softmax(-1)
    windowed = AttentionMap("layer", weights, (4, 6), (4, 6), cells, cells)
    dense = windowed.dense()
    assert dense.shape == (2, 3, 24, 24)
    assert dense[1, 2, cells[4, 1], cells[4, 3]] == weights[1, 4, 2, 1, 3]
    torch.testing.assert_close(dense.sum(-1), torch.ones(2, 3, 24))
    for name in ("nmi", "distance", "entropy", "prefix"):
        ours, theirs = (getattr(measure(attention), name) for attention in (windowed, a_map(dense, (4, 6))))
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5, msg=name)


def test_padding_counts_for_nothing():
    cells = torch.tensor([[0, 1, 2, PADDING]])
    weights = torch.tensor([[1.0, 0, 0, 0], [0, 0.5, 0, 0.5], [0, 0, 1, 0], [0.25, 0.25, 0.25, 0.25]])[None, None, None]
    padded = AttentionMap("layer", weights, (1, 3), (1, 3), cells, cells)
    measures = measure(padded)
    assert measures.nmi.item() == pytest.approx(1, abs=1e-6)
    assert measures.entropy.item() == measures.distance.item() == 0
    assert padded.prefix == 0
    torch.testing.assert_close(padded.dense()[0, 0], torch.tensor([[1.0, 0, 0], [0, 0.5, 0], [0, 0, 1]]))


def test_pooled_keys_are_as_far_as_the_middle_of_their_pool():
    attention = a_map(torch.full((1, 1, 24, 4), 1 / 4), (4, 6), key_grid=(2, 2))
    # Query (0, 0) has its centre at (0.5, 0.5), the first pool of 2 x 3 patches at (1, 1.5), the last at (3, 4.5).
    steps = distances(attention)[0]
    assert steps[0, 0].item() == pytest.approx(math.dist((0.5, 0.5), (1, 1.5)))
    assert steps[0, 3].item() == pytest.approx(math.dist((0.5, 0.5), (3, 4.5)))


def test_where_no_patch_asks_nothing_is_claimed():
    asks = AttentionMap(
        "cls", torch.full((2, 1, 3, 1, 7), 1 / 7), (2, 3), (2, 3), torch.tensor([[-1]]), torch.arange(-1, 6)[None]
    )
    measures = measure(asks)
    assert measures.nmi.isnan().all()
    assert measures.distance.isnan().all()
    assert measures.patterns() == (None, None, None)
    assert measures.pattern() is None
    assert asks.prefix == 1


def test_patterns_follow_the_bands():
    sharp, middle, wide = (gaussian(sigma, (14, 14)) for sigma in (1, 4, 8))
    attention = a_map(torch.cat([sharp, middle, wide], dim=1).float(), (14, 14))
    assert measure(attention).patterns() == ("local", "hybrid", "global")
    assert measure(attention, bands=Bands(hybrid=(0.0, 1.0))).patterns() == ("hybrid",) * 3
    assert measure(attention).pattern() == "local"  # the mean of 0.50, 0.09 and 0.01
    with pytest.raises(ValueError, match=r"Bands\(hybrid=\(0.2, 0.1\)\): expected 0 <= low <= high <= 1"):
        Bands(hybrid=(0.2, 0.1))


def test_half_precision_is_measured_in_single():
    weights = gaussian(2, (14, 14)).half()
    assert measure(a_map(weights, (14, 14))).nmi.item() == pytest.approx(0.275, abs=2e-3)


def test_a_batch_is_its_images_one_by_one_and_the_output_is_the_models_own():
    model = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=(48, 80)).train()
    images = torch.randn(3, 3, 48, 80)
    output, maps = attend(model, images)
    assert model.training
    assert [attention.name for attention in maps] == ["blocks.0.attn", "blocks.1.attn"]
    assert maps[0].weights.shape == (3, 1, 3, 16, 16)
    torch.testing.assert_close(output, model.eval()(images), atol=1e-5, rtol=1e-4)
    single = attention_maps(model, images[1:2])
    torch.testing.assert_close(single[1].weights[0], maps[1].weights[1], atol=1e-6, rtol=1e-4)


def test_windowed_models_keep_the_pictures_of_a_batch_apart():
    model = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=56, depths=(2,), num_heads=(2,), embed_dim=16
    ).eval()
    images = torch.randn(2, 3, 56, 56)
    both, second = attention_maps(model, images), attention_maps(model, images[1:])
    assert both[1].weights.shape == (2, 4, 2, 49, 49)
    torch.testing.assert_close(both[1].weights[1], second[1].weights[0], atol=1e-6, rtol=1e-4)
