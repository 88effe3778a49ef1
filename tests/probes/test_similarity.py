"""Over-smoothing measures, derived again by loops in float64, at limit cases, and by hand."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import timm
import torch
from torch import nn

from labkit.models.backbones.vit import ViT
from labkit.probes import similarity as probe
from labkit.probes.inputs import Refused
from labkit.probes.similarity import (
    cells_of,
    centred,
    cosines,
    directions,
    effective_rank,
    gap,
    likeness,
    smoothness,
)


@pytest.fixture
def vit() -> ViT:
    return ViT(dim=12, depth=3, heads=2, classes=4, image=16, patch=4).eval()


def pairs_of(tokens: torch.Tensor) -> list[float]:
    """The cosine of each pair of different tokens of one picture, one pair at a time."""
    rows = tokens.double().tolist()
    return [
        sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
        for i, a in enumerate(rows)
        for b in rows[i + 1 :]
    ]


@pytest.mark.parametrize("shape", [(2, 15, 4), (2, 7, 19)])  # more tokens than channels, and fewer
def test_likeness_is_the_distribution_of_all_pairs(shape):
    tokens = torch.randn(shape) + 0.7
    found = likeness(tokens)
    for image in range(2):
        pairs = np.array(pairs_of(tokens[image]))
        assert found.mean[image].item() == pytest.approx(pairs.mean(), abs=1e-6)
        assert found.spread[image].item() == pytest.approx(pairs.std(), abs=1e-6)
        np.testing.assert_allclose(found.quantiles[image], np.quantile(pairs, probe.QUANTILES), atol=1e-6)
        counts, _ = np.histogram(pairs, bins=probe.BINS, range=(-1, 1))
        np.testing.assert_allclose(found.histogram[image], counts / len(pairs), atol=1e-6)
    np.testing.assert_allclose(cosines(tokens)[1][0, 1:], pairs_of(tokens[1])[: shape[1] - 1], atol=1e-6)


def test_by_hand():
    # Three tokens at 0, 60 and 180 degrees: cosines 0.5, -1, -0.5, so the mean is -1/3.
    tokens = torch.tensor([[[2.0, 0.0], [0.5, 0.75**0.5], [-3.0, 0.0]]])
    found = likeness(tokens)
    assert found.mean.item() == pytest.approx(-1 / 3, abs=1e-6)
    assert found.quantiles[0, 2].item() == pytest.approx(-0.5, abs=1e-6)
    assert found.spread.item() == pytest.approx(math.sqrt(0.5 - 1 / 9), abs=1e-6)
    split = gap(tokens, torch.tensor([[0, 0, 1]]))
    assert split.same.item() == pytest.approx(0.5, abs=1e-6)
    assert split.different.item() == pytest.approx(-0.75, abs=1e-6)
    assert split.gap.item() == pytest.approx(1.25, abs=1e-6)


def test_limits_fix_the_scale():
    alike = torch.randn(1, 1, 8).expand(2, 15, 8) * torch.rand(2, 15, 1).add(0.1)
    assert likeness(alike).mean.tolist() == pytest.approx([1, 1], abs=1e-6)
    assert likeness(alike).spread.tolist() == pytest.approx([0, 0], abs=1e-3)
    assert effective_rank(alike).tolist() == pytest.approx([1, 1], abs=1e-3)  # one line, in float32
    upright = torch.linalg.qr(torch.randn(2, 9, 9)).Q[:, :5]
    assert likeness(upright).mean.tolist() == pytest.approx([0, 0], abs=1e-6)
    assert effective_rank(3 * upright).tolist() == pytest.approx([5, 5], abs=1e-4)
    # Centred, equally long tokens add up to nothing: the mean is -1/(n - 1) whatever they are.
    assert likeness(centred(upright)).mean.tolist() == pytest.approx([-1 / 4] * 2, abs=1e-5)


def test_equal_tokens_leave_nothing_when_their_mean_is_gone():
    tokens = (1000 * torch.randn(1, 1, 8)).expand(1, 49, 8).contiguous()
    found = likeness(centred(tokens))
    assert found.mean.item() == found.spread.item() == 0
    assert likeness(torch.zeros(1, 4, 3)).mean.item() == 0
    assert effective_rank(torch.zeros(1, 4, 3)).item() == 0
    assert not torch.isnan(found.quantiles).any()


def test_effective_rank_is_the_entropy_of_the_singular_values():
    tokens = torch.randn(3, 11, 6) * torch.arange(1, 7)
    for image, found in zip(tokens, effective_rank(tokens), strict=True):
        values = np.linalg.svd(image.double().numpy(), compute_uv=False)
        share = values / values.sum()
        assert found.item() == pytest.approx(math.exp(-(share * np.log(share)).sum()), rel=1e-5)
    # By hand: singular values 3 and 1, entropy of (3/4, 1/4).
    two = torch.tensor([[[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]]])
    assert effective_rank(two).item() == pytest.approx(math.exp(0.75 * math.log(4 / 3) + 0.25 * math.log(4)), rel=1e-6)


def test_the_gap_is_that_of_labelled_pairs():
    tokens, labels = torch.randn(2, 13, 5), torch.randint(-1, 3, (2, 13))
    labels[1] = torch.tensor([0, 1, 2, -1] + [-1] * 9)  # no two of a kind
    found = gap(tokens, labels)
    split: dict[bool, list[float]] = {True: [], False: []}
    for i in range(13):
        for j in range(i):
            if min(labels[0, i], labels[0, j]) >= 0:
                split[bool(labels[0, i] == labels[0, j])].append(pairs_of(tokens[0, [i, j]])[0])
    assert found.same[0].item() == pytest.approx(np.mean(split[True]), abs=1e-6)
    assert found.different[0].item() == pytest.approx(np.mean(split[False]), abs=1e-6)
    assert found.same[1].isnan()
    assert found.different[1].item() == pytest.approx(np.mean(pairs_of(tokens[1, :3])), abs=1e-6)
    with pytest.raises(ValueError, match=r"one label a token, \(2, 13\), got \(2, 12\)"):
        inspect.unwrap(gap)(tokens, labels[:, 1:])


def test_cells_belong_to_what_most_of_their_pixels_show():
    mask = torch.zeros(1, 4, 6, dtype=torch.bool)
    mask[0, :2, 3:] = True  # the upper right cells of a 2 x 3 grid: half of the middle one, all of the right one
    assert cells_of(mask, (2, 3)).tolist() == [[0, 1, 1, 0, 0, 0]]


def test_large_grids_are_sampled_alike_each_time_and_keep_exact_means():
    tokens = torch.randn(1, 700, 6) + 0.5
    found, again = likeness(tokens), likeness(tokens)
    pairs = cosines(tokens.double())[0][torch.triu(torch.ones(700, 700, dtype=torch.bool), 1)]
    assert found.mean.item() == pytest.approx(pairs.mean().item(), abs=1e-6)
    assert found.spread.item() == pytest.approx(pairs.std(correction=0).item(), abs=1e-6)
    torch.testing.assert_close(
        found.quantiles[0].double(), pairs.quantile(torch.tensor(probe.QUANTILES).double()), atol=0.02, rtol=0
    )
    torch.testing.assert_close(found.quantiles, again.quantiles, atol=0, rtol=0)


def test_every_layer_of_a_transformer(vit):
    images = torch.randn(2, 3, 12, 20)
    kept = []
    hooks = [block.register_forward_hook(lambda module, args, out: kept.append(out)) for block in vit.blocks]
    with torch.no_grad():
        vit(images)
    for hook in hooks:
        hook.remove()
    found = smoothness(vit, images)
    assert [one.name for one in found] == ["blocks.0", "blocks.1", "blocks.2"]
    for one, value in zip(found, kept, strict=True):
        assert one.grid == (3, 5)
        assert one.objects is None
        expected = [np.mean(pairs_of(tokens)) for tokens in value[:, 1:]]
        assert one.raw.mean.tolist() == pytest.approx(expected, abs=1e-5)
        towards = [np.mean([pairs_of(torch.stack([t[0], patch]))[0] for patch in t[1:]]) for t in value]
        assert one.prefix[:, 0].tolist() == pytest.approx(towards, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("test_resnet", {}),
        ("test_mambaout", {}),
        ("swin_tiny_patch4_window7_224", {"img_size": 56, "depths": (2,), "num_heads": (2,), "embed_dim": 16}),
    ],
)
def test_pyramids_have_no_class_token_and_the_mask_follows_every_grid(name, options):
    model = timm.create_model(name, num_classes=5, **options).train()
    images = torch.randn(2, 3, 56, 56)
    mask = torch.zeros(2, 56, 56, dtype=torch.bool)
    mask[:, :28, :30] = True
    before = {key: value.clone() for key, value in model.state_dict().items()}
    dice = torch.get_rng_state()
    with torch.inference_mode():
        found = smoothness(model, images, mask=mask)
    assert all(part.training for part in model.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), dice)
    for one in found:
        assert one.prefix.shape == (2, 0)
        assert one.objects.gap.isfinite().all()
        assert (one.effective_rank >= 1).all()
        assert ((one.high_frequency >= 0) & (one.high_frequency <= 1)).all()


def test_a_constant_image_has_no_nan():
    model = timm.create_model("test_convnext", num_classes=5)
    for one in smoothness(model, torch.zeros(1, 3, 64, 96)):
        for value in (one.raw.mean, one.raw.quantiles, one.centred.mean, one.effective_rank, one.high_frequency):
            assert value.isfinite().all()


def test_half_precision_is_measured_in_single(vit):
    images = torch.randn(1, 3, 16, 16)
    half = smoothness(ViT(dim=12, depth=1, heads=2, classes=4, image=16, patch=4).bfloat16(), images.bfloat16())
    assert half[0].effective_rank.dtype == torch.float32


def test_bad_input_is_explained(vit):
    with pytest.raises(Refused, match=r"n of at least 2, got \(1, 1, 3\): a single token"):
        likeness(torch.ones(1, 1, 3))
    with pytest.raises(Refused, match="expected a mask of shape"):
        smoothness(vit, torch.randn(1, 3, 16, 16), mask=torch.zeros(1, 8, 8, dtype=torch.bool))
    with pytest.raises(Refused, match="NaN or infinity"):
        smoothness(vit, torch.full((1, 3, 16, 16), torch.nan))
    with pytest.raises(ValueError, match="showed no blocks"):
        smoothness(nn.Sequential(nn.Flatten(), nn.Linear(48, 4)), torch.randn(1, 3, 4, 4))


def test_a_zero_token_points_nowhere():
    tokens = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]])
    assert directions(tokens)[0, 0].tolist() == [0, 0]
    assert likeness(tokens).mean.item() == pytest.approx(1 / 3)
