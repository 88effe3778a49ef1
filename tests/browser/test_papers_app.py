"""The papers room as a visitor uses it: search, read, turn, run, and send the link on; in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from labkit.paper import catalogue
from tests.browser.harness import Browser, Notes, open_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PATIENCE_MS = 90_000


@pytest.fixture
def room(browser: Browser, hub: str, request: pytest.FixtureRequest) -> Iterator[tuple[Page, Notes]]:
    """The room at VAN, or where a test wants it; nothing in it may complain or leave the machine."""
    with open_page(browser, width=1400, height=1200) as (page, notes):
        page.goto(f"{hub}papers/{getattr(request, 'param', '?paper=van')}")
        page.locator(".pa-panel").wait_for(timeout=PATIENCE_MS)
        yield page, notes
        assert notes.errors == []
        assert notes.off_machine == []


def shown(page: Page) -> list[str]:
    return page.locator(".pa-list li:visible [data-paper]").evaluate_all("all => all.map(one => one.dataset.paper)")


def test_papers_are_found_by_words_and_by_room(room: tuple[Page, Notes]) -> None:
    page, _ = room
    assert shown(page) == [one.id for one in catalogue()]
    page.get_by_label("Search").fill("large KERNEL 2022")
    assert shown(page) == ["van"]
    expect(page.locator(".pa-count")).to_have_text("1 paper")
    page.get_by_label("Search").fill("zebra")
    expect(page.locator(".pa-count")).to_have_text("no paper speaks of that")
    page.get_by_label("Search").fill("")
    page.get_by_label("Room").select_option("models/backbones")
    assert "van" in shown(page)


def test_a_paper_is_opened_by_the_keyboard_and_the_address_follows(room: tuple[Page, Notes]) -> None:
    page, _ = room
    page.locator('[data-paper="focalnet"]').first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".pa-label h2")).to_have_text("Focal Modulation Networks", timeout=PATIENCE_MS)
    page.wait_for_function("location.search === '?paper=focalnet'")
    expect(page.locator('[data-paper="focalnet"]').first).to_have_attribute("aria-pressed", "true")
    expect(page.locator('[data-paper="van"]').first).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".pa-label pre")).to_contain_text("W_out")


@pytest.mark.parametrize("room", ["?paper=focalnet&levels=3&whole_map=0"], indirect=True)
def test_a_link_sets_the_knobs_and_turning_them_changes_the_link(room: tuple[Page, Notes]) -> None:
    page, _ = room
    assert page.locator("[name=levels]").input_value() == "3"
    expect(page.locator("[name=whole_map]")).not_to_be_checked()
    page.locator("[name=levels]").press("ArrowRight")
    expect(page.locator("[name=levels] + output")).to_have_text("4")
    page.locator("[name=whole_map]").check()
    page.wait_for_function("location.search === '?paper=focalnet&levels=4'")


def test_an_experiment_runs_with_the_knobs_as_they_stand(room: tuple[Page, Notes]) -> None:
    page, _ = room
    page.locator("[name=join]").select_option("plus")
    page.get_by_role("button", name="Run the experiment").click()
    expect(page.locator(".pa-waiting")).to_contain_text("Running", timeout=PATIENCE_MS)
    answer = page.locator(".pa-answer")
    expect(answer).to_contain_text("It held in part.", timeout=PATIENCE_MS)
    expect(answer).to_contain_text("joined by plus")
    pictures = answer.locator("img")
    assert pictures.count() == 3
    for i in range(3):
        assert pictures.nth(i).evaluate("one => one.naturalWidth") > 300
        assert pictures.nth(i).get_attribute("alt")


@pytest.mark.parametrize("room", ["?paper=vna&join=plus"], indirect=True)
def test_a_bad_link_says_so_and_shows_the_first_paper(room: tuple[Page, Notes]) -> None:
    page, _ = room
    expect(page.get_by_role("alert")).to_contain_text("did you mean van")
    expect(page.locator(".pa-label h2")).to_contain_text("MetaFormer")


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_a_phone(browser: Browser, hub: str, dark: bool) -> None:
    with open_page(browser, width=390, height=844, dark=dark) as (page, notes):
        page.goto(f"{hub}papers/?paper=focalnet")
        page.locator(".pa-panel").wait_for(timeout=PATIENCE_MS)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        beyond = page.evaluate(
            "[...document.querySelectorAll('.pa-label *, .pa-panel *, .pa-list *')]"
            ".filter(one => !one.closest('pre') && one.getBoundingClientRect().right > 391).map(one => one.outerHTML)"
        )
        assert beyond == []
        assert notes.errors == []
