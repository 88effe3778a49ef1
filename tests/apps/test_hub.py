from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from apps import __main__, posters, wall
from apps.hub import ROOMS, page
from labkit.session import look
from tests.browser.harness import gradio_hub


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    # The real server, in its own process: gradio leaves sockets open in ours, and here warnings are errors.
    with gradio_hub() as url:
        yield url.rstrip("/")


def fetch(url: str) -> tuple[str, bytes]:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60) as answer:
        return answer.headers["content-type"], answer.read()


@pytest.mark.slow
def test_the_server_is_well_and_every_room_open(address: str) -> None:
    assert json.loads(fetch(f"{address}/healthz")[1]) == {"ok": True}
    for room in ROOMS:
        assert b"gradio" in fetch(f"{address}/{room}/")[1]


@pytest.mark.slow
def test_the_server_hands_out_the_wall(address: str) -> None:
    kind, body = fetch(f"{address}/wall/{wall.PHOTOS[0]}.jpg")
    assert kind == "image/jpeg"
    assert Image.open(io.BytesIO(body)).size == (posters.SIDE, posters.SIDE)
    assert b"export function mount" in fetch(f"{address}/wall/view.js")[1]
    assert fetch(f"{address}/favicon.ico")[0].startswith("image/svg")
    live = json.loads(fetch(f"{address}/wall/live.json")[1])
    assert live is None or live["head"]["model"] == wall.MODEL
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(f"{address}/wall/secret.jpg")


@pytest.mark.slow
def test_one_room_alone_is_entered_at_once() -> None:
    with gradio_hub("attention", port=7990) as url:
        assert b"gradio" in fetch(url)[1]  # the room, not the wall
        assert b"Enter the room" not in fetch(url)[1]


def test_the_wall_leads_to_every_room_and_to_no_other_machine() -> None:
    text = page()
    for room in ROOMS:
        assert f'href="/{room}/"' in text
    assert not re.findall(r"""(?:src|href)=["']https?:""", text)
    for photo in wall.PHOTOS:
        assert f"image={photo}" in text


def test_a_lit_picture_is_brightest_where_the_share_is_largest() -> None:
    shares = np.array([[0.0, 0.1, 0.0], [0.0, 0.0, 0.7]])
    lit = np.asarray(posters.lit(Image.new("RGB", (30, 30), "grey"), shares, side=60).convert("L"), dtype=float)
    row, column = np.unravel_index(lit.argmax(), lit.shape)
    assert row > 40
    assert column > 45
    assert lit[5, 5] < lit[5, 30] < lit[55, 55]


def test_without_weights_the_wall_shows_the_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str, photo: str) -> None:
        raise ValueError("no weights")

    monkeypatch.setattr(wall, "look", gone)
    hung = wall.hung.__wrapped__("coffee")
    assert Image.open(io.BytesIO(hung.jpeg)).size == (posters.SIDE, posters.SIDE)
    assert "weights=none" in hung.link
    assert wall.live.__wrapped__() is None
    monkeypatch.setattr(wall, "look", lambda name, photo: look(name, photo, weights=None))
    assert "taken for" in wall.hung.__wrapped__("coffee").caption


def test_an_unknown_room_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["atention"]) == 2
    assert "did you mean attention?" in capsys.readouterr().err
    assert __main__.main(["zzz"]) == 2
    assert "there is: attention" in capsys.readouterr().err


@pytest.mark.slow
def test_gradio_is_told_not_to_call_home_before_it_is_imported() -> None:
    code = (
        "import os, sys; os.environ.pop('GRADIO_ANALYTICS_ENABLED', None); import apps.frame;"
        "print(os.environ['GRADIO_ANALYTICS_ENABLED'], __import__('gradio').analytics.analytics_enabled())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180)
    assert said.stdout.split() == ["False", "False"], said.stderr
