"""What the tests of rooms with a live view share: enter, wait until all is quiet, point, read, follow the link."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from playwright.sync_api import Locator, Page

from tests.browser.harness import Browser, Notes, open_page

PATIENCE_MS = 90_000
REDRAW_MS = 200
"""A redraw in the page, beside other work on the machine; one that asked Python would take longer."""


@dataclass(frozen=True)
class Room:
    """A room by its name in the address; `start` is the place a test begins at, `height` the window's, in pixels.

    busy   JavaScript that is true while there is more to wait for than the view and the steps
    """

    name: str
    start: str
    height: int = 1500
    busy: str = "false"

    @property
    def view(self) -> str:
        """JavaScript: the view, as the page holds it."""
        return f"document.querySelector('#{self.name} .lk-host')?.view"

    @contextlib.contextmanager
    def entered(self, browser: Browser, hub: str, path: str | None = None) -> Iterator[tuple[Page, Notes]]:
        """The room at `path` (None: at `start`); nothing in it may complain or leave the machine."""
        with open_page(browser, width=1400, height=self.height) as (page, notes):
            page.goto(hub + (path or self.start))
            self.calm(page)
            yield page, notes
            assert notes.errors == []
            assert notes.off_machine == []

    def calm(self, page: Page) -> None:
        """Until the view is drawn and Python has nothing more to say."""
        page.wait_for_function(
            f"{self.view}?.timing.drawn > 0 && {self.view}.root.getAttribute('aria-busy') === 'false'"
            " && !document.querySelector('.lab-step') && document.querySelector('#link :is(textarea, input)')?.value"
            f" && !({self.busy})",
            timeout=PATIENCE_MS,
        )
        settle(page)

    def state(self, page: Page, name: str) -> object:
        """What the view stands at."""
        return page.evaluate(f"{self.view}.state.{name}")

    def part(self, page: Page, selector: str) -> Locator:
        return page.locator(f"#{self.name} {selector}")

    def photo(self, page: Page, side: int) -> Locator:
        """The photo of one of two models."""
        return self.part(page, f'[data-side="{side}"] .lk-photo')

    def said(self, page: Page) -> Locator:
        """The line in which the view says what is under the pointer."""
        return self.part(page, ".lk-said")


def settle(page: Page) -> None:
    """Until the last change is on the screen."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def spot(target: Locator, down: float, across: float) -> tuple[float, float]:
    """The place (x, y) of the page at shares `down` and `across` of what `target` fills."""
    box = target.bounding_box()
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def wait_for_link(page: Page, part: str) -> str:
    """Until the address says `part`; gives the address."""
    page.wait_for_function("part => location.search.includes(part)", arg=part, timeout=PATIENCE_MS)
    return page.url
