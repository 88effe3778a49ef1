"""A small crowd: everybody gets the right answer, and nobody's work goes on when they have left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.commands import _servers
from tests.bench.load import PLACES, crowd

pytestmark = pytest.mark.slow
MINUTES_OF_WORK = (
    "model=timm/vit_small_patch16_224&weights=none"
    "&beside=timm/swin_tiny_patch4_window7_224@random,timm/resnet50@random,timm/convnext_atto@random"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_servers.Server]:
    logs = tmp_path_factory.mktemp("logs")
    launched = _servers.launch_hub(_servers.free_port(7640), logs=logs)
    try:
        _servers.await_all([launched])
        yield launched
    finally:
        _servers.end_all([launched])


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_visitors_at_once_get_right_and_unmixed_answers_in_bounded_memory(server: _servers.Server) -> None:
    # The client leaves sockets for the collector; here warnings are errors.
    report = crowd(server.url, server.process.pid, clients=5, each=2, places=PLACES[:5])
    assert report.errors == []
    assert report.mixed == []
    assert len(report.seconds) == 10
    assert max(report.memory) < report.memory[0] + 500


def test_a_visitor_who_leaves_frees_the_work(server: _servers.Server) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    from tests.browser.harness import ARGS, find_chromium

    if find_chromium() is None:
        pytest.skip("needs Chromium; `make test` installs it")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=find_chromium(), args=ARGS)
        page = browser.new_page()
        page.goto(f"{server.url}compare/?{MINUTES_OF_WORK}")
        page.locator(".lab-step").wait_for(timeout=60_000)
        time.sleep(1)
        assert busy(server.process.pid, seconds=2) > 0.2
        browser.close()
    # A step in hand is finished; then nobody asks for anything, and a still house is cheap.
    assert any(busy(server.process.pid, seconds=1) < 0.15 for _ in range(30))


def busy(process: int, *, seconds: float) -> float:
    """The share of one core that a process uses, over the next `seconds`."""

    def used() -> int:
        parts = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return int(parts[11]) + int(parts[12])  # clock ticks in the process and for it

    before = used()
    time.sleep(seconds)
    return (used() - before) / 100 / seconds
