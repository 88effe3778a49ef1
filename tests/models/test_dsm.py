"""The cosine transform against scipy, the mixer as weighted waves, its mirrors, and whose its weights are."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch
from torch import nn

from labkit.models.backbones.dsm import SpectrumMixer, bands_of, cosines, dct, idct


def test_the_transform_is_scipys_and_goes_back():
    x = torch.randn(2, 5, 7, dtype=torch.float64)
    wanted = scipy.fft.dctn(x.numpy(), axes=(-2, -1), norm="ortho")
    np.testing.assert_allclose(dct(x).numpy(), wanted, atol=1e-12)
    torch.testing.assert_close(idct(dct(x)), x)
    torch.testing.assert_close(cosines(9, x) @ cosines(9, x).T, torch.eye(9, dtype=torch.float64))


def test_two_cells_by_hand():
    root = 2**-0.5
    torch.testing.assert_close(cosines(2, torch.zeros(1)), torch.tensor([[root, root], [root, -root]]))


def test_bands_are_rings_from_the_mean_to_the_corner():
    band = bands_of(4, 8, bands=2, like=torch.zeros(1))
    assert band.tolist() == [
        [0, 0, 0, 0, 0, 0, 1, 1],  # 6/8 > √2 / 2
        [0, 0, 0, 0, 0, 0, 1, 1],  # √(1/16 + 25/64) = 0.673, then 0.79
        [0, 0, 0, 0, 1, 1, 1, 1],  # √(1/4 + 9/64) = 0.625, then √(1/4 + 1/4) = √2 / 2
        [1, 1, 1, 1, 1, 1, 1, 1],
    ]


def test_the_mixer_is_a_sum_of_weighted_waves():
    mixer = SpectrumMixer(4, groups=2, bands=3).double()
    with torch.no_grad():
        for one in mixer.parameters():
            one.copy_(torch.randn_like(one))
        x = torch.randn(2, 5, 6, 4, dtype=torch.float64)
        kept = []
        mixer.weights.register_forward_hook(lambda module, args, out: kept.append(out))
        y = mixer(x)
        band, rows, columns = bands_of(5, 6, bands=3, like=x), cosines(5, x), cosines(6, x)
        wanted, energy = torch.zeros_like(x), torch.zeros(2, 2, 3, dtype=torch.float64)
        for i in range(5):
            for j in range(6):
                wave = rows[i][:, None] * columns[j]
                height = (x * wave[:, :, None]).sum(dim=(1, 2))
                weight = kept[0][:, :, band[i, j]].repeat_interleave(2, dim=1)
                wanted += (weight * height)[:, None, None] * wave[:, :, None]
                energy[:, :, band[i, j]] += height.view(2, 2, 2).pow(2).mean(dim=2) / (band == band[i, j]).sum()
        torch.testing.assert_close(y, wanted)
        torch.testing.assert_close(kept[0], 2 * mixer.choose((energy + 1e-6).log().flatten(1)).sigmoid().view(2, 2, 3))


def test_a_fresh_fixed_mixer_is_the_identity_and_only_the_dynamic_one_asks_the_picture():
    x = torch.randn(2, 5, 6, 4)
    still, moved = SpectrumMixer(4, dynamic=False), SpectrumMixer(4)
    torch.testing.assert_close(still(x), x)
    kept = []
    for one in (still, moved):
        one.weights.register_forward_hook(lambda module, args, out: kept.append(out))
        one(x)
    assert torch.equal(kept[0][0], kept[0][1])
    assert not torch.allclose(kept[1][0], kept[1][1])


def test_its_borders_are_mirrors():
    """A map and its mirror image, side by side, are mixed as the map alone: so no border is torn open, or wraps."""
    mixer = SpectrumMixer(4, bands=1, dynamic=False).double()
    mixer.scores = nn.Parameter(torch.randn(4, dtype=torch.float64))
    x = torch.randn(1, 6, 8, 4, dtype=torch.float64)
    wide = torch.cat([x, x.flip(2)], dim=2)
    with torch.no_grad():
        torch.testing.assert_close(mixer(wide)[:, :, :8], mixer(x))
    # And with bands: a wave of the map is a wave of half the frequency on the doubled one.
    low = idct(torch.where(torch.arange(8) < 3, dct(x.movedim(-1, 1)), 0.0))
    doubled = idct(torch.where(torch.arange(16) < 6, dct(wide.movedim(-1, 1)), 0.0))
    torch.testing.assert_close(doubled[..., :8], low)


def test_a_dim_that_its_groups_do_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"dim=6, groups=4.*same whole number"):
        SpectrumMixer(6)
