"""`labkit up | lab | app`: open the lab on 127.0.0.1, say where it is, and close it again without a trace."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from labkit.commands._servers import (
    ROOT,
    Server,
    ServerEnded,
    await_all,
    end_all,
    free_port,
    launch_hub,
    launch_jupyter,
    watch,
)

JUPYTER_PORT, HUB_PORT = 8888, 7860

Starter = Callable[[Path], Server]


def run_until_stopped(starters: Sequence[Starter], *, show: bool) -> None:
    """Start the servers, print their addresses once they answer, and end them all on Ctrl-C or when one dies.

    starters   each takes a folder for the log and returns a running server
    show       open a web browser at the first address

    Ending on request is success. A server that ends by itself is an error with its last lines: exit code 1, or 2 when
    the server itself called its input bad.
    """
    from rich.console import Console

    console = Console(highlight=False)
    with _signals() as asked, tempfile.TemporaryDirectory(prefix="labkit-") as logs:
        servers: list[Server] = []
        try:
            servers += [start(Path(logs)) for start in starters]
            names = " and ".join(server.name for server in servers)
            with console.status(f"Starting {names} …"):
                await_all(servers, stopped=lambda: bool(asked))
            if not asked:
                console.print(_welcome(servers), soft_wrap=True)
                if show:
                    webbrowser.open(servers[0].url)
            while not asked:
                watch(servers)
                time.sleep(0.2)
            console.print("\nClosing the lab …")
        except ServerEnded as error:
            raise _told(error) from error
        finally:
            end_all(servers, hurry=lambda: len(asked) > 1)


def _told(error: ServerEnded) -> click.ClickException:
    if error.code == 2:  # the server's own sentence about its input says it best
        told = click.ClickException(error.wrote)
        told.exit_code = 2
        return told
    click.echo(error.wrote, err=True)
    return click.ClickException(f"{error} Its last lines are above.")


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    # Noted, not raised: an exception between a child's start and our note of it would leave the child behind.
    asked: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda number, _: asked.append(number)) for number in numbers]
    try:
        yield asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _welcome(servers: Sequence[Server]) -> str:
    width = max(len(server.name) for server in servers)
    rows = "\n".join(f"   [bold]{server.name:<{width}}[/]   {server.url}" for server in servers)
    return f"\n[bold green]The lab is open[/], on this machine only.\n\n{rows}\n\n   Ctrl-C closes it.\n"


def _port(asked_for: int | None, default: int) -> int:
    if asked_for is None:
        return free_port(default)
    try:
        return free_port(asked_for, tries=1)
    except OSError as error:
        raise click.UsageError(f"port {asked_for} is taken; leave --port out and a free one is chosen.") from error


def _jupyter(port: int) -> Starter:
    folder = ROOT / "notebooks"
    if not folder.is_dir():
        raise click.UsageError(f"no notebooks at {folder}: run this in a clone of the project, set up by `make lab`.")
    return lambda logs: launch_jupyter(port, logs=logs, folder=folder)


_show = click.option("--open/--no-open", "show", help="Open a web browser at the address.  [default: no-open]")


def _port_option(default: int) -> Callable:
    return click.option("--port", type=click.IntRange(1, 65535), help=f"Default: {default}, or the next free one.")


@click.command()
@_show
def up(*, show: bool) -> None:
    """Open the lab: JupyterLab with the notebooks, and the apps."""
    jupyter, hub = _jupyter(free_port(JUPYTER_PORT)), free_port(HUB_PORT)
    run_until_stopped([jupyter, lambda logs: launch_hub(hub, logs=logs)], show=show)


@click.command()
@_port_option(JUPYTER_PORT)
@_show
def lab(*, port: int | None, show: bool) -> None:
    """Open JupyterLab with the notebooks."""
    run_until_stopped([_jupyter(_port(port, JUPYTER_PORT))], show=show)


@click.command()
@click.argument("name", required=False)
@_port_option(HUB_PORT)
@_show
def app(*, name: str | None, port: int | None, show: bool) -> None:
    """Open the apps: all of them, or the one called NAME."""
    chosen = _port(port, HUB_PORT)
    run_until_stopped([lambda logs: launch_hub(chosen, logs=logs, app=name)], show=show)
