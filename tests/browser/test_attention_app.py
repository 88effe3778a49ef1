"""The hub and the attention room as a visitor uses them: pointer, keys, links, uploads; in a real browser."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from apps.rooms import TITLES
from tests.browser.driving import REDRAW_MS
from tests.browser.harness import Browser, Notes, changed, open_page, picture

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PATIENCE_MS = 90_000
VIEW = "document.querySelector('#attention .lk-host')?.view"
START = "attention/?model=lab%2Fvit&image=chelsea&layer=2&head=1&query=9"


@pytest.fixture
def room(browser: Browser, hub: str, request: pytest.FixtureRequest) -> Iterator[tuple[Page, Notes]]:
    """The room at START, or at the place a test names. A page that is left while gradio still talks complains of that
    itself, so each test opens the place it wants, and no test walks on from another."""
    with open_page(browser, width=1400, height=1300) as (page, notes):
        page.goto(hub + getattr(request, "param", START))
        drawn(page)
        yield page, notes
        assert notes.errors == []
        assert notes.off_machine == []


def drawn(page: Page) -> None:
    page.wait_for_function(f"{VIEW}?.timing.drawn > 0", timeout=PATIENCE_MS)


def state(page: Page, name: str) -> object:
    return page.evaluate(f"{VIEW}.state.{name}")


def wait_for_state(page: Page, name: str, value: object) -> None:
    page.wait_for_function(f"value => {VIEW}?.state.{name} === value", arg=value, timeout=PATIENCE_MS)


def cell(page: Page, row: int, column: int) -> int:
    """The query at this row and column of the grid that is shown."""
    return row * grid(page)[1] + column


def grid(page: Page) -> tuple[int, int]:
    h, w = page.locator("#attention .lk-attention").get_attribute("data-grid").split()
    return int(h), int(w)


def move_to(page: Page, row: int, column: int) -> None:
    h, w = grid(page)
    box = page.locator("#attention .lk-photo").bounding_box()
    page.mouse.move(box["x"] + box["width"] * (column + 0.5) / w, box["y"] + box["height"] * (row + 0.5) / h)


def settle(page: Page) -> None:
    """Until the last change is on the screen."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def wait_for_link(page: Page, part: str) -> str:
    page.wait_for_function(f"location.search.includes({part!r})", timeout=PATIENCE_MS)
    return page.locator("#link textarea, #link input").first.input_value()


def test_the_hub_is_a_wall_with_a_living_picture_that_leads_in(browser: Browser, hub: str) -> None:
    with open_page(browser, width=1300, height=1000) as (page, notes):
        page.goto(hub)
        assert page.locator("nav img").count() == len(TITLES) - 1 + 6  # a poster a room but the living one; six photos
        page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)", timeout=PATIENCE_MS)
        living = page.locator("#living .lk-photo")
        living.wait_for(timeout=PATIENCE_MS)
        box = living.bounding_box()
        page.mouse.move(box["x"] + 40, box["y"] + 40)  # a hand: it wanders no more
        settle(page)
        before = picture(living)
        page.mouse.move(box["x"] + box["width"] - 60, box["y"] + box["height"] - 60)
        settle(page)
        assert changed(before, picture(living)) > 0.01
        page.get_by_role("link", name="Enter the room").click()
        page.locator("#attention").wait_for(timeout=PATIENCE_MS)
        drawn(page)
        assert notes.errors == []
        assert notes.off_machine == []


