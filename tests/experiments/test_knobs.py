"""Knobs are read from a signature, and a bad one is told the range or the nearest choice."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import pytest
import torch

from labkit.experiments import BadKnob, Number, Readout, Slider, check, knobs_of, run, verdict_of
from labkit.experiments._lessons import learn, scenes, seeded
from labkit.models.backbones.metaformer import metaformer


def toy(
    *,
    who: Annotated[Literal["pooling", "attention"], "who mixes"] = "pooling",
    share: Annotated[float, Slider(0, 1, 0.05)] = 0.5,
    side: Annotated[int, Slider(3, 7, 2), "cells"] = 3,
    whole: bool = True,
) -> Readout:
    return Readout("C", "held", f"{who} {share} {side} {whole}", {"n": Number(math.nan, "cells")}, {})


def test_the_signature_says_it_all():
    who, share, side, whole = knobs_of(toy)
    assert (who.kind, who.choices, who.default, who.says) == (str, ("pooling", "attention"), "pooling", "who mixes")
    assert (share.kind, share.low, share.high, share.step, share.says) == (float, 0, 1, 0.05, "")
    assert (side.kind, side.step, side.says, side.range) == (int, 2, "cells", "3..7")
    assert (whole.kind, whole.default, whole.range) == (bool, True, "yes|no")


def test_values_come_out_in_their_own_types():
    found = check(toy, {"side": 5.0, "share": "0.25"})
    assert found == {"who": "pooling", "share": 0.25, "side": 5, "whole": True}
    assert type(found["side"]) is int


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"shar": 1}, "there is no knob 'shar'; did you mean share?"),
        ({"zzz": 1}, "there are who, share, side, whole"),
        ({"who": "poling"}, "did you mean pooling?"),
        ({"who": "xyz"}, "it is one of pooling, attention"),
        ({"share": 1.01}, "share goes from 0 to 1, got 1.01"),
        ({"share": "nan"}, "share goes from 0 to 1"),
        ({"share": "much"}, "a number from 0 to 1, got 'much'"),
        ({"share": True}, "a number from 0 to 1"),
        ({"side": 4}, "in steps of 2, got 4"),
        ({"side": 4.5}, "a whole number from 3 to 7"),
        ({"side": 9}, "from 3 to 7, got 9"),
        ({"whole": "maybe"}, "whole is yes or no, got 'maybe'"),
    ],
)
def test_a_bad_knob_gets_a_sentence(values, expected):
    with pytest.raises(BadKnob) as error:
        check(toy, values)
    assert expected in str(error.value)


def positional(x: int = 3) -> Readout: ...
def without_default(*, x: bool) -> Readout: ...
def without_range(*, x: int = 3) -> Readout: ...


@pytest.mark.parametrize("function", [positional, without_default, without_range])
def test_what_is_no_knob_is_refused(function):
    with pytest.raises(TypeError, match="x is no knob"):
        knobs_of(function)


def test_a_run_says_its_knobs_and_its_time_and_what_is_not_defined_is_null():
    found = run(toy, {"side": 7})
    told = found.as_dict("toy")
    assert list(told) == ["id", "knobs", "numbers", "claim", "verdict", "because", "seconds"]
    assert told["knobs"] == {"who": "pooling", "share": 0.5, "side": 7, "whole": True}
    assert told["numbers"] == {"n": {"value": None, "unit": "cells"}}
    assert found.because == "pooling 0.5 7 True"


def test_a_verdict_counts_the_parts():
    assert [verdict_of(*held) for held in ((True, True), (True, False), (False, False))] == ["held", "partly", "not"]


def test_a_lesson_is_learned_without_touching_the_dice():
    before = torch.get_rng_state()
    book = scenes(seed=3, about="colour", size=24, learn=96, ask=48)
    assert not torch.equal(book.images[0], book.asked[0])
    with seeded(1):
        model = metaformer(dims=(8,), depths=(1,), scale=0.1, classes=book.classes)
        taught = learn(model, book, steps=40)
    assert torch.equal(torch.get_rng_state(), before)
    assert taught > 0.4, "colour is easy; chance is a quarter"
    with seeded(1):
        model = metaformer(dims=(8,), depths=(1,), scale=0.1, classes=book.classes)
        assert learn(model, book, steps=40) == taught


class Fickle(torch.nn.Module):
    """Answers right when it is asked, and anything while it learns."""

    def __init__(self, answers):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.answers = torch.nn.functional.one_hot(answers).float()

    def forward(self, images):
        told = self.answers if len(images) == len(self.answers) else torch.ones(len(images), self.answers.shape[1])
        return self.weight * (-told if self.training else told)


def test_who_is_taught_is_asked_in_eval_mode():
    book = scenes(seed=3, about="colour", size=24, learn=96, ask=48)
    assert learn(Fickle(book.answers), book, steps=4) == 1.0


def test_who_only_guesses_has_not_learned():
    book = scenes(seed=3, about="colour", size=24, learn=96, ask=48)
    assert book.chance == 0.25
    assert [book.learned(accuracy) for accuracy in (0.2, 0.3, 0.4)] == [False, False, True]
