"""Take the pictures of the README and of docs/ anew in headless Chromium: `make screenshots`. Then look at them."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.harness import chromium, gradio_hub, jupyter_lab, open_notebook, open_page, run_all  # noqa: E402

IMAGES = ROOT / "docs" / "images"
PLACE = "?model=lab%2Fvit&image=astronaut"


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
            with open_page(browser, width=1400, height=960) as (page, _):
                page.goto(url)
                page.locator("#living canvas").first.wait_for()
                page.locator("#living").hover(position={"x": 210, "y": 150})
                page.wait_for_timeout(1500)
                keep(page, "hub")
            for name, width, height, dark in (
                ("attention", 1400, 1360, False),
                ("attention-dark", 1400, 1360, True),
                ("attention-phone", 390, 1200, False),
            ):
                with open_page(browser, width=width, height=height, dark=dark) as (page, _):
                    page.goto(f"{url.rstrip('/')}/attention/{PLACE}")
                    page.locator(".lk-photo canvas, canvas.lk-photo").first.wait_for()
                    page.locator("#by_depth .js-plotly-plot, .js-plotly-plot").first.wait_for()
                    page.wait_for_timeout(2500)
                    keep(page, name)
        with (
            jupyter_lab(ROOT / "notebooks") as lab,
            open_page(browser, width=1500, height=1250) as (page, _),
        ):
            open_notebook(page, lab, "01_attention.ipynb")
            run_all(page)
            page.locator(".lk-attention").first.scroll_into_view_if_needed()
            page.wait_for_timeout(3000)
            keep(page, "notebook")


if __name__ == "__main__":
    main()
