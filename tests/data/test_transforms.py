"""The view is the central square, and the tensor is what timm would feed its own model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform

from labkit.data.images import open_image
from labkit.data.transforms import Transform

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


@pytest.mark.parametrize("crop", [0.875, 0.95, 1.0])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [64, 224, 299])
def test_agrees_with_timm(size: int, crop: float, interpolation: str) -> None:
    """timm rounds the resized picture before it cuts, we do both in one step: at most 2 of 255 levels, in under 3 %."""
    theirs = create_transform((3, size, size), crop_pct=crop, interpolation=interpolation, mean=MEAN, std=STD)
    ours = Transform(size, MEAN, STD, crop, interpolation)
    levels = torch.tensor(STD).view(3, 1, 1) * 255
    for name in ("chelsea", "rocket", "moon"):
        photo = open_image(name)
        for image in (photo, photo.rotate(90, expand=True), photo.resize((333, 97)), photo.resize((31, 50))):
            difference = (ours(image) - theirs(image)).abs() * levels
            assert difference.max() <= 2.01
            assert (difference > 0.01).float().mean() < 0.03


def test_the_tensor_is_the_view_normalised() -> None:
    transform = Transform(37, MEAN, STD, 0.9)
    image = open_image("coffee")
    view = np.asarray(transform.view(image)) / 255
    expected = (view - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(transform(image).numpy(), expected.transpose(2, 0, 1), atol=1e-6)


def test_without_resizing_the_view_is_the_centre() -> None:
    pixels = np.arange(30 * 51 * 3, dtype=np.uint8).reshape(30, 51, 3)
    view = Transform(30, MEAN, STD).view(Image.fromarray(pixels))
    np.testing.assert_array_equal(np.asarray(view), pixels[:, 10:40])  # (51 - 30) / 2 = 10.5, to the even 10


def test_the_box_by_hand() -> None:
    # 400 x 200 pixels, size 50, crop 1: resized to 100 x 50, columns 25..75 kept, which are 100..300 of the original.
    assert Transform(50, MEAN, STD).box(400, 200) == (0.0, 100.0, 200.0, 300.0)
    # The same with crop 0.5: resized to 200 x 100, rows 25..75 and columns 75..125 kept.
    assert Transform(50, MEAN, STD, 0.5).box(400, 200) == (50.0, 150.0, 150.0, 250.0)


def test_a_very_oblong_picture_costs_little() -> None:
    assert Transform(224, MEAN, STD).view(Image.new("RGB", (8, 100_000))).size == (224, 224)


@pytest.mark.parametrize("wrong", [{"size": 0}, {"crop": 0.0}, {"crop": 1.5}, {"std": (1.0, 0.0, 1.0)}])
def test_wrong_numbers_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="expected size >= 1"):
        Transform(**{"size": 8, "mean": MEAN, "std": STD} | wrong)
