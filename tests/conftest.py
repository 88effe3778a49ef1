"""For every test: shapes are checked, nothing leaves the machine, the dice fall the same way, a skip says why."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# Before anything imports torch, gradio, matplotlib or labkit.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_OFFLINE="1")

import jaxtyping

HOOK = jaxtyping.install_import_hook("labkit", "type_checks.check")

_LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")
_off_machine: list[str] = []


class OffMachine(OSError):
    """A test tried to reach another machine."""


def _stay_home(event: str, args: tuple) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        host = address[0] if isinstance(address, tuple) else None  # not a tuple: a socket of this machine's file system
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = args[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host and not host.startswith(_LOOPBACK):
        _off_machine.append(host)
        raise OffMachine(f"{event} to {host!r}: no test may reach another machine.")


sys.addaudithook(_stay_home)


@pytest.fixture(autouse=True)
def _nothing_leaves_the_machine() -> Iterator[None]:
    # The hook has refused it already; this fails the test also where a library swallowed the refusal.
    _off_machine.clear()
    yield
    assert not _off_machine, f"the test asked for {sorted(set(_off_machine))}: no test may reach another machine"


@pytest.fixture
def off_machine() -> list[str]:
    """The machines asked for so far. A test of what happens without a network reads it and clears it."""
    return _off_machine


@pytest.fixture(autouse=True)
def _same_dice() -> None:
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


ANYWHERE = ("test_experiments.py", "test_paper.py")
"""Files whose tests share nothing, and are too many for one process."""


class ByFile(LoadFileScheduling):
    """With --dist loadfile each file goes to one process, which loads its models and starts its servers once."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return nodeid if file.rsplit("/")[-1] in ANYWHERE else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile | None:
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reasons = {"gpu": _no_gpu, "shared": _no_archive, "browser": _no_chromium}
    for marker, reason in reasons.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        if marked and (why := reason()):
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=why))


def _no_gpu() -> str | None:
    import torch

    return None if torch.cuda.is_available() else "no CUDA device on this machine"


def _no_archive() -> str | None:
    from labkit.data.tiny_imagenet import find_archive

    try:
        find_archive()
    except FileNotFoundError as error:
        return str(error)
    return None


def _no_chromium() -> str | None:
    from tests.browser.harness import find_chromium

    return None if find_chromium() else "no Chromium found; `make test` installs it, or says how"
