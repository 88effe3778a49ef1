"""The loop: its schedule, its averages, and that a stopped run ends where an unbroken one does, bit for bit."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labkit.data.tiny_imagenet import TinyImages
from labkit.models.backbones.resnet import ResNet
from labkit.models.backbones.vit import ViT
from labkit.training import loop
from labkit.training.loop import Progress, predict, top1, train
from labkit.training.recipes import RECIPES, Recipe, Stage
from labkit.training.tasks import Labels


def build_vit(classes: int) -> nn.Module:
    return ViT(dim=16, depth=2, heads=2, classes=classes, image=16, patch=8, drop_path=0.3)


def build_resnet(classes: int) -> nn.Module:
    # torch 2.15 corrupts the heap in the backward of channels-last convolutions whose widths are no multiples of 8.
    return ResNet(widths=(8, 16), depths=(1, 1), classes=classes)


class Always(nn.Module):
    """A teacher with one answer, whatever it is shown."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor([logits])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(x), -1)


def tiny(build: object = build_resnet, **changes: object) -> Recipe:
    recipe = Recipe(
        "tiny", build, stages=(Stage(8, 1), Stage(16, 2)), batch=4, mixup=0.4, cutmix=1.0, warmup=0.5, ema=0.9
    )
    return dataclasses.replace(recipe, **changes)


