"""Which paper is open and how its knobs stand, as an address: nothing of it lies on the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from labkit.experiments import BadKnob, Knob, experiment_of, knobs_of
from labkit.paper import Exhibit, UnknownPaper, catalogue, exhibit

FIRST = "metaformer"
"""The paper that is open when nobody has asked for another: the frame that most others hang in."""


@dataclass(frozen=True)
class Place:
    """An open paper, with all its knobs as they stand."""

    paper: str
    knobs: dict[str, Any] = field(default_factory=dict)

    @property
    def exhibit(self) -> Exhibit:
        return exhibit(self.paper)


def address(place: Place) -> str:
    """ "?paper=van&join=plus": the paper, and the knobs that are not at their default."""
    turned = {}
    for knob in knobs(place.paper):
        value = place.knobs.get(knob.name, knob.default)
        if value != knob.default:
            turned[knob.name] = {True: "1", False: "0"}[value] if knob.kind is bool else value
    return "?" + urlencode({"paper": place.paper, **turned})


def place_from(query: Mapping[str, str]) -> tuple[Place, tuple[str, ...]]:
    """The place that an address names, and one sentence for each part of it that could not be used."""
    complaints = []
    try:
        paper = exhibit(query.get("paper", FIRST)).id
    except UnknownPaper as error:
        complaints.append(f"The link names a paper that does not hang here: {error}")
        paper = FIRST if FIRST in {one.id for one in catalogue()} else catalogue()[0].id
    asked = {}
    for knob in knobs(paper):
        text = query.get(knob.name)
        if text is None:
            continue
        value = {"1": True, "0": False}.get(text, text) if knob.kind is bool else text
        try:
            asked[knob.name] = knob.check(value)
        except BadKnob as error:
            complaints.append(f"The link cannot be followed in all: {error} The usual one is shown.")
    standing = {knob.name: asked.get(knob.name, knob.default) for knob in knobs(paper)}
    return Place(paper, standing), tuple(complaints)


def knobs(paper: str) -> tuple[Knob, ...]:
    """The knobs of a paper's experiment; none where it has no experiment yet."""
    return knobs_of(experiment_of(paper)) if exhibit(paper).has_experiment else ()
