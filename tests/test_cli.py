"""The command line: what it answers, where it writes, how it ends."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from PIL import Image

from labkit import cli
from labkit.cli import run
from labkit.commands import _output, _seeing, data, doctor, train
from labkit.data.tiny_imagenet import TinyImages
from labkit.models.backbones.resnet import ResNet
from labkit.session import look
from labkit.training import cards
from labkit.training.recipes import RECIPES, Recipe, Stage
from labkit.widgets.figures import shares_of

RANDOM = ("probe", "attention", "--model", "lab/vit", "--weights", "none")
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    """Run a command here; gives (exit code, stdout, stderr)."""
    monkeypatch.setenv("COLUMNS", "200")

    def said(*args: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([str(arg) for arg in args])
        return code, *capsys.readouterr()

    return said


def refused(said: tuple[int, str, str], code: int = 2) -> str:
    """The one sentence on stderr of a command that could not answer."""
    assert said[0] == code
    assert said[1] == ""
    assert said[2].startswith("labkit: ")
    assert said[2].count("\n") == 1
    return said[2]


def command(*args: str, **options: object) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-c", "from labkit.cli import main; main()", *args]
    return subprocess.run(call, capture_output=True, text=True, timeout=300, **options)


# Help


def test_help_answers_at_once_and_imports_nothing_heavy() -> None:
    code = (
        "import resource, sys; from labkit.cli import run; code = run(['--help']); "
        "heavy = {'torch', 'numpy', 'timm', 'gradio', 'matplotlib', 'rich', 'PIL'} & set(sys.modules); "
        "used = resource.getrusage(resource.RUSAGE_SELF); "
        "print(code, sorted(heavy), used.ru_utime + used.ru_stime, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "doctor" in done.stdout
    answer, heavy, seconds = done.stderr.split(maxsplit=2)
    assert (answer, heavy) == ("0", "[]")
    assert float(seconds) < 0.5  # of the processor's time: what the wall clock shows on an idle core


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name: str, say: Said) -> None:
    code, out, err = say(name, "--help")
    assert (code, err) == (0, "")
    assert f"Usage: labkit {name}" in out
    assert len(out.splitlines()) > 4


def test_the_version_is_the_packages(say: Said) -> None:
    from importlib.metadata import version

    assert say("--version")[:2] == (0, f"labkit {version('labkit')}\n")


# What the visitor did wrong


def test_a_misspelt_command_gets_the_nearest(say: Said) -> None:
    assert "did you mean models?" in refused(say("modles"))
    assert "did you mean attention?" in refused(say("probe", "atention"))
    assert "there are up, lab" in refused(say("zzz"))


def test_a_misspelt_option_gets_the_nearest(say: Said) -> None:
    assert "--model" in refused(say("probe", "attention", "--modle", "lab/vit"))


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("a bug of ours, not the visitor's mistake")

    monkeypatch.setattr("labkit.pretrained.available", broken)
    with pytest.raises(ValueError, match="a bug of ours"):
        run(["models"])


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("--model", "lab/vti"), "lab/vit"),
        (("--image", "chelsae"), "chelsea"),
        (("--image", "no/such/file.png"), "no file"),
        (("--image", "."), "folder"),
        (("--layer", "6"), "layers 0 to 5"),
        (("--layer", "-1"), "layers 0 to 5"),
        (("--head", "9"), "heads 0 to 3"),
        (("--layer", "two"), "not a valid integer"),
        (("--device", "abacus"), "not on this machine"),
        (("--model", "lab/resnet"), "no attention"),
    ],
)
def test_wrong_questions_get_a_sentence(args: tuple[str, ...], expected: str, say: Said) -> None:
    assert expected in refused(say(*RANDOM, *args))


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "pixel"])
def test_wrong_files_get_a_sentence(kind: str, say: Said, tmp_path: Path) -> None:
    file = tmp_path / "any.png"
    Image.fromarray(np.arange(90 * 70 * 3, dtype=np.uint8).reshape(70, 90, 3)).save(file)
    content = {"empty": b"", "text": b"hello", "cut": file.read_bytes()[:-500], "pixel": None}[kind]
    if content is None:
        Image.new("RGB", (1, 1)).save(file)
    else:
        file.write_bytes(content)
    assert "any.png" in refused(say(*RANDOM, "--image", file))


def test_missing_and_damaged_checkpoints_get_a_sentence(
    say: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("labkit.session.sitting._models", type(sys.modules["labkit.session.sitting"]._models)())
    assert "labkit train vit" in refused(say("probe", "attention"))
    (tmp_path / "vit.safetensors").write_bytes(b"junk")
    (tmp_path / "vit.json").write_text("{")
    assert "damaged" in refused(say("probe", "attention"))


# labkit probe attention


def test_json_is_one_list_of_rows_and_nothing_else(say: Said) -> None:
    code, out, _ = say(*RANDOM, "--image", "astronaut", "--json")
    assert code == 0
    rows = json.loads(out)
    assert [(row["layer"], row["head"]) for row in rows] == [(layer, head) for layer in range(6) for head in range(4)]
    assert all(tuple(row) == ("layer", "head", "nmi", "distance", "entropy", "pattern") for row in rows)
    found = look("lab/vit", "astronaut", weights=None)
    assert rows[9]["entropy"] == pytest.approx(found.measures[2].entropy[0, 1].item())
    assert rows[9]["pattern"] == found.measures[2].patterns()[1]


def test_one_layer_and_head_can_be_chosen(say: Said) -> None:
    whole = json.loads(say(*RANDOM, "--json")[1])
    assert json.loads(say(*RANDOM, "--layer", "3", "--json")[1]) == whole[12:16]
    assert json.loads(say(*RANDOM, "--head", "2", "--json")[1]) == whole[2::4]
    assert json.loads(say(*RANDOM, "--layer", "5", "--head", "0", "--json")[1]) == [whole[20]]


def test_the_table_shows_each_head_and_sums_up_each_layer(say: Said) -> None:
    code, out, _ = say(*RANDOM, "--image", "coffee")
    assert code == 0
    assert "coffee through lab/vit (random weights)" in out
    found = look("lab/vit", "coffee", weights=None)
    rows = [line.split() for line in out.splitlines() if line.split()[-1:] and line.split()[-1] in _patterns()]
    assert len(rows) == 6 * 5
    assert [row[1] for row in rows[:4]] == ["0", "1", "2", "3"]
    assert rows[4][:2] == ["all", f"{found.measures[0].nmi.mean():.3f}"]
    assert rows[7][4] == f"{found.measures[1].entropy[0, 2]:.2f}"
    assert "It sees" not in out  # a random head knows nothing


def _patterns() -> set[str]:
    return {"local", "hybrid", "global"}


def test_your_own_picture_of_any_shape(say: Said, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(255, size=(61, 203), dtype=np.uint8)).save(tmp_path / "any.jpg")
    code, out, _ = say(*RANDOM, "--image", tmp_path / "any.jpg", "--json")
    assert code == 0
    assert len(json.loads(out)) == 24


def test_a_timm_model_with_random_weights(say: Said) -> None:
    code, out, _ = say("probe", "attention", "--model", "timm/vit_tiny_patch16_224", "--weights", "none", "--json")
    assert code == 0
    assert len(json.loads(out)) == 12 * 3


@pytest.mark.slow
def test_out_writes_numbers_and_figures(say: Said, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    code, shown, err = say(*RANDOM, "--image", "rocket", "--out", out)
    assert (code, shown) == (0, "")
    assert str(out) in err
    names = {file.name for file in out.iterdir()}
    figures = {f"{name}.{kind}" for name in ("overview", "heads", "patterns", "depth") for kind in ("png", "svg")}
    assert names == {"attention.json", "attention.csv"} | figures
    rows = json.loads((out / "attention.json").read_text())
    lines = (out / "attention.csv").read_text().splitlines()
    assert lines[0] == "layer,head,nmi,distance,entropy,pattern"
    assert len(lines) == 1 + len(rows) == 25
    assert float(lines[10].split(",")[4]) == rows[9]["entropy"]
    for name in figures:
        file = out / name
        if name.endswith("png"):
            assert np.asarray(Image.open(file).convert("L")).std() > 5  # not a blank sheet
        else:
            assert file.read_text().startswith("<?xml")


def test_what_is_not_defined_is_null_and_empty() -> None:
    row = {"layer": 0, "head": 0, "nmi": None, "distance": None, "entropy": None, "pattern": None}
    files = _seeing.numbers("attention", [row])
    assert json.loads(files["attention.json"]) == [row]
    assert files["attention.csv"].decode().splitlines()[1] == "0,0,,,,"
    with pytest.raises(ValueError, match="not JSON compliant"):
        _output.as_json([float("nan")])


def test_the_shares_of_a_query_are_its_row_on_the_grid() -> None:
    attention = look("lab/vit", "chelsea", weights=None).maps[1]
    shares = shares_of(attention, 19)
    assert shares.shape == (4, *attention.grid)
    row = attention.dense()[0, :, 1 + 19, 1:]  # one class token first
    np.testing.assert_allclose(shares.reshape(4, -1), row.numpy(), atol=1e-7)
    np.testing.assert_allclose(shares_of(attention, -1).reshape(4, -1), attention.dense()[0, :, 0, 1:], atol=1e-7)
    assert np.isnan(shares_of(attention, 10_000)).all()


# Files: whole or not at all


def test_an_out_that_cannot_be_is_one_sentence(say: Said, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert "it is a file" in refused(say(*RANDOM, "--out", tmp_path / "file"))
    assert "nothing was written" in refused(say(*RANDOM, "--out", tmp_path / "file" / "below"))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(_output.BadInput, match="permission denied"):
        _output.write_all(tmp_path / "out", {"a": b"1"})


def test_a_full_disk_leaves_no_half_written_file(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a disk that fills up in the middle of the second file."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a.txt").write_text("before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
    try:
        for name in ("old", "new"):
            with pytest.raises(_output.BadInput, match="nothing was written"):
                _output.write_all(tmp_path / name, {"a.txt": b"after", "b.bin": bytes(3_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [file.name for file in tmp_path.rglob("*")] == ["old", "a.txt"]
    assert (tmp_path / "old" / "a.txt").read_text() == "before"


def test_a_reader_that_leaves_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        call = [sys.executable, "-c", "from labkit.cli import main; main()", "--help"]
        done = subprocess.run(call, stdout=gone, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


# labkit models, data, doctor


def test_models_as_json(say: Said) -> None:
    code, out, err = say("models", "--json")
    assert (code, err) == (0, "")
    rows = json.loads(out)
    assert all(tuple(row) == ("name", "params", "input", "source", "top1") for row in rows)
    assert {"lab/vit", "lab/resnet", "efficientnet_lite0"} <= {row["name"] for row in rows}


def test_models_by_a_word(say: Said) -> None:
    code, out, _ = say("models", "--filter", "deit_tiny")
    assert code == 0
    assert "timm/deit_tiny_distilled_patch16_224" in out
    assert "resnet" not in out
    assert "no model's name holds 'zzz'" in refused(say("models", "--filter", "zzz"))


def test_data_says_what_is_there(say: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    code, out, err = say("data")
    assert code == 0
    assert "astronaut" in out
    assert "labkit data --download" in err
    assert json.loads(say("data", "--json")[1])["tiny_imagenet"] is None
    (tmp_path / "labkit").mkdir()
    (tmp_path / "labkit" / "tiny-imagenet-200.zip").touch()
    assert json.loads(say("data", "--json")[1])["tiny_imagenet"].endswith("tiny-imagenet-200.zip")


def test_a_download_without_a_network_says_so(
    say: Said, off_machine: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = say("data", "--download")
    assert (code, out) == (1, "")
    assert "could not be fetched" in err.splitlines()[-1]
    off_machine.clear()


def test_a_damaged_download_says_so(say: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(**_: object) -> Path:
        raise ValueError("the sum differs.")

    monkeypatch.setattr("labkit.data.tiny_imagenet.download_tiny_imagenet", damaged)
    code, _, err = say("data", "--download")
    assert code == 1
    assert "Nothing was kept" in err.splitlines()[-1]
    assert data.data.name == "data"


def findings(out: str) -> dict[str, dict[str, str]]:
    return {row["check"]: row for row in json.loads(out)}


def test_doctor_finds_what_is_here(say: Said) -> None:
    code, out, _ = say("doctor", "--json")
    found = findings(out)
    assert all(tuple(row) == ("check", "state", "found", "advice") for row in found.values())
    for check in ("python", "labkit", "packages", "device", "efficientnet_lite0", "photos"):
        assert found[check]["state"] == "ok", found[check]
    assert f"torch {torch.__version__.partition('+')[0]}" in found["packages"]["found"]
    assert code == int(any(row["state"] == "missing" for row in found.values()))


def test_doctor_says_what_is_missing_and_what_to_do(say: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    real = doctor.importlib.metadata.version

    def version(name: str) -> str:
        if name == "plotly":
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return "0.1" if name == "gradio" else real(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    code, out, _ = say("doctor", "--json")
    found = findings(out)
    assert code == 1
    assert "not installed" in found["plotly"]["found"]
    assert "0.1, needs >=6" in found["gradio"]["found"]
    assert found["lab/vit"]["state"] == "missing"
    assert "labkit train vit" in found["lab/vit"]["advice"]
    assert found["Tiny-ImageNet"]["state"] == "optional"
    assert all(row["advice"] for row in found.values() if row["state"] != "ok")

    code, out, _ = say("doctor")
    assert code == 1
    assert "✗  plotly" in out
    assert "→" in out


# labkit train


@pytest.fixture
def tiny_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A recipe of seconds on data of its own; the words of a command that runs it in a folder of the test's."""

    def build(classes: int) -> torch.nn.Module:
        return ResNet(widths=(8, 16), depths=(1, 1), classes=classes)

    recipe = Recipe("tiny", build, stages=(Stage(16, 2), Stage(24, 2)), batch=4, warmup=0.5)
    monkeypatch.setitem(RECIPES, "tiny", recipe)
    images = TinyImages(
        torch.randint(256, (12, 3, 24, 24), dtype=torch.uint8),
        torch.arange(12) % 3,
        torch.zeros(12, 4, dtype=torch.int64),
        ("a", "b", "c"),
        ("n1", "n2", "n3"),
    )
    monkeypatch.setattr(train, "_images", lambda: (images, images, "tiny-imagenet-3.zip"))
    state, out = tmp_path / "run.pt", tmp_path / "out" / "mine.safetensors"
    return ["train", "tiny", "--device", "cpu", "--state", str(state), "--out", str(out)]


