"""The check cells of lesson 2: the solution passes, and every usual mistake is told by its name."""

from __future__ import annotations

import pytest
import torch

from notebooks.checks import explaining as checks
from notebooks.solutions import exercises_02 as solutions


@pytest.mark.parametrize("exercise", ["gradcam", "rise", "deletion"])
def test_the_solution_is_right(exercise):
    verdict = getattr(checks, exercise)(getattr(solutions, exercise))
    assert verdict.right, verdict.text
    assert verdict.text
    assert "replace the … by your lines" in getattr(checks, exercise)(lambda *_: None).text


def test_a_photo_that_does_not_divide_is_taken_away_as_a_whole():
    curve = solutions.deletion(lambda x: x.sum(dim=(1, 2, 3)), torch.ones(3, 5, 7), torch.rand(5, 7), 4)
    assert curve.tolist() == [105, 78, 51, 24, 0]  # 35 pixels in portions of 9, 9, 9 and 8, of three colours


def weigh(weights, by=lambda maps: maps.sum(0).relu()):
    """GradCAM with other weights, or added up in another way."""
    return lambda a, g: by(weights(a, g) * a)


def mean(a, g):
    return g.mean(dim=(1, 2), keepdim=True)


def parted(first=lambda each: each.mean(0), second=lambda each: each.std(0) / len(each) ** 0.5, join=torch.stack):
    """RISE with another map or another error."""

    def rise(masks, scores, keep):
        each = scores[:, None, None] * masks / keep
        return join([first(each), second(each)])

    return rise


def by_hand(picture, start=0, order=lambda heat: heat.flatten().sort(descending=True).indices):
    """Deletion in a loop: `picture(image, gone, step)` is what is asked about."""

    def deletion(score, image, heat, steps):
        per = heat.numel() // steps
        curve = []
        for t in range(start, steps + 1):
            gone = torch.zeros(heat.numel(), dtype=torch.bool)
            gone[order(heat)[: t * per]] = True
            curve.append(score(picture(image, gone.view(heat.shape), t)[None])[0])
        return torch.stack(curve)

    return deletion


def without(image, gone, _):
    return torch.where(gone, 0, image)


def red(image, gone, _):
    return torch.cat([image[:1] * ~gone, image[1:]])


def by_rank(score, image, heat, steps):
    """The classic: argsort taken for ranks."""
    turn = heat.flatten().argsort(descending=True).view(heat.shape) // (heat.numel() // steps)
    return torch.stack([score((image * (turn >= t))[None])[0] for t in range(steps + 1)])


def this_step_only(score, image, heat, steps):
    parts = heat.flatten().argsort(descending=True).view(steps, -1)
    curve = [score(image[None])[0]]
    for part in parts:
        stays = torch.ones(heat.numel())
        stays[part] = 0
        curve.append(score((image * stays.view(heat.shape))[None])[0])
    return torch.stack(curve)


def one_a_step(score, image, heat, steps):
    few = solutions.deletion(score, image, heat, heat.numel())
    return few[: steps + 1]