def test_attention_follows_the_pointer_and_a_click_pins_it(room: tuple[Page, Notes]) -> None:
    page, _ = room
    photo = page.locator("#attention .lk-photo")
    move_to(page, 1, 1)
    wait_for_state(page, "query", cell(page, 1, 1))
    settle(page)
    before = picture(photo)
    move_to(page, 6, 5)
    settle(page)
    assert state(page, "query") == cell(page, 6, 5)
    assert changed(before, picture(photo)) > 0.01
    expect(page.locator("#attention .lk-said")).to_contain_text("query row 6, column 5 · layer 2 head 1")
    page.mouse.down()
    page.mouse.up()
    move_to(page, 2, 2)
    settle(page)
    assert (state(page, "query"), state(page, "pinned")) == (cell(page, 6, 5), True)
    page.keyboard.press("Escape")
    move_to(page, 2, 3)
    settle(page)
    assert (state(page, "query"), state(page, "pinned")) == (cell(page, 2, 3), False)


def test_dragging_asks_along_the_way(room: tuple[Page, Notes]) -> None:
    page, _ = room
    photo = page.locator("#attention .lk-photo")
    move_to(page, 3, 1)
    page.mouse.down()
    asked, looks = [], []
    for column in range(1, 7):
        move_to(page, 3, column)
        settle(page)
        asked.append(state(page, "query"))
        looks.append(picture(photo))
    page.mouse.up()
    assert asked == [cell(page, 3, column) for column in range(1, 7)]
    assert all(changed(a, b) > 0.005 for a, b in pairwise(looks))


def test_the_keyboard_reaches_everything(room: tuple[Page, Notes]) -> None:
    page, _ = room
    page.locator("#attention .lk-photo").focus()
    row, column = divmod(9, grid(page)[1])
    for key, name, expected in (
        ("ArrowDown", "query", cell(page, row + 1, column)),
        ("ArrowRight", "query", cell(page, row + 1, column + 1)),
        ("End", "query", cell(page, row + 1, grid(page)[1] - 1)),
        ("Home", "query", cell(page, row + 1, 0)),
        ("]", "head", 2),
        ("[", "head", 1),
        (".", "layer", 3),
        (",", "layer", 2),
        ("r", "reverse", True),
        ("r", "reverse", False),
        ("Enter", "pinned", True),
        ("Escape", "pinned", False),
        ("c", "query", -1),
    ):
        page.keyboard.press(key)
        assert state(page, name) == expected, key
    expect(page.locator("#attention .lk-said")).to_contain_text("query class token")
    tile = page.get_by_role("gridcell", name="layer 2 head 1")
    expect(tile).to_have_attribute("aria-selected", "true")
    tile.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    assert (state(page, "layer"), state(page, "head")) == (3, 0)
    expect(page.get_by_role("gridcell", name="layer 3 head 0")).to_be_focused()


def test_sliders_and_wall_stay_in_step(room: tuple[Page, Notes]) -> None:
    page, _ = room
    page.locator('.lk-tile[data-layer="4"][data-head="2"]').click()
    expect(page.locator("#layer input[type=number]")).to_have_value("4", timeout=PATIENCE_MS)
    expect(page.locator("#head input[type=number]")).to_have_value("2", timeout=PATIENCE_MS)
    photo = page.locator("#attention .lk-photo")
    before = picture(photo)
    page.locator("#layer input[type=range]").focus()
    page.keyboard.press("ArrowLeft")
    wait_for_state(page, "layer", 3)
    settle(page)
    assert changed(before, picture(photo)) > 0.005
    assert state(page, "head") == 2


@pytest.mark.parametrize("room", ["attention/?model=lab%2Fvit&image=chelsea&weights=none"], indirect=True)
def test_the_band_renames_heads_in_the_browser(room: tuple[Page, Notes]) -> None:
    page, _ = room
    tile = page.locator('.lk-tile[data-layer="0"][data-head="0"]')
    assert "lk-global" in tile.get_attribute("class")  # random weights look everywhere alike
    low = page.locator("#low input[type=number]")
    low.fill("0")
    low.press("Enter")
    expect(page.locator('.lk-tile[data-layer="0"][data-head="0"]')).to_have_class(
        "lk-tile lk-hybrid", timeout=PATIENCE_MS
    )
    wait_for_link(page, "low=0.0")


