"""The over-smoothing room as a visitor uses it: pointer, keys, curves, blocks left out, links; in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.driving import REDRAW_MS
from tests.browser.harness import Browser, Notes, changed, open_page, picture

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PATIENCE_MS = 90_000
VIEW = "document.querySelector('#smoothing .lk-host')?.view"
START = "?model=lab%2Fvit&image=coffee&layer=2&query=9"


@pytest.fixture
def room(browser: Browser, hub: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    with open_page(browser, width=1400, height=1100) as (page, notes):
        page.goto(f"{hub}smoothing/{getattr(request, 'param', START)}")
        drawn(page)
        yield page
        quiet(notes)


def quiet(notes: Notes) -> None:
    assert notes.errors == []
    assert notes.off_machine == []


def drawn(page: Page) -> None:
    page.wait_for_function(f"{VIEW}?.timing.drawn > 0", timeout=PATIENCE_MS)
    settle(page)


def settle(page: Page) -> None:
    """Until the last change is on the screen."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def state(page: Page, name: str) -> object:
    return page.evaluate(f"{VIEW}.state.{name}")


def over(page: Page, canvas: str, row: int, column: int, side: int) -> None:
    """The pointer over a cell of a canvas that holds side x side of them."""
    box = page.locator(f"#smoothing {canvas}").bounding_box()
    page.mouse.move(box["x"] + box["width"] * (column + 0.5) / side, box["y"] + box["height"] * (row + 0.5) / side)
    settle(page)


def said(page: Page) -> Locator:
    return page.locator("#smoothing .lk-said")


def wait_for_link(page: Page, part: str) -> str:
    page.wait_for_function(f"location.search.includes({part!r})", timeout=PATIENCE_MS)
    return page.locator("#link textarea, #link input").first.input_value()


def test_a_patch_shows_its_likes_and_its_row(room: Page) -> None:
    photo, matrix = room.locator("#smoothing .lk-photo"), room.locator("#smoothing .lk-matrix")
    before, rows = picture(photo), picture(matrix)
    over(room, ".lk-photo", 6, 5, 8)
    assert state(room, "query") == 6 * 8 + 5
    assert changed(before, picture(photo)) > 0.05
    assert changed(rows, picture(matrix)) > 0.005
    expect(room.locator("#smoothing .lk-said")).to_contain_text(
        "row 6, column 5 · layer 2 (blocks.2) · most alike: row"
    )
    room.mouse.down()
    room.mouse.up()
    over(room, ".lk-photo", 1, 1, 8)
    assert (state(room, "query"), state(room, "pinned")) == (53, True)


def test_the_matrix_marks_both_patches_on_the_photo(room: Page) -> None:
    over(room, ".lk-matrix", 20, 41, 64)
    assert (state(room, "query"), state(room, "other")) == (20, 41)
    expect(room.locator("#smoothing .lk-said")).to_contain_text(
        "row 2, column 4 · layer 2 (blocks.2) · with row 5, column 1"
    )
    marked = picture(room.locator("#smoothing .lk-photo"))
    yellow = (np.abs(marked.astype(int) - (255, 216, 74)).max(axis=-1) < 40).nonzero()
    middle = [float(np.mean(along)) / side for along, side in zip(yellow, marked.shape, strict=False)]
    assert np.allclose(middle, [5.5 / 8, 1.5 / 8], atol=0.03)
    room.locator("#smoothing .lk-matrix").focus()
    room.keyboard.press("ArrowRight")
    assert (state(room, "query"), state(room, "other")) == (20, 42)
    room.keyboard.press("ArrowDown")
    assert (state(room, "query"), state(room, "other")) == (21, 42)
    room.keyboard.press("Escape")
    assert state(room, "other") == -1


def test_layers_by_slider_key_and_curve_are_drawn_at_once(room: Page) -> None:
    photo = room.locator("#smoothing .lk-photo")
    slider = room.get_by_role("slider", name="layer", exact=True)
    before = picture(photo)
    slider.focus()
    room.keyboard.press("Home")
    settle(room)
    assert state(room, "layer") == 0
    assert changed(before, picture(photo), by=4) > 0.02
    room.keyboard.press("ArrowRight")
    room.keyboard.press("ArrowRight")
    room.keyboard.press("ArrowRight")
    photo.focus()
    room.keyboard.press(".")
    assert state(room, "layer") == 4
    box = room.locator("#smoothing .lk-curve-rank .lk-drawing").bounding_box()
    room.mouse.click(box["x"] + 50, box["y"] + 60)
    settle(room)
    assert state(room, "layer") == 0
    expect(slider).to_have_value("0")
    expect(room.locator("#smoothing .lk-curve-rank b")).to_contain_text("of 64")
    costs = []
    for step in range(24):
        room.evaluate(f"{VIEW}.choose({{ layer: {step % 6}, query: {step}, centred: {str(step % 4 > 1).lower()} }})")
        settle(room)
        costs.append(room.evaluate(f"{VIEW}.timing.cost"))
    assert np.median(costs) < REDRAW_MS, f"median redraw {np.median(costs):.1f} ms"