MISTAKES = [
    ("gradcam", weigh(mean, lambda maps: maps.sum(0)), "The ReLU is missing"),
    ("gradcam", weigh(mean, lambda maps: maps.sum(0).abs()), "You took the magnitude"),
    ("gradcam", weigh(mean, lambda maps: maps.relu().sum(0)), "The ReLU came too early"),
    ("gradcam", weigh(lambda a, g: mean(a, g).relu()), "dropped the negative weights"),
    ("gradcam", weigh(lambda a, g: mean(a, g.relu())), "dropped the negative gradients"),
    ("gradcam", weigh(lambda a, g: g.sum(dim=(1, 2), keepdim=True)), "you took its sum"),
    ("gradcam", weigh(lambda a, g: g), "this is HiResCAM"),
    ("gradcam", weigh(mean, lambda maps: maps.mean(0).relu()), "mean over the channels; GradCAM adds"),
    ("gradcam", weigh(lambda a, g: g.mean(0)), "The weight of a channel is the mean over its cells"),
    ("gradcam", lambda a, g: solutions.gradcam(g, a), "are exchanged"),
    ("gradcam", weigh(mean, torch.relu), "not added up yet"),
    ("gradcam", lambda a, g: solutions.gradcam(a, g) / solutions.gradcam(a, g).max(), "divided by the largest"),
    ("gradcam", lambda a, g: a, "Expected the shape (4, 5), got (6, 4, 5)"),
    ("gradcam", lambda a, g: 3 * solutions.gradcam(a, g), "the ReLU last"),
    ("rise", lambda masks, scores, keep: keep * solutions.rise(masks, scores, keep), "Divide by p"),
    ("rise", parted(second=lambda each: 0.4 * each.std(0) / 3), "divided by p as well"),
    ("rise", parted(second=lambda each: each.std(0)), "the standard deviation of one mask"),
    ("rise", parted(second=lambda each: each.var(0) / len(each)), "the standard error is its root"),
    ("rise", parted(second=lambda each: each.std(0) / len(each)), "falls with √n"),
    ("rise", parted(second=lambda each: each.std(0, correction=0) / len(each) ** 0.5), "divide by n - 1"),
    (
        "rise",
        lambda masks, scores, keep: torch.stack(
            [solutions.rise(masks, scores, keep)[0], (scores.std() / 3 / keep).expand(5, 7)]
        ),
        "forgets the masks",
    ),
    ("rise", parted(first=lambda each: each.sum(0)), "You took the sum over the masks"),
    (
        "rise",
        lambda masks, scores, keep: torch.stack(
            [torch.tensordot(scores, masks, 1) / scores.sum(), solutions.rise(masks, scores, keep)[1]]
        ),
        "divided by the sum of the scores",
    ),
    (
        "rise",
        lambda masks, scores, keep: torch.stack(
            [torch.tensordot(scores, masks, 1) / masks.sum(0), solutions.rise(masks, scores, keep)[1]]
        ),
        "how often this pixel was kept",
    ),
    ("rise", lambda masks, scores, keep: solutions.rise(1 - masks, scores, keep), "what was covered"),
    ("rise", lambda *given: solutions.rise(*given)[0], "This is the map alone"),
    ("rise", lambda *given: solutions.rise(*given)[1], "This is the standard error alone"),
    ("rise", lambda *given: solutions.rise(*given).flip(0), "The two are exchanged"),
    ("rise", parted(join=lambda both: torch.stack(both, dim=-1)), "stack them along the first"),
    ("rise", lambda *given: tuple(solutions.rise(*given)), "Expected a tensor, got tuple"),
    ("rise", lambda *given: solutions.rise(*given) - 0.1, "their std() / √n"),
    ("deletion", by_hand(without, order=lambda heat: heat.flatten().argsort()), "The *least* important"),
    ("deletion", by_hand(without, order=lambda heat: heat.abs().flatten().argsort(descending=True)), "by |heat|"),
    (
        "deletion",
        by_hand(lambda image, gone, _: torch.where(gone, image, 0)),
        "begins with nothing",
    ),
    ("deletion", this_step_only, "What is gone stays gone"),
    ("deletion", by_rank, "argsort says which pixel comes k-th"),
    ("deletion", by_hand(without, start=1), "The first of the steps + 1"),
    ("deletion", lambda *given: solutions.deletion(*given)[:-1], "The last one is missing"),
    ("deletion", one_a_step, "one pixel a step"),
    ("deletion", by_hand(red), "one colour only"),
    (
        "deletion",
        by_hand(lambda image, gone, _: torch.where(gone, image.mean(dim=(1, 2), keepdim=True), image)),
        "the photo's own mean colour",
    ),
    ("deletion", by_hand(without, order=lambda heat: heat.T.flatten().argsort(descending=True)), "column by column"),
    ("deletion", lambda *given: torch.trapezoid(solutions.deletion(*given)) / given[-1], "This is the area"),
    ("deletion", lambda *given: solutions.deletion(*given)[0] - solutions.deletion(*given), "how much was lost"),
    ("deletion", lambda *given: 0.9 * solutions.deletion(*given), "Sort the pixels by heat"),
]


@pytest.mark.parametrize(("exercise", "mistake", "told"), MISTAKES, ids=[told for *_, told in MISTAKES])
def test_a_usual_mistake_is_told_by_its_name(exercise, mistake, told):
    verdict = getattr(checks, exercise)(mistake)
    assert not verdict.right
    assert told in verdict.text
