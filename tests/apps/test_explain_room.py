"""What the explain room does, without its page."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from apps.explain import poster
from apps.explain.visits import Place, Seen, asked, move, numbers, parcel, settled, view_of, visit
from apps.links import address, place_from
from apps.visits import Step
from labkit.widgets.explain import KINDS, METHODS, TITLES, UNITS

FEW = Place(model="lab/resnet", masks=64, step=10)


@pytest.fixture(scope="module")
def seen() -> Seen:
    return [one for one in visit(FEW) if isinstance(one, Seen)][-1]


def test_every_method_has_a_title_a_unit_and_one_place_in_the_menu() -> None:
    assert set(TITLES) == set(UNITS) == set(METHODS)
    assert sorted(name for names in KINDS.values() for name in names) == sorted(METHODS)


def test_a_link_says_the_whole_place_and_is_read_back() -> None:
    place = Place(
        model="lab/resnet", weights="none", image="coffee", left="occlusion", right="cam", target=7, masks=500, seed=3,
        divider=0.25, blend=0.8, way="insertion", step=12,
    )  # fmt: skip
    link = address(place)
    assert "left=occlusion&right=cam&target=7&masks=500&seed=3&divider=0.25" in link
    read = dict(part.split("=") for part in link.removeprefix("?").replace("%2F", "/").split("&"))
    assert place_from(Place, read) == (place, ())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"left": "gradcamm"}, "gradcam"),
        ({"divider": "2"}, "a number from 0 to 1"),
        ({"masks": "9999999"}, "20000"),
        ({"masks": "3"}, "32"),
        ({"way": "sideways"}, "deletion or insertion"),
        ({"target": "cat"}, "a whole number"),
        ({"step": "-1"}, "a whole number"),
    ],
)
def test_a_bad_link_is_told(said: dict[str, str], told: str) -> None:
    place, complaints = place_from(Place, said)
    assert place == Place()
    assert len(complaints) == 1
    assert told in complaints[0]


def test_a_visit_tells_its_steps_and_ends_with_maps_and_films(seen: Seen) -> None:
    steps = list(visit(replace(FEW, masks=128, seed=1)))
    told = [step for step in steps if isinstance(step, Step)]
    assert any("RISE" in step.words for step in told)
    assert all(step.share is None or 0 <= step.share <= 1 for step in told)
    assert isinstance(steps[-1], Seen)
    assert all(one.film for one in steps[-1].pair.sides)
    assert seen.place.target == seen.pair.classes[0].index


def test_a_class_or_a_step_that_is_not_there_is_brought_back(seen: Seen) -> None:
    last = len(seen.pair.sides[0].film.curves.share) - 1
    assert settled(replace(FEW, step=999), seen.pair).step == last
    assert settled(replace(FEW, target=999), seen.pair).target == seen.pair.target


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (replace(FEW, image="chelsae"), "did you mean chelsea"),
        (replace(FEW, model="lab/vitt"), "lab/vit"),
        (replace(FEW, left="relevance"), "attention"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_sentence(place: Place, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        list(visit(place))


def test_the_visitor_moves_and_asks() -> None:
    picked = {"divider": 0.123456, "blend": 0.5, "way": "insertion", "step": 7}
    moved = move(FEW, picked)
    assert (moved.divider, moved.blend, moved.way, moved.step) == (0.123, 0.5, "insertion", 7)
    assert (moved.left, moved.masks) == ("gradcam", 64)
    wish = {**picked, "left": "cam", "right": "occlusion", "target": 3, "masks": 500, "seed": 2}
    there = asked(FEW, wish)
    assert (there.left, there.right, there.target, there.masks, there.seed) == ("cam", "occlusion", 3, 500, 2)


def test_the_view_is_given_the_place_it_stands_at(seen: Seen) -> None:
    head, bodies, state = view_of(seen)
    json.dumps(head, allow_nan=False)
    assert state == {"divider": 0.5, "blend": 0.65, "way": "deletion", "step": 10}
    assert len(bodies) == 6
    assert head["key"] == view_of(replace(seen, place=replace(seen.place, left="cam")))[0]["key"]
    assert head["key"] != view_of(replace(seen, place=replace(seen.place, image="coffee")))[0]["key"]


def test_the_numbers_name_both_methods_with_unit_and_areas(seen: Seen) -> None:
    told = numbers(seen)
    json.dumps(told, allow_nan=False)
    left, right = told["sides"]["left"], told["sides"]["right"]
    assert (left["method"], left["unit"]) == ("gradcam", "score of the class")
    assert (right["method"], right["masks"], right["masks_asked"]) == ("rise", 64, 64)
    assert 0 < right["largest_error_of_range"] < 1
    for side in (left, right):
        assert 0 < side["deletion_area"] < 1
        assert 0 < side["insertion_area"] < 1
    assert (told["rows"][0]["side"], told["rows"][0]["changed"]) == ("left", 0)
    assert told["rows"][-1]["changed"] == 1


def test_files_are_written(seen: Seen) -> None:
    rows = parcel(seen, "numbers.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "side,method,changed,deletion,insertion"
    assert len(rows) == 1 + 2 * 65
    assert json.loads(parcel(seen, "numbers.json").read_text())["image"] == "chelsea"


@pytest.mark.slow
def test_the_figures_and_the_poster_are_drawn(seen: Seen) -> None:
    for kind in ("maps.png", "curves.png"):
        assert parcel(seen, kind).stat().st_size > 20_000
    assert poster().size == (720, 720)
