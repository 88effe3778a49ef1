"""Child servers on 127.0.0.1: start, wait until they answer, watch, and end them with everything they started."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]
FIRST_PAGE = "00_welcome.ipynb"
PATIENCE_S = 180.0
# Nothing is sent out. HF_HUB_OFFLINE stays unset: hub weights that a person asks for may be fetched.
QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}


class ServerEnded(RuntimeError):
    """A server stopped, or never answered, although nobody asked it to.

    wrote   the last lines of its output
    code    its exit code; None while it runs
    """

    def __init__(self, message: str, *, wrote: str, code: int | None = None) -> None:
        super().__init__(message)
        self.wrote = wrote
        self.code = code


@dataclass(frozen=True)
class Server:
    """One running server: its name, the address a person opens, the address that answers when it is up, its log."""

    name: str
    url: str
    pulse: str
    process: subprocess.Popen[bytes]
    log: Path

    def answers(self) -> bool:
        """True once it speaks HTTP and says all is well; the environment's proxies are not asked."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(self.pulse, timeout=2) as response:
                return response.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def last_lines(self, count: int = 15) -> str:
        """The end of what it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and all that it started in its group; nothing happens when they are gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def free_port(wanted: int, *, tries: int = 50) -> int:
    """`wanted`, or the next of `tries` ports that is free on this machine; OSError when none is."""
    for port in range(wanted, min(wanted + tries, 65536)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
    raise OSError(f"no free port from {wanted} to {wanted + tries - 1} on {HOST}.")


def launch(
    name: str, command: Sequence[str], *, url: str, pulse: str, logs: Path, env: Mapping[str, str] | None = None
) -> Server:
    """Start `command` as the leader of a process group of its own, writing to a file under `logs`."""
    log = logs / f"{name.replace(' ', '-')}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **QUIET, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal reaches us alone; we end the children in order
        )
    return Server(name, url, pulse, process, log)


def launch_jupyter(
    port: int, *, logs: Path, folder: Path, extra: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Server:
    """JupyterLab on `folder`, opened at the first notebook when that is there; the address carries the token."""
    page = f"lab/tree/{FIRST_PAGE}" if (folder / FIRST_PAGE).is_file() else "lab"
    token = secrets.token_urlsafe(12)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.root_dir={folder}"]
    command += [f"--ServerApp.ip={HOST}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    command += ["--allow-root"] if os.geteuid() == 0 else []
    return launch(
        "JupyterLab",
        [*command, *extra],
        url=f"http://{HOST}:{port}/{page}?token={token}",
        pulse=f"http://{HOST}:{port}/api",
        logs=logs,
        # The token travels in the environment: a command line can be read by every user of the machine.
        env={"JUPYTER_CONFIG_DIR": str(ROOT / ".jupyter"), "JUPYTER_TOKEN": token, **(env or {})},
    )


def launch_hub(port: int, *, logs: Path, app: str | None = None, env: Mapping[str, str] | None = None) -> Server:
    """The Gradio hub, or one of its apps."""
    command = [sys.executable, "-m", "apps", *([app] if app else []), "--port", str(port)]
    address = f"http://{HOST}:{port}/"
    return launch(f"App {app}" if app else "Apps", command, url=address, pulse=address, logs=logs, env=env)


def watch(servers: Sequence[Server]) -> None:
    """Raise ServerEnded when one of them is no longer running."""
    for server in servers:
        code = server.process.poll()
        if code is not None:
            message = f"{server.name} ended by itself (exit code {code})."
            raise ServerEnded(message, wrote=server.last_lines(), code=code)


def await_all(
    servers: Sequence[Server], *, patience_s: float = PATIENCE_S, stopped: Callable[[], bool] = lambda: False
) -> None:
    """Return when all answer, or when `stopped()`; ServerEnded when one ends, or is silent after `patience_s`."""
    deadline = time.monotonic() + patience_s
    for server in servers:
        while not (server.answers() or stopped()):
            watch(servers)
            if time.monotonic() > deadline:
                message = f"{server.name} gave no answer within {patience_s:.0f} s."
                raise ServerEnded(message, wrote=server.last_lines())
            time.sleep(0.2)


def end_all(servers: Sequence[Server], *, grace_s: float = 12.0, hurry: Callable[[], bool] = lambda: False) -> None:
    """Ask all to end (JupyterLab then ends its kernels); after `grace_s`, or in a hurry, insist."""
    for server in servers:
        server.signal(signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while any(server.process.poll() is None for server in servers) and time.monotonic() < deadline and not hurry():
        time.sleep(0.05)
    for server in servers:
        server.signal(signal.SIGKILL)  # also what a server left behind in its group
        server.process.wait()
