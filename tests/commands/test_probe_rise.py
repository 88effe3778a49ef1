"""`labkit probe rise` and `labkit probe faithfulness`: what machines and people read, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from labkit.cli import run

pytestmark = pytest.mark.slow  # whole commands, each a second or two

RISE = ("probe", "rise", "--weights", "none", "--model", "lab/resnet")
FAITH = ("probe", "faithfulness", "--weights", "none", "--model", "lab/resnet", "--steps", "4", "--masks", "20")


def test_rise_rows_and_figures(capsys, tmp_path):
    asked = (*RISE, "--image", "coffee", "--image", "moon", "--target", "3", "--masks", "60")
    assert run([*asked, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["picture"] for row in rows] == ["coffee", "moon"]
    keys = "picture target category masks row column highest lowest error noise"
    assert list(rows[0]) == keys.split()
    assert rows[0]["target"] == 3
    assert rows[0]["masks"] == 60
    assert 0 < rows[0]["lowest"] < rows[0]["highest"] < 1
    assert run([*asked, "--out", str(tmp_path)]) == 0
    assert {file.name for file in tmp_path.glob("*.png")} == {"rise-0.png", "rise-1.png"}
    assert json.loads((tmp_path / "rise.json").read_text()) == rows  # the same seed, the same answer
    capsys.readouterr()
    assert run([*asked, "--seed", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) != rows


def test_rise_stops_at_the_precision(capsys):
    assert run([*RISE, "--masks", "400", "--precision", "100"]) == 0
    assert "20 masks." in capsys.readouterr().out


@pytest.mark.slow
def test_faithfulness_has_a_row_a_method_and_both_baselines(capsys, tmp_path):
    asked = (
        *FAITH,
        "--methods",
        "gradcam, rise,gradient",
        "--image",
        "coffee",
        "--image",
        "rocket",
        "--image",
        "clock",
    )
    assert run([*asked, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in rows] == ["gradcam", "rise", "gradient", "random", "centre"]
    for row in rows:
        assert row["insertion_low"] <= row["insertion"] <= row["insertion_high"]
        assert "pointing" not in row
    by_name = {row["method"]: row for row in rows}
    gained = by_name["random"]["deletion"] - by_name["rise"]["deletion"]  # above 0 is better
    assert by_name["rise"]["deletion_over_random"] == pytest.approx(gained, abs=1e-6)
    assert by_name["random"]["deletion_over_random"] is None
    assert run([*asked, "--out", str(tmp_path)]) == 0
    assert {file.name for file in tmp_path.glob("*.svg")} == {"curves.svg", "gains.svg"}


def test_faithfulness_of_one_picture_has_no_interval_and_says_so(capsys):
    assert run([*FAITH, "--methods", "gradcam", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert row["insertion"] is not None
    assert row["insertion_low"] is row["insertion_over_random_high"] is None
    assert run([*FAITH, "--methods", "gradcam"]) == 0
    assert "One picture has no interval" in capsys.readouterr().out


def test_the_object_is_where_the_mask_or_the_scene_says(capsys, tmp_path):
    # chelsea has 451 x 300 pixels, of which the model sees the middle 300: the left half of that is columns 75 to 225.
    pixels = np.zeros((300, 451), np.uint8)
    pixels[:, 75:225] = 255
    Image.fromarray(pixels).save(tmp_path / "left.png")
    assert run([*FAITH, "--methods", "gradcam", "--mask", str(tmp_path / "left.png"), "--json"]) == 0
    rows = {row["method"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["centre"]["energy"] == pytest.approx(0.5, abs=0.02)
    assert run([*FAITH, "--methods", "gradcam", "--scenes", "2", "--json"]) == 0
    assert all(0 <= row["pointing"] <= 1 for row in json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--methods", "gradcam,lime"), "there is no method 'lime', there are cam, gradcam"),
        (("--methods", " , "), "names none"),
        (("--mask", "MASK", "--mask", "MASK"), "2 --mask for 1 --image"),
        (("--mask", "MASK"), "make them alike"),
        (("--target", "7777"), "expected classes in 0..49"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(capsys, tmp_path, options, sentence):
    mask = tmp_path / "mask.png"
    Image.new("L", (20, 20), 255).save(mask)
    assert run([*FAITH, *(str(mask) if option == "MASK" else option for option in options), "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in " ".join(err.split())


@pytest.mark.slow
def test_randomise_has_a_row_a_method_and_layer_from_the_output_down(capsys, tmp_path):
    asked = (*FAITH, "--image", "coffee", "--image", "moon", "--methods", "eigencam,gradcam", "--randomise")
    assert run([*asked, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["method"] for row in rows} == {"eigencam", "gradcam"}
    own = [row for row in rows if row["method"] == "eigencam"]
    assert [row["randomised"] for row in own[:2]] == ["head", "stages.3.1"]
    assert own[-1]["randomised"] == "stem"
    assert own[0]["likeness"] == 1  # it asks for no class: the head makes no difference
    assert own[-1]["likeness"] < 0.9
    assert run([*asked, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "randomised.png").exists()


@pytest.mark.slow
def test_randomise_keeps_the_class_that_the_untouched_model_says(capsys):
    asked = (*FAITH, "--image", "coffee", "--methods", "gradcam", "--randomise", "--json")
    assert run(asked) == 0
    alone = json.loads(capsys.readouterr().out)
    assert run(["probe", "cam", *RISE[2:], "--image", "coffee", "--method", "gradcam", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)[0]["target"]
    assert run([*asked, "--target", str(said)]) == 0
    assert json.loads(capsys.readouterr().out) == alone
