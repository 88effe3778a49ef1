from __future__ import annotations

import csv
import io
import json
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from apps import visits
from apps.attention import visits as app
from apps.attention.visits import Place
from labkit.data.images import BadImage, photo_names
from labkit.pretrained import UnknownModel
from labkit.session import Look
from labkit.taps import Unreadable
from labkit.training.cards import MissingWeights
from labkit.widgets.attention import gradio_value

HERE = Place(weights="none")


@pytest.fixture(scope="module")
def seen() -> app.Seen:
    return app.visit(HERE)


def test_a_visit_brings_layer_head_and_query_into_range(seen: app.Seen) -> None:
    layers, heads = len(seen.look.maps), seen.look.maps[0].heads
    h, w = seen.look.maps[0].grid
    assert 0 <= seen.place.layer < layers
    assert seen.place.query == h // 2 * w + w // 2
    far = app.settled(Place(layer=999, head=999, query=10**6), seen.look)
    assert (far.layer, far.head, far.query) == (seen.place.layer, -1, seen.place.query)
    last = app.settled(Place(layer=layers - 1, head=heads - 1, query=h * w - 1), seen.look)
    assert (last.layer, last.head, last.query) == (layers - 1, heads - 1, h * w - 1)
    assert app.settled(Place(layer=0, query=-1), seen.look).query == -1
    assert app.settled(Place(layer=0, query=-2), seen.look).query == seen.place.query


def test_a_place_survives_the_way_through_the_view(seen: app.Seen) -> None:
    picked = {"layer": 1, "head": 0, "query": 5, "pinned": True, "reverse": True, "bands": [0.05, 0.2]}
    moved = app.move(seen.place, picked)
    assert moved == replace(seen.place, layer=1, head=0, query=5, reverse=True, low=0.05, high=0.2)
    assert app.settled(moved, seen.look) == moved


@pytest.fixture
def bad_files(tmp_path: Path) -> dict[str, Path]:
    photo = io.BytesIO()
    Image.effect_noise((200, 200), 50).save(photo, "jpeg")
    files = {"text.jpg": b"not a picture at all", "empty.png": b"", "cut.jpg": photo.getvalue()[:900]}
    for name, body in files.items():
        (tmp_path / name).write_bytes(body)
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    return {path.name: path for path in tmp_path.iterdir()}


