"""The receptive-field room as a visitor uses it: click, drag, keys, sliders, the chart, links; in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.harness import Browser, Notes, changed, gradio_hub, open_page, picture

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PATIENCE_MS = 90_000
VIEW = "document.querySelector('#field .lk-host')?.view"
START = "field/?model=lab%2Fvit&image=chelsea&layer=2&other_layer=2&down=0.3&across=0.3"


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    with gradio_hub("field", port=7360) as address:
        yield address


@pytest.fixture
def room(browser: Browser, hub: str, request: pytest.FixtureRequest) -> Iterator[tuple[Page, Notes]]:
    with open_page(browser, width=1400, height=1500) as (page, notes):
        page.goto(hub + getattr(request, "param", START))
        calm(page)
        yield page, notes
        assert notes.errors == []
        assert notes.off_machine == []


def calm(page: Page) -> None:
    """Until the view is drawn and Python has nothing more to say."""
    page.wait_for_function(
        f"{VIEW}?.timing.drawn > 0 && {VIEW}.root.getAttribute('aria-busy') === 'false'"
        " && !document.querySelector('.lab-step')",
        timeout=PATIENCE_MS,
    )
    settle(page)


def settle(page: Page) -> None:
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def state(page: Page, name: str) -> object:
    return page.evaluate(f"{VIEW}.state.{name}")


def photo(page: Page, side: int) -> Locator:
    return page.locator(f'#field [data-side="{side}"] .lk-photo')


def spot(page: Page, side: int, down: float, across: float) -> tuple[float, float]:
    box = photo(page, side).bounding_box()
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def said(page: Page) -> Locator:
    return page.locator("#field .lk-said")


def wait_for_link(page: Page, part: str) -> str:
    page.wait_for_function("part => location.search.includes(part)", arg=part, timeout=PATIENCE_MS)
    return page.url


def test_a_click_moves_the_unit_in_both_models_and_its_heat_follows(room: tuple[Page, Notes]) -> None:
    page, _ = room
    before = [picture(photo(page, side)) for side in (0, 1)]
    page.mouse.click(*spot(page, 0, 0.7, 0.8))
    wait_for_link(page, "down=0.6875&across=0.8125")  # the middle of cell 5, 6 of 8
    calm(page)
    assert all(changed(old, picture(photo(page, side))) > 0.1 for side, old in enumerate(before))
    expect(said(page)).to_contain_text("lab/vit, blocks.2: unit row 5, column 6 can see everything")
    expect(said(page)).to_contain_text("lab/resnet, stages.1.1: unit row 11, column 13 can see 39 px")


def test_a_hovering_pointer_outlines_and_asks_nothing(room: tuple[Page, Notes]) -> None:
    page, _ = room
    link, before = page.url, picture(photo(page, 1))
    page.mouse.move(*spot(page, 1, 0.8, 0.8))
    settle(page)
    assert changed(before, picture(photo(page, 1))) > 0.005
    page.mouse.move(5, 5)
    settle(page)
    assert changed(before, picture(photo(page, 1))) == 0
    assert page.url == link


def test_keys_move_the_unit_and_choose_the_layer(room: tuple[Page, Notes]) -> None:
    page, _ = room
    photo(page, 1).focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    # 16 x 16 units: from row 4, column 4 (0.3 of the photo)
    wait_for_link(page, "down=0.34375&across=0.40625")
    calm(page)
    expect(said(page)).to_contain_text("stages.1.1: unit row 5, column 6")
    page.keyboard.press(".")
    assert state(page, "layers") == [2, 3]
    page.keyboard.press("l")
    assert state(page, "scale") == "linear"
    wait_for_link(page, "scale=linear")


def test_a_drag_is_followed_to_where_it_ends(room: tuple[Page, Notes]) -> None:
    page, _ = room
    page.mouse.move(*spot(page, 0, 0.06, 0.06))
    page.mouse.down()
    for step in range(1, 8):
        page.mouse.move(*spot(page, 0, 0.06 + step / 8, 0.06 + step / 8))
    page.mouse.up()
    wait_for_link(page, "down=0.9375&across=0.9375")
    calm(page)
    expect(said(page)).to_contain_text("lab/vit, blocks.2: unit row 7, column 7")
    assert state(page, "place") == [0.9375, 0.9375]


def test_layers_scales_and_squares_are_drawn_here_and_kept_in_the_link(
    browser: Browser, hub: str, room: tuple[Page, Notes]
) -> None:
    page, _ = room
    looks = [picture(photo(page, 1))]
    costs = []
    page.locator('#field [data-side="1"] input[type=range]').focus()
    for _step in range(4):
        page.keyboard.press("ArrowRight")
        settle(page)
        looks.append(picture(photo(page, 1)))
        costs.append(page.evaluate(f"{VIEW}.timing.cost"))
    assert all(changed(a, b) > 0.02 for a, b in pairwise(looks))
    assert np.median(costs) < 20, costs
    page.get_by_role("button", name="linear").click()
    page.get_by_role("button", name="50 %").click()
    settle(page)
    assert changed(looks[-1], picture(photo(page, 1))) > 0.02
    link = wait_for_link(page, "part=50")
    assert state(page, "layers") == [2, 6]
    with open_page(browser, width=1400, height=1500) as (other, notes):
        other.goto(link)
        calm(other)
        assert other.evaluate(f"{VIEW}.state") == page.evaluate(f"{VIEW}.state")
        assert changed(picture(photo(page, 1)), picture(photo(other, 1))) < 0.02
        assert notes.errors == []


def test_a_point_of_the_chart_leads_to_its_layer(room: tuple[Page, Notes]) -> None:
    page, _ = room
    page.locator("#field .lk-growth rect.lk-effect").nth(5).click()
    page.wait_for_function(f"{VIEW}.state.layers[1] === 5")
    expect(page.locator('#field [data-side="1"] .lk-layer')).to_have_text("stages.3.0")
    expect(page.locator("#field .lk-growth svg")).to_have_attribute(
        "aria-label", re.compile("stages.3.0 at most 143 px")
    )


def test_the_same_model_untrained_stands_beside_it(room: tuple[Page, Notes]) -> None:
    page, _ = room
    page.locator("#other input").fill("lab/vit")
    page.locator("#other input").press("Enter")
    wait_for_link(page, "other=lab%2Fvit")
    page.locator("#other-random input").check()
    wait_for_link(page, "other_weights=none")
    calm(page)
    expect(page.locator('#field [data-side="1"] .lk-title')).to_have_text("lab/vit, untrained")
    page.locator("#other input").fill("lab/vitt")
    page.locator("#other input").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("lab/vit", timeout=PATIENCE_MS)
    expect(page.locator("#other input")).to_have_value("lab/vit", timeout=PATIENCE_MS)


def test_the_mean_over_random_inputs_is_another_heat(room: tuple[Page, Notes]) -> None:
    page, _ = room
    before = picture(photo(page, 0))
    page.get_by_label("mean of random inputs").check()
    wait_for_link(page, "over=noise")
    calm(page)
    assert changed(before, picture(photo(page, 0))) > 0.1


def test_numbers_can_be_taken_home(room: tuple[Page, Notes], tmp_path: Path) -> None:
    page, _ = room
    with page.expect_download(timeout=PATIENCE_MS) as waiting:
        page.get_by_role("button", name="Numbers (JSON)").click()
    path = tmp_path / "numbers.json"
    waiting.value.save_as(path)
    rows = json.loads(path.read_text())["rows"]
    assert [row["most_rows"] for row in rows if row["model"] == "lab/resnet"] == [11, 23, 39, 63, 95, 143, 207]


def test_photos_clicked_in_a_row_end_with_the_last(room: tuple[Page, Notes]) -> None:
    page, _ = room
    for name in ("coffee", "rocket", "astronaut"):
        page.locator(f'[data-photo="{name}"]').click()
    wait_for_link(page, "image=astronaut")
    calm(page)
    assert "image=astronaut" in page.url


def test_an_answer_does_not_pull_the_hand_back(room: tuple[Page, Notes]) -> None:
    page, _ = room
    page.evaluate(
        f"""() => {{
            const view = {VIEW}, show = view.show;
            view.show = (...answer) => {{ window.answer = answer; show(...answer); }};
        }}"""
    )
    page.mouse.click(*spot(page, 0, 0.7, 0.8))
    page.wait_for_function("window.answer?.[0].place[0] === 0.6875", timeout=PATIENCE_MS)
    calm(page)
    further = "{ place: [0.9375, 0.9375] }"
    stands = page.evaluate(
        f"() => {{ {VIEW}.follow({further}); {VIEW}.show(...window.answer); return {VIEW}.state.place; }}"
    )
    assert stands == [0.9375, 0.9375]
    elsewhere = "[{ ...window.answer[0], key: 'another photo' }, ...window.answer.slice(1)]"
    assert page.evaluate(f"() => {{ {VIEW}.show(...{elsewhere}); return {VIEW}.state.place; }}") == [0.6875, 0.8125]
