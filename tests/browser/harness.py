"""What the browser tests share: headless Chromium that takes notes, the two servers, JupyterLab by its API."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from labkit.commands import _servers

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ARGS = [
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever a page asks for, no name but this machine's is found: the notes below then say what it wanted.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


def find_chromium() -> str | None:
    """Where Chromium (or Chrome) is installed; None when it is not."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


@dataclass
class Notes:
    """What a page complained about, and what it asked of other machines; both stay empty on a good page."""

    errors: list[str] = field(default_factory=list)
    off_machine: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._note(request.url))
        page.on("websocket", lambda socket: self._note(socket.url))

    def _note(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in LOOPBACK:
            self.off_machine.append(url)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """One headless browser for a test session."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGS)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def open_page(
    browser: Browser, *, width: int = 1300, height: int = 900, dark: bool = False, downloads: bool = True
) -> Iterator[tuple[Page, Notes]]:
    """A fresh, private page of `width` x `height` CSS pixels, and the notes taken on it."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        accept_downloads=downloads,
        permissions=["clipboard-read", "clipboard-write"],
    )
    try:
        context.set_default_timeout(60_000)  # two busy cores
        page, notes = context.new_page(), Notes()
        notes.watch(page)
        yield page, notes
    finally:
        context.close()


def port_of(first: int, worker_id: str) -> int:
    """Where this test process begins to look for a port: two that look at once would both find the same one free."""
    return first if worker_id == "master" else first + 60 * int(worker_id.removeprefix("gw"))


@contextlib.contextmanager
def _running(server: _servers.Server) -> Iterator[_servers.Server]:
    try:
        _servers.await_all([server])
        yield server
    finally:
        _servers.end_all([server])


@contextlib.contextmanager
def gradio_hub(app: str | None = None, *, port: int = 7960) -> Iterator[str]:
    """The running hub (or one of its apps); gives its address. It answers when this returns."""
    with tempfile.TemporaryDirectory() as logs:
        launched = _servers.launch_hub(_servers.free_port(port), logs=Path(logs), app=app)
        with _running(launched) as server:
            yield server.url


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab on a copy of the notebooks."""

    base: str
    token: str
    folder: Path

    def address(self, notebook: str) -> str:
        return f"{self.base}/lab/tree/{notebook}?token={self.token}&reset"


@contextlib.contextmanager
def jupyter_lab(notebooks: Path, *, port: int = 8988, theme: str = "JupyterLab Light") -> Iterator[Lab]:
    """JupyterLab on a copy of the folder `notebooks`, with a profile of its own: the project stays as it is."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        shutil.copytree(
            notebooks, home / "notebooks", ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        )
        themes = home / "settings/@jupyterlab/apputils-extension"
        themes.mkdir(parents=True)
        (themes / "themes.jupyterlab-settings").write_text(f'{{"theme": "{theme}"}}')
        launched = _servers.launch_jupyter(
            _servers.free_port(port),
            logs=home,
            folder=home / "notebooks",
            extra=["--LabApp.expose_app_in_browser=True"],
            env={
                "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
                "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
                "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
                "PYTHONPATH": str(_servers.ROOT),
            },
        )
        with _running(launched) as server:
            base, _, token = server.url.partition("?token=")
            yield Lab(base.split("/lab")[0], token, home / "notebooks")


def open_notebook(page: Page, lab: Lab, notebook: str, *, patience_s: float = 300) -> None:
    """Open `notebook` and wait until its kernel is idle. The icon says so too early: ask the session itself."""
    page.goto(lab.address(notebook), timeout=patience_s * 1000)
    page.locator(".jp-Notebook").wait_for(timeout=patience_s * 1000)
    page.wait_for_function(
        """() => {
            const widget = window.jupyterapp?.shell.currentWidget
            return widget?.context?.isReady && widget.sessionContext?.isReady
                && widget.sessionContext.session?.kernel?.status === 'idle'
        }""",
        timeout=patience_s * 1000,
    )


def run_all(page: Page) -> tuple[int, list[str]]:
    """Run every cell of the open notebook; gives how many code cells ran, and what they raised."""
    ran, raised = page.evaluate(
        """async () => {
            await window.jupyterapp.commands.execute('notebook:run-all-cells')
            let ran = 0, raised = []
            for (const cell of window.jupyterapp.shell.currentWidget.content.model.cells) {
                if (cell.type !== 'code') continue
                if (cell.executionCount) ran += 1
                for (let i = 0; i < cell.outputs.length; i++) {
                    const output = cell.outputs.get(i).toJSON()
                    if (output.output_type === 'error') raised.push(`${output.ename}: ${output.evalue}`)
                }
            }
            return [ran, raised]
        }"""
    )
    return ran, raised


def shown(page: Page) -> tuple[set[str], list[str]]:
    """What the cells of the open notebook show: the kinds of their outputs, and what was said on standard error."""
    kinds, said = page.evaluate(
        """() => {
            const outputs = [...window.jupyterapp.shell.currentWidget.content.model.cells]
                .filter(cell => cell.type === 'code')
                .flatMap(cell => Array.from({ length: cell.outputs.length }, (_, i) => cell.outputs.get(i).toJSON()))
            return [outputs.flatMap(one => Object.keys(one.data ?? {})),
                    outputs.filter(one => one.name === 'stderr').map(one => one.text)]
        }"""
    )
    return set(kinds), said


def picture(target: Locator | Page) -> np.ndarray:
    """What `target` looks like now: `h w 3`, uint8."""
    return np.asarray(Image.open(io.BytesIO(target.screenshot())).convert("RGB"))


def changed(before: np.ndarray, after: np.ndarray, *, by: int = 12) -> float:
    """The share of pixels, 0..1, in which two pictures differ by more than `by` of 255; 1 when their sizes differ."""
    if before.shape != after.shape:
        return 1.0
    return float((np.abs(before.astype(int) - after.astype(int)).max(axis=-1) > by).mean())
