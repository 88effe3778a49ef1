"""Many models, pictures and instruments: nothing is asked twice, nothing is lost, and it is the same by whomever."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import psutil
import pytest
from PIL import Image

from labkit.cli import run
from labkit.commands import _sweep_tasks
from labkit.commands._servers import free_port
from labkit.commands._sweep_ledger import Ledger
from labkit.commands._sweep_tasks import Task, instrument, tasks
from labkit.commands.sweep import _words

Said = tuple[int, str, str]
ASKED = ("--models", "lab/vit,lab/resnet", "--probes", "similarity,attention", "--images", "chelsea,coffee,rocket")


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def said(*args: str) -> Said:
        capsys.readouterr()
        code = run(["sweep", "--device", "cpu", *args])
        return code, *capsys.readouterr()

    return said


@pytest.fixture
def one(tmp_path: Path) -> Task:
    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    (task,) = tasks(["lab/vit"], ["rise"], [str(tmp_path / "red.png")], weights="default", device="cpu", words={})
    return task


def table(folder: Path, name: str) -> pd.DataFrame:
    """A table without what depends on the clock."""
    found = pd.read_parquet(folder / f"{name}.parquet")
    return found.drop(columns=[column for column in found if column == "seconds"])


def test_a_name_is_made_of_all_that_decides_the_answer(one: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [
        dataclasses.replace(one, **change)
        for change in (
            {"model": "lab/resnet"},
            {"weights": None},
            {"made": "taught again"},
            {"picture": b"another"},
            {"probe": "cam"},
            {"words": ("--masks=7",)},
        )
    ]
    same = [dataclasses.replace(one, **change) for change in ({"device": "cuda"}, {"image": "renamed"})]
    # What is the default, said or not, is the same question.
    same.append(dataclasses.replace(one, words=("--masks=1000",)))
    monkeypatch.setattr(_sweep_tasks, "version", lambda name: "another")
    newer = dataclasses.replace(one)
    keys = [task.key for task in (newer, *others)]
    monkeypatch.undo()
    assert one.key not in keys
    assert len(set(keys)) == len(keys)
    assert {task.key for task in same} == {one.key}
    assert len(one.made) == 64


def test_the_words_of_a_setting() -> None:
    words = _words(["rise.masks=200", "mixing.held", "rise.seed=3"], ["rise", "mixing"])
    assert words == {"rise": ["--masks=200", "--seed=3"], "mixing": ["--held"]}
    assert instrument("rise").own(words["rise"])["masks"] == 200
    assert instrument("mixing").own(words["mixing"])["held"] is True
    assert "name" not in instrument("rise").own([])


def test_an_answer_that_was_cut_short_is_none(one: Task, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "sweep")
    assert ledger.known(one) is None
    ledger.keep(one.row("done", rows=[{"a": 1}]))
    assert ledger.known(one)["rows"] == [{"a": 1}]
    file = ledger.cells / f"{one.key}.json"
    file.write_text(file.read_text()[:-9])
    assert ledger.known(one) is None


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--models", "lab/vitt", "--probes", "cost"), "lab/vit"),
        (("--models", "lab/x*", "--probes", "cost"), "no model of ours"),
        (("--models", "lab/vit", "--probes", "attentoin"), "attention"),
        (("--models", "lab/vit", "--probes", "cost", "--images", "nobody.png"), "nobody.png"),
        (("--models", "lab/vit", "--probes", "rise", "--set", "rise.maks=2"), "masks"),
        (("--models", "lab/vit", "--probes", "rise", "--set", "rise.masks=-2"), "masks"),
        (("--models", "lab/vit", "--probes", "rise", "--set", "cam.method=gradcam"), "PROBE.OPTION=VALUE"),
        (("--models", "lab/vit", "--probes", "rise", "--scheduler", "nonsense"), "no dask scheduler"),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(
    say: Callable[..., Said], tmp_path: Path, args: tuple[str, ...], words: str
) -> None:
    code, out, err = say(*args, "--out", str(tmp_path / "sweep"))
    assert (code, out) == (2, "")
    assert words in err
    assert not list((tmp_path / "sweep").rglob("*.json"))


def test_what_breaks_is_asked_again_and_then_says_how(
    say: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, works_from = [], 3
    command = instrument("attention")
    looks = command.function

    @functools.wraps(looks)
    def shaky(view, **own):
        tried.append(view.name)
        if len(tried) < works_from:
            raise RuntimeError("out of luck")
        return looks(view, **own)

    monkeypatch.setattr(command, "function", shaky)
    asked = ("--models", "lab/vit", "--probes", "attention", "--images", "chelsea", "--workers", "0")

    def ask(retries: int) -> tuple[int, dict]:
        code, out, _ = say(*asked, "--out", str(tmp_path), "--retries", str(retries), "--json")
        (row,) = json.loads(out)
        return code, row

    code, row = ask(1)
    assert (code, len(tried), row["status"], row["rows"]) == (1, 2, "failed", 0)
    assert row["why"] == "RuntimeError: out of luck"
    code, row = ask(0)  # what failed was not kept, and is asked again
    assert (code, len(tried), row["status"], row["rows"]) == (0, 3, "done", 24)
    assert ask(0)[0] == 0
    assert len(tried) == 3  # what is there is not


@pytest.mark.slow
def test_a_sweep_in_one_process(say: Callable[..., Said], tmp_path: Path) -> None:
    code, out, err = say(*ASKED, "--workers", "0", "--out", str(tmp_path))
    assert code == 0
    assert "ResNet has no attention to read" in out
    assert "12 of 12" in err
    cells, similar, looks = (table(tmp_path, name) for name in ("sweep", "similarity", "attention"))
    assert list(cells.status) == 9 * ["done"] + 3 * ["refused"]
    assert list(cells.rows) == 3 * [6] + 3 * [24] + 3 * [7] + 3 * [0]
    assert set(looks.model) == {"lab/vit"}
    assert similar.groupby(["model", "image"]).similarity.count().tolist() == 3 * [7] + 3 * [6]
    assert similar.similarity.between(-1, 1).all()


@contextmanager
def started(*args: str) -> Iterator[subprocess.Popen[bytes]]:
    """`labkit sweep` in a process of its own, ended at the end with everything it started."""
    command = [sys.executable, "-c", "from labkit.cli import main; main()", "sweep", "--device", "cpu", *args]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its group at once, as a power cut would."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def cells(folder: Path) -> dict[str, int]:
    """The answers that are kept, with when they were written."""
    return {file.name: file.stat().st_mtime_ns for file in folder.glob("cells/*.json")}


def await_cells(folder: Path, process: subprocess.Popen[bytes], count: int) -> None:
    deadline = time.monotonic() + 180
    while len(cells(folder)) < count:
        assert process.poll() is None, "the sweep ended before its time"
        assert time.monotonic() < deadline, "no answers came"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serial")
    assert run(["sweep", *ASKED, "--device", "cpu", "--workers", "0", "--out", str(folder)]) == 0
    return folder


def same(folder: Path, serial: Path) -> None:
    for name in ("sweep", "similarity", "attention"):
        pd.testing.assert_frame_equal(table(folder, name), table(serial, name), check_exact=True)


@pytest.mark.slow
def test_a_worker_is_killed_and_nothing_is_missing(serial: Path, tmp_path: Path) -> None:
    with started(*ASKED, "--workers", "2", "--out", str(tmp_path)) as sweep:
        await_cells(tmp_path, sweep, 1)
        workers = [
            one for one in psutil.Process(sweep.pid).children(recursive=True) if "spawn_main" in str(one.cmdline())
        ]
        assert len(workers) == 2
        workers[0].kill()
        assert len(cells(tmp_path)) < 12, "it was killed when all was done"
        assert sweep.wait(timeout=240) == 0
    same(tmp_path, serial)


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(serial: Path, tmp_path: Path) -> None:
    with started(*ASKED, "--workers", "0", "--out", str(tmp_path)) as sweep:
        await_cells(tmp_path, sweep, 3)
        end(sweep)
    kept = cells(tmp_path)
    assert 3 <= len(kept) < 12
    assert run(["sweep", *ASKED, "--device", "cpu", "--workers", "0", "--out", str(tmp_path)]) == 0
    assert kept.items() <= cells(tmp_path).items()
    same(tmp_path, serial)


@pytest.mark.slow
def test_a_cluster_gives_the_same(serial: Path, tmp_path: Path) -> None:
    address = f"tcp://127.0.0.1:{free_port(18786)}"
    python = [sys.executable, "-m"]
    scheduler = [*python, "distributed.cli.dask_scheduler", "--host", address, "--no-dashboard"]
    worker = [*python, "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "start_new_session": True, "cwd": tmp_path}
    running = [subprocess.Popen(command, **quiet) for command in (scheduler, worker)]
    try:
        with started(*ASKED, "--scheduler", address, "--out", str(tmp_path)) as sweep:
            assert sweep.wait(timeout=240) == 0
    finally:
        for process in running:
            end(process)
    same(tmp_path, serial)