def test_a_link_restores_photo_model_layer_head_and_query(browser: Browser, room: tuple[Page, Notes], hub: str) -> None:
    page, _ = room
    page.locator('[data-photo="coffee"]').click()
    wait_for_link(page, "image=coffee")
    page.locator('.lk-tile[data-layer="1"][data-head="3"]').click()
    move_to(page, 5, 2)
    page.mouse.down()
    page.mouse.up()
    query = cell(page, 5, 2)
    link = wait_for_link(page, f"query={query}")
    settle(page)
    move_to(page, 5, 2)
    before = picture(page.locator("#attention .lk-photo"))
    with open_page(browser, width=1400, height=1300) as (other, notes):
        other.goto(link)
        drawn(other)
        assert [state(other, name) for name in ("layer", "head", "query")] == [1, 3, query]
        expect(other.locator('[data-photo="coffee"]')).to_have_attribute("aria-pressed", "true")
        expect(other.locator("#random input")).not_to_be_checked()
        other.evaluate(f"{VIEW}.follow({{ pinned: true }})")
        settle(other)
        assert changed(before, picture(other.locator("#attention .lk-photo"))) < 0.02
        assert notes.errors == []


def choose_untrained(page: Page, name: str) -> None:
    page.locator("#random input").check()
    wait_for_link(page, "weights=none")
    page.locator("#model input").fill(name)
    page.locator("#model input").press("Enter")


def test_another_model_is_shown_in_the_same_room(room: tuple[Page, Notes]) -> None:
    page, _ = room
    choose_untrained(page, "timm/vit_tiny_patch16_224")
    page.wait_for_function(f"{VIEW}?.root.querySelectorAll('.lk-tile').length === 12 * 4", timeout=PATIENCE_MS)
    wait_for_link(page, "vit_tiny_patch16_224")


def upload(page: Page, name: str, body: bytes) -> None:
    page.locator(
        "#upload input[type=file], input#upload, #upload ~ input[type=file], input[type=file]"
    ).first.set_input_files([{"name": name, "mimeType": "application/octet-stream", "buffer": body}])


def test_one_photo_is_looked_at_after_five_upbringings(room: tuple[Page, Notes]) -> None:
    page, _ = room
    profiles = []
    for what, name in (("hidden patches", "lab/vit-masked"), ("labels", "lab/vit-supervised")):
        page.get_by_role("radio", name=what, exact=True).check()
        wait_for_link(page, f"model={name.replace('/', '%2F')}")
        expect(page.locator("#model input")).to_have_value(name)
        assert "image=chelsea" in page.url
        profiles.append(picture(page.locator("#attention .lk-photo")))
    assert changed(*profiles) > 0.01
    expect(page.get_by_role("radio", name="labels", exact=True)).to_be_checked()
    page.get_by_role("radio", name="turns", exact=True).focus()
    page.keyboard.press("Space")
    wait_for_link(page, "model=lab%2Fvit-turns")


def test_an_own_picture_is_shown_and_a_bad_one_explained(room: tuple[Page, Notes]) -> None:
    page, _ = room
    dice = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(dice).save(file, "png")
    photo = page.locator("#attention .lk-photo")
    before = picture(photo)
    upload(page, "mine.png", file.getvalue())
    expect(page.get_by_text("A link cannot carry your own picture")).to_be_visible(timeout=PATIENCE_MS)
    settle(page)
    page.wait_for_timeout(500)
    mine = picture(photo)
    assert changed(before, mine) > 0.2
    upload(page, "broken.jpg", b"this is not a picture")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("broken.jpg", timeout=PATIENCE_MS)
    assert changed(mine, picture(photo)) < 0.05  # the last good view stays
    page.locator('[data-photo="coffee"]').click()  # and the room goes on
    wait_for_link(page, "image=coffee")
    expect(alert).to_have_count(0)
    assert changed(mine, picture(photo)) > 0.2


