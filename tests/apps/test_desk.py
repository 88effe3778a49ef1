"""What every room's desk does with a visit: progress, pictures, failures, the public endpoint, the stop."""

from __future__ import annotations

import gc
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from apps import links, visits
from apps.desk import Desk, header, page
from apps.frame import gr
from apps.rooms import TITLES
from apps.turns import Halt
from apps.visits import Step


@dataclass(frozen=True)
class Place(links.Place):
    warmth: int = links.whole(3, 0, 9)


@dataclass(frozen=True)
class Seen(visits.Seen):
    place: Place
    heat: int


def visit(place: Place, own: Path | None = None) -> Iterator[Seen | Step]:
    if place.model == "cold":
        raise ValueError("the model 'cold' has no warmth; choose another.")
    if place.image not in ("chelsea", "coffee"):
        raise ValueError(f"there is no photo {place.image!r}.")
    yield Step(0.5, "warming up")
    yield Seen(place, own, 10 * place.warmth)


@pytest.fixture(scope="module")
def desk() -> Desk:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # gradio leaves event loops open while it builds a page
        made = furnished()
        gc.collect()
    return made


def furnished() -> Desk:
    with page("Attention", "Is it warm?", Place) as desk:
        desk.controls(["lab/vit", "cold"])
        desk.kin("Brought up by", {"labels": "lab/vit", "frost": "cold", "pictures": "lab/resnet"})
        desk.steps()
        heat = gr.Number()
        desk.foot({"numbers.json": "Numbers"})
        desk.wire(
            visit,
            lambda seen: {heat: seen.heat},
            [heat],
            numbers=lambda seen: {"heat": seen.heat, "image": seen.place.image},
            parcel=lambda seen, kind: Path(kind),
        )
        desk.stops()
    desk.heat = heat
    return desk


def shown(desk: Desk, wish: Place, before: Seen | None = None, stood: Place | None = None) -> list[dict[Any, Any]]:
    return list(desk._show(wish, None, before, stood or Place()))


def test_a_visit_shows_how_far_it_is_then_what_it_found(desk: Desk) -> None:
    step, found, end = shown(desk, Place(warmth=7))
    assert "warming up" in step[desk.progress]
    assert 'value="0.500"' in step[desk.progress]
    assert found[desk.heat] == 70
    assert (found[desk.place], found[desk.query]) == (Place(warmth=7), "?model=lab%2Fvit&image=chelsea&warmth=7")
    assert (found[desk.notice], end[desk.progress]) == ("", "")


def test_a_visit_that_fails_says_why_and_everything_goes_back_to_what_is_shown(desk: Desk) -> None:
    before = Seen(Place(image="coffee"), None, 30)
    stood = replace(before.place, warmth=4)  # moved since, without a visit
    back, end = shown(desk, Place(model="cold"), before, stood)
    assert "The model &#x27;cold&#x27; has no warmth" in back[desk.notice]
    assert (back[desk.model], back[desk.photos], back[desk.heat]) == ("lab/vit", "coffee", 30)
    assert back[desk.place] == stood
    assert desk.seen not in back
    assert end == {desk.progress: ""}


@pytest.mark.parametrize(("model", "image"), [("cold", "coffee"), ("lab/vit", "nowhere")])
def test_a_link_that_leads_nowhere_opens_the_room_as_it_is_and_says_so(desk: Desk, model: str, image: str) -> None:
    found = shown(desk, Place(model=model, image=image))[1]
    assert found[desk.heat] == 30
    assert found[desk.place].image == ("coffee" if model == "cold" else "chelsea")
    assert found[desk.notice]


def test_where_not_even_the_first_view_opens_only_the_reason_is_shown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(place: Place, own: Path | None) -> Seen:
        raise ValueError("the weights are missing.")

    monkeypatch.setattr(desk, "_visit", missing)
    said = [step[desk.notice] for step in shown(desk, Place(warmth=9)) if desk.notice in step]
    assert len(said) == 1
    assert "weights are missing" in said[0]


def reading(desk: Desk) -> Any:
    return next(one.fn for one in desk.room.fns.values() if one.api_name == "read")


def test_programs_read_the_numbers_of_a_place_by_its_address(desk: Desk) -> None:
    assert reading(desk)("model=lab/vit&image=coffee&warmth=2") == {"heat": 20, "image": "coffee"}
    assert reading(desk)("?warmth=2") == {"heat": 20, "image": "chelsea"}


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (7, "Expected the part of a link"),
        (None, "Expected the part of a link"),
        ("x" * 3000, "Expected the part of a link"),
        ("warmth=99", "expected a whole number from 0 to 9"),
        ("model=cold", "has no warmth"),
        ("image=../../etc/passwd", "There is no photo"),
    ],
)
def test_what_a_program_asks_wrongly_is_one_sentence(desk: Desk, address: object, words: str) -> None:
    with pytest.raises(gr.Error, match=words):
        reading(desk)(address)


def test_only_the_numbers_are_public_and_every_visit_knows_its_turn(desk: Desk) -> None:
    functions = desk.room.fns.values()
    assert [one.api_name for one in functions if one.fn and one.api_visibility == "public"] == ["read"]
    visits = [one for one in functions if one.concurrency_id == "visits" and one.api_name != "read"]
    assert len(visits) == 6
    assert all(one.inputs[:2] == [desk._turns.halt, desk._turns.now] for one in visits)
    assert all(one.outputs[-1] is desk._turns.ended for one in visits)


def test_a_stopped_visit_shows_nothing_more_and_what_is_asked_for_after_it_goes_on(desk: Desk) -> None:
    serve, halt = desk._turns.served(lambda wish: desk._show(wish, None, None, Place())), Halt()
    walk = serve(halt, 4, Place(warmth=7))
    assert "warming up" in next(walk)[desk.progress]
    halted = next(one.fn for one in desk.room.fns.values() if one.fn and one.fn.__name__ == "halted")
    before = Seen(Place(image="coffee"), None, 30)
    back = halted(halt, 5, before, before.place)
    assert (back[desk.heat], back[desk.photos], back[desk.progress]) == (30, "coffee", "")
    assert list(walk) == [{desk._turns.ended: 4}]
    *_, found, _, end = serve(halt, 5, Place(warmth=7))
    assert (found[desk.heat], end) == (70, {desk._turns.ended: 5})


def test_models_that_differ_in_one_thing_are_a_switch(desk: Desk) -> None:
    assert [what for what, _ in desk.family.choices] == ["labels", "pictures"], "only those that are there"
    assert shown(desk, Place())[1][desk.family] == "labels"
    assert desk._with_kin(Place(image="coffee", weights="none"), "pictures") == Place("lab/resnet", image="coffee")


def test_the_head_has_a_door_to_every_room_and_says_in_which_one_stands() -> None:
    text = header("Attention", "<b>")
    assert [f'href="/{name}/"' in text for name in TITLES] == [True] * len(TITLES)
    assert re.findall(r'data-room="(\w+)" aria-current', text) == ["attention"]
    assert "<b>" not in text
