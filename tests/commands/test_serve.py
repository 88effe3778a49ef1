"""The lab's servers, with small ones in their place: real processes, real ports, real signals."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest

from labkit.commands import serve
from labkit.commands._servers import HOST, Server, ServerEnded, await_all, end_all, free_port, launch, launch_jupyter

WEB = """
import http.server, sys
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind=sys.argv[2])
"""
WITH_CHILD = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
"""
DEAF = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""
MORTAL = """
import os, threading
threading.Timer(2, lambda: (print("out of luck", flush=True), os._exit(7))).start()
"""


_next_port = itertools.count(18000 + 100 * (os.getpid() % 100))


def web(logs: Path, *, name: str = "Web", code: str = WEB) -> Server:
    port = free_port(next(_next_port))
    address = f"http://{HOST}:{port}/"
    return launch(name, [sys.executable, "-c", code, str(port), HOST], url=address, pulse=address, logs=logs)


def failing(logs: Path, *, code: int = 3) -> Server:
    script = f"import sys; print('no apps called penguins'); sys.exit({code})"
    return launch("Broken", [sys.executable, "-c", script], url="", pulse=f"http://{HOST}:9/", logs=logs)


@contextlib.contextmanager
def ending(server: Server, *, grace_s: float = 10) -> Iterator[Server]:
    try:
        yield server
    finally:
        end_all([server], grace_s=grace_s)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_free_port_is_taken_as_it_is():
    port = free_port(18500)
    assert free_port(port) == port


def test_the_next_port_is_chosen_when_one_is_taken():
    with socket.socket() as taken:
        taken.bind((HOST, free_port(18500)))
        taken.listen()
        wanted = taken.getsockname()[1]
        assert wanted < free_port(wanted) <= wanted + 49
        with pytest.raises(OSError, match=f"no free port from {wanted} to {wanted} on 127.0.0.1"):
            free_port(wanted, tries=1)
        with pytest.raises(click.UsageError, match=f"port {wanted} is taken; leave --port out"):
            serve._port(wanted, 8888)


def test_a_server_answers_and_is_ended(tmp_path):
    with ending(web(tmp_path)) as server:
        await_all([server], patience_s=30)
        assert server.answers()
    assert not server.answers()
    assert server.process.returncode is not None


def test_what_a_server_started_ends_with_it(tmp_path):
    with ending(web(tmp_path, code=WITH_CHILD + WEB)) as server:
        await_all([server], patience_s=30)
        grandchild = int(server.last_lines().splitlines()[0])
        assert alive(grandchild)
    deadline = time.monotonic() + 5
    while alive(grandchild) and Path(f"/proc/{grandchild}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "the server's child lives on"
        time.sleep(0.02)


def test_one_that_does_not_listen_is_ended_all_the_same(tmp_path):
    with ending(web(tmp_path, code=DEAF + WEB), grace_s=0.3) as server:
        await_all([server], patience_s=30)
    assert server.process.returncode == -signal.SIGKILL


def test_one_that_dies_at_the_start_shows_its_last_words(tmp_path):
    with (
        ending(failing(tmp_path)) as server,
        pytest.raises(ServerEnded, match=r"Broken ended by itself \(exit code 3\)") as caught,
    ):
        await_all([server], patience_s=30)
    assert caught.value.wrote == "no apps called penguins"


def test_one_that_never_answers_is_not_waited_for_forever(tmp_path):
    sleeper = "import time; print('still thinking', flush=True); time.sleep(600)"
    silent = launch("Silent", [sys.executable, "-c", sleeper], url="", pulse=f"http://{HOST}:9/", logs=tmp_path)
    with ending(silent), pytest.raises(ServerEnded, match=r"Silent gave no answer within 1 s"):
        await_all([silent], patience_s=1)


def test_the_token_is_in_the_address_and_not_on_the_command_line(tmp_path):
    with ending(launch_jupyter(free_port(18888), logs=tmp_path, folder=tmp_path), grace_s=0) as server:
        token = server.url.partition("token=")[2]
        assert len(token) >= 16
        assert all(token not in part for part in server.process.args)
        assert f"--ServerApp.ip={HOST}" in server.process.args


# The whole of `labkit up`, with small servers, as a process of its own: signals are what is tested.
UP = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
import click, test_serve
from labkit.commands import serve
try:
    serve.run_until_stopped([{starters}], show=False)
except click.ClickException as error:
    error.show()
    sys.exit(error.exit_code)
"""
BOTH = "test_serve.web, lambda logs: test_serve.web(logs, name='Second')"


@contextlib.contextmanager
def running(starters: str) -> Iterator[subprocess.Popen]:
    code = UP.format(here=str(Path(__file__).parent), starters=starters)
    env = {**os.environ, "PYTHONPATH": str(serve.ROOT), "COLUMNS": "60"}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True, env=env) as process:
        try:
            yield process
        finally:
            process.terminate()


def read_addresses(process: subprocess.Popen) -> list[str]:
    addresses = []
    for line in process.stdout:
        addresses += [word for word in line.split() if word.startswith("http://")]
        if "Ctrl-C" in line:
            return addresses
    raise AssertionError(process.stderr.read())


def answers(address: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, int(address.rstrip("/").rpartition(":")[2]))) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_both_are_shown_and_a_signal_ends_both(number):
    with running(BOTH) as process:
        addresses = read_addresses(process)
        assert len(set(addresses)) == 2
        assert all(answers(address) for address in addresses)
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert errors == ""
    assert not any(answers(address) for address in addresses)


def test_when_one_dies_the_other_is_ended_and_the_reason_shown():
    mortal = "lambda logs: test_serve.web(logs, name='Second', code=test_serve.MORTAL + test_serve.WEB)"
    with running(f"test_serve.web, {mortal}") as process:
        first, _ = read_addresses(process)
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "Second ended by itself (exit code 7)" in errors
    assert "out of luck" in errors
    assert "Traceback" not in output + errors
    assert not answers(first)


def test_bad_input_of_a_server_is_bad_input_of_ours():
    with running("test_serve.web, lambda logs: test_serve.failing(logs, code=2)") as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert errors == "Error: no apps called penguins\n"


def test_an_address_stays_on_one_line(tmp_path, capsys):
    from rich.console import Console

    with ending(web(tmp_path), grace_s=0) as server:
        long = replace(server, url=f"http://{HOST}:8888/lab/tree/01_attention.ipynb?token=abcdefghijklmnop")
        Console(width=40, highlight=False).print(serve._welcome([long]), soft_wrap=True)
    assert long.url in capsys.readouterr().out
