"""Every instrument in the terminal keeps one contract, on every family of models."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from labkit.cli import run
from labkit.commands.probe import probe

INSTRUMENTS = probe.list_commands(click.Context(probe))
# The same answer in less time: fewer masks, steps, layers.
QUICK = {
    "rise": ("--masks", "8"),
    "faithfulness": ("--methods", "gradcam", "--steps", "4", "--masks", "8"),
    "mixing": ("--probes", "1", "--side", "4"),
    "cost": ("--repeats", "1"),
}
FAMILIES = (
    "lab/resnet",
    "efficientnet_lite0",
    "timm/swin_tiny_patch4_window7_224",
    "timm/convnext_atto",
)
PAIRS = [(name, FAMILIES[(place + step) % len(FAMILIES)]) for place, name in enumerate(INSTRUMENTS) for step in (0, 2)]
"""Each instrument with two families and each family with five instruments; all forty pairs would take minutes."""
HAVE_ATTENTION = ("lab/vit", "timm/swin_tiny_patch4_window7_224")


def ask(capsys: pytest.CaptureFixture[str], name: str, *args: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run(["probe", name, *QUICK.get(name, ()), *args])
    return code, *capsys.readouterr()


def check_rows(out: str) -> None:
    rows = json.loads(out)
    assert isinstance(rows, list)
    assert rows
    assert all(isinstance(row, dict) and list(row) == list(rows[0]) for row in rows)
    numbers = [value for row in rows for value in row.values() if isinstance(value, float)]
    assert numbers
    assert np.isfinite(numbers).all()


def test_the_instruments_are_those_of_the_lab():
    assert {*INSTRUMENTS} == {
        "attention", "cam", "cost", "embedding", "faithfulness", "frequency", "mixing", "receptive-field", "rise",
        "similarity",
    }  # fmt: skip


SLOW = {"cost": pytest.mark.slow}


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in INSTRUMENTS])
def test_json_is_one_list_of_rows_with_the_same_keys(name, capsys):
    code, out, _ = ask(capsys, name, "--image", "chelsea", "--json")
    assert code == 0
    check_rows(out)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_every_instrument_explains_itself(name, capsys):
    code, out, _ = ask(capsys, name, "--help")
    assert code == 0
    for option in ("--model", "--image", "--weights", "--device", "--json", "--out"):
        assert option in out


@pytest.mark.parametrize("name", INSTRUMENTS)
@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("--model", "lab/vti"), "did you mean lab/vit"),
        (("--image", "chelsae"), "chelsea"),
        (("--device", "abacus"), "not on this machine"),
    ],
)
def test_wrong_questions_get_one_sentence(name, args, expected, capsys):
    code, out, err = ask(capsys, name, *args)
    assert (code, out) == (2, "")
    assert expected in err
    assert err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", INSTRUMENTS)
def test_out_writes_numbers_and_pictures(name, capsys, tmp_path: Path):
    code, out, err = ask(capsys, name, "--image", "coffee", "--out", str(tmp_path / "new"))
    assert (code, out) == (0, "")
    assert "Wrote" in err
    stem = name.replace("-", "_")
    check_rows((tmp_path / "new" / f"{stem}.json").read_text())
    assert (tmp_path / "new" / f"{stem}.csv").read_text().count("\n") > 1
    drawn = [*(tmp_path / "new").glob("*.png")]
    assert drawn
    assert all(np.asarray(Image.open(file).convert("L")).std() > 5 for file in drawn)  # no blank sheet
    assert {file.stem for file in drawn} == {file.stem for file in (tmp_path / "new").glob("*.svg")}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "model"), PAIRS)
def test_every_instrument_answers_for_other_families(name, model, capsys):
    weights = ("--weights", "none") if model.startswith("timm") else ()
    code, out, err = ask(capsys, name, "--model", model, *weights, "--image", "chelsea", "--json")
    if name == "attention" and model not in HAVE_ATTENTION:
        assert (code, out) == (2, "")
        assert f"`labkit probe mixing --model {model}`" in err
    else:
        assert code == 0, err
        check_rows(out)
