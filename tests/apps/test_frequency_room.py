"""What the frequency room does, without its page."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from apps.frequency import poster
from apps.frequency.visits import Place, Seen, listen, move, numbers, parcel, settled, shown, visit, what_passes
from apps.links import address, place_from
from apps.visits import Step
from labkit.widgets.frequency import WHOLE

COARSE = Place(low=0.0, high=0.1)


@pytest.fixture(scope="module")
def seen() -> Seen:
    (only,) = visit(COARSE)
    return only


def test_a_link_says_the_whole_place_and_is_read_back() -> None:
    place = Place(
        model="lab/resnet", weights="none", image="coffee", low=0.05, high=0.25, mean=False, layer=3, head=2, sweep=True
    )
    link = address(place)
    assert "low=0.05&high=0.25" in link
    read = dict(part.split("=") for part in link.removeprefix("?").replace("%2F", "/").split("&"))
    assert place_from(Place, read) == (place, ())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"low": "1.5"}, "a number from 0 to 0.7072"),
        ({"high": "nan"}, "a number from 0 to 0.7072"),
        ({"low": "0.4", "high": "0.2"}, "low below high"),
        ({"low": "0.2", "high": "0.2"}, "low below high"),
        ({"layer": "two"}, "a whole number"),
        ({"mean": "perhaps"}, "expected 0 or 1"),
    ],
)
def test_a_bad_link_is_told(said: dict[str, str], told: str) -> None:
    place, complaints = place_from(Place, said)
    assert (place.low, place.high) == (0.0, WHOLE)
    assert len(complaints) == 1
    assert told in complaints[0]


def test_layer_and_filter_stay_only_where_they_exist(seen: Seen) -> None:
    found = seen.tuned.tuning
    assert seen.place.layer == 3  # the middle one of six
    assert settled(replace(COARSE, layer=5, head=2), found) == replace(COARSE, layer=5, head=2)
    assert settled(replace(COARSE, layer=6, head=2), found) == replace(COARSE, layer=3, head=-1)
    assert settled(replace(COARSE, layer=-1, head=2), found) == replace(COARSE, layer=3, head=-1)


@pytest.mark.parametrize(
    ("place", "told"),
    [(Place(image="chelsae"), "did you mean chelsea"), (Place(model="lab/vitt"), "did you mean lab/vit")],
)
def test_what_cannot_be_shown_is_said_in_one_sentence(place: Place, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        list(visit(place))


def test_the_visitor_moves_and_asks() -> None:
    picked = {"low": 0.123456, "high": 0.5, "mean": False, "layer": 4, "head": 1, "sweep": True}
    moved = move(COARSE, picked)
    assert (moved.low, moved.high, moved.mean, moved.layer, moved.head) == (0.1235, 0.5, False, 4, 1)
    assert not moved.sweep  # only a question asks for that
    assert listen(COARSE, picked) == replace(COARSE, low=0.1235, high=0.5, mean=False, sweep=True)
    assert listen(COARSE, {**picked, "low": 0.5}).high == COARSE.high
    assert listen(COARSE, {**picked, "low": -3, "high": 9}).high == WHOLE


def test_the_answer_is_for_the_band_and_the_whole_photo_stays_beside_it(seen: Seen) -> None:
    head, _ = shown(seen)
    assert (head["answer"]["low"], head["answer"]["high"]) == (0.0, 0.1)
    (all_of_it,) = visit(Place())
    whole, _ = shown(all_of_it)
    assert head["top"] == whole["top"]
    assert dict(whole["answer"]["top"]) == pytest.approx(dict(whole["top"]), abs=1e-3)
    assert head["answer"]["top"] != head["top"]
    assert all_of_it.tuned is seen.tuned  # read once
    (lost,) = visit(replace(COARSE, mean=False))
    assert shown(lost)[0]["answer"]["top"] != head["answer"]["top"]


def test_what_passes_is_the_filtered_photo(seen: Seen) -> None:
    seen_whole = np.asarray(seen.tuned.sitting.seen.convert("RGB"), dtype=int)
    (all_of_it,) = visit(Place())
    assert abs(np.asarray(what_passes(all_of_it), dtype=int) - seen_whole).max() <= 1
    blurred = np.asarray(what_passes(seen), dtype=int)
    assert abs(np.diff(blurred, axis=1)).mean() < 0.5 * abs(np.diff(seen_whole, axis=1)).mean()


@pytest.mark.slow
def test_a_question_about_all_cutoffs_is_answered_in_steps_and_remembered() -> None:
    place = Place(model="lab/resnet", image="moon", sweep=True)
    first, *steps, last = visit(place)
    assert isinstance(first, Seen)
    assert first.crossing is None
    assert not first.place.sweep  # who stops it has the photo, without the question
    assert [step.share for step in steps if isinstance(step, Step)] == pytest.approx([k / 10 for k in range(1, 11)])
    assert last.place.sweep
    (again,) = visit(replace(place, image="coins"))
    assert again.crossing is last.crossing
    told = numbers(last)["crossing"]
    assert len(told["coarse_stays"]) == len(told["fine_stays"]) == len(told["cutoffs"]) == 10
    assert told["coarse_stays"][0] < 0.5 < told["coarse_stays"][-1]  # little of a photo is in its first wave
    assert told["fine_stays"][0] > told["fine_stays"][-1]


def test_the_numbers_name_units_and_both_answers(seen: Seen) -> None:
    told = numbers(seen)
    json.dumps(told, allow_nan=False)
    assert [row["name"] for row in told["rows"]] == [f"blocks.{i}" for i in range(6)]
    assert told["rows"][0]["grid"] == "8x8"
    assert 0 < told["rows"][5]["high_share"] < 1
    assert told["rows"][5]["high_share"] != told["rows"][5]["high_share_passed"]
    assert told["top"][0]["probability"] > 0
    assert told["crossing"] is None
    assert told["units"]["low"] == "cycles per pixel"


def test_files_are_written(seen: Seen) -> None:
    rows = parcel(seen, "numbers.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 7
    assert rows[0].startswith("layer,name,grid,low_band")
    assert json.loads(parcel(seen, "numbers.json").read_text())["high"] == 0.1
    assert parcel(seen, "passed.png").stat().st_size > 2_000


@pytest.mark.slow
def test_the_figures_and_the_poster_are_drawn(seen: Seen) -> None:
    for kind in ("spectra.png", "filters.png"):
        assert parcel(seen, kind).stat().st_size > 15_000
    assert poster().size == (720, 720)
