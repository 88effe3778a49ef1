"""One browser for the tests of a module: while open, Playwright keeps an event loop that others need themselves.
One server of the apps for all tests of a process: it takes as long to start as three tests take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.harness import Browser, chromium, gradio_hub, port_of


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def hub(worker_id: str) -> Iterator[str]:
    """The address of the running hub, which ends with a slash."""
    with gradio_hub(port=port_of(7400, worker_id)) as address:
        yield address
