"""Responses of filters: against what the filters do to waves, and against scipy and NumPy's transforms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.signal
import timm
import torch
from torch import nn
from torch.nn import functional as F

from labkit.probes.attention import AttentionMap, attention_maps
from labkit.probes.filters import (
    attention_response,
    attention_responses,
    conv_responses,
    global_filter_response,
    kernel_response,
)
from labkit.probes.inputs import Refused
from labkit.probes.rings import ring_means
from labkit.taps import PADDING


def waves(grid: tuple[int, int], u: int, v: int) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin of the frequency (u, v) on the grid, in float64."""
    rows, columns = torch.meshgrid(*(torch.arange(side).double() / side for side in grid), indexing="ij")
    phase = 2 * math.pi * (u * rows + v * columns)
    return phase.cos(), phase.sin()


def test_the_gain_is_what_a_convolution_does_to_a_wave():
    grid, weight = (5, 8), torch.randn(3, 2, 3, 2)
    found = kernel_response(weight, grid, dilation=(1, 2))
    for u, v in [(0, 0), (1, 3), (4, 6), (2, 4)]:
        power = torch.zeros(3).double()
        for one in range(2):  # each input alone carries the wave: powers add up
            parts = []
            for wave in waves(grid, u, v):
                wrapped = F.pad(wave[None, None], (0, 2, 0, 2), mode="circular")
                out = F.conv2d(wrapped, weight[:, one : one + 1].double(), dilation=(1, 2))
                parts.append(out[0])
            power += sum(part.square() for part in parts).mean(dim=(1, 2))
        torch.testing.assert_close(found.gain[:, u, v].double(), power.sqrt(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.radial, ring_means(found.gain[..., :5], grid))


def test_a_kernel_as_scipy_sees_it():
    # Along a row, the response of a one-dimensional kernel is scipy's freqz.
    taps = np.array([0.25, 0.5, 0.25])
    frequency, expected = scipy.signal.freqz(taps, worN=16, whole=True, fs=1)
    found = kernel_response(torch.tensor(taps).float().view(1, 1, 1, 3), (4, 16))
    np.testing.assert_allclose(found.gain[0, 0], abs(expected), atol=1e-6)
    assert found.gain[0, 0, 0] == 1  # by hand: lets the mean through,
    assert found.gain[0, 0, 8].item() == pytest.approx(0, abs=1e-6)  # and stops every other pixel
    assert frequency[8] == 0.5


def test_limits_of_kernels():
    one = torch.zeros(1, 1, 3, 3)
    one[0, 0, 1, 1] = -2
    torch.testing.assert_close(kernel_response(one, (6, 7)).gain, torch.full((1, 6, 7), 2.0))
    assert kernel_response(torch.ones(1, 4, 3, 3), (8, 8)).gain[0, 0, 0].item() == pytest.approx(18)  # 9 √4
    with pytest.raises(Refused, match=r"a kernel of 5 x 7 cells does not fit a grid of 8 x 6"):
        kernel_response(torch.ones(1, 1, 3, 3), (8, 6), dilation=(2, 3))


def test_the_convolutions_of_a_model():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 5, 3, dilation=2, padding=2))
    found = conv_responses(model, torch.randn(1, 3, 10, 14), grid=(9, 11))
    assert [one.name for one in found] == ["0", "2"]
    torch.testing.assert_close(found[1].gain, kernel_response(model[2].weight.detach(), (9, 11), dilation=(2, 2)).gain)


