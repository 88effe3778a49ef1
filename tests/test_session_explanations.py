"""Two answers to "which pixels decided?": what comes when, what is remembered, and that the film is the curve."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from labkit.probes.inputs import Refused
from labkit.probes.question import Question
from labkit.session import Sitting, sit
from labkit.session.explained import Explained, Pair, likeliest
from labkit.session.explanations import explain_pair, pairs

MASKS = 64


@pytest.fixture
def sitting() -> Sitting:
    """Another visitor for every test: nothing is known yet of this untrained model's weights and this photo."""
    return sit("lab/resnet", "chelsea")


def test_what_is_quick_comes_first_and_rise_is_shown_again_and_again(sitting: Sitting) -> None:
    steps = list(pairs(sitting, ("rise", "gradcam"), masks=320, seed=11))
    found = [step for step in steps if isinstance(step, Pair)]
    counts = [one.sides[0].masks[0] for one in found]
    assert counts == sorted(counts)
    assert counts[-1] == 320
    assert all(one.sides[1].raw.equal(found[0].sides[1].raw) for one in found)
    assert [one.sides[0].film is None for one in found] == [True] * (len(found) - 1) + [False]
    shares = [share for share, what in (step for step in steps if not isinstance(step, Pair)) if "RISE" in what]
    assert all(0 < a <= b <= 1 for a, b in pairwise(shares))


def test_the_film_is_played_by_the_curve_that_stands_beside_it(sitting: Sitting) -> None:
    pair = explain_pair(sitting, ("gradcam", "occlusion"))
    for one in pair.sides:
        steps = len(one.film.curves.share) - 1
        assert one.film.turn.shape == sitting.images.shape[-2:]
        assert (one.film.turn.min(), one.film.turn.max()) == (0, steps - 1)
        gone = [(one.film.turn < step).float().mean().item() for step in range(steps + 1)]
        torch.testing.assert_close(torch.tensor(gone), one.film.curves.share.float(), atol=1e-3, rtol=0)
        half = steps // 2  # ask the model again about the film's middle picture, 0 being the mean colour
        picture = torch.where(one.film.turn < half, torch.zeros(()), sitting.images)
        score = Question(sitting.opened.model, picture, "all").answers[0, pair.target]
        torch.testing.assert_close(one.film.curves.deletion[0, half], score, atol=1e-4, rtol=1e-3)


def test_classes_are_the_likeliest_and_another_wish_gets_the_likeliest(sitting: Sitting) -> None:
    classes = likeliest(sitting)
    assert len(classes) == 5
    assert [one.chance for one in classes] == sorted((one.chance for one in classes), reverse=True)
    second = explain_pair(sitting, ("gradcam", "cam"), target=classes[1].index)
    assert (second.target, second.sides[0].saliency.targets.tolist()) == (classes[1].index, [classes[1].index])
    nobody = next(index for index in range(50) if index not in {one.index for one in classes})
    assert explain_pair(sitting, ("gradcam", "cam"), target=nobody).target == classes[0].index


@pytest.mark.slow
def test_what_was_found_stays_known_and_a_stopped_rise_goes_on(
    sitting: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labkit.session import explanations

    def run(masks: int) -> list[int]:
        steps = pairs(sitting, ("rise", "rise"), masks=masks, seed=5)
        return [step.sides[0].masks[0] for step in steps if isinstance(step, Pair)]

    monkeypatch.setattr(explanations, "REDRAW_S", 0)
    assert run(MASKS) == [32, 64, 64]
    assert run(MASKS) == [64, 64]  # known: at once, then with its film
    assert run(128)[0] == 96  # goes on behind the 64
    before = explain_pair(sitting, ("rise", "gradcam"), masks=128, seed=5).sides[0]
    fresh = explain_pair(sit("lab/resnet", "chelsea", weights=None), ("rise", "gradcam"), masks=MASKS, seed=5).sides[0]
    assert before.masks == (128, 128)
    assert not before.raw.equal(fresh.raw), "another model's answers were handed out"


@pytest.mark.slow
def test_going_on_gives_what_one_run_gives(sitting: Sitting) -> None:
    explain_pair(sitting, ("rise", "gradcam"), masks=MASKS, seed=7)
    further = explain_pair(sitting, ("rise", "gradcam"), masks=2 * MASKS, seed=7).sides[0]
    from labkit.session import explanations

    explanations._shelves.clear()
    at_once = explain_pair(sitting, ("rise", "gradcam"), masks=2 * MASKS, seed=7).sides[0]
    torch.testing.assert_close(further.raw, at_once.raw)
    torch.testing.assert_close(further.error, at_once.error)


def test_a_signed_map_has_an_even_scale_and_rise_starts_at_its_lowest(sitting: Sitting) -> None:
    left, right = explain_pair(sitting, ("integrated-gradients", "rise"), masks=MASKS).sides
    low, high = left.scale
    assert left.signed
    assert low == -high == -float(left.raw.abs().max())
    assert right.scale == (float(right.raw.min()), float(right.raw.max()))
    assert right.scale[0] > 0
    assert isinstance(right, Explained)
    assert [n for n, _ in right.trail] == [32, 64]


@pytest.mark.parametrize(("method", "told"), [("relevance", "attention"), ("gradcamm", "gradcamm")])
def test_a_method_that_does_not_fit_is_refused_in_a_sentence(sitting: Sitting, method: str, told: str) -> None:
    with pytest.raises((Refused, ValueError), match=told):
        explain_pair(sitting, (method, "gradcam"))
