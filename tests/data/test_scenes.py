"""The answers are exact: the picture differs from its ground on the objects and nowhere else."""

from __future__ import annotations

import itertools
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from labkit.data.scenes import CATEGORIES, MIN_SIDE, Carrier, scene

CARRIERS = get_args(Carrier)
SIZES = [(96, 128), (61, 47), (MIN_SIDE, 77)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("carrier", CARRIERS)
def test_the_masks_are_exact(carrier: Carrier, size: tuple[int, int]) -> None:
    for seed in range(12):
        found = scene(seed, size=size, carrier=carrier, others=3)
        assert found.pixels.shape == (3, *size)
        owned = torch.stack([thing.mask for thing in found.things])
        assert owned.sum(dim=0).max() == 1  # nothing covers anything
        changed = (found.pixels != found.background).any(dim=0)
        assert torch.equal(changed, owned.any(dim=0))


@pytest.mark.parametrize("carrier", CARRIERS)
def test_boxes_are_the_extent_of_the_masks(carrier: Carrier) -> None:
    for seed in range(12):
        for thing in scene(seed, size=(61, 83), carrier=carrier).things:
            cells = [(row, column) for row in range(61) for column in range(83) if thing.mask[row, column]]
            rows, columns = zip(*cells, strict=True)
            assert thing.box == (min(rows), min(columns), max(rows), max(columns))
            assert len(cells) > 10


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("label", range(4))
def test_the_target_carries_the_label_and_no_other_does(carrier: Carrier, label: int) -> None:
    for seed in range(8):
        found = scene(seed, carrier=carrier, label=label, others=3)
        assert found.label == label
        if carrier == "position":
            top, left, bottom, right = found.target.box
            below, beyond = (top + bottom) / 2 > 48, (left + right) / 2 > 64
            assert 2 * below + beyond == label
            assert {thing.colour for thing in found.others} <= {"grey"}
        else:
            assert getattr(found.target, carrier) == CATEGORIES[carrier][label]
            assert not {getattr(thing, carrier) for thing in found.others} & set(CATEGORIES[carrier])


@pytest.mark.parametrize("carrier", CARRIERS)
def test_nothing_but_the_carrier_tells_the_label(carrier: Carrier) -> None:
    """With one seed, another label changes the target alone: ground, other properties and luck stay the same."""
    for seed in range(6):
        scenes = [scene(seed, carrier=carrier, label=label) for label in range(4)]
        for one, two in itertools.pairwise(scenes):
            assert torch.equal(one.background, two.background)
            for name in {"shape", "colour", "texture"} - {carrier}:
                assert getattr(one.target, name) == getattr(two.target, name)


def test_labels_and_looks_are_balanced() -> None:
    labels = torch.tensor([scene(seed, size=(24, 31), others=0).label for seed in range(400)]).bincount(minlength=4)
    assert labels.sum() == 400
    assert labels.min() > 70  # 100 each; 70 is 3.5 standard deviations below


def test_the_same_seed_gives_the_same_scene_and_another_seed_another() -> None:
    one, again, other = scene(7), scene(7), scene(8)
    assert torch.equal(one.pixels, again.pixels)
    assert torch.equal(one.mask, again.mask)
    assert not torch.equal(one.pixels, other.pixels)


def test_the_global_generators_are_left_alone() -> None:
    torch.manual_seed(3)
    np.random.seed(3)
    before, numbers = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    scene(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (np.random.get_state()[1] == numbers).all()


def test_the_picture_is_the_pixels() -> None:
    found = scene(2, size=(61, 47))
    assert isinstance(found.image, Image.Image)
    assert found.image.size == (47, 61)
    assert found.image.getpixel((11, 40)) == tuple(found.pixels[:, 40, 11].tolist())


def test_no_others_when_none_are_asked_for_or_none_fit() -> None:
    assert scene(0, others=0).others == ()
    assert len(scene(0, size=(30, 30), others=50).others) < 50


@pytest.mark.parametrize(
    "wrong", [{"size": (10, 50)}, {"label": 4}, {"label": -1}, {"others": -1}, {"carrier": "smell"}]
)
def test_wrong_options_are_refused(wrong: dict) -> None:
    with pytest.raises((ValueError, TypeError), match=r"(?i)expected"):
        scene(0, **wrong)
