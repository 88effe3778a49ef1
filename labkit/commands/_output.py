"""What the commands write: JSON on stdout, notes on stderr, and files that are whole or not there at all."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console


class BadInput(click.ClickException):
    """What the visitor asked for cannot be done; the message says why, in one sentence. Exit code 2."""

    exit_code = 2


def console(*, stderr: bool = False) -> Console:
    """A rich console that colours nothing but what it is told to."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def note(text: str) -> None:
    """A line for the person at the terminal, on stderr."""
    print(text, file=sys.stderr)


def as_json(value: Any) -> str:
    """JSON that every reader takes: no NaN; a value that is not defined is null."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


def write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files into the folder (made when missing): all of them, or none. Raises BadInput."""
    made = not folder.exists()
    partial = {name: folder / f".{name}.part" for name in files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            partial[name].write_bytes(data)
        for name in files:
            partial[name].replace(folder / name)
    except OSError as error:
        for path in partial.values():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        reason = "it is a file, not a folder" if folder.is_file() else (error.strerror or str(error)).lower()
        raise BadInput(f"nothing was written to {folder}: {reason}.") from error
