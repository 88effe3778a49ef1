"""`labkit up` as a visitor meets it: two addresses that work, from taken ports too, and nothing left after Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import pytest

from labkit.commands._servers import HOST, ROOT
from tests.browser.harness import Browser, open_page

LABKIT = [sys.executable, "-c", "from labkit.cli import main; main()"]

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@dataclass
class Up:
    process: subprocess.Popen
    jupyter: str
    hub: str


@contextlib.contextmanager
def labkit_up() -> Iterator[Up]:
    command = [*LABKIT, "up"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            addresses = []
            for line in process.stdout:
                addresses += [word for word in line.split() if word.startswith("http://")]
                if "Ctrl-C" in line:
                    break
            assert len(addresses) == 2, process.stderr.read()
            yield Up(process, *addresses)
        finally:
            process.terminate()


def get(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=20) as response:
        return response.read()


def silent(address: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, urlsplit(address).port)) != 0


def start_kernel(jupyter: str) -> int:
    """Start a kernel as the browser would; gives its process."""
    parts = urlsplit(jupyter)
    token = parse_qs(parts.query)["token"][0]
    request = urllib.request.Request(
        f"{parts.scheme}://{parts.netloc}/api/kernels",
        data=json.dumps({"name": "python3"}).encode(),
        headers={"Authorization": f"token {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        kernel = json.load(response)["id"]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        listing = subprocess.run(["ps", "-ewwo", "pid,args"], capture_output=True, text=True, check=True).stdout
        for line in listing.splitlines():
            if kernel in line and "ipykernel" in line:
                return int(line.split()[0])
        time.sleep(0.2)
    raise AssertionError("no kernel process was seen")


def gone(pid: int, *, within_s: float = 15) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        if shown.stdout.strip() in ("", "Z"):
            return True
        time.sleep(0.2)
    return False


def test_both_windows_open_and_ctrl_c_closes_them_with_the_kernels(browser: Browser):
    with labkit_up() as up:
        assert urlsplit(up.jupyter).hostname == urlsplit(up.hub).hostname == HOST
        with open_page(browser) as (page, notes):
            page.goto(up.hub)
            page.locator("body", has_text="attention").wait_for(timeout=60_000)
            page.goto(up.jupyter)
            page.locator(".jp-Notebook").wait_for(timeout=90_000)
            # The address is that of the first notebook, and no toast asks about news.
            assert "00_welcome.ipynb" in page.url
            assert page.locator(".jp-toastContainer, .Toastify__toast").count() == 0
            assert notes.off_machine == []
        kernel = start_kernel(up.jupyter)
        up.process.send_signal(signal.SIGINT)
        _, errors = up.process.communicate(timeout=40)
        assert up.process.returncode == 0, errors
        assert "Traceback" not in errors
        assert silent(up.jupyter)
        assert silent(up.hub)
        assert gone(kernel)


def test_taken_ports_are_walked_around():
    with contextlib.ExitStack() as stack:
        for port in (8888, 7860):
            taken = stack.enter_context(socket.socket())
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # taken by somebody else: as good
                taken.bind((HOST, port))
                taken.listen()
        with labkit_up() as up:
            assert urlsplit(up.jupyter).port != 8888
            assert urlsplit(up.hub).port != 7860
            assert b"<html" in get(up.hub).lower()
            up.process.send_signal(signal.SIGTERM)
            up.process.communicate(timeout=40)
            assert up.process.returncode == 0


def test_jupyter_asks_for_its_token():
    with labkit_up() as up:
        parts = urlsplit(up.jupyter)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            get(f"{parts.scheme}://{parts.netloc}/api/kernels")


def test_an_unknown_app_is_bad_input():
    command = [*LABKIT, "app", "atention"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "attention" in done.stderr
    assert "Traceback" not in done.stderr
