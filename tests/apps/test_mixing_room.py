"""What the mixing room does, without its page."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from apps.links import address, place_from
from apps.mixing import poster
from apps.mixing.visits import Place, Seen, move, numbers, parcel, settled, to, view_of, visit
from apps.visits import Step

TWO = Place(other="lab/vit", other_weights="none", down=0.3, across=0.8)


@pytest.fixture(scope="module")
def steps() -> list[Seen | Step]:
    return list(visit(TWO))


@pytest.fixture(scope="module")
def seen(steps: list[Seen | Step]) -> Seen:
    return steps[-1]


def test_a_link_says_the_whole_place_and_is_read_back() -> None:
    place = Place(
        model="lab/resnet", weights="none", image="coffee", other="timm/swin_tiny_patch4_window7_224",
        other_weights="none", down=0.0625, across=1.0, layer=3, other_layer=0, reverse=True, skip=True,
        shown="softmax", scale="log",
    )  # fmt: skip
    link = address(place)
    assert "reverse=1&skip=1&shown=softmax" in link
    read = dict(part.split("=") for part in link.removeprefix("?").replace("%2F", "/").split("&"))
    assert place_from(Place, read) == (place, ())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"down": "1.5"}, "a number from 0 to 1"),
        ({"reverse": "yes"}, "0 or 1"),
        ({"shown": "keys"}, "block, attention, values, softmax or layer"),
        ({"scale": "sqrt"}, "linear or log"),
        ({"layer": "two"}, "a whole number"),
        ({"other": " "}, "a model's name"),
    ],
)
def test_a_bad_link_is_told(said: dict[str, str], told: str) -> None:
    place, complaints = place_from(Place, said)
    assert place == Place()
    assert len(complaints) == 1
    assert told in complaints[0]


def test_blocks_out_of_range_are_brought_back() -> None:
    assert settled(replace(TWO, layer=99, other_layer=-1), [6, 7]) == replace(TWO, layer=3, other_layer=3)
    assert settled(replace(TWO, layer=5, other_layer=0), [6, 7]) == replace(TWO, layer=5, other_layer=0)


@pytest.mark.parametrize(
    ("place", "told"),
    [(Place(image="chelsae"), "did you mean chelsea"), (Place(other="lab/vitt"), "lab/vit")],
)
def test_what_cannot_be_shown_is_said_in_one_sentence(place: Place, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        list(visit(place))


def test_the_visitor_moves_and_asks() -> None:
    picked = {"place": [0.123456, 0.5], "layers": [1, 4], "reverse": True, "shown": "values", "scale": "log"}
    moved = move(TWO, picked | {"pinned": True})
    assert (moved.down, moved.across, moved.layer, moved.other_layer) == (0.12346, 0.5, 1, 4)
    assert (moved.reverse, moved.shown, moved.scale, moved.skip) == (True, "values", "log", False)
    assert to(TWO, picked | {"skip": True}) == replace(moved, skip=True)


@pytest.mark.slow
def test_what_is_looked_at_comes_first_then_all_blocks_then_attention_apart(steps: list[Seen | Step]) -> None:
    shown = [step for step in steps if isinstance(step, Seen)]
    assert [[len(side.mixed) for side in one.sides] for one in shown] == [[1, 1], [6, 6], [6, 6]]
    assert [[len(side.apart) for side in one.sides] for one in shown] == [[0, 0], [0, 0], [6, 6]]
    assert [*shown[0].sides[0].mixed] == ["blocks.3"]
    assert [side.title for side in shown[0].sides] == ["lab/vit", "lab/vit, untrained"]


@pytest.mark.slow
def test_the_view_is_given_the_place_it_stands_at(seen: Seen) -> None:
    place = replace(seen.place, reverse=True, shown="softmax")
    head, bodies, state = view_of(replace(seen, place=place))
    assert state == {"place": [0.3, 0.8], "layers": [3, 3], "reverse": True, "shown": "softmax", "scale": "linear"}
    assert len(bodies) == 2 * 6 * 5
    assert head["key"] != view_of(replace(seen, place=replace(seen.place, other_weights="default")))[0]["key"]
    assert head["key"] == view_of(replace(seen, place=replace(seen.place, down=0.9)))[0]["key"]


@pytest.mark.slow
def test_the_softmax_path_is_the_larger_one_once_trained(seen: Seen) -> None:
    told = numbers(seen)
    json.dumps(told, allow_nan=False)
    assert len(told["rows"]) == 12
    trained, untrained = told["rows"][:6], told["rows"][6:]
    assert (trained[0]["model"], trained[0]["block"], trained[0]["measured"]) == ("lab/vit", "blocks.0", "y - x")
    assert (trained[0]["grid"], told["probes"]) == ("8x8", [4, 4])
    assert all(row["softmax"] > 0.5 for row in trained)  # measured: 0.58 to 0.74 on four photos
    assert all(row["softmax"] < 0.1 for row in untrained)  # measured: 0.02 to 0.03
    assert all(row["own_softmax"] > 4 * row["own_values"] for row in trained)


@pytest.mark.slow
def test_files_and_the_poster_are_made(seen: Seen) -> None:
    rows = parcel(seen, "numbers.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 13
    assert rows[0].startswith("model,block,measured,grid,nmi")
    assert json.loads(parcel(seen, "numbers.json").read_text())["image"] == "chelsea"
    assert parcel(seen, "mixing.png").stat().st_size > 20_000
    assert poster().size == (720, 720)