def test_train_ends_with_a_checkpoint_and_its_card(say: Said, tiny_run: list[str], tmp_path: Path) -> None:
    code, out, err = say(*tiny_run, "--seed", "7")
    assert (code, out) == (0, "")
    assert "epoch 4/4 at 24 pixels: loss" in err
    _, card = cards.restore(tmp_path / "out" / "mine.safetensors")
    assert (card["seed"], card["epochs"], card["data"]["archive"]) == (7, 4, "tiny-imagenet-3.zip")
    assert card["command"].startswith("labkit train tiny --seed 7")
    assert not (tmp_path / "run.pt").exists()


def test_a_stopped_training_says_how_to_go_on_and_does(
    say: Said, tiny_run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labkit.training import loop

    real, steps = loop._average, []

    def stop(*args: object) -> None:
        steps.append(1)
        if len(steps) == 8:
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(loop, "_average", stop)
    code, _, err = say(*tiny_run)
    assert code == 130
    assert str(tmp_path / "run.pt") in err
    assert "labkit train tiny --seed 0" in err
    monkeypatch.setattr(loop, "_average", real)
    code, _, err = say(*tiny_run)
    assert code == 0
    assert "Going on with the run" in err
    assert "epoch 2/4" not in err
    assert "epoch 3/4" in err
    assert cards.read(tmp_path / "out" / "mine.safetensors")["minutes"] is None


def test_a_shorter_run_scales_every_stage(say: Said, tiny_run: list[str], tmp_path: Path) -> None:
    assert say(*tiny_run, "--epochs-scale", "0.5")[0] == 0
    card = cards.read(tmp_path / "out" / "mine.safetensors")
    assert card["stages"] == [{"size": 16, "epochs": 1}, {"size": 24, "epochs": 1}]
    assert "--epochs-scale 0.5" in card["command"]


def test_train_refuses_early(say: Said, tiny_run: list[str], tmp_path: Path) -> None:
    assert "did you mean resnet" in refused(say("train", "resnt"))
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(say(*tiny_run[:-1], str(tmp_path / "file" / "x.safetensors")))
    assert "other classes" in refused(say(*tiny_run, "--teacher", "efficientnet_lite0"))
    assert "did you mean lab/resnet" in refused(say(*tiny_run, "--teacher", "lab/resnt"))


def test_train_without_data_says_how_to_get_it(say: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    assert "labkit data --download" in refused(say("train", "resnet", "--out", str(tmp_path / "x.safetensors")))


def test_train_without_a_name_lists_the_recipes(say: Said) -> None:
    code, out, _ = say("train")
    assert code == 0
    assert all(name in out for name in RECIPES)
    assert isinstance(train.train, click.Command)


# The whole way


@pytest.mark.slow
def test_the_command_itself() -> None:
    done = command(*RANDOM, "--image", "chelsea", "--json")
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) == 24
    wrong = command(*RANDOM, "--image", "chelsae")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.count("\n") == 1
