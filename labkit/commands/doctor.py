"""`labkit doctor`: what this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from labkit.commands._output import as_json, console

REINSTALL = "`make lab` in the project's folder, or `pip install -c constraints.txt -e .`"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    state    "ok"; "missing": it is needed, and the lab will not work; "optional": it is not there, and most things work
    found    what was found, or what is wrong
    advice   what to do; empty when all is well
    """

    check: str
    state: str
    found: str
    advice: str = ""


@click.command()
@click.option("--json", "machine", is_flag=True, help="One list on stdout: check, state, found, advice.")
def doctor(*, machine: bool) -> int:
    """Check packages, device, weights and data.

    Exit code 1 when something needed is missing; what to do about it is said.
    """
    findings = []
    with console(stderr=True).status("Looking around …"):
        for look in (_python, _packages, _device, _weights, _data, _tools):
            findings += look()
    if machine:
        click.echo(as_json([dataclasses.asdict(finding) for finding in findings]))
    else:
        _report(findings)
    return 1 if any(finding.state == "missing" for finding in findings) else 0


def _report(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    marks = {"ok": ("✓", "green"), "missing": ("✗", "bold red"), "optional": ("–", "yellow")}
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for finding in findings:
        mark, colour = marks[finding.state]
        text = Text(finding.found)
        if finding.advice:
            text.append(f"\n→ {finding.advice}", style=colour)
        table.add_row(Text(mark, style=colour), finding.check, text)
    out = console()
    out.print(table)
    missing = sum(finding.state == "missing" for finding in findings)
    out.print("\n[green]The lab is ready.[/]" if not missing else f"\n[bold red]{missing} needed thing(s) missing.[/]")


def _python() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} ({sys.prefix})")


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in importlib.metadata.requires("labkit") or () if "extra ==" not in line]
    except importlib.metadata.PackageNotFoundError:
        yield Finding("labkit", "missing", "not installed", REINSTALL)
        return
    right = []
    for requirement in sorted(wanted, key=lambda requirement: requirement.name.lower()):
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(requirement.name, "missing", f"not installed, needs {requirement.specifier}", REINSTALL)
            continue
        # A build like 2.11.0+cpu is a 2.11.0.
        if requirement.specifier.contains(version.partition("+")[0], prereleases=True):
            right.append(f"{requirement.name} {version}")
        else:
            yield Finding(requirement.name, "missing", f"{version}, needs {requirement.specifier}", REINSTALL)
    yield Finding("labkit", "ok", importlib.metadata.version("labkit"))
    yield Finding("packages", "ok", ", ".join(right))


def _device() -> Iterator[Finding]:
    try:
        import torch
        import torchvision  # noqa: F401  a build that does not fit torch fails here, and only here
    except Exception as error:
        yield Finding("device", "missing", f"torch and torchvision do not work together ({error})", REINSTALL)
        return
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        yield Finding("device", "ok", f"CUDA: {gpu.name}, {gpu.total_memory / 2**30:.0f} GiB")
    else:
        yield Finding("device", "ok", f"CPU, {torch.get_num_threads()} threads of {os.cpu_count()} (no CUDA found)")


def _weights() -> Iterator[Finding]:
    try:
        from labkit.pretrained import LITE0, lab_names, lite0_file, weights_folder
        from labkit.training import cards
    except Exception as error:  # torch or timm is not whole: the lines above say so
        yield Finding("weights", "missing", f"cannot be checked: {error}", REINSTALL)
        return
    for name in lab_names():
        try:
            card = cards.read(weights_folder() / f"{name}.safetensors")
            size = f"{card['bytes'] / 1e6:.1f} MB"
            yield Finding(f"lab/{name}", "ok", f"{size}, top-1 {card['top1']:.1%}, checksum right")
        except ValueError as error:
            what, _, todo = str(error).partition(": ")
            yield Finding(f"lab/{name}", "missing", what, todo.rstrip("."))
    try:
        yield Finding(LITE0, "ok", lite0_file().name)
    except ValueError as error:
        what, _, todo = str(error).partition(": ")
        yield Finding(LITE0, "missing", what, todo.rstrip("."))


def _data() -> Iterator[Finding]:
    from labkit.data.images import photo_names

    names = photo_names()
    if names:
        yield Finding("photos", "ok", f"{len(names)}, from scikit-image")
    else:
        yield Finding("photos", "missing", "scikit-image holds no pictures", REINSTALL)
    try:
        from labkit.data.tiny_imagenet import find_archive

        archive = find_archive()
        yield Finding("Tiny-ImageNet", "ok", f"{archive} ({archive.stat().st_size / 1e6:.0f} MB)")
    except OSError:
        yield Finding(
            "Tiny-ImageNet",
            "optional",
            "not found; only training needs it",
            "`labkit data --download`, or set LABKIT_DATA to the zip or its folder",
        )


def _tools() -> Iterator[Finding]:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found:
        yield Finding("Chromium", "ok", found)
    else:
        yield Finding("Chromium", "optional", "not found; only the browser tests need it", "`apt-get install chromium`")
    from platformdirs import user_cache_path

    cache = user_cache_path("labkit")
    there = next(folder for folder in (cache, *cache.parents, Path("/")) if folder.exists())
    if os.access(there, os.W_OK):
        yield Finding("cache", "ok", str(cache))
    else:
        yield Finding("cache", "optional", f"{cache} cannot be written", "set XDG_CACHE_HOME to a folder you may write")