@pytest.fixture
def images() -> TinyImages:
    """Fourteen pictures of three classes, each class with its own tint."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(14) % 3
    pixels = torch.randint(120, (14, 3, 16, 16), generator=generator, dtype=torch.uint8)
    pixels[torch.arange(14), labels] += 130
    return TinyImages(pixels, labels, torch.zeros(14, 4, dtype=torch.int64), ("a", "b", "c"), ("n1", "n2", "n3"))


def assert_same(one: nn.Module, two: nn.Module) -> None:
    for (name, x), y in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        assert torch.equal(x, y), name


@pytest.mark.parametrize("build", [build_resnet, build_vit])
def test_a_stopped_run_ends_where_an_unbroken_one_does(build: object, images: TinyImages, tmp_path: Path) -> None:
    recipe, state = tiny(build), tmp_path / "run.pt"
    unbroken = train(recipe, images, seed=3)

    def stop(now: Progress) -> None:
        if (now.epoch, now.step) == (2, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, images, seed=3, state_file=state, report=stop)
    seen: list[int] = []
    resumed = train(recipe, images, seed=3, state_file=state, report=lambda now: seen.append(now.epoch))
    assert set(seen) == {2}  # the two whole epochs were not run again
    assert_same(unbroken, resumed)
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_the_seed_decides_everything(images: TinyImages) -> None:
    one, again, other = (train(tiny(), images, seed=seed) for seed in (1, 1, 2))
    assert_same(one, again)
    assert not torch.equal(one.head.weight, other.head.weight)


def test_a_state_of_another_run_is_refused(images: TinyImages, tmp_path: Path) -> None:
    train(tiny(), images, seed=1, state_file=tmp_path / "run.pt")
    with pytest.raises(ValueError, match=r"another run \(seed 1, not 2\): remove it"):
        train(tiny(), images, seed=2, state_file=tmp_path / "run.pt")
    with pytest.raises(ValueError, match="name tiny, not other"):
        train(tiny(name="other"), images, seed=1, state_file=tmp_path / "run.pt")
    with pytest.raises(ValueError, match=r"another run \(lr .* not 0.5\)"):
        train(tiny(lr=0.5), images, seed=1, state_file=tmp_path / "run.pt")


def test_what_cannot_train_is_said_before_the_first_step(images: TinyImages) -> None:
    with pytest.raises(ValueError, match="do not fill one batch of 1000"):
        train(tiny(batch=1000), images)
    assert train(tiny(warmup=99.0), images) is not None  # a warm-up longer than the run divides by nothing


def test_it_learns_an_easy_thing(images: TinyImages) -> None:
    recipe = tiny(stages=(Stage(16, 20),), lr=1e-2, mixup=0.0, cutmix=0.0)
    losses: list[float] = []
    model = train(recipe, images, report=lambda now: losses.append(now.loss))
    assert losses[-1] < 0.7 * losses[0]
    assert top1(predict(model, images.images, size=16), images.labels) > 0.9


def test_a_teacher_is_followed(images: TinyImages) -> None:
    """A teacher that always answers the first class pulls the student there, against the labels."""

    recipe = tiny(stages=(Stage(16, 8),), lr=1e-2, mixup=0.0, cutmix=0.0, smoothing=0.0)
    alone = predict(train(recipe, images), images.images, size=16).softmax(dim=1)
    taught = predict(train(recipe, images, teacher=Always(9.0, 0.0, 0.0)), images.images, size=16).softmax(dim=1)
    assert taught[:, 0].mean() > alone[:, 0].mean() + 0.1


def test_the_distilled_loss_by_hand() -> None:
    logits, targets = torch.tensor([[1.0, -0.5, 0.2]]), torch.tensor([[0.0, 1.0, 0.0]])
    recipe = tiny(smoothing=0.0)
    teacher = Always(0.3, 0.1, -1.0)
    student = [math.exp(v) / sum(math.exp(u) for u in (1.0, -0.5, 0.2)) for v in (1.0, -0.5, 0.2)]
    soft = [math.exp(v) / sum(math.exp(u) for u in (0.3, 0.1, -1.0)) for v in (0.3, 0.1, -1.0)]
    divergence = sum(p * math.log(p / q) for p, q in zip(soft, student, strict=True))
    expected = 0.5 * -math.log(student[1]) + 0.5 * divergence
    task = Labels(build_vit(3), recipe, classes=3, teacher=teacher)
    assert task._loss(logits, targets, torch.zeros(1, 3, 8, 8)).item() == pytest.approx(expected)


def test_the_learning_rate_warms_up_and_follows_half_a_cosine() -> None:
    recipe = tiny(stages=(Stage(16, 10),), warmup=2.0)
    rates = {t: loop._schedule(t, recipe) for t in (0, 0.5, 1, 2, 4, 6, 8, 10)}
    # By hand: linear to 1 at epoch 2, then cos² of the way: 1/2 at epoch 6, (2 ± √2) / 4 at its quarters, 0 at 10.
    expected = {0: 0, 0.5: 0.25, 1: 0.5, 2: 1, 4: (2 + math.sqrt(2)) / 4, 6: 0.5, 8: (2 - math.sqrt(2)) / 4, 10: 0}
    assert rates == pytest.approx(expected, abs=1e-3)
    assert rates[0] > 0  # the very first step moves, too


def test_the_average_is_the_exponential_one_and_takes_the_buffers() -> None:
    model, averaged = build_resnet(3), build_resnet(3)
    start = {name: p.detach().clone() for name, p in averaged.named_parameters()}
    model.stem[1].running_mean += 5
    for _ in range(3):
        loop._average(averaged, model, 0.9)
    now = dict(model.named_parameters())
    for name, p in averaged.named_parameters():
        torch.testing.assert_close(p, 0.9**3 * start[name] + (1 - 0.9**3) * now[name], rtol=1e-4, atol=1e-6)
    assert torch.equal(averaged.stem[1].running_mean, model.stem[1].running_mean)


@pytest.mark.parametrize("build", [build_resnet, build_vit])
def test_weight_decay_pulls_on_matrices_alone(build: object) -> None:
    model = build(3)
    decayed, free = loop._groups(model, 0.05)
    names = {id(p): name for name, p in model.named_parameters()}
    assert {id(p) for p in decayed["params"]} | {id(p) for p in free["params"]} == set(names)
    assert len(decayed["params"]) + len(free["params"]) == len(names)
    for p in decayed["params"]:
        assert names[id(p)].endswith("weight")
        assert p.ndim >= 2
    assert {"cls", "positions.table"} & set(names.values()) <= {names[id(p)] for p in free["params"]}


def test_reports_are_means_over_the_epoch(images: TinyImages) -> None:
    seen: list[Progress] = []
    train(tiny(), images, report=seen.append)
    assert [(now.epoch, now.step) for now in seen] == [(epoch, step) for epoch in range(3) for step in (1, 2, 3)]
    assert all(0 <= now.accuracy <= 1 and now.loss > 0 for now in seen)


def test_normalise_by_hand() -> None:
    x = torch.tensor([0.485, 0.456 + 0.224, 0.406 - 0.225]).view(1, 3, 1, 1).expand(1, 3, 2, 3)
    torch.testing.assert_close(loop.normalise(x)[0, :, 1, 2], torch.tensor([0.0, 1.0, -1.0]), atol=1e-6, rtol=0)


def test_predictions_do_not_depend_on_the_batches(images: TinyImages) -> None:
    model = build_resnet(3).eval()
    whole, parts = (predict(model, images.images, size=16, batch=batch) for batch in (250, 5))
    torch.testing.assert_close(whole, parts)
    with torch.inference_mode():
        x = F.interpolate(images.images.float() / 255, size=(24, 24), mode="bilinear", antialias=True)
        torch.testing.assert_close(predict(model, images.images, size=24), model(loop.normalise(x)))


def test_top1_by_hand() -> None:
    logits = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.4], [0.6, 0.5]])
    assert top1(logits, torch.tensor([1, 0, 0, 1])) == 0.5


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_every_recipe_builds_a_model_that_takes_all_its_sizes(recipe: Recipe) -> None:
    model = recipe.build(7).eval()
    for stage in recipe.stages:
        with torch.inference_mode():
            assert model(torch.zeros(1, 3, stage.size, stage.size)).shape == (1, 7)
    assert recipe.warmup < recipe.epochs
    sizes = [recipe.size_at(epoch) for epoch in range(recipe.epochs)]
    assert sizes == [stage.size for stage in recipe.stages for _ in range(stage.epochs)]
    assert recipe.size == sizes[-1]
