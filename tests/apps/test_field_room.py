"""What the receptive-field room does, without its page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from apps.field import poster
from apps.field.visits import Place, Seen, move, numbers, parcel, settled, to, view_of, visit
from apps.links import address, place_from
from apps.visits import Step

TWO = Place(other="lab/vit", other_weights="none", down=0.3, across=0.8)
"""Transformers alone: their theory needs no strips."""


@pytest.fixture(scope="module")
def seen() -> Seen:
    return [one for one in visit(TWO) if isinstance(one, Seen)][-1]


def test_a_link_says_the_whole_place_and_is_read_back() -> None:
    place = Place(
        model="lab/resnet", weights="none", image="coffee", other="timm/swin_tiny_patch4_window7_224",
        other_weights="none", down=0.0625, across=1.0, layer=3, other_layer=0, over="noise", scale="linear",
        part="99", beyond=True,
    )  # fmt: skip
    link = address(place)
    assert "down=0.0625&across=1.0" in link
    read = dict(part.split("=") for part in link.removeprefix("?").replace("%2F", "/").split("&"))
    assert place_from(Place, read) == (place, ())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"down": "1.5"}, "a number from 0 to 1"),
        ({"across": "nan"}, "a number from 0 to 1"),
        ({"part": "80"}, "90, 50 or 99"),
        ({"scale": "sqrt"}, "log or linear"),
        ({"over": "dreams"}, "photo, photos or noise"),
        ({"layer": "two"}, "a whole number"),
        ({"other": " "}, "a model's name"),
    ],
)
def test_a_bad_link_is_told(said: dict[str, str], told: str) -> None:
    place, complaints = place_from(Place, said)
    assert place == Place()
    assert len(complaints) == 1
    assert told in complaints[0]


def test_a_visit_to_small_models_shows_every_layer_at_once() -> None:
    (only,) = visit(TWO)
    assert [len(side.fields) for side in only.sides] == [6, 6]
    assert (only.place.layer, only.place.other_layer) == (3, 3)
    assert not only.cut
    assert [side.title for side in only.sides] == ["lab/vit", "lab/vit, untrained"]


def test_layers_out_of_range_are_brought_back(seen: Seen) -> None:
    found = [side.horizons for side in seen.sides]
    assert settled(replace(TWO, layer=99, other_layer=-1), found).layer == 3
    assert settled(replace(TWO, layer=5, other_layer=0), found) == replace(TWO, layer=5, other_layer=0)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (Place(image="chelsae"), "did you mean chelsea"),
        (Place(other="lab/vitt"), "lab/vit"),
        (Place(model="lab/vitt"), "lab/vit"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_sentence(place: Place, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        list(visit(place))


def test_the_visitor_moves_and_asks() -> None:
    picked = {"place": [0.123456, 0.5], "layers": [1, 4], "scale": "linear", "part": 2}
    moved = move(TWO, picked)
    assert (moved.down, moved.across, moved.layer, moved.other_layer) == (0.12346, 0.5, 1, 4)
    assert (moved.scale, moved.part, moved.other_weights) == ("linear", "99", "none")
    assert to(TWO, {"place": [0.25, 0.75], "layers": [2, 0]}) == replace(
        TWO, down=0.25, across=0.75, layer=2, other_layer=0
    )


def test_the_view_is_given_the_place_it_stands_at(seen: Seen) -> None:
    head, bodies, state = view_of(replace(seen, place=replace(seen.place, part="50")))
    assert state == {"place": [0.3, 0.8], "layers": [3, 3], "scale": "log", "part": 0}
    assert len(bodies) == 12
    assert head["key"] != view_of(replace(seen, place=replace(seen.place, over="noise")))[0]["key"]
    assert head["key"] == view_of(replace(seen, place=replace(seen.place, down=0.9)))[0]["key"]


def test_the_numbers_name_unit_square_and_extent(seen: Seen) -> None:
    told = numbers(seen)
    json.dumps(told, allow_nan=False)
    assert len(told["rows"]) == 12
    row = told["rows"][0]
    assert (row["model"], row["layer"], row["kind"], row["most_rows"]) == ("lab/vit", "blocks.0", "everything", None)
    assert (row["unit_row"], row["unit_column"]) == (2, 6)
    assert row["side50"] < row["side90"] <= row["side99"]
    assert 0 < row["own"] < 1


def test_files_are_written(seen: Seen) -> None:
    rows = parcel(seen, "numbers.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 13
    assert rows[0].startswith("model,layer,kind,most_rows")
    assert json.loads(parcel(seen, "numbers.json").read_text())["image"] == "chelsea"


@pytest.mark.slow
def test_the_figure_and_the_poster_are_drawn(seen: Seen) -> None:
    path: Path = parcel(seen, "fields.png")
    assert path.stat().st_size > 30_000
    assert poster().size == (720, 720)


@pytest.mark.slow
def test_squares_of_a_large_model_are_followed_when_asked_for() -> None:
    place = Place(model="timm/resnet18", weights="none", other="lab/vit", layer=7)
    steps = list(visit(place))
    assert isinstance(steps[0], Step)
    first = next(one for one in steps if isinstance(one, Seen))
    assert [len(side.fields) for side in first.sides] == [1, 1]  # what is looked at comes first
    last = [one for one in steps if isinstance(one, Seen)][-1]
    assert last.cut
    assert last.sides[0].horizons[-1].kind == "cut"
    assert numbers(last)["rows"][7]["most_rows"] is None
    further = [one for one in visit(replace(place, beyond=True)) if isinstance(one, Seen)][-1]
    assert not further.cut
    assert numbers(further)["rows"][7]["most_rows"] == 435  # Araujo et al.
