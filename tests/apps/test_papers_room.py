"""The papers room without a browser: addresses, and what its plates say."""

from __future__ import annotations

import re
from html import escape

import pytest

from apps.papers import plates
from apps.papers.places import Place, address, place_from
from labkit.experiments import Number, Readout, experiment_of, knobs_of
from labkit.paper import catalogue, exhibit
from labkit.viz.experiments import rivals

EVERY = pytest.mark.parametrize("one", catalogue(), ids=lambda one: one.id)


def test_an_address_says_what_differs_and_leads_back():
    place, complaints = place_from({"paper": "focalnet", "levels": "3", "whole_map": "0", "other": "x"})
    assert complaints == ()
    assert place.knobs == {"levels": 3, "window": 3, "whole_map": False, "steps": 300, "seed": 0}
    assert address(place) == "?paper=focalnet&levels=3&whole_map=0"
    assert address(place_from({})[0]) == "?paper=metaformer"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"paper": "focalnte"}, "did you mean focalnet"),
        ({"paper": "van", "join": "tmes"}, "did you mean times?"),
        ({"paper": "van", "seed": "1000"}, "seed goes from 0 to 99"),
        ({"paper": "focalnet", "whole_map": "maybe"}, "whole_map is yes or no"),
        ({"paper": "<script>"}, "no paper here is called '<script>'"),
    ],
)
def test_a_bad_link_gets_a_sentence_and_the_usual_place(query, expected):
    place, complaints = place_from(query)
    assert len(complaints) == 1
    assert expected in complaints[0]
    assert address(place) in ("?paper=metaformer", f"?paper={query['paper']}")
    assert "<script>" not in plates.alert(complaints[0])


def test_the_list_holds_every_paper_with_its_words():
    said = plates.paper_list()
    for one in catalogue():
        assert f'data-paper="{one.id}"' in said
        assert f"<b>{escape(one.paper.title)}</b>" in said
    assert said.count("<li") == len(catalogue())


@EVERY
def test_a_label_says_everything(one):
    said = plates.label(one)
    for expected in ("Adds", "Reads", "Costs", "Departs", one.file, f"no. {one.paper.number}"):
        assert expected in said
    assert "<pre" in said
    assert all(f"{size.parameters:,}" in said for size in one.sizes.values())
    assert said.count("<li>seed") == len(one.measured["seeds"])


@EVERY
def test_a_panel_has_one_named_and_labelled_control_a_knob(one):
    knobs = knobs_of(experiment_of(one.id))
    said = plates.panel(one.id, {})
    assert re.findall(r' name="(\w+)"', said) == [knob.name for knob in knobs]
    assert said.count("<label>") == len(knobs)


def test_a_panel_shows_the_knobs_as_they_stand():
    said = plates.panel("focalnet", {"levels": 4, "whole_map": False})
    assert 'name="levels" data-default="2" min="1" max="4" step="1" value="4"' in said
    assert "checked" not in said
    assert "checked" in plates.panel("focalnet", {})
    assert "<option selected>plus</option>" in plates.panel("van", {"join": "plus"})


def test_an_answer_is_read_aloud_and_escaped():
    figure = rivals({"a": 1.0}, label="x", title="Who is longer?")
    found = Readout("C < D", "not", "1 < 2.", {"n": Number(0.5, "0..1")}, {"bars": figure}, seconds=1.26)
    said = plates.answer(found)
    assert "It did not hold." in said
    assert "C &lt; D" in said
    assert 'alt="Who is longer?"' in said
    assert "1.3 seconds" in said
    assert plates.alert("") == ""
    assert Place("van").exhibit is exhibit("van")


def test_a_paper_without_an_experiment_can_be_read(monkeypatch):
    monkeypatch.setattr(type(exhibit("van")), "has_experiment", False)
    place, complaints = place_from({"paper": "van", "join": "plus"})
    assert (place.knobs, complaints, address(place)) == ({}, (), "?paper=van")
    assert "without an experiment" in plates.panel("van", {})
