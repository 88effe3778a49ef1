"""The sentences that every instrument says of input it cannot take, and which number it explains."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from labkit.probes.inputs import Refused, check_call, check_images, check_mask
from labkit.probes.targets import classes, scores
from labkit.taps import Unreadable

IMAGES = torch.zeros(2, 3, 5, 7)
LOGITS = torch.tensor([[0.1, 0.9, 0.3, 0.2], [0.5, 0.1, 0.2, 0.7]])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 8, 8), r"got \(3, 8, 8\)\. Add the batch axis"),
        (torch.zeros(0, 3, 8, 8), r"none of them 0, got \(0, 3, 8, 8\)"),
        (torch.zeros(1, 4, 8, 8), r"expected images of shape \(batch, 3, height, width\)"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "apply the model's transform first"),
        (torch.full((1, 3, 8, 8), torch.nan), "hold NaN or infinity"),
        (torch.tensor([torch.inf, -torch.inf, 0]).expand(1, 3, 4, 3), "hold NaN or infinity"),
    ],
)
def test_bad_images_are_explained(images, message):
    with pytest.raises(Refused, match=message):
        check_images(images)


@pytest.mark.parametrize(
    ("model", "images", "error", "message"),
    [
        (nn.Conv2d(3, 2, 1).half(), IMAGES, Refused, r"float16 on the CPU.*model\.float\(\)"),
        (nn.Conv2d(3, 2, 1).double(), IMAGES, Refused, r"model is in torch\.float64 and the images in torch\.float32"),
        (
            nn.Conv2d(3, 2, 1, device="meta"),
            IMAGES,
            Refused,
            r"on meta and the images on cpu: use images\.to\('meta'\)",
        ),
        (nn.DataParallel(nn.Conv2d(3, 2, 1)), IMAGES, Unreadable, r"pass `model\.module` instead"),
        (torch.compile(nn.Conv2d(3, 2, 1)), IMAGES, Unreadable, r"pass `model\._orig_mod` instead"),
    ],
)
def test_a_model_that_does_not_fit_is_explained(model, images, error, message):
    with pytest.raises(error, match=message):
        check_call(model, images)


def test_what_fits_passes():
    check_call(nn.Conv2d(3, 2, 1), IMAGES)
    check_call(nn.Identity(), IMAGES)
    check_call(nn.Conv2d(3, 2, 1).bfloat16(), IMAGES.bfloat16())
    check_mask(torch.rand(2, 5, 7) > 0.5, IMAGES)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(2, 7, 5, dtype=torch.bool), r"shape \(2, 5, 7\), as the model sees the images, got \(2, 7, 5\)"),
        (torch.ones(2, 5, 7), r"boolean mask, got torch\.float32: use mask > 0\.5"),
        (torch.ones(2, 5, 7, dtype=torch.bool), "mask 0 marks all of the pixels"),
        (torch.eye(7, dtype=torch.bool)[:5] & torch.tensor([[[True]], [[False]]]), "mask 1 marks none of the pixels"),
    ],
)
def test_bad_masks_are_explained(mask, message):
    with pytest.raises(Refused, match=message):
        check_mask(mask, IMAGES)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [(None, [1, 3]), (2, [2, 2]), ([0, 3], [0, 3]), (torch.tensor([3, 1]), [3, 1])],
)
def test_targets_name_a_class_for_each_image(targets, expected):
    assert classes(LOGITS, targets).tolist() == expected
    torch.testing.assert_close(scores(LOGITS, targets), LOGITS[torch.arange(2), expected])


def test_a_function_gives_any_score():
    torch.testing.assert_close(scores(LOGITS, lambda y: y[:, 0] - y[:, 1]), torch.tensor([-0.8, 0.4]))
    torch.testing.assert_close(scores(LOGITS[..., None], lambda y: y.sum((1, 2))), LOGITS.sum(1))


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (LOGITS, 4, r"targets=4: expected classes in 0\.\.3"),
        (LOGITS, [-1, 0], r"expected classes in 0\.\.3"),
        (LOGITS, [0, 1, 2], "3 classes for 2 images"),
        (LOGITS, torch.tensor([0.5, 1.0]), "expected whole numbers"),
        (LOGITS, torch.tensor([True, False]), "expected whole numbers"),
        (LOGITS, lambda y: y, r"gave \(2, 4\): expected a tensor with one score an image"),
        (LOGITS, lambda y: 3.0, "gave float"),
        (LOGITS[..., None, None], None, r"returns \(2, 4, 1, 1\), not logits.*pass a function"),
        ((LOGITS, LOGITS), None, "returns tuple, not logits"),
    ],
)
def test_bad_targets_are_explained(logits, targets, message):
    with pytest.raises(Refused, match=message):
        scores(logits, targets)
