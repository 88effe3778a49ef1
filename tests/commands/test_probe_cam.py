"""`labkit probe cam`: what a machine reads, what a person reads, and what is refused."""

from __future__ import annotations

import json

import pytest

from labkit.cli import run

pytestmark = pytest.mark.slow  # whole commands, each a second or two

RANDOM = ("probe", "cam", "--weights", "none")
KEYS = ["picture", "method", "target", "category", "layer", "grid"]
KEYS += ["row", "column", "area", "highest", "lowest", "note"]


def test_rows_say_where_the_peak_is_and_which_layer_was_read(capsys, tmp_path):
    assert run([*RANDOM, "--model", "lab/vit", "--image", "coffee", "--image", "moon", "--target", "3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(list(row) == KEYS for row in rows)
    assert [row["picture"] for row in rows] == ["coffee"] * (len(rows) // 2) + ["moon"] * (len(rows) // 2)
    found = {row["method"]: row for row in rows[: len(rows) // 2]}
    assert {"gradcam", "layercam", "eigencam", "relevance", "legrad"} <= set(found)
    assert "cam" not in found  # a class token: not allowed, and nobody asked for it
    assert found["gradcam"]["target"] == 3
    assert found["gradcam"]["layer"] == "blocks.4"
    assert found["gradcam"]["grid"] == "8 x 8"
    assert "class token alone" in found["gradcam"]["note"]
    assert found["eigencam"]["target"] is None


def test_figures_and_numbers_are_written_and_the_named_methods_alone(capsys, tmp_path):
    asked = ("--method", "ablationcam", "--method", "cam")
    assert run([*RANDOM, "--model", "lab/resnet", *asked, "--out", str(tmp_path)]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {
        "cam.csv", "cam.json", "maps.png", "maps.svg", "signed.png", "signed.svg"
    }  # fmt: skip
    rows = json.loads((tmp_path / "cam.json").read_text())
    assert [row["method"] for row in rows] == ["cam", "ablationcam"]
    assert "<svg" in (tmp_path / "signed.svg").read_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--model", "lab/vit", "--layer", "blocks.5"), "name an earlier one, for example 'blocks.4'"),
        (("--model", "lab/resnet", "--method", "legrad"), "no attention to read"),
        (("--model", "lab/vit", "--method", "cam"), "use gradcam"),
        (("--model", "lab/resnet", "--target", "7777"), "expected classes in 0..49"),
        (("--model", "lab/resnet", "--target", "golden"), "has no such class"),
        (("--model", "lab/resnet", "--method", "gradcan"), "Invalid value for '--method'"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(capsys, options, sentence):
    assert run([*RANDOM, *options, "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