def test_blocks_are_left_out_and_the_answer_is_compared(browser: Browser, hub: str, room: Page) -> None:
    effect, matrix = room.locator("#smoothing .lk-effect"), room.locator("#smoothing .lk-matrix")
    expect(room.locator("#smoothing .lk-answer")).to_have_count(1)
    curve = room.locator("#smoothing .lk-curve-cosine .lk-line")
    before = curve.get_attribute("d")
    room.get_by_role("button", name="leave out block 0").click()
    expect(room.locator("#smoothing .lk-view")).to_have_attribute("aria-busy", "true", timeout=2000)
    expect(effect).to_contain_text("Without block 0, “espresso”", timeout=PATIENCE_MS)
    expect(room.locator("#smoothing .lk-view")).to_have_attribute("aria-busy", "false", timeout=PATIENCE_MS)
    expect(room.locator("#smoothing .lk-answer")).to_have_count(2)
    assert curve.get_attribute("d") != before
    assert room.locator("#smoothing .lk-curve-cosine .lk-before").count() == 1
    room.get_by_role("button", name="leave out block 3").click()
    expect(effect).to_contain_text("Without blocks 0 and 3", timeout=PATIENCE_MS)
    room.get_by_role("button", name="less their mean").click()
    link = wait_for_link(room, "centred=1")
    assert "skip=0-3" in link
    with open_page(browser, width=1400, height=1100) as (other, notes):
        other.goto(link)
        drawn(other)
        assert [state(other, name) for name in ("layer", "query", "centred", "skip")] == [2, 9, True, "0-3"]
        assert other.locator("#smoothing .lk-effect").inner_text() == effect.inner_text()
        assert changed(picture(matrix), picture(other.locator("#smoothing .lk-matrix"))) < 0.02
        quiet(notes)
    room.get_by_role("button", name="all back").click()
    expect(room.locator("#smoothing .lk-answer")).to_have_count(1, timeout=PATIENCE_MS)
    room.wait_for_function("!location.search.includes('skip')", timeout=PATIENCE_MS)


@pytest.mark.parametrize("room", ["?model=lab%2Fresnet&image=chelsea&layer=1&range=0.5"], indirect=True)
def test_a_pyramid_says_what_it_shows_and_what_cannot_be_left_out(room: Page) -> None:
    assert state(room, "range") == 0.5
    expect(room.get_by_role("button", name="leave out block 1")).to_be_disabled()
    expect(room.get_by_role("button", name="leave out block 2")).to_be_enabled()
    over(room, ".lk-photo", 3, 4, 16)
    room.evaluate(f"{VIEW}.choose({{ layer: 5 }})")  # 4 x 4 cells: the same place
    settle(room)
    assert state(room, "query") == 1
    room.evaluate(f"{VIEW}.choose({{ layer: 0 }})")
    settle(room)
    expect(room.locator("#smoothing .lk-tokens-line")).to_contain_text("16 × 16 of the 32 × 32 tokens, evenly chosen")


def test_another_photo_and_a_bad_model(room: Page) -> None:
    photo = room.locator("#smoothing .lk-photo")
    before = picture(photo)
    room.locator('[data-photo="rocket"]').click()
    wait_for_link(room, "image=rocket")
    settle(room)
    assert changed(before, picture(photo)) > 0.1
    assert state(room, "layer") == 2
    model = room.locator("#model input")
    model.fill("lab/vitt")
    model.press("Enter")
    expect(room.get_by_role("alert")).to_contain_text("lab/vit", timeout=PATIENCE_MS)
    expect(model).to_have_value("lab/vit", timeout=PATIENCE_MS)


def test_a_long_visit_can_be_stopped(room: Page) -> None:
    room.locator("#random input").check()
    wait_for_link(room, "weights=none")
    model = room.locator("#model input")
    model.fill("timm/vit_small_patch8_224")
    model.press("Enter")
    expect(room.locator("#progress progress")).to_be_visible(timeout=PATIENCE_MS)
    room.locator("#stop").click()
    expect(room.locator("#smoothing .lk-view")).to_have_attribute("aria-busy", "false", timeout=PATIENCE_MS)
    expect(room.locator("#progress progress")).to_have_count(0)
    expect(model).to_have_value("lab/vit")
    assert room.locator("#smoothing .lk-switches [data-block]").count() == 6


def test_a_narrow_screen_needs_no_sideways_scrolling(browser: Browser, hub: str) -> None:
    with open_page(browser, width=360, height=800) as (page, notes):
        page.goto(f"{hub}smoothing/{START}&skip=1")
        drawn(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        quiet(notes)
