"""Every experiment answers, whole and the same twice, and its panel turns the same knobs."""

from __future__ import annotations

import math
import re
import sys

import pytest
import torch
from matplotlib.figure import Figure

from labkit.experiments import _lessons, experiment_of, knobs_of, run
from labkit.experiments.affnet import convolved, dense_macs, filtered, fourier_macs
from labkit.models.backbones.affnet import FrequencyFilter
from labkit.paper import catalogue
from labkit.widgets.knobs import Panel, shown

SMALLER = {
    "expedit": {"SCENES": 12},
    "ghostnetv2": {"GRID": 28},
    "mctf": {"COUNT": 64},
    "robust_explain": {"DRAWN": 60, "ATTACKED": 8, "STEPS": 2},
    "toco": {"LEARN": 256, "ASK": 60},
    "van": {"GRID": (14, 14), "SIDES": (7, 14)},
    "vtc_cls": {"LEARN": 128, "ASK": 64, "STEPS": 20},
}
"""What an experiment holds fixed, made small: what it finds is for `scripts/catalogue.py`, here it has to run."""
EVERY = pytest.mark.parametrize("one", [one for one in catalogue() if one.has_experiment], ids=lambda one: one.id)


def quick(one) -> dict:
    """The knobs with which it answers soonest."""
    return {knob.name: knob.low for knob in knobs_of(experiment_of(one.id)) if knob.name in ("steps", "pictures")}


@EVERY
def test_its_knobs_are_knobs_and_one_is_the_seed(one):
    knobs = {knob.name: knob for knob in knobs_of(experiment_of(one.id))}
    assert "seed" in knobs
    assert all(knob.says for knob in knobs.values()), "a knob says what it turns"
    assert all(knob.check(knob.default) == knob.default for knob in knobs.values())


def instead(monkeypatch, whole, short):
    """`short` wherever an experiment has `whole`."""
    experiments = [sys.modules[experiment_of(one.id).__module__] for one in catalogue() if one.has_experiment]
    for module in (_lessons, *experiments):
        if getattr(module, whole.__name__, None) is whole:  # a lesson of an experiment's own is short by itself
            monkeypatch.setattr(module, whole.__name__, short)


@pytest.fixture
def small(monkeypatch):
    """Few scenes to learn from, and SMALLER."""
    made = _lessons.scenes
    instead(monkeypatch, made, lambda **how: made(**how | {"learn": 256, "ask": 64}))
    for name, sizes in SMALLER.items():
        for size, few in sizes.items():
            monkeypatch.setattr(sys.modules[experiment_of(name).__module__], size, few)


@pytest.fixture
def short_lessons(small, monkeypatch):
    """So few steps and pictures teach nothing, but all of an experiment is run."""
    descend = _lessons.descend

    def short(model, loss, *, steps, rate):
        losses = descend(model, loss, steps=min(steps, 8), rate=rate)
        return losses + losses[-1:] * (steps - len(losses))

    instead(monkeypatch, descend, short)


@EVERY
@pytest.mark.slow
@pytest.mark.usefixtures("short_lessons")
def test_it_answers_in_full_and_the_same_twice(one):
    experiment = experiment_of(one.id)
    dice, grad = torch.get_rng_state(), torch.is_grad_enabled()
    first, second = (run(experiment, {**quick(one), "seed": 1}) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), dice)
    assert torch.is_grad_enabled() is grad
    sure, again = ({n: v.value for n, v in run.numbers.items() if not v.clock} for run in (first, second))
    assert sure == again
    assert first.numbers.keys() == second.numbers.keys()
    assert first.claim == one.paper.claim
    assert first.verdict in ("held", "partly", "not")
    assert first.because.endswith(".")
    assert len(first.numbers) >= 4
    assert not any(math.isinf(number.value) for number in first.numbers.values())
    assert first.figures
    assert all(isinstance(figure, Figure) and figure.axes for figure in first.figures.values())


@pytest.mark.slow
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("metaformer", {"mixer": "random matrix", "lesson": "position"}),
        ("metaformer", {"mixer": "depthwise", "lesson": "texture"}),
        ("focalnet", {"levels": 1, "whole_map": False}),
        ("van", {"join": "plus", "photo": "coffee"}),
    ],
)
def test_other_settings_answer_too(name, knobs):
    found = run(experiment_of(name), knobs | ({} if name == "van" else {"steps": 50}))
    if name == "van":
        assert found.numbers["not linear"].value < 1e-5, "a sum of convolutions is linear: the product is what adapts"
    if name == "focalnet":
        assert found.numbers["field with the whole map"].value == found.numbers["field of the levels"].value == 3


@pytest.mark.slow
def test_filters_as_turned_tell_something_else():
    # A filter that has learned for 50 steps is still shrunk to nothing.
    found = run(experiment_of("affnet"), {"filters": "another's", "keep": "low", "steps": 200})
    assert found.numbers["accuracy as turned"].value != found.numbers["accuracy"].value


def test_a_filter_is_exchanged_or_halved_and_comes_back():
    torch.manual_seed(0)
    part, x = FrequencyFilter(8, shrink=0.0), torch.randn(2, 6, 9, 8)
    whole = part(x)
    spectrum = torch.fft.rfft2(x.permute(0, 3, 1, 2), norm="ortho")
    swapped = torch.fft.irfft2(part.mask(spectrum).flip(0) * spectrum, s=(6, 9), norm="ortho").permute(0, 2, 3, 1)
    added = {}
    for how in ({"filters": "none"}, {"filters": "another's"}, {"keep": "low"}, {"keep": "high"}):
        with filtered(part, **how):
            added[next(iter(how.values()))] = part(x) - x
    assert not added["none"].any()
    torch.testing.assert_close(added["another's"], swapped)
    torch.testing.assert_close(added["low"] + added["high"], whole - x)
    assert min(added[half].norm() for half in ("low", "high")) > 0.01 * (whole - x).norm()
    assert torch.equal(part(x), whole)


def test_a_circular_convolution_written_out():
    maps = torch.arange(6.0).view(1, 1, 2, 3)
    moved = torch.zeros_like(maps)
    moved[..., 1, 2] = 1  # one row down, two columns right, around the edge
    assert torch.equal(convolved(maps, moved), maps.roll((1, 2), (-2, -1)))


def test_the_price_of_a_fourier_transform():
    # 49 cells, 24 channels, by hand: 24 · (2·4·24/8·31.5 + 4·31.5 + 2.5·49·log2 49).
    assert fourier_macs(49, 24) == pytest.approx(24 * (756 + 126 + 2.5 * 49 * math.log2(49)))
    assert dense_macs(49, 24) == 24 * 49**2


def test_a_panel_turns_the_knobs_of_its_experiment():
    from tests.experiments.test_knobs import toy

    panel = Panel("toy", experiment=toy)
    assert panel.values == {"who": "pooling", "share": 0.5, "side": 3, "whole": True}
    panel.controls["who"].value = "attention"
    panel.controls["side"].value = 7
    panel.run()
    assert panel.readout.because == "attention 0.5 7 True"
    said = panel.children[-2].value
    assert "It held." in said
    assert re.search(r"<th[^>]*>n</th><td[^>]*>–</td><td[^>]*>cells</td>", said)
    assert panel.children[0].children[1].value == "who mixes"
    panel.controls["side"].value = 4
    panel.run()
    assert "in steps of 2, got 4" in panel.children[-2].value


def test_numbers_for_people():
    assert [shown(value) for value in (61924, 0.51953, math.nan)] == ["61,924", "0.52", "–"]
