"""Take the pictures of the README and of docs/ anew in headless Chromium: `make screenshots`. Then look at them."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from apps.rooms import TITLES  # noqa: E402
from tests.browser.harness import chromium, gradio_hub, jupyter_lab, open_notebook, open_page, run_all  # noqa: E402

IMAGES = ROOT / "docs" / "images"
PLACE = "?model=lab%2Fvit&image=astronaut"
PLACES = {"papers": "?paper=van"}
"""Where each room looks best; the others stand at PLACE."""
PAUSES = {"compare": 25_000}
"""Milliseconds that a room takes to show all it has."""
NAMES = {"mixing": "mixing-room"}
"""A room whose picture cannot have its name: an instrument has it."""
ALL_PICTURES = "[...document.images].every((image) => image.complete && image.naturalWidth)"
WITHOUT_VIEW = ("papers", "compare")


def keep(target: Page | Locator, name: str) -> None:
    """Store what `target` looks like."""
    picture = Image.open(io.BytesIO(target.screenshot())).convert("RGB")
    picture.save(IMAGES / f"{name}.jpg", quality=88, optimize=True)
    print(f"docs/images/{name}.jpg")


def draw() -> None:
    """The instruments' figures, as the command line writes them."""
    from labkit.cli import run

    wanted = {
        "cam": (("--image", "coffee"), {"maps": "cam"}),
        "mixing": (("--image", "coffee", "--beside", "lab/resnet"), {"mixing": "mixing", "chart": "mixing-chart"}),
    }
    for instrument, (options, names) in wanted.items():
        with tempfile.TemporaryDirectory() as folder:
            if run(["probe", instrument, *options, "--out", folder]):
                raise SystemExit(f"labkit probe {instrument} did not answer")
            for figure, name in names.items():
                picture = Image.open(Path(folder) / f"{figure}.png").convert("RGB")
                picture.thumbnail((1600, 1600))
                picture.save(IMAGES / f"{name}.jpg", quality=88, optimize=True)
                print(f"docs/images/{name}.jpg")


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    draw()
    with chromium() as browser:
        with gradio_hub() as url:
            with open_page(browser, width=1400, height=1900) as (page, _):
                page.goto(url)
                page.locator("#living canvas").first.wait_for()
                page.locator("#living").hover(position={"x": 210, "y": 150})
                page.wait_for_function(
                    "[...document.images].every((i) => i.complete && i.naturalWidth)", timeout=180_000
                )
                keep(page, "hub")
            for room in TITLES:
                take_room(browser, url, room, NAMES.get(room, room))
            take_room(browser, url, "attention", "attention-dark", dark=True)
            take_room(browser, url, "attention", "attention-phone", width=390, height=1200)
        with jupyter_lab(ROOT / "notebooks") as lab:
            for lesson, name in (
                ("01_attention", "notebook"),
                ("00_welcome", "notebook-welcome"),
                ("07_token_mixers", "notebook-mixers"),
            ):
                with open_page(browser, width=1500, height=1250) as (page, _):
                    open_notebook(page, lab, f"{lesson}.ipynb")
                    run_all(page)
                    page.locator(".lk-view").first.scroll_into_view_if_needed()
                    page.locator(".lk-photo").first.hover(position={"x": 330, "y": 210})
                    page.wait_for_timeout(3000)
                    keep(page, name)


def take_room(
    browser: Browser, url: str, room: str, name: str, *, width: int = 1400, height: int = 1360, dark: bool = False
) -> None:
    """One room at a place that shows it well."""
    with open_page(browser, width=width, height=height, dark=dark) as (page, _):
        page.goto(f"{url.rstrip('/')}/{room}/{PLACES.get(room, PLACE)}")
        if room not in WITHOUT_VIEW:
            page.wait_for_function(
                "document.querySelector('.lk-host')?.view?.timing.drawn > 0 && location.search.length > 10"
            )
        page.wait_for_function("!document.querySelector('.lab-step')", timeout=180_000)
        page.wait_for_timeout(PAUSES.get(room, 2500))
        keep(page, name)


if __name__ == "__main__":
    main()
