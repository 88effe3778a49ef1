"""Raw values stay as they are; the display map is 0..1, on the right axes, and never NaN."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from labkit.probes.saliency import Saliency, resized


def test_display_is_relu_bilinear_and_each_image_over_its_own_maximum():
    raw = torch.randn(3, 3, 5) * torch.tensor([1.0, 1e-20, 1e20])[:, None, None]
    saliency = Saliency(raw, "toy")
    heat = saliency.display((24, 55))
    expected = F.interpolate(raw.double().relu()[:, None], (24, 55), mode="bilinear")[:, 0]
    expected = expected / expected.amax((1, 2), keepdim=True)
    torch.testing.assert_close(heat.double(), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(heat.amax((1, 2)), torch.ones(3))
    assert heat.min() == 0
    torch.testing.assert_close(saliency.signed((3, 5)), raw)
    assert saliency.grid == (3, 5)


def test_by_hand_one_row_of_two_cells():
    # Centres of the cells at 1 and 3 of 4 pixels: 0, 0.25, 0.75, 1 of the way from 0 to 2.
    heat = Saliency(torch.tensor([[[-7.0, 2.0]]]), "toy").display((1, 4))
    torch.testing.assert_close(heat[0, 0], torch.tensor([0, 0.25, 0.75, 1]))


@pytest.mark.parametrize("value", [0.0, -3.0, -1e-30])
def test_a_map_with_nothing_above_zero_is_dark_and_not_nan(value):
    assert torch.equal(Saliency(torch.full((2, 3, 4), value), "toy").display((6, 8)), torch.zeros(2, 6, 8))


@pytest.mark.parametrize("value", [1e-30, 1.0, 1e30])
def test_a_constant_map_above_zero_is_even(value):
    torch.testing.assert_close(Saliency(torch.full((1, 3, 4), value), "toy").display((6, 8)), torch.ones(1, 6, 8))


def test_a_row_stays_a_row_on_an_oblong_picture():
    raw = torch.zeros(1, 2, 7)
    raw[0, 0, 6] = 1  # top right
    heat = Saliency(raw, "toy").display((20, 70))[0]
    assert heat[:10, 60:].mean() > 0.5
    assert heat[10:].mean() < 0.05
    assert heat[:, :50].max() == 0


def test_full_resolution_maps_shrink_by_means_and_half_precision_is_shown_in_single():
    raw = torch.randn(2, 12, 18)
    torch.testing.assert_close(resized(raw, (12, 18)), raw)
    small = resized(torch.full((1, 40, 60), 2.0), (4, 6))
    torch.testing.assert_close(small, torch.full((1, 4, 6), 2.0))
    stripes = torch.arange(64).remainder(2).float().expand(1, 8, 64)
    torch.testing.assert_close(resized(stripes, (1, 8))[0, 0, 1:-1], torch.full((6,), 0.5), atol=0.05, rtol=0)
    assert Saliency(raw.half(), "toy").display((12, 18)).dtype == torch.float32
