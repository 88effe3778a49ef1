"""Every lesson but the first in a real JupyterLab, top to bottom; its view answers the pointer and the keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit.commands._servers import ROOT
from tests.browser.harness import (
    Browser,
    Lab,
    changed,
    jupyter_lab,
    open_notebook,
    open_page,
    picture,
    port_of,
    run_all,
    shown,
)

pytestmark = [pytest.mark.browser, pytest.mark.notebook, pytest.mark.slow]
LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb") if path.stem != "01_attention")
VIEW_IS_DRAWN = "() => document.querySelector('.lk-view')?.parentElement.view?.timing.drawn > 0"
TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
CODE_CELLS = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
    .filter(cell => cell.type === 'code' && cell.sharedModel.source.trim()).length"""


@pytest.fixture(scope="module")
def lab(worker_id: str) -> Iterator[Lab]:
    with jupyter_lab(ROOT / "notebooks", port=port_of(8920, worker_id)) as server:
        yield server


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs_and_its_view_answers_pointer_and_keys(browser: Browser, lab: Lab, lesson: str) -> None:
    with open_page(browser, width=1400, height=1500) as (page, notes):
        open_notebook(page, lab, f"{lesson}.ipynb")
        ran, raised = run_all(page)
        assert raised == []
        assert ran == page.evaluate(CODE_CELLS) > 5
        kinds, said = shown(page)
        assert {"application/vnd.jupyter.widget-view+json", "image/png"} <= kinds
        assert said == [], "a lesson does not start with warnings"

        view = page.locator(".lk-view").first
        photo = view.locator(".lk-photo").first
        photo.scroll_into_view_if_needed()
        page.wait_for_function(VIEW_IS_DRAWN)
        seen = [picture(view)]
        box = photo.bounding_box()
        for across, down in ((0.3, 0.3), (0.7, 0.6)):
            page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
            page.evaluate(TWO_FRAMES)
            seen.append(picture(view))
        assert changed(seen[1], seen[2]) > 0.001
        photo.focus()
        before = picture(view)
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowUp")
        page.evaluate(TWO_FRAMES)
        assert changed(before, picture(view)) > 0.001
        assert page.evaluate("() => document.querySelector('.lk-view').parentElement.view.timing.cost") < 500, (
            "drawn in the page, without the kernel"
        )

        page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")  # its kernel may go
        assert notes.errors == []
        assert notes.off_machine == []