@pytest.mark.parametrize("grid", [(5, 7), (4, 6)])
def test_a_global_filter_is_what_its_layer_does_to_an_impulse(grid):
    h, w = grid
    stored = torch.randn(h, w // 2 + 1, 3, 2)
    weight = torch.view_as_complex(stored)
    impulse = torch.zeros(1, h, w, 3)
    impulse[:, 2, 3] = 1
    # GFNet's own lines.
    x = torch.fft.rfft2(impulse, dim=(1, 2), norm="ortho") * weight
    kernel = torch.fft.irfft2(x, s=(h, w), dim=(1, 2), norm="ortho")
    expected = np.abs(np.fft.fft2(kernel[0].numpy(), axes=(0, 1)))
    found = global_filter_response(weight, grid)
    np.testing.assert_allclose(found.gain.movedim(0, -1), expected, atol=1e-5)
    torch.testing.assert_close(found.gain[:, 1, 1], weight[1, 1].abs())
    with pytest.raises(Refused, match=r"expected weights \(5, 4, channels\) for a grid of 5 x 7, got \(4, 4, 3\)"):
        global_filter_response(torch.ones(4, 4, 3, dtype=torch.complex64), (5, 7))


def a_map(weights: torch.Tensor, grid: tuple[int, int], *, prefix: int = 0) -> AttentionMap:
    places = torch.cat([-1 - torch.arange(prefix), torch.arange(grid[0] * grid[1])])[None]
    return AttentionMap("layer", weights[:, None], grid, grid, places, places)


def test_attention_rows_are_kernels_centred_at_their_queries():
    grid, prefix = (3, 5), 2
    weights = torch.randn(2, 3, 17, 17).mul(2).softmax(-1)
    found = attention_response(a_map(weights, grid, prefix=prefix))
    for head in range(3):
        total = np.zeros(grid)
        for image in range(2):
            for query in range(15):
                row = weights[image, head, prefix + query, prefix:].double().numpy()
                kernel = (row / row.sum()).reshape(grid)
                centred = np.roll(kernel, (-(query // 5), -(query % 5)), axis=(0, 1))
                total += abs(np.fft.fft2(centred))
        np.testing.assert_allclose(found.gain[head], total / 30, atol=1e-6)


def test_limits_of_attention():
    grid = (4, 6)
    itself = attention_response(a_map(torch.eye(24)[None, None], grid))
    torch.testing.assert_close(itself.gain, torch.ones(1, 4, 6))
    alike = attention_response(a_map(torch.full((1, 1, 24, 24), 1 / 24), grid))
    assert alike.radial[0, 0].item() == pytest.approx(1)
    assert alike.radial[0, 1:].abs().max() < 1e-6
    asks = AttentionMap(
        "cls", torch.full((1, 1, 1, 1, 7), 1 / 7), (2, 3), (2, 3), torch.tensor([[-1]]), torch.arange(-1, 6)[None]
    )
    with pytest.raises(Refused, match="in cls no patch asks"):
        attention_response(asks)


def test_windows_and_padding_respond_like_the_dense_matrix():
    cells = torch.arange(24).view(2, 2, 3, 2).permute(0, 2, 1, 3).reshape(6, 4)[torch.tensor([3, 0, 5, 1, 4, 2])]
    weights = torch.randn(2, 6, 3, 4, 4).mul(2).softmax(-1)
    windowed = AttentionMap("layer", weights, (4, 6), (4, 6), cells, cells)
    dense = a_map(windowed.dense(), (4, 6))
    torch.testing.assert_close(attention_response(windowed).gain, attention_response(dense).gain)
    padded = torch.tensor([[0, 1, 2, PADDING]])
    half = torch.tensor([[0.5, 0, 0, 0.5], [0, 0.5, 0, 0.5], [0, 0, 1, 0], [0.25, 0.25, 0.25, 0.25]])[None, None, None]
    torch.testing.assert_close(
        attention_response(AttentionMap("layer", half, (1, 3), (1, 3), padded, padded)).gain, torch.ones(1, 1, 3)
    )


def test_every_layer_that_attends_in_one_pass():
    model = timm.create_model("test_vit", num_classes=5).train()
    images = torch.randn(1, 3, 160, 160)
    found = attention_responses(model, images)
    assert model.training
    maps = attention_maps(model, images)
    assert [one.name for one in found] == [one.name for one in maps]
    torch.testing.assert_close(found[0].gain, attention_response(maps[0]).gain)
    assert all(one.radial[:, 0].sub(1).abs().max() < 1e-5 and one.gain.max() <= 1 + 1e-5 for one in found)
