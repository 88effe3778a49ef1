"""The bench: takes turns, takes medians, and every suite can be run."""

from __future__ import annotations

import importlib
import json

import pytest

from labkit import bench
from labkit.bench import Case
from labkit.cli import run

COLUMNS = ["name", "floor_s", "ours_s", "ratio", "goal", "peer", "peer_ratio", "device"]


def case(worked: list[str], *, peer: bool) -> Case:
    names = ("floor", "ours", "peer")
    floor, ours, theirs = (lambda name=name: worked.append(name) for name in names)
    return Case("made up", 1.2, floor, ours, "theirs", theirs if peer else None)


def test_floor_ours_and_peer_take_turns_after_a_warm_up(monkeypatch):
    worked: list[str] = []
    seconds = iter([2.0, 3.0, 4.0, 1.0, 5.0, 3.0, 4.0, 4.0, 2.0])

    def clock(work):
        work()
        return next(seconds)

    monkeypatch.setattr(bench, "_cpu_seconds", clock)
    line = bench.run(case(worked, peer=True), pairs=3, device="cpu")
    assert worked == ["floor", "ours", "peer"] * 4
    assert (line.floor_s, line.ours_s) == (2.0, 4.0)
    assert line.ratio == 1.5  # the median of 3/2, 5/1 and 4/4: pair by pair, not of the medians
    assert line.peer_ratio == 2.0  # of 4/2, 3/1 and 2/4
    assert (line.peer, line.goal, line.device) == ("theirs", 1.2, "cpu")


def test_a_peer_that_is_not_installed_leaves_its_columns_empty():
    worked: list[str] = []
    line = bench.run(case(worked, peer=False), pairs=2, device="cpu")
    assert (line.peer, line.peer_ratio) == (None, None)
    assert worked == ["floor", "ours"] * 3


def test_the_command_prints_one_list(monkeypatch, capsys):
    monkeypatch.setattr(bench, "cases", lambda suite, device: [case([], peer=suite == "cam")])
    assert run(["bench", "cam", "rise", "--pairs", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [list(row) for row in rows] == [COLUMNS, COLUMNS]
    assert [row["peer"] for row in rows] == ["theirs", None]
    assert run(["bench", "rise", "--pairs", "1"]) == 0
    assert "made up" in capsys.readouterr().out


def test_a_suite_that_is_not_there_gets_the_nearest(capsys):
    assert run(["bench", "mixin"]) == 2
    assert "did you mean mixing?" in capsys.readouterr().err


def test_every_instrument_whose_speed_is_promised_has_a_suite():
    promised = {"attention", "cam", "faithfulness", "mixing", "receptive_field", "rise", "scan"}
    assert promised <= {*bench.suites()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what the peers warn of is theirs
@pytest.mark.parametrize("suite", bench.suites())
def test_every_suite_runs(suite, monkeypatch):
    # What it measures is for `labkit bench` on a quiet machine: here every line only has to run.
    module = importlib.import_module(f"labkit.bench.{suite}")
    for size, few in {"MASKS": 2, "IMAGES": 2, "MANY": 4, "BATCH": 4, "LENGTH": 256, "LONG": 512}.items():
        if hasattr(module, size):
            monkeypatch.setattr(module, size, few)
    lines = bench.cases(suite, "cpu")
    assert len({line.name for line in lines}) == len(lines) > 0
    for line in lines:
        assert line.goal > 0
        for work in filter(None, (line.floor, line.ours, line.peer)):
            work()
