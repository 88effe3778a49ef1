"""The first notebook in a real JupyterLab: run, hover, drag, choose, and see the picture follow."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Locator, Page

from labkit.commands._servers import ROOT
from tests.browser.harness import Browser, Lab, Notes, changed, jupyter_lab, open_notebook, open_page, picture, run_all

# The widget puts a new <img> in the place of the old one: look it up each time.
FIGURE_IS_NEW = """old => {
    const figure = document.querySelector("img[alt^='NMI, distance']")
    return figure && figure.src !== old
}"""

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@dataclass
class Lesson:
    page: Page
    notes: Notes
    ran: int
    raised: list[str]
    kernel: int

    @property
    def view(self) -> Locator:
        return self.page.locator(".lk-attention").first

    @property
    def photo(self) -> Locator:
        return self.view.locator(".lk-photo")

    def hover(self, across: float, down: float) -> None:
        """Move the pointer to a place on the photo, each 0..1."""
        box = self.photo.bounding_box()
        self.page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])

    def rest(self) -> None:
        """Wait until two frames have been drawn."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def query(self) -> int:
        return int(self.view.get_attribute("data-query"))


def kernel_of(lab: Lab) -> int:
    """The process of the one kernel of this server, known by the folder that its connection file lies in."""
    listing = subprocess.run(["ps", "-ewwo", "pid,args"], capture_output=True, text=True, check=True).stdout
    (pid,) = [
        line.split()[0] for line in listing.splitlines() if "ipykernel" in line and str(lab.folder.parent) in line
    ]
    return int(pid)


@pytest.fixture(scope="module")
def lesson(browser: Browser) -> Iterator[Lesson]:
    with jupyter_lab(ROOT / "notebooks") as lab, open_page(browser, width=1400, height=1600) as (page, notes):
        open_notebook(page, lab, "01_attention.ipynb")
        ran, raised = run_all(page)
        opened = Lesson(page, notes, ran, raised, kernel_of(lab))
        opened.photo.scroll_into_view_if_needed()
        page.wait_for_function("() => document.querySelector('.lk-attention')?.dataset.query !== undefined")
        yield opened


def test_every_cell_runs(lesson: Lesson):
    assert lesson.raised == []
    cells = lesson.page.evaluate(
        "() => [...window.jupyterapp.shell.currentWidget.content.model.cells].filter(c => c.type === 'code').length"
    )
    assert lesson.ran == cells > 10


def test_the_attention_follows_the_pointer_without_python(lesson: Lesson):
    lesson.hover(0.2, 0.3)
    lesson.rest()
    before, asked = picture(lesson.photo), lesson.query()
    # The kernel is frozen: what changes now is drawn by the page alone.
    os.kill(lesson.kernel, signal.SIGSTOP)
    try:
        lesson.hover(0.8, 0.7)
        lesson.rest()
        after = picture(lesson.photo)
    finally:
        os.kill(lesson.kernel, signal.SIGCONT)
    assert lesson.query() != asked
    assert changed(before, after) > 0.02


def test_a_drag_passes_through_the_places_between(lesson: Lesson):
    seen = []
    lesson.hover(0.1, 0.5)
    lesson.page.mouse.down()
    for step in range(1, 9):
        lesson.hover(0.1 + 0.1 * step, 0.5)
        lesson.rest()
        seen.append(lesson.query())
    lesson.page.mouse.up()
    assert len(set(seen)) >= 6
    assert seen == sorted(seen), "the query walks to the right along a row"


def test_the_arrow_keys_move_the_query_and_not_the_cell(lesson: Lesson):
    lesson.photo.focus()
    before = lesson.query()
    lesson.page.keyboard.press("ArrowLeft")
    lesson.rest()
    assert lesson.query() == before - 1


def test_a_tile_brings_its_head_to_the_photo(lesson: Lesson):
    lesson.hover(0.4, 0.4)
    lesson.rest()
    before = picture(lesson.photo)
    lesson.view.locator('.lk-tile[data-layer="0"][data-head="1"]').click()
    lesson.rest()
    assert (lesson.view.get_attribute("data-layer"), lesson.view.get_attribute("data-head")) == ("0", "1")
    assert changed(before, picture(lesson.photo)) > 0.02


def test_another_photo_and_another_model_are_followed(lesson: Lesson):
    says = lesson.page.locator(".jp-OutputArea .widget-html-content", has_text="It says").first
    before, said = picture(lesson.photo), says.inner_text()
    figure = lesson.page.locator("img[alt^='NMI, distance']")
    drawn = figure.get_attribute("src")
    menus = lesson.page.locator(".widget-dropdown select")
    menus.nth(1).select_option("coffee")
    lesson.page.wait_for_function(FIGURE_IS_NEW, arg=drawn)
    lesson.rest()
    assert changed(before, picture(lesson.photo)) > 0.2
    assert says.inner_text() != said
    before, drawn = picture(lesson.photo), figure.get_attribute("src")
    menus.nth(0).select_option("lab/vit, untrained")
    lesson.page.wait_for_function(FIGURE_IS_NEW, arg=drawn)
    lesson.rest()
    assert changed(before, picture(lesson.photo)) > 0.2


def test_a_file_that_is_no_picture_gets_a_sentence_and_the_desk_goes_on(lesson: Lesson, tmp_path):
    broken = tmp_path / "holiday.jpg"
    broken.write_bytes(b"not a picture at all")
    with lesson.page.expect_file_chooser() as chooser:
        lesson.page.get_by_role("button", name="a picture of yours").click()
    chooser.value.set_files(broken)
    problem = lesson.page.locator("[role=alert]").first
    problem.wait_for()
    assert "Traceback" not in problem.inner_text()
    lesson.page.locator(".widget-dropdown select").nth(1).select_option("astronaut")
    lesson.page.locator(".widget-html-content", has_text="It says").first.wait_for()


def test_nothing_complained_and_nothing_left_the_machine(lesson: Lesson):
    assert lesson.notes.errors == []
    assert lesson.notes.off_machine == []