@pytest.mark.parametrize("name", ["text.jpg", "empty.png", "cut.jpg", "dot.png", "bomb.png"])
def test_a_bad_upload_is_one_sentence(bad_files: dict[str, Path], name: str) -> None:
    with pytest.raises(BadImage) as error:
        app.visit(HERE, own=bad_files[name])
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("mode", ["RGBA", "L", "CMYK", "P", "I;16"])
def test_unusual_pictures_are_looked_at(tmp_path: Path, mode: str) -> None:
    picture = Image.effect_noise((90, 60), 60).convert("RGB")
    picture = Image.effect_noise((90, 60), 60).convert("I").convert("I;16") if mode == "I;16" else picture.convert(mode)
    path = tmp_path / ("picture.tif" if mode == "CMYK" else "picture.png")
    picture.save(path)
    mine = app.visit(HERE, own=path)
    assert mine.picture_name == "picture"
    assert "cannot carry your own picture" in visits.link_note(mine)


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        (Place(model="lab/vitt"), UnknownModel, "lab/vit"),
        (Place(model="lab/resnet", weights="none"), Unreadable, "no attention to read"),
        (Place(image="chelsee", weights="none"), ValueError, "did you mean chelsea?"),
        (
            Place(image="/etc/passwd", weights="none"),
            ValueError,
            "there is no photo '/etc/passwd'; there are astronaut",
        ),
    ],
)
def test_what_cannot_be_opened_says_so_with_the_nearest_name(place: Place, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        app.visit(place)


def test_missing_weights_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("labkit.session.sitting._models", OrderedDict())
    with pytest.raises(MissingWeights):
        app.visit(Place())


def test_the_numbers_have_one_row_a_layer_and_head(seen: app.Seen) -> None:
    rows = list(csv.DictReader(io.StringIO(app.parcel(seen, "numbers.csv").read_text())))
    assert list(rows[0]) == ["layer", "head", "nmi", "distance", "entropy", "pattern"]
    assert len(rows) == sum(one.heads for one in seen.look.maps)
    assert (rows[-1]["layer"], rows[-1]["head"]) == (str(len(seen.look.maps) - 1), str(seen.look.maps[-1].heads - 1))
    nmi = float(seen.look.measures[1].nmi[0, 2])
    assert float(rows[seen.look.maps[0].heads + 2]["nmi"]) == pytest.approx(nmi)


def test_the_json_says_what_the_rows_are_about(seen: app.Seen) -> None:
    told = json.loads(json.dumps(app.numbers(seen)))
    assert (told["model"], told["weights"], told["image"]) == ("lab/vit", "none", "chelsea")
    assert told["units"] == {"nmi": "0..1", "distance": "patches", "entropy": "nats"}
    assert len(told["rows"]) == sum(one.heads for one in seen.look.maps)
    assert len(told["top"]) == 5


def test_the_band_renames_without_looking_again(seen: app.Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "look", None)
    wide = replace(seen, place=replace(seen.place, low=0.0, high=1.0))
    patterns = {row["pattern"] for row in json.loads(json.dumps(app.numbers(wide)))["rows"]}
    assert patterns == {"hybrid"}
    assert {row["pattern"] for row in json.loads(json.dumps(app.numbers(seen)))["rows"]} != {"hybrid"}


@pytest.mark.parametrize(
    ("kind", "start"),
    [("figure.png", b"\x89PNG"), ("heads.png", b"\x89PNG"), ("numbers.csv", b"layer,"), ("numbers.json", b"{")],
)
def test_every_download_is_a_file_with_a_telling_name(seen: app.Seen, kind: str, start: bytes) -> None:
    path = app.parcel(seen, kind)
    assert path.name == f"labkit-lab-vit-chelsea-{kind}"
    assert path.read_bytes().startswith(start)
    assert app.parcel(seen, kind) != path  # two visitors never write the same file


def test_words_from_outside_are_not_html(seen: app.Seen) -> None:
    assert "<script>" not in visits.alert("<script>alert(1)</script>")
    assert 'role="alert"' in visits.alert("something")
    assert visits.alert("") == ""
    loud = replace(seen, look=replace(seen.look, top=(("<b>cat</b>", 0.5),)))
    assert "<b>cat" not in app.verdict(loud)


def test_the_verdict_says_when_weights_are_random_and_names_are_missing(seen: app.Seen) -> None:
    assert "untrained" in app.verdict(seen)
    assert "untrained" not in app.verdict(replace(seen, place=replace(seen.place, weights="default")))
    assert "names no categories" in app.verdict(replace(seen, look=replace(seen.look, top=())))


def test_every_photo_is_a_named_button() -> None:
    wall = visits.photo_wall()
    assert all(f'data-photo="{name}"' in wall and f'alt="{name}"' in wall for name in photo_names())


def test_own_photos_hang_by_their_names_and_what_is_no_picture_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.effect_noise((90, 60), 60).save(tmp_path / "<b>loud.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    monkeypatch.setenv("LABKIT_PHOTOS", str(tmp_path))
    wall = visits.photo_wall.__wrapped__()
    assert 'data-photo="&lt;b&gt;loud"' in wall
    assert "<b>" not in wall
    assert "broken" not in wall


def test_the_menu_offers_what_has_attention() -> None:
    names = app.model_names()
    assert names[0] == "lab/vit"
    assert not any("resnet" in name or "convnext" in name for name in names)


def test_the_value_of_the_view_stays_small(seen: app.Seen) -> None:
    assert len(json.dumps(gradio_value(seen.look))) < 1_000_000


def test_visitors_do_not_share_what_they_see(seen: app.Seen) -> None:
    other = app.visit(replace(HERE, image="coffee"))
    assert isinstance(other.look, Look)
    assert seen.place.image == "chelsea"
    assert other.place.image == "coffee"
