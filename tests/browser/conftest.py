"""One browser for the tests of a module: while open, Playwright keeps an event loop that others need themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.harness import Browser, chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened
