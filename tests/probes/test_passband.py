"""Filtered pictures against NumPy's transform, and what a model makes of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from labkit.models.backbones.vit import ViT
from labkit.probes.inputs import Refused
from labkit.probes.layers import layers
from labkit.probes.passband import Passband, band_pass, filtered, high_pass, low_pass, passing


@pytest.fixture
def vit() -> ViT:
    model = ViT(dim=12, depth=2, heads=2, classes=4, image=16, patch=4)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model.train()


@pytest.mark.parametrize("size", [(15, 22), (16, 12), (9, 9)])
@pytest.mark.parametrize("band", [low_pass(0.2), high_pass(0.2), band_pass(0.1, 0.3), low_pass(0), high_pass(0)])
def test_a_band_is_numpys_masked_transform(size, band):
    images = torch.randn(2, 3, *size) + 1
    f = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1])[None, :])
    passes = (f > (-1 if band.above is None else band.above)) & (f <= (9 if band.below is None else band.below))
    expected = np.fft.ifft2(np.fft.fft2(images.double().numpy()) * passes)
    assert abs(expected.imag).max() < 1e-12
    np.testing.assert_allclose(filtered(images, band), expected.real, atol=1e-5)


def test_low_and_high_add_up_and_a_wave_passes_whole_or_not():
    images = torch.randn(1, 3, 15, 22)
    torch.testing.assert_close(
        filtered(images, low_pass(0.17)) + filtered(images, high_pass(0.17)), images, atol=1e-5, rtol=1e-5
    )
    wave = torch.cos(2 * math.pi * torch.arange(20.0) / 5).expand(
        1, 3, 10, 20
    )  # 0.2 cycles per pixel: exactly the cutoff
    torch.testing.assert_close(filtered(wave, low_pass(0.2)), wave.contiguous(), atol=1e-5, rtol=1e-5)
    assert filtered(wave, high_pass(0.2)).abs().max() < 1e-5
    assert filtered(wave, band_pass(0.1, 0.19)).abs().max() < 1e-5
    torch.testing.assert_close(filtered(images, low_pass(0)), images.mean((2, 3), keepdim=True).expand_as(images))


def test_what_the_model_says_of_what_passes(vit):
    images = torch.randn(2, 3, 12, 20)
    kept = images.clone()
    bands = [low_pass(0.1), high_pass(0.1), Passband()]
    with torch.inference_mode():
        found = passing(vit, images, bands)
    assert vit.training
    assert torch.equal(images, kept)
    vit.eval()
    with torch.no_grad():
        whole = vit(images)
        for step, band in enumerate(bands):
            passed = filtered(images, band)
            logits = vit(passed)
            expected = logits.softmax(1)[torch.arange(2), whole.argmax(1)]
            torch.testing.assert_close(found.probability[step], expected)
            assert found.said[step].tolist() == logits.argmax(1).tolist()
            share = ((passed - passed.mean((2, 3), keepdim=True)) ** 2).sum((1, 2, 3)) / (
                (images - images.mean((2, 3), keepdim=True)) ** 2
            ).sum((1, 2, 3))
            torch.testing.assert_close(found.kept[step], share, atol=1e-5, rtol=1e-5)
            for index, (was, now) in enumerate(zip(layers(vit, images), layers(vit, passed), strict=True)):
                cosine = F.cosine_similarity(was.tokens, now.tokens, dim=-1).mean(1)
                torch.testing.assert_close(found.turned[step, index], cosine, atol=1e-5, rtol=1e-5)
    assert found.kept[0].add(found.kept[1]).tolist() == pytest.approx([1, 1], abs=1e-5)
    torch.testing.assert_close(found.probability[2], found.sure, atol=1e-5, rtol=1e-5)
    assert found.changed[2].max() < 1e-4
    assert found.names == ("blocks.0", "blocks.1")


def test_a_flat_picture_has_nothing_to_pass(vit):
    found = passing(vit, torch.full((1, 3, 16, 16), 0.3), [low_pass(0.2), high_pass(0.2)], targets=3)
    assert found.kept.tolist() == [[0], [0]]
    assert found.label.tolist() == [3]
    assert found.turned.isfinite().all()


def test_bad_bands_are_explained(vit):
    for above, below in ((0.3, 0.2), (None, -0.1), (0.9, None), (0.2, 0.2)):
        with pytest.raises(Refused, match=r"expected cycles per pixel in 0\.\.0\.71, and above less than below"):
            Passband(above=above, below=below)
    with pytest.raises(Refused, match="at least one passband"):
        passing(vit, torch.randn(1, 3, 16, 16), [])
