"""The receptive-field room as a visitor uses it: click, drag, keys, sliders, the chart, links; in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import PATIENCE_MS, REDRAW_MS, Room, settle, spot, wait_for_link
from tests.browser.harness import Browser, Notes, changed, open_page, picture

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOM = Room(
    "field", start="field/?model=lab%2Fvit&image=chelsea&layer=2&other_layer=2&down=0.3&across=0.3", height=1500
)


@pytest.fixture
def room(browser: Browser, hub: str, request: pytest.FixtureRequest) -> Iterator[tuple[Page, Notes]]:
    with ROOM.entered(browser, hub, getattr(request, "param", None)) as entered:
        yield entered


def test_a_click_moves_the_unit_in_both_models_and_its_heat_follows(room: tuple[Page, Notes]) -> None:
    page, _ = room
    before = [picture(ROOM.photo(page, side)) for side in (0, 1)]
    page.mouse.click(*spot(ROOM.photo(page, 0), 0.7, 0.8))
    wait_for_link(page, "down=0.6875&across=0.8125")  # the middle of cell 5, 6 of 8
    ROOM.calm(page)
    assert all(changed(old, picture(ROOM.photo(page, side))) > 0.1 for side, old in enumerate(before))
    expect(ROOM.said(page)).to_contain_text("lab/vit, blocks.2: unit row 5, column 6 can see everything")
    expect(ROOM.said(page)).to_contain_text("lab/resnet, stages.1.1: unit row 11, column 13 can see 39 px")


def test_a_hovering_pointer_outlines_and_asks_nothing(room: tuple[Page, Notes]) -> None:
    page, _ = room
    link, before = page.url, picture(ROOM.photo(page, 1))
    page.mouse.move(*spot(ROOM.photo(page, 1), 0.8, 0.8))
    settle(page)
    assert changed(before, picture(ROOM.photo(page, 1))) > 0.005
    page.mouse.move(5, 5)
    settle(page)
    assert changed(before, picture(ROOM.photo(page, 1))) == 0
    assert page.url == link


def test_keys_move_the_unit_and_choose_the_layer(room: tuple[Page, Notes]) -> None:
    page, _ = room
    ROOM.photo(page, 1).focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    # 16 x 16 units: from row 4, column 4 (0.3 of the photo)
    wait_for_link(page, "down=0.34375&across=0.40625")
    ROOM.calm(page)
    expect(ROOM.said(page)).to_contain_text("stages.1.1: unit row 5, column 6")
    page.keyboard.press(".")
    assert ROOM.state(page, "layers") == [2, 3]
    page.keyboard.press("l")
    assert ROOM.state(page, "scale") == "linear"
    wait_for_link(page, "scale=linear")


def test_a_drag_is_followed_to_where_it_ends(room: tuple[Page, Notes]) -> None:
    page, _ = room
    page.mouse.move(*spot(ROOM.photo(page, 0), 0.06, 0.06))
    page.mouse.down()
    for step in range(1, 8):
        page.mouse.move(*spot(ROOM.photo(page, 0), 0.06 + step / 8, 0.06 + step / 8))
    page.mouse.up()
    wait_for_link(page, "down=0.9375&across=0.9375")
    ROOM.calm(page)
    expect(ROOM.said(page)).to_contain_text("lab/vit, blocks.2: unit row 7, column 7")
    assert ROOM.state(page, "place") == [0.9375, 0.9375]


def test_layers_scales_and_squares_are_drawn_here_and_kept_in_the_link(
    browser: Browser, hub: str, room: tuple[Page, Notes]
) -> None:
    page, _ = room
    looks = [picture(ROOM.photo(page, 1))]
    costs = []
    page.locator('#field [data-side="1"] input[type=range]').focus()
    for _step in range(4):
        page.keyboard.press("ArrowRight")
        settle(page)
        looks.append(picture(ROOM.photo(page, 1)))
        costs.append(page.evaluate(f"{ROOM.view}.timing.cost"))
    assert all(changed(a, b) > 0.02 for a, b in pairwise(looks))
    assert np.median(costs) < REDRAW_MS, costs
    page.get_by_role("button", name="linear").click()
    page.get_by_role("button", name="50 %").click()
    settle(page)
    assert changed(looks[-1], picture(ROOM.photo(page, 1))) > 0.02
    link = wait_for_link(page, "part=50")
    assert ROOM.state(page, "layers") == [2, 6]
    with open_page(browser, width=1400, height=1500) as (other, notes):
        other.goto(link)
        ROOM.calm(other)
        assert other.evaluate(f"{ROOM.view}.state") == page.evaluate(f"{ROOM.view}.state")
        assert changed(picture(ROOM.photo(page, 1)), picture(ROOM.photo(other, 1))) < 0.02
        assert notes.errors == []


def test_a_point_of_the_chart_leads_to_its_layer(room: tuple[Page, Notes]) -> None:
    page, _ = room
    page.locator("#field .lk-growth rect.lk-effect").nth(5).click()
    page.wait_for_function(f"{ROOM.view}.state.layers[1] === 5")
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
    ROOM.calm(page)
    expect(page.locator('#field [data-side="1"] .lk-title')).to_have_text("lab/vit, untrained")
    page.locator("#other input").fill("lab/vitt")
    page.locator("#other input").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("lab/vit", timeout=PATIENCE_MS)
    expect(page.locator("#other input")).to_have_value("lab/vit", timeout=PATIENCE_MS)


def test_the_mean_over_random_inputs_is_another_heat(room: tuple[Page, Notes]) -> None:
    page, _ = room
    before = picture(ROOM.photo(page, 0))
    page.get_by_label("mean of random inputs").check()
    wait_for_link(page, "over=noise")
    ROOM.calm(page)
    assert changed(before, picture(ROOM.photo(page, 0))) > 0.1


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
    ROOM.calm(page)
    assert "image=astronaut" in page.url


def test_an_answer_does_not_pull_the_hand_back(room: tuple[Page, Notes]) -> None:
    page, _ = room
    page.evaluate(
        f"""() => {{
            const view = {ROOM.view}, show = view.show;
            view.show = (...answer) => {{ window.answer = answer; show(...answer); }};
        }}"""
    )
    page.mouse.click(*spot(ROOM.photo(page, 0), 0.7, 0.8))
    page.wait_for_function("window.answer?.[0].place[0] === 0.6875", timeout=PATIENCE_MS)
    ROOM.calm(page)
    further = "{ place: [0.9375, 0.9375] }"
    page.evaluate(f"() => {{ {ROOM.view}.follow({further}); {ROOM.view}.show(...window.answer); }}")
    assert ROOM.state(page, "place") == [0.9375, 0.9375]
    elsewhere = "[{ ...window.answer[0], key: 'another photo' }, ...window.answer.slice(1)]"
    assert page.evaluate(f"() => {{ {ROOM.view}.show(...{elsewhere}); return {ROOM.view}.state.place; }}") == [
        0.6875,
        0.8125,
    ]
