"""The compare room as a visitor uses it: choose, turn, stop and go on, follow a picture; in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.harness import Browser, Notes, open_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PATIENCE_MS = 90_000
START = "?model=lab%2Fvit&image=coffee&beside=lab%2Fresnet&instruments=explain%2Cattention%2Csimilarity"
WALL = "document.querySelector('.cm-wall')"


@pytest.fixture
def room(browser: Browser, hub: str, request: pytest.FixtureRequest) -> Iterator[tuple[Page, Notes]]:
    """The room at START, or where a test wants it; nothing in it may complain or leave the machine."""
    with open_page(browser, width=1400, height=1100) as (page, notes):
        page.goto(f"{hub}compare/{getattr(request, 'param', START)}")
        finished(page)
        yield page, notes
        assert notes.errors == []
        assert notes.off_machine == []


def finished(page: Page) -> None:
    page.wait_for_function(f"{WALL}?.dataset.open === '0'", timeout=PATIENCE_MS)
    page.wait_for_function(f"{WALL}.getAttribute('aria-busy') === 'false'", timeout=PATIENCE_MS)


def names(page: Page) -> list[str]:
    return page.locator(".cm-wall thead th").evaluate_all("all => all.map(one => one.firstChild.textContent)")


def test_the_wall_is_a_table_with_a_heading_a_model_and_an_instrument(room: tuple[Page, Notes]) -> None:
    page, _ = room
    assert names(page) == ["lab/vit", "lab/resnet"]
    expect(page.locator("caption")).to_have_text("2 models before coffee: one instrument a row, one model a column.")
    assert page.locator('tbody th[scope="rowgroup"]').count() == 5
    cells = page.locator(".cm-wall td")
    assert cells.count() == 10
    assert all(cells.nth(i).inner_text().strip() for i in range(10))
    loaded = page.locator(".cm-wall td img").evaluate_all("all => all.map(one => one.naturalWidth)")
    assert loaded == [224, 224]
    expect(page.locator('[data-row="attention"] .cm-not')).to_have_text(
        "ResNet has no attention to read: it mixes tokens in another way."
    )
    grave = [one for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], one["nodes"][0]["html"][:120]) for one in grave] == []


def test_an_instrument_is_added_and_taken_away_and_the_link_follows(room: tuple[Page, Notes]) -> None:
    page, _ = room
    box = page.locator("#instruments").get_by_label("How far does a unit see?")
    box.focus()
    page.keyboard.press("Space")
    page.locator('[data-row="field"] td img').first.wait_for(timeout=PATIENCE_MS)
    page.wait_for_function("location.search.includes('field')", timeout=PATIENCE_MS)
    finished(page)
    box.uncheck()
    page.wait_for_function("!location.search.includes('field')", timeout=PATIENCE_MS)
    finished(page)
    assert page.locator('[data-row="field"]').count() == 0
    link = page.locator("#link :is(textarea, input)").first.input_value()
    assert "instruments=explain%2Cattention%2Csimilarity" in link


def test_a_model_is_typed_and_stands_beside_the_others(room: tuple[Page, Notes]) -> None:
    page, _ = room
    field = page.locator("#beside input")
    field.fill("timm/vit_nope")
    field.press("Enter")
    page.wait_for_function(f"{WALL}.dataset.columns === '3'", timeout=PATIENCE_MS)
    finished(page)
    assert names(page) == ["lab/vit", "lab/resnet", "timm/vit_nope"]
    expect(page.locator(".cm-wall thead th").nth(2)).to_contain_text("There is no model 'timm/vit_nope'")


def test_a_picture_is_a_door_that_the_keyboard_opens(room: tuple[Page, Notes]) -> None:
    page, _ = room
    door = page.locator('[data-row="attention"] td a').first
    assert door.get_attribute("href") == "/attention/?model=lab%2Fvit&image=coffee"
    door.focus()
    page.keyboard.press("Enter")
    page.locator("#attention").wait_for(timeout=PATIENCE_MS)
    page.wait_for_function("document.querySelector('#link :is(textarea, input)')?.value", timeout=PATIENCE_MS)


LONG = "?model=lab%2Fvit&image=rocket&beside=lab%2Fresnet&instruments=explain%2Csimilarity%2Cmixing&method=rise"


def test_stop_keeps_what_is_there_and_the_wall_can_be_gone_on_with(browser: Browser, hub: str) -> None:
    with open_page(browser, width=1400, height=1100) as (page, notes):
        page.goto(f"{hub}compare/{LONG}")
        page.locator('[data-row="explain"] td img').first.wait_for(timeout=PATIENCE_MS)
        page.locator("#stop").click()
        page.wait_for_function(f"{WALL}.getAttribute('aria-busy') === 'false'", timeout=PATIENCE_MS)
        page.wait_for_timeout(1500)  # what was under way would have come by now
        left = int(page.evaluate(f"{WALL}.dataset.open"))
        assert 0 < left < 10
        assert page.locator(".cm-wall td img").count() >= 1
        assert page.locator(".cm-wait").count() == left
        shown = page.evaluate("getComputedStyle(document.querySelector('.cm-wait'), '::before').content")
        assert shown == '"not looked at"'
        page.get_by_role("button", name="Go on").click()
        finished(page)
        assert page.locator(".cm-wait").count() == 0
        expect(page.get_by_role("button", name="Go on")).to_be_hidden()
        assert notes.errors == []


@pytest.mark.parametrize("room", ["?image=moon&beside=lab%2Fresnet&instruments=none&seed=7"], indirect=True)
def test_numbers_can_be_taken_home(room: tuple[Page, Notes], tmp_path: Path) -> None:
    page, _ = room
    for text, name in (("Numbers (JSON)", "numbers.json"), ("The wall (PNG)", "wall.png")):
        with page.expect_download(timeout=PATIENCE_MS) as waiting:
            page.get_by_role("button", name=text).click()
        assert waiting.value.suggested_filename == f"labkit-lab-vit-moon-{name}"
        waiting.value.save_as(tmp_path / name)
    told = json.loads((tmp_path / "numbers.json").read_text())
    assert (told["seed"], told["instruments"]) == (7, "none")
    assert (tmp_path / "wall.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("room", ["?depth=500&image=coffee&instruments=none&beside=lab%2Fresnet"], indirect=True)
def test_a_bad_link_says_so_and_the_rest_is_kept(room: tuple[Page, Notes]) -> None:
    page, _ = room
    expect(page.get_by_role("alert")).to_contain_text("depth='500': expected a whole number from 0 to 100")
    expect(page.locator("caption")).to_contain_text("coffee")


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_pushes_the_wall_sideways_and_not_the_page(browser: Browser, hub: str, dark: bool) -> None:
    with open_page(browser, width=390, height=844, dark=dark) as (page, notes):
        page.goto(f"{hub}compare/{START}%2Cfrequency&beside=lab%2Fresnet%2Clab%2Fvit%40random")
        finished(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.locator(".cm-wall").focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function(f"{WALL}.scrollLeft > 0")
        heads = page.locator(".cm-head").evaluate_all("all => all.map(one => one.getBoundingClientRect().right)")
        assert max(heads) <= 391
        assert notes.errors == []
