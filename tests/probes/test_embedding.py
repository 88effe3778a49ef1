"""Principal components against scikit-learn, colours and neighbours by loops and at their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from labkit.probes.embedding import colours, facing, foreground, nearest, pca, pooled
from labkit.probes.inputs import Refused


@pytest.mark.parametrize("shape", [(40, 6), (9, 25)])  # more vectors than entries, and fewer
def test_pca_is_scikit_learns(shape):
    vectors = torch.randn(shape) * torch.arange(1, shape[1] + 1).float() + 5
    theirs = PCA(3, svd_solver="full").fit(vectors.double().numpy())
    found = pca(vectors, 3)
    signs = np.sign((theirs.components_ * found.axes.numpy()).sum(1, keepdims=True))
    np.testing.assert_allclose(found.axes, theirs.components_ * signs, atol=1e-5)
    np.testing.assert_allclose(found.points, theirs.transform(vectors.double().numpy()) * signs.T, atol=1e-4)
    np.testing.assert_allclose(found.share, theirs.explained_variance_ratio_, atol=1e-6)
    # The rule of the signs: the largest entry of each axis is positive, whatever the vectors' order.
    largest = found.axes.gather(1, found.axes.abs().argmax(1, keepdim=True))
    assert (largest > 0).all()
    order = torch.randperm(shape[0])
    torch.testing.assert_close(pca(vectors[order], 3).points, found.points[order], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found(vectors[:4]), found.points[:4], atol=1e-4, rtol=1e-4)


def test_pca_by_hand_and_at_its_limits():
    # On the line (3, 4) t for t = -1, 0, 1: axis (0.6, 0.8), coordinates -5, 0, 5.
    found = pca(torch.tensor([[-3.0, -4.0], [0.0, 0.0], [3.0, 4.0]]) + 7)
    torch.testing.assert_close(found.axes[0], torch.tensor([0.6, 0.8]))
    torch.testing.assert_close(found.points[:, 0], torch.tensor([-5.0, 0.0, 5.0]))
    assert found.share.tolist() == pytest.approx([1, 0], abs=1e-6)
    equal = pca(torch.full((5, 3), 4.2))
    assert equal.points.abs().max() == 0
    assert equal.share.tolist() == [0, 0]
    few = pca(torch.randn(2, 30), 2)  # one direction alone: the second still is one, and nothing lies along it
    torch.testing.assert_close(few.axes @ few.axes.T, torch.eye(2), atol=1e-6, rtol=0)
    assert few.points[:, 1].abs().max() < 1e-5
    for vectors, components in ((torch.randn(1, 3), 1), (torch.randn(5, 2), 3), (torch.randn(5, 2), 0)):
        with pytest.raises(Refused, match="expected at least 2 vectors, and 1 to"):
            pca(vectors, components)


def test_colours_are_the_first_three_components_stretched():
    tokens = torch.randn(2, 15, 7) * torch.arange(7, 0, -1).float()
    found = colours(tokens)
    points = pca(tokens.flatten(0, 1), 3).points
    for k in range(3):
        column = sorted(points[:, k].tolist())
        low, high = column[0], column[29]  # the 1st and the 99th percentile of 30 values, to the nearest
        expected = (points[:, k] - low) / (high - low)
        torch.testing.assert_close(found[..., k].flatten(), expected, atol=1e-6, rtol=1e-5)
    assert found.min() == 0
    assert found.max() == 1
    same = colours(tokens[:1].repeat(2, 1, 1))
    torch.testing.assert_close(same[0], same[1])
    torch.testing.assert_close(colours(torch.ones(1, 4, 5)), torch.full((1, 4, 3), 0.5))


def test_outliers_do_not_darken_the_rest_and_what_is_not_kept_has_no_colour():
    tokens = torch.randn(1, 400, 4)
    tokens[0, 0] = 1000
    found = colours(tokens)
    assert found[0, 1:, 0].std() > 0.1
    keep = torch.ones(1, 400, dtype=torch.bool)
    keep[0, :10] = False
    kept = colours(tokens, keep=keep)
    assert kept[0, :10].isnan().all()
    torch.testing.assert_close(kept[:, 10:], colours(tokens[:, 10:]))
    with pytest.raises(Refused, match="at least 3 tokens with 3 channels, got 2 with 4"):
        colours(tokens, keep=torch.arange(400)[None] < 2)


def test_the_foreground_is_the_side_that_keeps_off_the_border():
    tokens = torch.randn(2, 5, 7, 4) * 0.1
    tokens[0, 1:4, 2:5] += torch.tensor([5.0, 0, 0, 0])
    tokens[1, 2:4, 3:6] += torch.tensor([5.0, 0, 0, 0])
    expected = torch.zeros(2, 5, 7, dtype=torch.bool)
    expected[0, 1:4, 2:5] = expected[1, 2:4, 3:6] = True
    for sign in (1, -1):
        assert torch.equal(foreground(sign * tokens.flatten(1, 2), (5, 7)).view(2, 5, 7), expected)
    tokens[1] *= -1  # each picture has its own axis
    assert torch.equal(foreground(tokens.flatten(1, 2), (5, 7)).view(2, 5, 7), expected)
    assert not foreground(torch.ones(1, 6, 4), (2, 3)).any()
    with pytest.raises(Refused, match="6 tokens do not fill a grid of 3 x 3"):
        foreground(torch.ones(1, 6, 4), (3, 3))


def test_neighbours_are_scikit_learns_in_chunks_too(monkeypatch):
    vectors = torch.randn(30, 8)
    theirs = NearestNeighbors(n_neighbors=4, metric="cosine", algorithm="brute").fit(vectors)
    for chunk in (1024, 7):
        monkeypatch.setattr("labkit.probes.embedding.CHUNK", chunk)
        found = nearest(vectors, 4)
        far, index = theirs.kneighbors()
        np.testing.assert_array_equal(found.index, index)
        np.testing.assert_allclose(found.cosine, 1 - far, atol=1e-5)
    asked = nearest(vectors, 4, queries=vectors[:3] * 2)
    far, index = theirs.kneighbors(vectors[:3])
    np.testing.assert_array_equal(asked.index, index)
    assert asked.index[:, 0].tolist() == [0, 1, 2]
    with pytest.raises(Refused, match=r"nearest\(k=30\): expected 1 to 29"):
        nearest(vectors, 30)


def test_neighbours_by_hand():
    angles = torch.tensor([0.0, 10.0, 25.0, 180.0]) * math.pi / 180
    vectors = torch.stack([angles.cos(), angles.sin()], 1) * torch.tensor([[1.0], [50.0], [0.1], [1.0]])
    found = nearest(vectors, 2)
    assert found.index.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    assert found.cosine[0, 0].item() == pytest.approx(math.cos(math.pi / 18), abs=1e-6)


def test_pooling_counts_every_token_alike():
    tokens = torch.tensor([[[3.0, 0.0], [0.0, 1000.0]]])
    torch.testing.assert_close(pooled(tokens), torch.tensor([[0.5, 0.5]]))


def test_colours_face_the_same_way_from_layer_to_layer():
    before = torch.rand(1, 4, 6, 3)
    after = before.repeat_interleave(2, 1).repeat_interleave(2, 2)  # the same on a finer grid,
    after[..., 1] = 1 - after[..., 1]  # with green the other way round
    found = facing(after, before)
    torch.testing.assert_close(found[:, ::2, ::2], before)
    after[:, 0, 0] = torch.nan
    assert facing(after, before)[:, 0, 0].isnan().all()
