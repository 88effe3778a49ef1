"""The over-smoothing room as functions: places, links, visits, numbers, files."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
from PIL import Image

from apps.desk import steps_of
from apps.links import address, place_from
from apps.smoothing import poster
from apps.smoothing import visits as app
from apps.smoothing.visits import Place, Seen
from apps.visits import Step
from labkit.data.images import BadImage


def seen_at(place: Place) -> Seen:
    *_, seen = steps_of(app.visit(place))
    return seen


@pytest.fixture(scope="module")
def seen() -> Seen:
    return seen_at(Place(image="coffee"))


@pytest.fixture(scope="module")
def without() -> Seen:
    return seen_at(Place(image="coffee", skip="0-2", layer=1, query=9))


def test_a_place_survives_its_link() -> None:
    place = Place("lab/resnet", "none", "coffee", layer=3, query=17, centred=True, skip="0-2", range=0.4)
    assert place_from(Place, dict(parse_qsl(address(place)[1:]))) == (place, ())
    assert address(Place()) == "?model=lab%2Fvit&image=chelsea"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"layer": "two"}, "layer='two'"),
        ({"skip": "1,2"}, "expected numbers of blocks, such as 1-3"),
        ({"skip": "1--2"}, "numbers of blocks"),
        ({"skip": "9" * 5}, "numbers of blocks"),
        ({"centred": "yes"}, "expected 0 or 1"),
        ({"range": "0"}, "a number from 0.1 to 1"),
        ({"range": "nan"}, "a number from 0.1 to 1"),
    ],
)
def test_what_a_link_may_not_say_is_told(query: dict[str, str], words: str) -> None:
    place, complaints = place_from(Place, query)
    assert place == Place()
    assert len(complaints) == 1
    assert words in complaints[0]


def test_blocks_are_named_in_order_and_once() -> None:
    assert place_from(Place, {"skip": "5-0-5-03"})[0].skip == "0-3-5"
    assert place_from(Place, {"skip": "5-0-5-03"})[0].skipped == (0, 3, 5)
    assert Place().skipped == ()


def test_a_visit_starts_at_the_last_layer_in_the_middle(seen: Seen) -> None:
    assert (seen.place.layer, seen.place.query, seen.place.skip) == (5, 36, "")
    assert seen.found.without is None
    far = app.settled(replace(seen.place, layer=99, query=10**6), seen.found)
    assert (far.layer, far.query) == (5, 36)
    assert app.settled(replace(seen.place, layer=0, query=63), seen.found).query == 63
    assert app.settled(replace(seen.place, layer=0, query=64), seen.found).query == 36


def test_of_the_blocks_to_leave_out_those_remain_that_the_model_can_do_without() -> None:
    found = seen_at(Place(model="lab/resnet", weights="none", skip="1-2-40"))  # 1 halves the grid, 40 is not there
    assert found.place.skip == "2"
    assert found.found.skipped == (2,)


def test_a_move_keeps_the_blocks_and_asking_changes_them(seen: Seen) -> None:
    state = {"layer": 2, "query": 5, "centred": True, "range": 0.45000001, "pinned": True, "other": 3, "skip": "1-4"}
    moved = app.move(seen.place, state)
    assert moved == replace(seen.place, layer=2, query=5, centred=True, range=0.45)
    assert app.without(seen.place, state) == replace(moved, skip="1-4")


def test_the_numbers_tell_both_passes(without: Seen) -> None:
    numbers = app.numbers(without)
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers
    assert [row["left_out"] for row in numbers["rows"]] == [True, False, True, False, False, False]
    layers = without.found.without.layers
    for row, one, whole in zip(numbers["rows"], layers, without.found.whole.layers, strict=True):
        assert row["cosine"] == one.measures.raw.mean.item()
        assert row["cosine_with_all_blocks"] == whole.measures.raw.mean.item()
        assert row["most_rank"] == 64
    assert numbers["effect"]["category"] == "espresso"
    assert numbers["effect"]["before"] == numbers["top"][0]["probability"]
    assert [answer["without"] for answer in numbers["top"]] == [False] * 5 + [True] * 5


def test_files_to_take_home(without: Seen) -> None:
    table = list(csv.DictReader(app.parcel(without, "numbers.csv").read_text().splitlines()))
    assert [row["name"] for row in table] == [f"blocks.{i}" for i in range(6)]
    assert json.loads(app.parcel(without, "numbers.json").read_text())["skipped"] == [0, 2]


@pytest.mark.slow
def test_figures_to_take_home(without: Seen) -> None:
    for kind in ("figure.png", "matrices.png"):
        path = app.parcel(without, kind)
        assert path.name == f"labkit-lab-vit-coffee-{kind}"
        with Image.open(path) as picture:
            assert min(picture.size) > 500


def test_a_visit_that_lasts_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "SMALL", 0)
    *steps, seen = app.visit(Place(weights="none", skip="3"))
    assert isinstance(seen, Seen)
    assert all(isinstance(step, Step) for step in steps)
    shares = [step.share for step in steps]
    assert shares == sorted(shares)
    assert shares[0] == 0


def test_what_cannot_be_opened_is_one_sentence(tmp_path) -> None:
    with pytest.raises(ValueError, match="no photo 'chelsee'; did you mean chelsea"):
        seen_at(Place(image="chelsee"))
    (tmp_path / "text.jpg").write_bytes(b"no picture")
    with pytest.raises(BadImage, match=r"text\.jpg"):
        list(app.visit(Place(), own=tmp_path / "text.jpg"))


def test_the_poster_is_a_coloured_square() -> None:
    picture = poster()
    assert picture.size == (720, 720)
    red, _, blue = (channel.getextrema()[1] for channel in picture.split())
    assert red > 200
    assert blue > 200
