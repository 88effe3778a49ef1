"""The adaptive frequency filter is a circular convolution with a kernel of the picture's own, as large as the map."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from labkit.models.backbones.affnet import AffBlock, ComplexGroups, FrequencyFilter, InvertedResidual


@pytest.fixture
def mixer() -> FrequencyFilter:
    """A filter whose mask is not shrunk to nothing, in double precision."""
    made = FrequencyFilter(16).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(20)
    return made


@pytest.mark.parametrize("grid", [(5, 7), (6, 4)])
@torch.no_grad()
def test_filtering_is_a_circular_convolution_with_the_pictures_own_kernel(mixer, grid):
    x = torch.randn(2, *grid, 16, dtype=torch.float64)
    maps = x.permute(0, 3, 1, 2)
    kernels = torch.fft.irfft2(mixer.mask(torch.fft.rfft2(maps, norm="ortho")), s=grid)
    expected = maps.clone()
    for row in range(grid[0]):
        for column in range(grid[1]):
            for i in range(grid[0]):
                for j in range(grid[1]):
                    expected[..., row, column] += kernels[..., i, j] * maps[..., row - i, column - j]
    torch.testing.assert_close(mixer(x).permute(0, 3, 1, 2), expected, atol=1e-10, rtol=0)
    assert (mixer(x) - x).abs().max() > 0.1, "the filter does something"


@torch.no_grad()
def test_a_rolled_picture_gives_the_rolled_answer_only_if_its_filter_is_held(mixer):
    """A roll turns the phases of the spectrum, and the mask is made of them."""
    x = torch.randn(1, 6, 5, 16, dtype=torch.float64)
    mask = {}
    handle = mixer.seen.register_forward_hook(lambda _module, _given, value: mask.setdefault("first", value))
    y = mixer(x)
    torch.testing.assert_close(mixer(x.roll((2, 1), (1, 2))), y.roll((2, 1), (1, 2)), atol=1e-10, rtol=0)
    handle.remove()
    assert not torch.allclose(mixer(x.roll((2, 1), (1, 2))), y.roll((2, 1), (1, 2)))


@torch.no_grad()
def test_the_filter_is_new_for_each_picture(mixer):
    spectra = torch.fft.rfft2(torch.randn(4, 16, 5, 6, dtype=torch.float64), norm="ortho")
    masks = mixer.mask(spectra)
    assert (masks - masks.mean(dim=0)).abs().mean() > 0.1 * masks.abs().mean()


@torch.no_grad()
def test_the_mask_is_its_equation_in_complex_numbers(mixer):
    spectrum = torch.randn(1, 16, 3, 2, dtype=torch.complex128)

    def linear(part: ComplexGroups, x: torch.Tensor) -> torch.Tensor:
        weight, bias = torch.complex(*part.weight), torch.complex(*part.bias)
        out = torch.zeros_like(x)
        for group in range(8):
            for i in range(2):
                out[:, 2 * group + i] = bias[group, i]
                for j in range(2):
                    out[:, 2 * group + i] += x[:, 2 * group + j] * weight[group, j, i]
        return out

    hidden = linear(mixer.first, spectrum)
    hidden = torch.complex(hidden.real.clamp_min(0), hidden.imag.clamp_min(0))
    mask = linear(mixer.second, hidden)
    shrunk = torch.complex(*(p.sign() * (p.abs() - 0.01).clamp_min(0) for p in (mask.real, mask.imag)))
    torch.testing.assert_close(mixer.mask(spectrum), shrunk)


def test_a_fresh_filter_shrinks_to_nearly_nothing_and_hands_its_input_on():
    mixer = FrequencyFilter(16)
    x = torch.randn(1, 5, 4, 16)
    assert (mixer(x) - x).norm() < 0.1 * x.norm()


def test_groups_need_the_same_number_of_channels():
    with pytest.raises(ValueError, match=r"ComplexGroups\(dim=12, groups=8\)"):
        FrequencyFilter(12)


@torch.no_grad()
def test_a_block_has_one_path_around_it_and_one_around_its_convolutions():
    block = AffBlock(8).eval()
    x = torch.randn(1, 5, 4, 8)
    inner = block.norm1(x)
    part = block.local.part
    local = inner + part.narrow(part.around(part.widen(inner.permute(0, 3, 1, 2)))).permute(0, 2, 3, 1)
    torch.testing.assert_close(block(x), x + block.mixer(F.layer_norm(local, (8,))))


def test_an_inverted_residual_skips_only_where_the_shape_stays():
    x = torch.randn(2, 4, 7, 5)
    assert InvertedResidual(4, 4, expand=2).same
    assert InvertedResidual(4, 6, expand=2, stride=2)(x).shape == (2, 6, 4, 3)
    assert not InvertedResidual(4, 4, expand=2, stride=2).same
