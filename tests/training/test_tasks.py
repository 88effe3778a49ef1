"""The tasks: each teaches what it asks, a stopped run ends where an unbroken one does, and heads are fitted behind."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from labkit.data.tiny_imagenet import TinyImages
from labkit.models.backbones.vit import ViT
from labkit.probes.linear import linear_probe
from labkit.training.augment import random_view, recolour
from labkit.training.heads import fit_head, seen
from labkit.training.loop import Progress, predict, top1, train
from labkit.training.recipes import RECIPES, Recipe, Stage
from labkit.training.tasks import TASKS

KINDS = pytest.mark.parametrize("task", list(TASKS))


def build(classes: int) -> ViT:
    return ViT(dim=16, depth=3, heads=2, classes=classes, image=16, patch=4)


def recipe(task: str, **changes: object) -> Recipe:
    plain = Recipe("tiny", build, stages=(Stage(16, 2),), batch=4, warmup=0.5, ema=0.9, task=task, contrast=0.5)
    return dataclasses.replace(plain, **changes)


@pytest.fixture
def images() -> TinyImages:
    """Twelve pictures of three tints, brighter at the top."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(12) % 3
    pixels = torch.randint(60, (12, 3, 16, 16), generator=generator, dtype=torch.uint8)
    pixels[torch.arange(12), labels] += 100
    pixels[:, :, :6] += 90
    return TinyImages(pixels, labels, torch.zeros(12, 4, dtype=torch.int64), ("a", "b", "c"), ("n1", "n2", "n3"))


@KINDS
def test_a_stopped_run_ends_where_an_unbroken_one_does(task, images, tmp_path):
    def stop(now: Progress) -> None:
        if now.epoch == 1:
            raise KeyboardInterrupt

    unbroken = train(recipe(task), images, seed=3)
    with pytest.raises(KeyboardInterrupt):
        train(recipe(task), images, seed=3, state_file=tmp_path / "run.pt", report=stop)
    resumed = train(recipe(task), images, seed=3, state_file=tmp_path / "run.pt")
    for (name, x), y in zip(unbroken.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(x, y), name
    assert top1(predict(unbroken, images.images, size=16), images.labels) >= 0


@pytest.mark.parametrize("task", sorted(set(TASKS) - {"selves"}))  # whose loss is not what it learns: see its own test
@pytest.mark.slow
def test_it_learns_what_it_is_asked(task, images):
    losses: list[float] = []
    asked = recipe(task, stages=(Stage(16, 40),), lr=3e-3, smoothing=0.0, contrast=0.0, min_area=0.8)
    train(asked, images, report=lambda now: losses.append(now.loss))
    assert sum(losses[-9:]) < 0.9 * sum(losses[:9])


def test_the_head_is_fitted_behind_and_nothing_else_moves(images):
    model = build(3).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit_head(model, images, size=16)
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["head.weight", "head.bias"]
    assert top1(predict(model, images.images, size=16), images.labels) == 1
    assert seen(model, images, size=16).shape == (12, 16)


def test_a_probe_tells_what_a_line_can_tell():
    x = torch.randn(200, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 10, 0.1, 1, 1]) + 3
    labels = (x[:, 2] > 3).long()
    weight, bias = linear_probe(x, labels, classes=2)
    assert ((x @ weight.T + bias).argmax(dim=1) == labels).float().mean() > 0.97


def test_an_attacked_recipe_learns_from_worse_pictures(images, monkeypatch):
    from labkit.training import tasks

    radii = []

    def spy(model, x, targets, *, radius, **how):
        radii.append(radius)
        assert how["rng"] is not None, "from a point of the box that is drawn"
        return x

    monkeypatch.setattr(tasks, "attacked", spy)
    train(recipe("labels", attack=0.02, stages=(Stage(16, 1),)), images)
    assert radii == [0.02] * 3


def test_small_views_are_small_and_colours_are_weighed():
    rng = torch.Generator().manual_seed(0)
    ramp = (torch.arange(64)[None] + torch.zeros(64, 1)).expand(50, 3, 64, 64).to(torch.uint8)
    views = random_view(ramp, size=32, min_area=0.1, max_area=0.2, rng=rng)
    span = (views.amax(dim=(1, 2, 3)) - views.amin(dim=(1, 2, 3))) * 255
    assert span.max() < 64 * 0.2**0.5 * (4 / 3) ** 0.5 * 1.25
    x = torch.rand(200, 3, 2, 2)
    seen = recolour(x, rng=rng)
    grey = (seen == seen[:, :1]).all(dim=1).all(dim=(1, 2))
    assert 0.1 < grey.float().mean() < 0.32
    ratio = seen[~grey] / x[~grey]
    torch.testing.assert_close(ratio.amin(dim=(2, 3)), ratio.amax(dim=(2, 3)))
    assert ratio.min() >= 0.59
    assert ratio.max() <= 1.41


def test_every_recipe_names_a_task_and_one_vit_is_brought_up_in_all_ways():
    assert {one.task for one in RECIPES.values()} == set(TASKS)
    brought_up = [one for name, one in RECIPES.items() if name.startswith("vit-") and name != "vit-gpu"]
    assert len({one.build for one in brought_up}) == 1
    assert len({one.build for name, one in RECIPES.items() if name.startswith("cnn-")}) == 1
