"""UMAP in the background: at once, once, seeded, and the right way round."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from labkit.probes import umap as probe
from labkit.probes.embedding import pca
from labkit.probes.inputs import Refused
from labkit.probes.umap import embed


@pytest.fixture
def slow_fit(monkeypatch):
    """Instead of UMAP: a fit that waits for a sign, and counts."""
    go, fits = threading.Event(), []

    def fit(points, start, *settings):
        fits.append(settings)
        assert go.wait(10)
        if settings[2] == 13:
            raise RuntimeError("bad luck")
        return torch.from_numpy(start.copy())

    monkeypatch.setattr(probe, "_fit", fit)
    monkeypatch.setattr(probe, "_known", type(probe._known)())
    yield go, fits
    go.set()


def test_the_principal_components_do_not_wait(slow_fit):
    go, _ = slow_fit
    vectors = torch.randn(9, 5)
    found = embed(vectors)
    torch.testing.assert_close(found.pca.points, pca(vectors).points)
    assert not found.umap.done()
    go.set()
    torch.testing.assert_close(found.umap.result(10), found.pca.points)  # it starts from what is shown


def test_the_same_question_is_answered_once(slow_fit):
    go, fits = slow_fit
    go.set()
    vectors = torch.randn(9, 5)
    first = embed(vectors)
    assert embed(vectors.clone()).umap is first.umap
    others = [
        embed(vectors, seed=1),
        embed(vectors, min_dist=0.3),
        embed(vectors, neighbours=3),
        embed(vectors + 1e-3 * torch.randn(9, 5)),
    ]
    assert len({id(one.umap) for one in (first, *others)}) == 5
    for one in others:
        one.umap.result(10)
    assert len(fits) == 5
    assert fits[0] == (8, 0.1, 0)  # nine vectors have eight neighbours at most
    for shift in range(probe.REMEMBERED):
        embed(vectors, seed=100 + shift).umap.result(10)
    assert embed(vectors).umap is not first.umap  # the oldest went
    assert len(probe._known) == probe.REMEMBERED


def test_an_error_is_told_and_not_remembered(slow_fit):
    go, fits = slow_fit
    go.set()
    vectors = torch.randn(9, 5)
    failed = embed(vectors, seed=13)
    with pytest.raises(RuntimeError, match="bad luck"):
        failed.umap.result(10)
    assert embed(vectors, seed=13).umap is not failed.umap
    assert len(fits) >= 1


def test_bad_settings_are_explained():
    with pytest.raises(Refused, match="at least 4 vectors, got 3: give more pictures, or embed tokens"):
        embed(torch.randn(3, 5))
    with pytest.raises(Refused, match=r"neighbours=1, min_dist=0.1: expected 2 or more"):
        embed(torch.randn(9, 5), neighbours=1)
    with pytest.raises(Refused, match="a distance of 0"):
        embed(torch.randn(9, 5), min_dist=2)


@pytest.mark.slow
def test_nothing_heavy_is_imported_before_it_is_needed():
    code = "import sys, labkit.probes.umap; assert not {'umap', 'numba', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_umap_itself_keeps_groups_apart_and_leaves_the_dice_alone():
    vectors = torch.randn(60, 10)
    vectors[:30, 0] += 12
    vectors[30:, 1] += 12
    numpy, dice = np.random.get_state()[1].copy(), torch.get_rng_state()
    points = embed(vectors, neighbours=8).umap.result()
    assert points.shape == (60, 2)
    first, second = points[:30], points[30:]
    apart = (first.mean(0) - second.mean(0)).norm()
    assert apart > 2 * max(first.std(0).max(), second.std(0).max())
    probe._known.clear()
    torch.testing.assert_close(embed(vectors, neighbours=8).umap.result(), points, atol=0, rtol=0)
    assert np.array_equal(np.random.get_state()[1], numpy)
    assert torch.equal(torch.get_rng_state(), dice)
    assert embed(torch.ones(6, 4)).umap.result().isfinite().all()
    assert embed(torch.randn(4, 2)).umap.result().shape == (4, 2)
