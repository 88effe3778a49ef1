"""`labkit papers` and `labkit run`: what a person, a program and a mistaken visitor are told."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest

from labkit import experiments
from labkit.cli import run
from labkit.experiments import Number, Readout, Slider
from labkit.paper import catalogue
from labkit.viz.experiments import rivals

KEYS = ["number", "id", "title", "year", "room", "file", "sizes", "claim", "verdict"]
ROOT = Path(__file__).resolve().parents[2]


def say(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run(list(args))
    return code, *capsys.readouterr()


def quick(
    *,
    who: Annotated[Literal["pooling", "attention"], "who mixes"] = "pooling",
    side: Annotated[int, Slider(3, 7, 2), "cells along a side"] = 3,
    whole_map: Annotated[bool, "with the mean of the map"] = True,
) -> Readout:
    """Turn and see."""
    numbers = {"count": Number(61924), "share": Number(0.51953, "0..1"), "none": Number(math.nan, "cells")}
    return Readout("C", "partly", f"{who} {side} {whole_map}.", numbers, {"bars": rivals({"a": 1.0}, label="x")})


@pytest.fixture(autouse=True)
def _answers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "experiment_of", lambda name: quick)


def test_papers_are_one_list_with_the_promised_keys(capsys):
    code, out, err = say(capsys, "papers", "--json")
    rows = json.loads(out)
    assert (code, err) == (0, "")
    assert [row["id"] for row in rows] == [one.id for one in catalogue()]
    assert all(list(row) == KEYS for row in rows)
    assert all((ROOT / row["file"]).is_file() for row in rows)
    assert {row["verdict"] for row in rows} <= {"held", "partly", "not", "unmeasured"}


def test_papers_are_searched_and_shown(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, err = say(capsys, "papers", "visual", "2022")
    assert code == 0
    assert "Visual Attention Network" in out
    assert "metaformer" not in out
    assert "labkit run ID" in err
    code, out, err = say(capsys, "papers", "zebra")
    assert (code, out) == (2, "")
    assert "speaks of 'zebra'" in err


def test_papers_answer_in_half_a_second_and_import_nothing_heavy():
    code = (
        "import resource, sys; from labkit.cli import run; code = run(['papers', '--json']); "
        "heavy = {'torch', 'numpy', 'matplotlib', 'rich'} & set(sys.modules); "
        "used = resource.getrusage(resource.RUSAGE_SELF); "
        "print(code, sorted(heavy), used.ru_utime + used.ru_stime, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    answer, heavy, seconds = done.stderr.split(maxsplit=2)
    assert (answer, heavy) == ("0", "[]")
    assert float(seconds) < 0.5  # of the processor's time


def test_a_run_is_one_object(capsys):
    code, out, err = say(capsys, "run", "van", "--who", "attention", "--side", "7", "--no-whole-map", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert list(found) == ["id", "knobs", "numbers", "claim", "verdict", "because", "seconds"]
    assert found["knobs"] == {"who": "attention", "side": 7, "whole_map": False}
    assert found["because"] == "attention 7 False."
    assert found["numbers"]["share"] == {"value": 0.51953, "unit": "0..1"}
    assert found["numbers"]["none"]["value"] is None


def test_a_run_is_shown_to_people(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = say(capsys, "run", "van")
    assert code == 0
    for expected in ("61,924", "0.52", "–", "The claim: C", "It held in part. pooling 3 True."):
        assert expected in out


def test_out_writes_numbers_and_figures(capsys, tmp_path):
    code, out, err = say(capsys, "run", "van", "--out", str(tmp_path / "new"))
    assert (code, out) == (0, "")
    assert "Wrote 3 files" in err
    assert {file.name for file in (tmp_path / "new").iterdir()} == {"van.json", "bars.png", "bars.svg"}
    assert json.loads((tmp_path / "new/van.json").read_text())["id"] == "van"
    (tmp_path / "file").touch()
    code, _, err = say(capsys, "run", "van", "--out", str(tmp_path / "file"))
    assert code == 2
    assert "it is a file, not a folder" in err


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("run", "vna"), "did you mean van"),
        (("run", "van", "--sied", "3"), "did you mean --side?"),
        (("run", "van", "--side", "4"), "in steps of 2, got 4"),
        (("run", "van", "--side", "9"), "from 3 to 7, got 9"),
        (("run", "van", "--who", "poling"), "did you mean pooling?"),
    ],
)
def test_wrong_questions_get_one_sentence(args, expected, capsys):
    code, out, err = say(capsys, *args)
    assert (code, out) == (2, "")
    assert expected in err
    assert err.count("\n") == 1


def test_a_bad_knob_leaves_no_folder_behind(capsys, tmp_path):
    assert say(capsys, "run", "van", "--side", "4", "--out", str(tmp_path / "new"))[0] == 2
    assert not (tmp_path / "new").exists()


def test_the_help_shows_papers_and_knobs(capsys):
    assert "Visual Attention Network" in say(capsys, "run", "--help")[1]
    said = say(capsys, "run", "van", "--help")[1]
    for expected in (
        "Turn and see.",
        "--who pooling|attention",
        "--side 3..7",
        "Cells along a side.",
        "--no-whole-map",
    ):
        assert expected in said
