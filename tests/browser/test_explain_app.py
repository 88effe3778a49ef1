"""The explain room as a visitor uses it: divider, menus, RISE with Stop, the film, links; in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import PATIENCE_MS, REDRAW_MS, Room, settle, spot, wait_for_link
from tests.browser.harness import Browser, changed, picture

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOM = Room("explain", start="explain/?model=lab%2Fresnet&image=chelsea&left=gradcam&right=occlusion", height=1300)
LONG = "explain/?model=timm%2Fresnet18&weights=none&image=coffee&left=gradcam&right=rise&masks=8000"
"""RISE on pictures of 224 pixels: it takes much longer than a visitor waits."""


@pytest.fixture
def room(browser: Browser, hub: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    with ROOM.entered(browser, hub, getattr(request, "param", None)) as (page, _):
        yield page


def test_the_divider_follows_pointer_and_keys_and_is_kept_in_the_link(room: Page) -> None:
    photo, divider = ROOM.part(room, ".lk-photo"), ROOM.part(room, ".lk-divider")
    before = picture(photo)
    costs = []
    room.mouse.move(*spot(photo, 0.5, 0.5))
    room.mouse.down()
    for across in (0.45, 0.4, 0.3, 0.2):
        room.mouse.move(*spot(photo, 0.5, across))
        settle(room)
        costs.append(room.evaluate(f"{ROOM.view}.timing.cost"))
    room.mouse.up()
    assert np.median(costs) < REDRAW_MS, costs
    assert ROOM.state(room, "divider") == pytest.approx(0.2, abs=0.01)
    after = picture(photo)
    wide = before.shape[1]
    moved = slice(round(0.25 * wide), round(0.45 * wide))
    assert changed(before[:, moved], after[:, moved]) > 0.5
    assert changed(before[:, round(0.6 * wide) :], after[:, round(0.6 * wide) :]) < 0.01
    wait_for_link(room, "divider=0.2")
    divider.press("End")
    expect(divider).to_have_attribute("aria-valuenow", "100")
    expect(divider).to_have_attribute("aria-valuetext", "GradCAM on 100 %, Occlusion on 0 % of the width")
    divider.press("ArrowLeft")
    wait_for_link(room, "divider=0.98")


def test_the_pointer_reads_both_maps_and_so_do_the_keys(room: Page) -> None:
    photo = ROOM.part(room, ".lk-photo")
    room.mouse.move(*spot(photo, 0.3, 0.7))
    settle(room)
    reading = re.compile(r"row 9, column 22: GradCAM .+ \(score of the class\); Occlusion .+ \(fall of the score\)\.")
    expect(ROOM.said(room)).to_have_text(reading)
    expect(ROOM.part(room, '.lk-bar[data-side="0"] .lk-here')).to_be_visible()
    photo.focus()
    room.keyboard.press("ArrowDown")
    expect(ROOM.said(room)).to_have_text(re.compile("row 10, column 22"))


def test_menus_ask_another_method_and_another_class(room: Page) -> None:
    photo = ROOM.part(room, ".lk-photo")
    before = picture(photo)
    ROOM.part(room, '[data-side="1"] select').select_option("layercam")
    wait_for_link(room, "right=layercam")
    ROOM.calm(room)
    after = picture(photo)
    half = before.shape[1] // 2
    assert changed(before[:, half + 30 :], after[:, half + 30 :]) > 0.3
    assert changed(before[:, : half - 30], after[:, : half - 30]) < 0.01
    classes = ROOM.part(room, ".lk-class")
    second = classes.locator("option").nth(1).get_attribute("value")
    classes.select_option(second)
    wait_for_link(room, f"target={second}")
    ROOM.calm(room)
    assert changed(after, picture(photo)) > 0.3
    assert ROOM.state(room, "target") == int(second)


def test_one_photo_is_explained_after_three_trainings(room: Page) -> None:
    before = picture(ROOM.part(room, ".lk-photo"))
    room.get_by_role("radio", name="attacked", exact=True).check()
    wait_for_link(room, "model=lab%2Fcnn-robust")
    expect(room.locator("#model input")).to_have_value("lab/cnn-robust")
    assert changed(before, picture(ROOM.part(room, ".lk-photo"))) > 0.1
    expect(room.get_by_role("radio", name="attacked", exact=True)).to_be_checked()


def test_a_method_that_does_not_fit_is_said_and_the_menu_goes_back(room: Page) -> None:
    menu = ROOM.part(room, '[data-side="0"] select')
    menu.select_option("relevance")
    expect(room.get_by_role("alert")).to_contain_text("attention", timeout=PATIENCE_MS)
    expect(menu).to_have_value("gradcam", timeout=PATIENCE_MS)
    ROOM.calm(room)
    assert "left=relevance" not in room.url


def test_the_film_plays_pauses_and_is_scrubbed_beside_its_curve(room: Page) -> None:
    frame = ROOM.part(room, '.lk-frames [data-side="0"] canvas')
    whole = picture(frame)
    ROOM.part(room, ".lk-run").click()
    room.wait_for_function(f"{ROOM.view}.state.step >= 8", timeout=PATIENCE_MS)
    room.get_by_role("button", name="pause the film").click()
    at = ROOM.state(room, "step")
    assert 8 <= at < 64
    settle(room)
    played = picture(frame)
    assert changed(whole, played) > 0.05
    room.wait_for_timeout(400)
    assert ROOM.state(room, "step") == at
    scrub = ROOM.part(room, ".lk-scrub")
    scrub.focus()
    room.keyboard.press("End")
    expect(scrub).to_have_attribute("aria-valuetext", "100 % of the pixels are gone")
    settle(room)
    gone = picture(frame)
    assert np.abs(gone[20:-20, 20:-20].astype(int) - gone[30, 30]).max() < 4, "all that is left is one colour"
    wait_for_link(room, "step=64")
    room.get_by_role("button", name="insertion").click()
    settle(room)
    assert changed(whole, picture(frame)) < 0.02, "in the end of insertion all pixels are back"
    room.mouse.click(*spot(ROOM.part(room, ".lk-chart svg"), 0.5, 0.5))
    link = wait_for_link(room, "way=insertion")
    room.wait_for_function(f"{ROOM.view}.state.step > 20 && {ROOM.view}.state.step < 44")
    assert "explain" in link


@pytest.mark.parametrize("room", ["explain/?model=lab%2Fvit&image=coffee&masks=500&divider=0.3&step=9"], indirect=True)
def test_rise_says_how_sure_it_is_and_more_masks_make_it_surer(room: Page) -> None:
    line = ROOM.part(room, ".lk-rise-line")
    sure = re.compile(r"(\d+) of (\d+) masks; standard error at most (\d+) %")
    few = [int(number) for number in sure.search(line.inner_text()).groups()]
    assert few[:2] == [500, 500]
    ROOM.part(room, ".lk-masks").select_option("2000")
    wait_for_link(room, "masks=2000")
    ROOM.calm(room)
    many = [int(number) for number in sure.search(line.inner_text()).groups()]
    assert many[:2] == [2000, 2000]
    assert many[2] < 0.75 * few[2]
    assert ROOM.state(room, "divider") == 0.3
    before = picture(ROOM.part(room, ".lk-photo"))
    room.get_by_role("button", name="other masks").click()
    wait_for_link(room, "seed=1")
    ROOM.calm(room)
    assert 0.001 < changed(before, picture(ROOM.part(room, ".lk-photo"))) < 0.9


def test_rise_is_shown_while_it_converges_and_can_be_stopped(browser: Browser, hub: str) -> None:
    with ROOM.entered(browser, hub) as (page, notes):
        page.goto(hub + LONG)
        page.wait_for_function(f"{ROOM.view}?.timing.drawn > 0", timeout=PATIENCE_MS)
        line = ROOM.part(page, ".lk-rise-line")
        expect(line).to_contain_text("of 8000 masks", timeout=PATIENCE_MS)
        first = line.inner_text()
        page.wait_for_function(
            "first => document.querySelector('#explain .lk-rise-line').textContent !== first",
            arg=first,
            timeout=PATIENCE_MS,
        )
        expect(page.locator(".lab-step")).to_contain_text("of 8000 masks")
        page.get_by_role("button", name="Stop").click()
        page.wait_for_function("!document.querySelector('.lab-step')", timeout=PATIENCE_MS)
        settle(page)
        stopped = line.inner_text()
        page.wait_for_timeout(1500)
        assert line.inner_text() == stopped
        assert re.match(r"\d+ of 8000 masks", stopped)
        expect(ROOM.part(page, ".lk-areas")).to_contain_text("on its way")
        page.locator('[data-photo="chelsea"]').click()  # the room goes on
        wait_for_link(page, "image=chelsea")
        page.get_by_role("button", name="Stop").click()
        notes.errors.clear()  # the page that was left while it was still told of RISE complains of that itself


def test_a_link_restores_the_view(browser: Browser, hub: str, room: Page) -> None:
    ROOM.part(room, ".lk-blend input").fill("0.9")
    ROOM.part(room, ".lk-scrub").fill("30")
    ROOM.part(room, ".lk-divider").press("PageUp")
    link = wait_for_link(room, "step=30")
    link = wait_for_link(room, "divider=0.6")
    with ROOM.entered(browser, hub, link.removeprefix(hub)) as (other, _):
        assert other.evaluate(f"{ROOM.view}.state") == room.evaluate(f"{ROOM.view}.state")
        room.mouse.move(5, 5)
        assert changed(picture(ROOM.part(room, ".lk-photo")), picture(ROOM.part(other, ".lk-photo"))) < 0.02


def test_numbers_can_be_taken_home(room: Page, tmp_path: Path) -> None:
    with room.expect_download(timeout=PATIENCE_MS) as waiting:
        room.get_by_role("button", name="Numbers (JSON)").click()
    path = tmp_path / "numbers.json"
    waiting.value.save_as(path)
    told = json.loads(path.read_text())
    assert (told["sides"]["left"]["method"], told["sides"]["right"]["method"]) == ("gradcam", "occlusion")
    shown = ROOM.part(room, ".lk-areas").inner_text()
    assert f"GradCAM {told['sides']['left']['deletion_area']:.3f}" in shown
