"""What must be true of every page of the lab: it can be read by all, fits a phone, says at once when it works."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from apps.rooms import TITLES
from tests.browser.harness import Browser, open_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PATIENCE_MS = 90_000
PAGES = ("", *(f"{name}/" for name in TITLES))
VIEWED = [name for name in TITLES if name not in ("papers", "compare")]
"""Rooms with a live view."""


def enter(page: Page, hub: str, path: str) -> None:
    """Open a page and wait until what it shows first is there."""
    page.goto(hub + path)
    if path.strip("/") in VIEWED:
        page.wait_for_function(
            "document.querySelector('.lk-host')?.view?.timing.drawn > 0"
            " && document.querySelector('#link :is(textarea, input)')?.value",
            timeout=PATIENCE_MS,
        )
    elif path:
        page.locator(".lab-head").wait_for(timeout=PATIENCE_MS)
    # Until then gradio shows a sign of its own that axe does not like.
    page.wait_for_function("!document.querySelector('[aria-label=\"Empty value\"]')", timeout=PATIENCE_MS)
    page.wait_for_timeout(300)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_can_be_read_by_all_and_fits_a_phone(browser: Browser, hub: str, path: str) -> None:
    for width, dark in ((1300, False), (360, True)):
        with open_page(browser, width=width, height=900, dark=dark) as (page, notes):
            enter(page, hub, path)
            found = Axe().run(page).response["violations"]
            grave = [
                f"{one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes'][:3]]}"
                for one in found
                if one["impact"] in ("serious", "critical")
            ]
            assert grave == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert notes.errors == []
            assert notes.off_machine == []


@pytest.mark.parametrize("room", VIEWED)
def test_the_view_says_within_a_tenth_of_a_second_that_it_works(browser: Browser, hub: str, room: str) -> None:
    with open_page(browser, width=1300, height=900) as (page, _):
        enter(page, hub, f"{room}/")
        waited = page.evaluate(
            """() => new Promise((done) => {
                const view = document.querySelector(".lk-view")
                const from = performance.now()
                new MutationObserver((_, watcher) => {
                    if (view.getAttribute("aria-busy") !== "true") return
                    watcher.disconnect()
                    done(performance.now() - from)
                }).observe(view, { attributes: true })
                document.querySelector('[data-photo="rocket"]').click()
            })"""
        )
        assert waited < 100
        page.wait_for_function("location.search.includes('image=rocket')", timeout=PATIENCE_MS)
        page.wait_for_function("document.querySelector('.lk-view').getAttribute('aria-busy') === 'false'")


def test_model_and_photo_are_carried_to_the_next_room(browser: Browser, hub: str) -> None:
    with open_page(browser, width=1300, height=900) as (page, notes):
        page.goto(f"{hub}attention/?model=lab%2Fvit&image=coffee&weights=none&layer=2")
        page.wait_for_function("location.search.includes('query')", timeout=PATIENCE_MS)
        for name in TITLES:
            door = page.locator(f'.lab-rooms [data-room="{name}"]').get_attribute("href")
            expected = "" if name == "papers" else "?model=lab%2Fvit&weights=none&image=coffee"
            assert door.endswith(f"/{name}/{expected}")
        assert notes.errors == []


def test_a_link_that_leads_nowhere_opens_the_room_as_it_is(browser: Browser, hub: str) -> None:
    with open_page(browser, width=1300, height=900) as (page, notes):
        page.goto(f"{hub}attention/?model=lab%2Fvitt&image=rocket")
        page.get_by_role("alert").get_by_text("did you mean lab/vit or").wait_for(timeout=PATIENCE_MS)
        page.wait_for_function("location.search.includes('model=lab%2Fvit&image=rocket')", timeout=PATIENCE_MS)
        assert notes.errors == []