def test_a_model_without_attention_or_name_is_explained(room: tuple[Page, Notes]) -> None:
    page, _ = room
    model = page.locator("#model input")
    for name, words in (("lab/vitt", "lab/vit"), ("lab/resnet", "no attention to read")):
        model.fill(name)
        model.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text(words, timeout=PATIENCE_MS)
        expect(model).to_have_value("lab/vit", timeout=PATIENCE_MS)  # back to what is shown
    page.locator("#attention .lk-photo").focus()
    page.keyboard.press("]")
    assert state(page, "head") == 2


def test_a_broken_link_opens_and_says_what_was_wrong(browser: Browser, hub: str) -> None:
    with open_page(browser) as (page, notes):
        page.goto(hub + "attention/?weights=none&layer=two&image=chelsea&head=1")
        drawn(page)
        expect(page.get_by_role("alert")).to_contain_text("layer='two'")
        assert state(page, "head") == 1
        assert notes.errors == []


def test_figure_and_numbers_can_be_taken_home(room: tuple[Page, Notes], tmp_path: Path) -> None:
    page, _ = room
    for button, ending in (("Figure (PNG)", "figure.png"), ("Numbers (CSV)", "numbers.csv")):
        with page.expect_download(timeout=PATIENCE_MS) as waiting:
            page.get_by_role("button", name=button).click()
        path = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(path)
        assert path.name == f"labkit-lab-vit-chelsea-{ending}"
        assert path.stat().st_size > 300


def test_a_narrow_screen_needs_no_sideways_scrolling(browser: Browser, hub: str) -> None:
    for path, width in ((START, 360), ("", 360)):
        with open_page(browser, width=width, height=800) as (page, _notes):
            page.goto(hub + path)
            if path:
                drawn(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_pyramid_of_windows_fits_on_the_wall(room: tuple[Page, Notes]) -> None:
    page, _ = room
    choose_untrained(page, "timm/swin_tiny_patch4_window7_224")
    page.wait_for_function(f"{VIEW}?.root.querySelectorAll('.lk-tile').length > 138", timeout=PATIENCE_MS)
    assert page.evaluate(
        """() => {
            const edge = document.querySelector('#attention .lk-wall').getBoundingClientRect().right
            return [...document.querySelectorAll('.lk-tile')].every(tile => tile.getBoundingClientRect().right <= edge)
        }"""
    )
    page.evaluate(f"{VIEW}.choose({{ layer: 0, head: -1, query: 0 }})")
    settle(page)
    said = page.locator("#attention .lk-said")
    expect(said).to_contain_text("query row 0, column 0 · layer 0")
    best = re.search(r"looks most at row (\d+), column (\d+)", said.inner_text())
    assert best is not None
    assert max(map(int, best.groups())) < 7  # it looks no further than its window


def test_the_redraw_keeps_up_with_the_hand(room: tuple[Page, Notes]) -> None:
    page, _ = room
    costs = []
    for step in range(30):
        move_to(page, step % grid(page)[0], (step * 3) % grid(page)[1])
        settle(page)
        costs.append(page.evaluate(f"{VIEW}.timing.cost"))
    assert np.median(costs) < REDRAW_MS, f"median redraw {np.median(costs):.1f} ms"


def test_with_thousands_of_tokens_layers_come_one_by_one(room: tuple[Page, Notes]) -> None:
    page, _ = room
    choose_untrained(page, "timm/vit_small_patch8_224")
    page.wait_for_function(f"{VIEW}?.root.querySelectorAll('.lk-tile').length === 12 * 7", timeout=PATIENCE_MS)
    drawn(page)
    page.evaluate(f"{VIEW}.choose({{ layer: 11, head: 5 }})")
    expect(page.locator("#attention .lk-said")).to_contain_text("layer 11 head 5", timeout=PATIENCE_MS)
    expect(page.locator("#attention .lk-said")).to_contain_text("looks most at", timeout=PATIENCE_MS)
