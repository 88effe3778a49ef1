"""The mixing room as a visitor uses it: pointer, keys, sliders, the plane, the parts, links; in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import PATIENCE_MS, REDRAW_MS, Room, settle, spot, wait_for_link
from tests.browser.harness import Browser, Notes, changed, open_page, picture

pytestmark = [pytest.mark.browser, pytest.mark.slow]
BUSY = "[...document.querySelectorAll('.lk-parts-said')].some((line) => /on its way/.test(line.textContent))"
ROOM = Room(
    "mixing",
    start="mixing/?model=lab%2Fvit&image=chelsea&layer=2&other_layer=2&down=0.3&across=0.3",
    height=1800,
    busy=BUSY,
)


@pytest.fixture
def room(browser: Browser, hub: str, request: pytest.FixtureRequest) -> Iterator[tuple[Page, Notes]]:
    with ROOM.entered(browser, hub, getattr(request, "param", None)) as entered:
        yield entered


def test_the_pointer_moves_one_place_in_both_models_and_a_click_holds_it(room: tuple[Page, Notes]) -> None:
    page, _ = room
    before = [picture(ROOM.photo(page, side)) for side in (0, 1)]
    costs = []
    for across in (0.5, 0.6, 0.7, 0.8):
        page.mouse.move(*spot(ROOM.photo(page, 0), 0.7, across))
        settle(page)
        costs.append(page.evaluate(f"{ROOM.view}.timing.cost"))
    assert np.median(costs) < REDRAW_MS, costs
    assert all(changed(old, picture(ROOM.photo(page, side))) > 0.02 for side, old in enumerate(before))
    expect(ROOM.said(page)).to_contain_text("lab/vit, blocks.2: row 5, column 6 is made of itself by")
    expect(ROOM.said(page)).to_contain_text("lab/resnet, stages.1.1: row 11, column 13 is made of itself by")
    wait_for_link(page, "down=0.6875&across=0.8125")
    page.mouse.click(*spot(ROOM.photo(page, 0), 0.7, 0.8))
    page.mouse.move(*spot(ROOM.photo(page, 0), 0.2, 0.2))
    settle(page)
    assert ROOM.state(page, "place") == [0.6875, 0.8125]


def test_keys_move_the_place_choose_the_block_and_turn_it_round(room: tuple[Page, Notes]) -> None:
    page, _ = room
    ROOM.photo(page, 1).focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    wait_for_link(page, "down=0.34375&across=0.40625")  # 16 x 16: from row 4, column 4
    before = picture(ROOM.photo(page, 1))
    page.keyboard.press(".")
    assert ROOM.state(page, "layers") == [2, 3]
    page.keyboard.press("r")
    page.keyboard.press("l")
    settle(page)
    assert (ROOM.state(page, "reverse"), ROOM.state(page, "scale")) == (True, "log")
    assert changed(before, picture(ROOM.photo(page, 1))) > 0.02
    expect(ROOM.said(page)).to_contain_text("to its own place; most of the rest to")
    wait_for_link(page, "reverse=1&scale=log")


def test_a_place_that_nobody_can_move_stays_dark(room: tuple[Page, Notes]) -> None:
    """Two 3 x 3 kernels: 5 x 5 cells, and nothing beyond; attention reaches all."""
    page, _ = room
    page.mouse.move(*spot(ROOM.photo(page, 1), 0.53, 0.53))
    page.keyboard.press("l")
    settle(page)
    far = [picture(ROOM.photo(page, side))[-20:, :20].astype(float) for side in (0, 1)]
    spread = [np.abs(one[..., 0] - one[..., 1]).mean() for one in far]
    assert spread[0] > 10  # coloured
    assert spread[1] < 6  # grey, under the colour of nothing


def test_a_point_of_the_plane_leads_to_its_block(room: tuple[Page, Notes]) -> None:
    page, _ = room
    assert page.locator("#mixing .lk-block").count() == 13
    page.locator('#mixing .lk-block[data-side="1"][data-layer="5"]').click()
    page.wait_for_function(f"{ROOM.view}.state.layers[1] === 5")
    expect(page.locator('#mixing .lk-side[data-side="1"] .lk-layer')).to_have_text("stages.3.0")
    wait_for_link(page, "other_layer=5")


def test_a_part_of_attention_is_shown_large_and_kept_in_the_link(
    browser: Browser, hub: str, room: tuple[Page, Notes]
) -> None:
    page, _ = room
    looks = [picture(ROOM.photo(page, side)) for side in (0, 1)]
    page.locator('#mixing [data-of="0"] [data-part="softmax"]').click()
    settle(page)
    assert changed(looks[0], picture(ROOM.photo(page, 0))) > 0.1
    assert changed(looks[1], picture(ROOM.photo(page, 1))) == 0  # a residual network has none
    expect(page.locator('#mixing [data-of="0"] .lk-parts-said')).to_contain_text("softmax is the larger one")
    expect(page.locator('#mixing [data-of="1"] .lk-parts-said')).to_contain_text("has no attention layer")
    link = wait_for_link(page, "shown=softmax")
    with open_page(browser, width=1400, height=1800) as (other, notes):
        other.goto(link)
        ROOM.calm(other)
        assert other.evaluate(f"{ROOM.view}.state") == page.evaluate(f"{ROOM.view}.state")
        assert changed(picture(ROOM.photo(page, 0)), picture(ROOM.photo(other, 0))) < 0.02
        assert notes.errors == []


def test_sliders_are_drawn_here(room: tuple[Page, Notes]) -> None:
    page, _ = room
    looks = [picture(ROOM.photo(page, 0))]
    page.locator('#mixing .lk-side[data-side="0"] input[type=range]').focus()
    for _step in range(3):
        page.keyboard.press("ArrowRight")
        settle(page)
        looks.append(picture(ROOM.photo(page, 0)))
    assert all(changed(a, b) > 0.02 for a, b in pairwise(looks))
    assert ROOM.state(page, "layers") == [5, 2]


def test_the_skip_connection_is_computed_and_moves_blocks_to_the_local_side(room: tuple[Page, Notes]) -> None:
    page, _ = room
    nmi = f"{ROOM.view}.root.querySelector('[data-side=\"0\"] dd').textContent"
    before = page.evaluate(nmi)
    page.get_by_label("with the skip connection").check()
    assert page.evaluate(f"{ROOM.view}.root.getAttribute('aria-busy')") == "true"
    wait_for_link(page, "skip=1")
    ROOM.calm(page)
    after = page.evaluate(nmi)
    assert float(after.split(",")[0]) > 2 * float(before.split(",")[0])
    assert ROOM.state(page, "layers") == [2, 2]


def test_another_model_beside_it_and_one_that_is_none(room: tuple[Page, Notes]) -> None:
    page, _ = room
    page.locator("#other input").fill("lab/vit")
    page.locator("#other input").press("Enter")
    wait_for_link(page, "other=lab%2Fvit")
    page.locator("#other-random input").check()
    wait_for_link(page, "other_weights=none")
    ROOM.calm(page)
    expect(page.locator('#mixing .lk-side[data-side="1"] .lk-title')).to_have_text("lab/vit, untrained")
    expect(page.locator('#mixing [data-of="1"] .lk-parts-said')).to_contain_text("softmax is the smaller one")
    page.locator("#other input").fill("lab/vitt")
    page.locator("#other input").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("lab/vit", timeout=PATIENCE_MS)
    expect(page.locator("#other input")).to_have_value("lab/vit", timeout=PATIENCE_MS)


def test_a_long_visit_can_be_stopped_and_what_is_there_stays(browser: Browser, hub: str) -> None:
    with open_page(browser, width=1400, height=1800) as (page, notes):
        page.goto(f"{hub}mixing/?model=timm%2Fvit_tiny_patch16_224&weights=none&image=coffee&other=lab%2Fresnet")
        page.locator(".lab-step").get_by_text("who mixes whom").wait_for(timeout=PATIENCE_MS)
        page.wait_for_function(f"{ROOM.view}?.timing.drawn > 0", timeout=PATIENCE_MS)
        page.locator("#stop").click()
        page.wait_for_function(
            f"!document.querySelector('.lab-step') && {ROOM.view}.root.getAttribute('aria-busy') === 'false'",
            timeout=PATIENCE_MS,
        )
        expect(ROOM.said(page)).to_contain_text("timm/vit_tiny_patch16_224, untrained, blocks.6: row")
        assert notes.errors == []


def test_numbers_can_be_taken_home(room: tuple[Page, Notes], tmp_path: Path) -> None:
    page, _ = room
    with page.expect_download(timeout=PATIENCE_MS) as waiting:
        page.get_by_role("button", name="Numbers (JSON)").click()
    path = tmp_path / "numbers.json"
    waiting.value.save_as(path)
    told = json.loads(path.read_text())
    assert [row["block"] for row in told["rows"]][:2] == ["blocks.0", "blocks.1"]
    assert [row["measured"] for row in told["rows"] if row["model"] == "lab/resnet"].count("y") == 3
