"""The compare room without a browser: its link, its cells, what does not fit, what is remembered, its files."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest
from PIL import Image

from apps.compare import files, plates, visits
from apps.compare.instruments import INSTRUMENTS
from apps.compare.places import METHODS, NOTHING, USUAL, Place, change, choose
from apps.compare.poster import poster
from apps.compare.readings import Found
from apps.compare.visits import Refusal, Seen, visit
from apps.links import address, place_from
from apps.visits import Step
from labkit.probes.similarity import smoothness
from labkit.session import sit

pytestmark = pytest.mark.slow  # three models before a photo

FEW = "explain,attention,similarity,frequency"
HERE = Place(model="lab/resnet", beside="lab/vit@random,timm/nope", image="rocket", instruments=FEW)


@pytest.fixture(scope="module")
def steps() -> list[Seen | Step]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(visits, "_known", type(visits._known)())
        return list(visit(HERE))


@pytest.fixture(scope="module")
def seen(steps: list[Seen | Step]) -> Seen:
    return steps[-1]


@pytest.fixture
def blank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "_known", type(visits._known)())


def read(link: str) -> tuple[Place, tuple[str, ...]]:
    return place_from(Place, dict(parse_qsl(link.removeprefix("?"))))


@pytest.mark.parametrize(
    "place",
    [
        Place(),
        HERE,
        Place(beside="timm/resnet18@random", instruments="mixing", method="rise", depth=100, seed=7, weights="none"),
        Place(instruments=NOTHING, depth=0),
    ],
)
def test_an_address_leads_back_to_its_place(place: Place) -> None:
    assert read(address(place)) == (place, ())


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("beside=" + ",".join(f"timm/m{i}" for i in range(6)), "expected one to 5 models' names"),
        ("beside=%20,", "expected one to 5 models' names"),
        ("beside=" + "x" * 201, "expected one to 5 models' names"),
        ("instruments=mixing,telescope", "expected some of explain, attention"),
        ("method=magic", "expected gradcam, layercam"),
        ("depth=101", "expected a whole number from 0 to 100"),
        ("seed=-1", "expected a whole number from 0 to 9999"),
    ],
)
def test_what_a_link_says_wrongly_is_named(link: str, expected: str) -> None:
    place, complaints = read(link)
    assert place == Place()
    assert expected in complaints[0]


def test_models_stand_once_and_instruments_in_the_order_of_the_wall() -> None:
    assert Place().others == USUAL[1:]
    assert Place(model="lab/resnet").others == ("lab/vit", "efficientnet_lite0")
    assert read("beside=lab/vit,lab/resnet,lab/resnet")[0].others == ("lab/resnet",)
    assert [*read("instruments=mixing,explain")[0].rows] == ["explain", "mixing", "cost", "answer"]
    assert [*Place(instruments=NOTHING).rows] == ["cost", "answer"]


def test_a_turn_of_the_knobs_stays_in_range() -> None:
    turned = change(Place(), ["mixing", "explain"], "rise", 40, 3)
    assert turned == Place(instruments="explain,mixing", method="rise", depth=40, seed=3)
    assert change(turned, [*INSTRUMENTS], METHODS[0], 50, 0) == Place()
    assert change(turned, [], "magic", None, 10**9) == Place(instruments=NOTHING, seed=9999)
    assert change(Place(), [], METHODS[0], float("nan"), None).depth == 50


def test_models_are_chosen_once_each_and_none_at_all_means_the_usual() -> None:
    assert choose(Place(), ["lab/resnet", "a,b", "lab/resnet", " "]).beside == "lab/resnet,a b"
    assert choose(HERE, []) == replace(HERE, beside=None)
    assert choose(Place(), [*USUAL[1:]]) == Place()


def test_too_many_models_are_refused_in_one_sentence() -> None:
    with pytest.raises(ValueError, match="7 models are too many for one wall: choose 6"):
        next(visit(replace(HERE, beside=",".join(f"timm/m{i}" for i in range(6)))))


def test_every_cell_comes_by_itself_and_none_stays_empty(steps: list[Seen | Step], seen: Seen) -> None:
    walls = [step for step in steps if isinstance(step, Seen)]
    assert len(walls) == 2 + 3 * 6
    assert [one.open for one in walls[1:]] == [*range(walls[1].open, -1, -1)]
    shares = [step.share for step in steps if isinstance(step, Step)]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] < 1
    for row in plates.wall(seen)["rows"]:
        assert len(row["cells"]) == 3
        for html in row["cells"]:
            assert "cm-wait" not in html
            assert "<p" in html
    assert "waiting" not in str(plates.wall(seen))
    first = plates.wall(walls[0])
    assert all(html == '<p class="cm-wait"></p>' for row in first["rows"] for html in row["cells"])


def test_each_column_is_about_its_own_model(seen: Seen) -> None:
    sittings = [sit("lab/resnet", "rocket"), sit("lab/vit", "rocket", weights=None)]
    for i, sitting in enumerate(sittings):
        with sitting.turn() as model:
            parameters = sum(one.numel() for one in model.parameters())
            top = sitting.top(model(sitting.images).detach(), most=3)
            cosine = smoothness(model, sitting.images)[-1].raw.mean.item()
        assert seen.cells["cost", i].numbers["parameters"][0] == parameters
        assert [*seen.cells["answer", i].numbers] == [name for name, _ in top]
        assert seen.cells["similarity", i].numbers["cosine, last block"][0] == pytest.approx(cosine, abs=1e-5)
    told = plates.wall(seen)["columns"]
    assert ["trained" in one for one in told] == [True, False, False]
    assert "random weights" in told[1]


def test_what_does_not_fit_says_so_in_a_sentence(seen: Seen) -> None:
    refused = seen.cells["attention", 0]
    assert isinstance(refused, Refusal)
    assert refused.short == "ResNet has no attention to read: it mixes tokens in another way."
    assert isinstance(seen.cells["attention", 1], Found)
    wall = plates.wall(seen)
    assert "There is no model" in wall["columns"][2]
    assert all(row["cells"][2] == plates.CLOSED for row in wall["rows"])
    assert Refusal("a (b c) d? e. F").short == "A d? e."


def test_a_first_model_that_cannot_be_opened_refuses_the_visit() -> None:
    with pytest.raises(ValueError, match="did you mean lab/vit"):
        next(visit(replace(HERE, model="lab/vitt")))
    with pytest.raises(ValueError, match="there is no photo"):
        next(visit(replace(HERE, image="../../etc/passwd")))


def test_a_row_has_one_scale(seen: Seen) -> None:
    found = [seen.cells["frequency", i] for i in range(2)]
    low, high = plates.limits("frequency", found)
    alone = plates.limits("frequency", found[:1])
    every = np.concatenate([ring[1:] for one in found for ring in one.series["radial"]])
    assert every.min() <= low < high <= every.max()
    assert alone != (low, high)
    drawn = [plates.picture("frequency", INSTRUMENTS["frequency"], found[0], common) for common in (alone, (low, high))]
    assert drawn[0] != drawn[1]  # what came later changes the colours of what is there
    longest = plates.limits("cost", [seen.cells["cost", i] for i in range(2)])
    assert longest[0] == seen.cells["cost", 0].numbers["parameters"][0]


def remembered(place: Place) -> Seen:
    """The wall as it stands before the first cell is asked."""
    walk = visit(place)
    opened = [next(one for one in walk if isinstance(one, Seen)) for _ in range(2)][-1]
    walk.close()
    return opened


def test_what_was_found_is_not_asked_again(blank: None) -> None:
    here = Place(model="lab/resnet", beside="timm/nope", instruments="similarity,field")
    assert len([*visit(here)]) == 3 + 2 * 8
    # What it costs is measured anew, and a model that could not be opened is tried again.
    assert {*remembered(here).cells} == {("similarity", 0), ("field", 0), ("answer", 0)}
    assert {row for row, _ in remembered(replace(here, depth=80)).cells} == {"similarity", "answer"}
    assert remembered(replace(here, image="coffee")).cells == {}
    assert remembered(replace(here, weights="none")).cells == {}


def test_a_picture_of_ones_own_leaves_no_trace(blank: None, tmp_path: Path) -> None:
    Image.effect_noise((80, 90), 60).convert("RGB").save(tmp_path / "mine.png")
    *_, mine = visit(Place(beside="lab/resnet", instruments="explain"), tmp_path / "mine.png")
    assert not visits._known
    assert "<a " not in str(plates.wall(mine))  # no link can carry it to another room
    assert "mine" in plates.wall(mine)["caption"]


def test_what_is_remembered_has_an_end(blank: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "REMEMBERED", 2)
    for i in range(4):
        visits._remember((i,), Refusal("x"))
    assert [*visits._known] == [(2,), (3,)]


def test_a_wall_that_was_stopped_keeps_what_it_has(blank: None) -> None:
    walk = (step for step in visit(replace(HERE, instruments="explain")) if isinstance(step, Seen))
    stopped = [next(walk) for _ in range(4)][-1]
    walk.close()
    assert stopped.open == 3 * 3 - 2
    cells = plates.wall(stopped)["rows"][0]["cells"]
    assert ["<img" in html for html in cells] == [True, True, False]
    assert [row["model"] for row in files.numbers(stopped)["rows"]] == ["lab/resnet", "lab/vit"]
    assert files.parcel(stopped, "wall.png").stat().st_size > 20_000


def test_the_numbers_are_plain_and_say_their_units(seen: Seen) -> None:
    told = json.loads(json.dumps(files.numbers(seen), allow_nan=False))
    assert (told["model"], told["image"], told["depth"], told["seed"]) == ("lab/resnet", "rocket", 50, 0)
    assert [one["name"] for one in told["models"]] == ["lab/resnet", "lab/vit", "timm/nope"]
    assert {one["instrument"] for one in told["rows"]} == {*FEW.split(","), "cost", "answer"}
    assert {one["instrument"] for one in told["refused"] if one["model"] == "lab/resnet"} == {"attention"}
    times = {one["measure"]: one["value"] for one in told["rows"] if one["unit"] == "ms a picture"}
    assert 0 < times["time, lower quartile"] <= times["time"] <= times["time, upper quartile"]
    rows = list(csv.DictReader(io.StringIO(files.parcel(seen, "numbers.csv").read_text())))
    assert [*rows[0]] == ["model", "weights", "instrument", "measure", "value", "unit", "note"]
    assert len(rows) == len(told["rows"]) + len(told["refused"])


def test_files_have_telling_names(seen: Seen) -> None:
    sheet = files.parcel(seen, "wall.png")
    assert sheet.name == "labkit-lab-resnet-rocket-wall.png"
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert json.loads(files.parcel(seen, "numbers.json").read_text())["image"] == "rocket"


def test_pictures_lead_to_the_room_of_their_instrument(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plates, "TITLES", {"attention": "", "smoothing": ""})
    rows = {row["id"]: row for row in plates.wall(seen)["rows"]}
    assert 'href="/attention/?model=lab%2Fvit&amp;weights=none&amp;image=rocket"' in rows["attention"]["cells"][1]
    assert 'href="/smoothing/?model=lab%2Fresnet&amp;image=rocket"' in rows["similarity"]["cells"][0]
    monkeypatch.setattr(plates, "TITLES", {})
    assert "<a " not in str(plates.wall(seen))


def test_names_from_outside_are_not_html() -> None:
    loud = Seen(Place(image="<b>x</b>"), None, (visits.Column("<i>m</i>", "default", why="no <u>such</u> model"),))
    told = json.dumps(plates.wall(loud))
    assert not any(tag in told for tag in ("<b>x", "<i>m", "<u>such"))
    cat = Found({}, "<script>", series={"top": (("<script>alert(1)</script>", 0.5),)}, note="<script>")
    assert "<script>" not in plates.cell("answer", INSTRUMENTS["explain"], cat, (), '"><script>')


@pytest.mark.parametrize(
    ("value", "text"), [(1_310_000, "1.31 M"), (999_600, "1 M"), (4.49e9, "4.49 G"), (999, "999 "), (1500, "1.5 k")]
)
def test_large_numbers_have_three_digits_and_a_letter(value: float, text: str) -> None:
    assert plates.short(value) == text


@pytest.mark.slow
def test_all_instruments_fit_both_of_the_labs_models_but_attention() -> None:
    *_, last = visit(Place(beside="lab/resnet,lab/vit@random"))
    assert {cell for cell, found in last.cells.items() if isinstance(found, Refusal)} == {("attention", 1)}
    assert len(last.cells) == 3 * (len(INSTRUMENTS) + 2)
    assert Image.open(io.BytesIO(files.parcel(last, "wall.png").read_bytes())).width > 900


@pytest.mark.slow
def test_the_poster_is_a_full_square() -> None:
    hung = poster()
    assert hung.size == (720, 720)
    levels = np.asarray(hung.convert("L"), dtype=float)
    tiles = [levels[r : r + 232, c : c + 232] for r in (0, 244, 488) for c in (0, 244, 488)]
    assert min(tile.std() for tile in tiles) > 8


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_way_of_asking_what_decided_answers(method: str) -> None:
    *_, last = visit(Place(beside="lab/resnet", instruments="explain", method=method))
    fits = [isinstance(last.cells["explain", i], Found) for i in range(2)]
    assert fits == [True, method != "relevance"]


@pytest.mark.slow
@pytest.mark.parametrize("depth", [0, 100])
def test_the_first_and_the_last_block_can_be_asked(depth: int) -> None:
    *_, last = visit(Place(beside="lab/resnet", instruments="field,mixing", depth=depth))
    for row in ("field", "mixing"):
        said = last.cells[row, 0].said
        assert said.startswith("block 1 of 6" if depth == 0 else "block 6 of 6")


@pytest.mark.slow
def test_dice_change_what_is_estimated_and_nothing_else() -> None:
    here = Place(beside="lab/resnet", instruments="mixing,field")
    one, other, again = ([*visit(replace(here, seed=seed))][-1] for seed in (0, 1, 0))
    assert one.cells["mixing", 0].numbers != other.cells["mixing", 0].numbers
    assert one.cells["field", 0].numbers == other.cells["field", 0].numbers
    assert one.cells["mixing", 0].numbers == again.cells["mixing", 0].numbers
