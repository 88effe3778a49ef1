"""The frequency room as a visitor uses it: drag the rings, keys, curtain, layers, all cutoffs with Stop, links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import PATIENCE_MS, REDRAW_MS, Room, settle, wait_for_link
from tests.browser.harness import Browser, Notes, changed, open_page, picture

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOM = Room("frequency", start="frequency/?model=lab%2Fvit&image=chelsea&layer=2", height=1900)
SLOW = "frequency/?model=timm%2Fvit_small_patch16_224&weights=none&image=chelsea&layer=2"
"""Large enough that all cutoffs take seconds: 14 photos of 224 pixels, 21 times."""


@pytest.fixture
def room(browser: Browser, hub: str, request: pytest.FixtureRequest) -> Iterator[tuple[Page, Notes]]:
    with ROOM.entered(browser, hub, getattr(request, "param", None)) as entered:
        yield entered


def answered(page: Page) -> None:
    """Until the answer belongs to the band that is shown."""
    page.wait_for_function("!document.querySelector('#frequency .lk-stale')", timeout=PATIENCE_MS)
    ROOM.calm(page)


def at(page: Page, frequency: float) -> tuple[float, float]:
    """The place on the spectrum of a wave of this frequency (cycles per pixel), right of the middle."""
    box = ROOM.part(page, ".lk-rings").bounding_box()
    return box["x"] + (0.5 + frequency) * box["width"], box["y"] + 0.5 * box["height"]


def drag(page: Page, start: float, end: float) -> list[float]:
    """Drag the spectrum from one frequency to another; gives what each redraw cost, in ms."""
    costs = []
    page.mouse.move(*at(page, start))
    page.mouse.down()
    for share in np.linspace(0, 1, 9)[1:]:
        page.mouse.move(*at(page, start + float(share) * (end - start)))
        settle(page)
        costs.append(page.evaluate(f"{ROOM.view}.timing.cost"))
    page.mouse.up()
    return costs


def test_a_ring_is_dragged_and_photo_and_answer_follow(room: tuple[Page, Notes]) -> None:
    page, _ = room
    before, said = picture(ROOM.part(page, ".lk-photo")), ROOM.part(page, ".lk-answer").nth(1).inner_text()
    costs = drag(page, 0.48, 0.08)
    assert ROOM.state(page, "high") == pytest.approx(0.08, abs=0.01)
    assert ROOM.state(page, "low") == 0
    assert changed(before, picture(ROOM.part(page, ".lk-photo"))) > 0.5
    expect(ROOM.part(page, ".lk-said")).to_contain_text("What is coarser than 0.08")
    assert np.median(costs) < REDRAW_MS, costs
    answered(page)
    wait_for_link(page, "high=0.08")
    now = ROOM.part(page, ".lk-answer").nth(1).inner_text()
    assert now != said
    assert ROOM.part(page, ".lk-answer").nth(0).inner_text().split("\n")[1:] == said.split("\n")[1:]
    drag(page, 0.03, 0.06)  # nearer to the low ring
    assert ROOM.state(page, "low") == pytest.approx(0.06, abs=0.01)


def test_the_model_says_what_python_says_of_the_same_band(room: tuple[Page, Notes]) -> None:
    from apps.frequency.visits import Place, shown, visit

    page, _ = room
    ROOM.part(page, '[data-preset="coarse"]').click()
    answered(page)
    wait_for_link(page, "high=0.1")
    (seen,) = visit(Place(high=0.1, layer=2))
    category, chance = shown(seen)[0]["answer"]["top"][0]
    first = ROOM.part(page, ".lk-answer").nth(1).locator(".lk-row").first
    expect(first).to_contain_text(category)
    expect(first).to_contain_text(re.compile(rf"{100 * chance:.2g}".split(".")[0]))


def test_keys_move_either_ring_and_switch_the_mean(room: tuple[Page, Notes]) -> None:
    page, _ = room
    ROOM.part(page, ".lk-rings").focus()
    page.keyboard.press("Enter")  # from the high ring to the low one
    for _step in range(3):
        page.keyboard.press("ArrowRight")
    assert ROOM.state(page, "low") == pytest.approx(0.015)
    page.keyboard.press("Shift+ArrowRight")
    assert ROOM.state(page, "low") == pytest.approx(0.065)
    page.keyboard.press("m")
    settle(page)
    assert ROOM.state(page, "mean") is False
    expect(ROOM.part(page, ".lk-said")).to_contain_text("the mean is lost")
    expect(ROOM.part(page, ".lk-rings")).to_have_attribute(
        "aria-valuetext", re.compile("low cutoff 0.065 cycles per pixel")
    )
    link = wait_for_link(page, "mean=0")
    assert "low=0.065" in link
    answered(page)


def test_a_curtain_compares_the_photo_with_what_passes_and_asks_nothing(room: tuple[Page, Notes]) -> None:
    page, _ = room
    photo = ROOM.part(page, ".lk-photo")
    whole = picture(photo)
    ROOM.part(page, '[data-preset="fine"]').click()
    answered(page)
    page.mouse.move(5, 5)
    settle(page)
    link, passes, box = page.url, picture(photo), photo.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 40)
    settle(page)
    compared, half = picture(photo), whole.shape[1] // 2
    assert changed(whole[:, : half - 4], compared[:, : half - 4]) < 0.02
    assert changed(passes[:, half + 4 :], compared[:, half + 4 :]) == 0
    page.mouse.move(5, 5)
    settle(page)
    assert changed(passes, picture(photo)) == 0
    photo.focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    expect(photo).to_have_attribute("aria-valuenow", "55")
    page.keyboard.press("ArrowUp")
    settle(page)
    expect(photo).to_have_attribute("aria-valuenow", "100")
    page.keyboard.press("Escape")
    expect(photo).to_have_attribute("aria-valuetext", "what passes")
    assert page.url == link


def test_a_click_on_a_curve_chooses_the_layer_and_a_click_on_a_plane_its_filter(room: tuple[Page, Notes]) -> None:
    page, _ = room
    chart = ROOM.part(page, ".lk-spectra svg path.lk-layer-line:not(.lk-chosen)").last
    where = chart.evaluate(
        """(path) => {
            const point = path.getPointAtLength(0.45 * path.getTotalLength())
            const box = path.ownerSVGElement.getBoundingClientRect()
            return [box.left + point.x, box.top + point.y]
        }"""
    )
    page.mouse.click(*where)
    page.wait_for_function(f"{ROOM.view}.state.layer !== 2")
    chosen = ROOM.state(page, "layer")
    expect(ROOM.part(page, ".lk-layer output")).to_contain_text(f"{chosen} · blocks.{chosen}")
    ROOM.part(page, "[name=layer]").focus()
    page.keyboard.press("Home")
    settle(page)
    assert ROOM.state(page, "layer") == 0
    planes = ROOM.part(page, ".lk-plane-tile")
    expect(planes).to_have_count(4 + 3 * 12)  # the heads of block 0, and some kernels of the stem
    planes.nth(1).click()
    expect(planes.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(ROOM.part(page, ".lk-chosen-words").first).to_contain_text("head 1: gain 1.00 at the mean")
    wait_for_link(page, "layer=0&head=1")


def test_a_link_restores_the_view(browser: Browser, hub: str, room: tuple[Page, Notes]) -> None:
    page, _ = room
    drag(page, 0.48, 0.2)
    answered(page)
    ROOM.part(page, ".lk-mean input").uncheck()
    ROOM.part(page, "[name=layer]").focus()
    page.keyboard.press("End")
    answered(page)
    link = wait_for_link(page, "layer=5")
    assert "mean=0" in link
    with open_page(browser, width=1400, height=1900) as (other, notes):
        other.goto(link)
        ROOM.calm(other)
        assert other.evaluate(f"{ROOM.view}.state") == page.evaluate(f"{ROOM.view}.state")
        assert changed(picture(ROOM.part(page, ".lk-photo")), picture(ROOM.part(other, ".lk-photo"))) < 0.01
        assert ROOM.part(other, ".lk-answers").inner_text() == ROOM.part(page, ".lk-answers").inner_text()
        assert notes.errors == []


def test_all_cutoffs_are_asked_for_and_drawn(room: tuple[Page, Notes]) -> None:
    page, _ = room
    expect(ROOM.part(page, ".lk-crossing-chart")).to_be_hidden()
    ROOM.part(page, ".lk-ask").click()
    expect(ROOM.part(page, ".lk-crossing-said")).to_contain_text(
        re.compile(r"cross.* 14 photos, the mean kept on both sides"), timeout=PATIENCE_MS
    )
    expect(ROOM.part(page, ".lk-crossing-chart circle")).to_have_count(20)
    expect(ROOM.part(page, ".lk-ask")).to_be_disabled()
    ROOM.calm(page)
    wait_for_link(page, "sweep=1")


@pytest.mark.parametrize("room", [SLOW], indirect=True)
def test_the_long_question_shows_how_far_it_is_and_can_be_stopped(room: tuple[Page, Notes]) -> None:
    page, _ = room
    ROOM.part(page, ".lk-ask").click()
    expect(ROOM.part(page, ".lk-view")).to_have_attribute("aria-busy", "true")
    expect(page.locator(".lab-step")).to_contain_text("all photos, cut at", timeout=PATIENCE_MS)
    page.locator("#stop").click()
    expect(ROOM.part(page, ".lk-view")).to_have_attribute("aria-busy", "false", timeout=10_000)
    expect(page.locator(".lab-step")).to_have_count(0)
    expect(ROOM.part(page, ".lk-crossing-chart")).to_be_hidden()
    expect(ROOM.part(page, ".lk-ask")).to_be_enabled()
    ROOM.part(page, '[data-preset="coarse"]').click()  # and the room goes on
    answered(page)
    wait_for_link(page, "high=0.1")
    assert "sweep=1" not in page.url


def test_an_answer_does_not_pull_the_hand_back(room: tuple[Page, Notes]) -> None:
    page, _ = room
    page.evaluate(
        f"""() => {{
            const view = {ROOM.view}, show = view.show;
            view.show = (...answer) => {{ window.answer = answer; show(...answer); }};
        }}"""
    )
    ROOM.part(page, '[data-preset="coarse"]').click()
    page.wait_for_function("window.answer?.[0].answer.high === 0.1", timeout=PATIENCE_MS)
    ROOM.calm(page)
    page.evaluate(f"() => {{ {ROOM.view}.follow({{ high: 0.3 }}); {ROOM.view}.show(...window.answer); }}")
    assert ROOM.state(page, "high") == 0.3


def test_numbers_can_be_taken_home(room: tuple[Page, Notes], tmp_path: Path) -> None:
    page, _ = room
    with page.expect_download(timeout=PATIENCE_MS) as waiting:
        page.get_by_role("button", name="Numbers (JSON)").click()
    path = tmp_path / "numbers.json"
    waiting.value.save_as(path)
    assert [row["layer"] for row in json.loads(path.read_text())["rows"]] == list(range(6))
