"""docs/findings.md and the script that measures it belong together."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("findings_page", ROOT / "scripts/findings.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_every_table_has_its_place_its_numbers_and_its_command(script: ModuleType) -> None:
    page = script.PAGE.read_text(encoding="utf-8")
    assert re.findall(r"<!-- (\w+): -->", page) == list(script.TABLES)
    for name in script.TABLES:
        part = page.split(f"<!-- {name}: -->")[1].split("<!-- end -->")[0]
        assert len(re.findall(r"-?\d\.\d{3} \[[+-]?\d\.\d{3}, [+-]?\d\.\d{3}\]", part)) > 10
        assert f"`python scripts/findings.py {name}`" in part
        assert "nan" not in part


def test_a_table_is_made_anew_and_nothing_else_is_touched(script: ModuleType) -> None:
    page = "a <!-- one: --> old <!-- end --> b <!-- two: --> stays <!-- end --> c"
    made = script.with_table(page, "one", "| new |")
    assert made.startswith("a <!-- one: -->\n\n| new |\n\n`python scripts/findings.py one`\n\n<!-- end --> b ")
    assert made.endswith("<!-- two: --> stays <!-- end --> c")
    with pytest.raises(ValueError, match="not found"):
        script.with_table(page, "three", "")


def test_numbers_carry_their_interval_and_their_sign(script: ModuleType) -> None:
    assert script.with_interval(torch.full((30,), 0.25)) == "0.250 [0.250, 0.250]"
    assert script.with_interval(torch.full((30,), 0.5), torch.full((30,), 0.25), signed=True) == (
        "+0.250 [+0.250, +0.250]"
    )
    assert script.table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_a_table_that_there_is_not_is_said(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("sys.argv", ["findings.py", "nothing"])
    assert script.main() == 2
    assert "'nothing'; there are patterns, objects" in capsys.readouterr().err
