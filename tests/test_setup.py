"""The set-up holds together: one source of truth, exact pins, and nothing that is true of one machine only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = [Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]]


def pins() -> dict[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        pin = Requirement(line)
        found.setdefault(_plain(pin.name), []).append(pin)
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _version(pin: Requirement) -> str:
    return next(iter(pin.specifier)).version


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_every_requirement_is_pinned_within_its_bounds(wanted):
    versions = [_version(pin) for pin in pins().get(_plain(wanted.name), [])]
    assert versions, f"{wanted.name} is not in constraints.txt; run `make pins`"
    assert all(wanted.specifier.contains(version) for version in versions), f"{versions} is outside {wanted}"


def test_a_pin_is_exact_and_holds_on_any_machine():
    for same_name in pins().values():
        for pin in same_name:
            assert pin.url is None
            assert [part.operator for part in pin.specifier] == ["=="], f"{pin} is not exact"
            assert "*" not in _version(pin)
            assert "+" not in _version(pin), f"{pin} is a local version, which other machines do not have"


def test_no_installed_package_is_left_unpinned():
    """What a set-up by `make` brought in is pinned: tomorrow's set-up is today's."""
    from importlib.metadata import distributions

    stamps = list((ROOT / ".venv").glob(".labkit-[0-9]*"))
    if not stamps or Path(os.sys.prefix) != ROOT / ".venv":
        pytest.skip("this Python was not set up by `make`")
    installed = {_plain(found.metadata["Name"]): found.version for found in distributions()}
    pinned = {name: {_version(pin) for pin in same_name} for name, same_name in pins().items()}
    tools = {"labkit", "pip"}  # ourselves, and what came with Python
    strays = {
        name: version
        for name, version in installed.items()
        if name not in tools and version.partition("+")[0] not in pinned.get(name, set())
    }
    assert not strays


def test_conda_installs_the_same():
    recipe = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in recipe["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in recipe["dependencies"] if isinstance(entry, dict)]
    # conda brings Python and pip; every package comes from pyproject.toml, held by constraints.txt.
    assert [re.split(r"[=<>]", entry)[0] for entry in conda] == ["python", "pip"]
    assert pip == ["-c constraints.txt", "-e .[test]"]
    (python,) = [entry.partition("=")[2] for entry in conda if entry.startswith("python=")]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python)


def test_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE).group(1).split()
    shown = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert phony == [target for target in re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE)]
    for target in phony:
        assert re.search(rf"^  make {target} +\S", shown, flags=re.MULTILINE), f"`make help` does not tell of {target}"


@pytest.mark.parametrize("name", ["setup", "chromium", "pins"])
def test_a_script_is_sound(name):
    script = ROOT / "scripts" / f"{name}.sh"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)


def _set_up(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    (folder / "scripts").mkdir()
    for name in ("constraints.txt", "pyproject.toml", "scripts/setup.sh"):
        shutil.copy(ROOT / name, folder / name)
    command = ["bash", str(folder / "scripts/setup.sh")]
    return subprocess.run(command, env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True, check=False)


def _fake_python(folder: Path, *, version: str, can_make_venvs: bool) -> Path:
    path = folder / "a python"
    exit_code = 0 if can_make_venvs else 1
    path.write_text(
        "#!/bin/sh\n"
        'case "$2" in\n'
        f"  *'sys.exit('*) python3 -c 'import sys; sys.exit({version} < (3, 11))' ;;\n"
        f"  *ensurepip*) exit {exit_code} ;;\n"
        "  *print*) echo 3.11 ;;\n"
        "  *) exit 1 ;;\n"
        "esac\n"
    )
    path.chmod(0o755)
    return path


def test_an_old_python_is_named(tmp_path):
    python = _fake_python(tmp_path, version="(3, 9)", can_make_venvs=True)
    done = _set_up(tmp_path, PYTHON=str(python))
    assert done.returncode == 1
    assert f"PYTHON={python} is not a Python 3.11 or newer." in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_python_without_venv_is_told_what_to_install(tmp_path):
    # As an ordinary person sees it: `id -u` is not 0 and nothing may be installed.
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "id").write_text("#!/bin/sh\necho 1000\n")
    (tools / "id").chmod(0o755)
    python = _fake_python(tmp_path, version="(3, 11)", can_make_venvs=False)
    done = _set_up(tmp_path, PYTHON=str(python), PATH=f"{tools}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 1
    assert "sudo apt-get install python3.11-venv" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def _tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git checkout: nothing says which files belong to the project")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def _machine_words() -> list[str]:
    """What is true of this machine or of one package registry only. In pieces, so that this file is clean itself."""
    words = [
        "--extra-" + "index-url",
        "--index-" + "url",
        "/sim" + "ple/",
        "files.python" + "hosted",
        "registry." + "npmjs",
    ]
    words += ["/ro" + "ot/", "/home" + "/", "/Us" + "ers/", str(ROOT)]
    if len(ROOT.parts) > 2 and ROOT.parent != Path(tempfile.gettempdir()):
        words.append(f"{ROOT.parent}/")
    configured = subprocess.run(
        [shutil.which("python3") or "python3", "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    text = configured + "\n".join(
        value for name, value in os.environ.items() if name.upper().startswith(("PIP_", "UV_", "NPM_"))
    )
    hosts = {re.sub(r"^[^@]*@|:\d+$", "", host) for host in re.findall(r"https?://([^/\s'\"]+)", text)}
    return [*words, *sorted(hosts)]


def offenders(text: str, words: list[str]) -> list[str]:
    return [word for word in words if word in text]


def test_no_file_names_a_registry_or_a_machine():
    words = _machine_words()
    binary = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".safetensors", ".npz", ".npy", ".ico"}
    found = {}
    for path in _tracked():
        if path.suffix not in binary and (bad := offenders(path.read_text(errors="replace"), words)):
            found[str(path.relative_to(ROOT))] = bad
    assert not found


def test_such_a_file_is_found():
    assert offenders("pip install --extra-" + "index-url x y", _machine_words())
    assert offenders(f"cd {ROOT}/x", _machine_words())


def test_no_lock_file_with_addresses():
    locks = {"uv.lock", "pylock.toml", "poetry.lock", "package-lock.json"}
    assert not [path for path in _tracked() if path.name in locks]
