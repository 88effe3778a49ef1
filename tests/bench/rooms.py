"""How long a visitor waits in each room, in headless Chromium on this machine: `python -m tests.bench.rooms`.

A new photo: from the click to the frame in which the first picture of it is drawn; the model is loaded already. A move:
from the key to the drawn frame, for what the browser draws from numbers that it has.
"""

from __future__ import annotations

import argparse
import statistics
import time

from playwright.sync_api import Page

from apps.rooms import TITLES
from tests.browser.harness import chromium, gradio_hub, open_page

WITH_VIEW = tuple(name for name in TITLES if name not in ("papers", "compare"))
PHOTOS = ("coffee", "rocket", "astronaut", "motorcycle", "chelsea")
NEW_PHOTO = """(name) => new Promise((done) => {
    const view = document.querySelector(".lk-view")
    const from = performance.now()
    let began = false
    new MutationObserver((_, watcher) => {
        if (view.getAttribute("aria-busy") === "true") began = true
        if (!began || view.getAttribute("aria-busy") !== "false") return
        watcher.disconnect()
        requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - from)))
    }).observe(view, { attributes: true, attributeFilter: ["aria-busy"] })
    document.querySelector(`[data-photo="${name}"]`).click()
})"""
RESTS = """() => document.querySelector(".lk-view").getAttribute("aria-busy") !== "true"
    && !document.querySelector(".lab-step")"""
COST = "() => document.querySelector('.lk-host').view.timing.cost"


def wait_for_rest(page: Page) -> None:
    """Until a visit has ended and its link is there."""
    page.wait_for_function("document.querySelector('.lk-host')?.view?.timing.drawn > 0", timeout=180_000)
    page.wait_for_function(RESTS, timeout=180_000)
    time.sleep(1.5)  # charts beside the view are drawn after it


def measured(page: Page, address: str) -> tuple[list[float], list[float]]:
    """Milliseconds of each new photo, and of each move of the hand."""
    page.goto(address)
    wait_for_rest(page)
    photos, moves = [], []
    for name in PHOTOS:
        photos.append(page.evaluate(NEW_PHOTO, name))
        wait_for_rest(page)
    page.locator(".lk-photo").first.focus()
    for key in ("ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown") * 4:
        page.keyboard.press(key)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        moves.append(page.evaluate(COST))
    return photos, moves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lab/vit")
    model = parser.parse_args().model
    print("| room | new photo, median ms | worst | redraw, median ms | worst |\n| --- | --- | --- | --- | --- |")
    with chromium() as browser, gradio_hub(port=7820) as hub:
        for room in WITH_VIEW:
            with open_page(browser, width=1300, height=900) as (page, _):
                photos, moves = measured(page, f"{hub}{room}/?model={model}&image=chelsea")
            numbers = [statistics.median(photos), max(photos), statistics.median(moves), max(moves)]
            print(f"| {TITLES[room]} | " + " | ".join(f"{number:.0f}" for number in numbers) + " |", flush=True)


if __name__ == "__main__":
    main()
