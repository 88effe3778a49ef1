"""Whoever asks for what they must not have gets one sentence, nothing of this machine, and the lab goes on."""

from __future__ import annotations

import http.client
import io
import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from PIL import Image

from apps.rooms import TITLES
from labkit.commands import _servers

pytestmark = pytest.mark.slow
ROOMS = [name for name in TITLES if name != "papers"]
TELLTALES = ("Traceback", "site-packages", str(_servers.ROOT), "root:x:0")
"""What must never stand in an answer."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_servers.Server]:
    launched = _servers.launch_hub(_servers.free_port(7700), logs=tmp_path_factory.mktemp("logs"))
    try:
        _servers.await_all([launched])
        yield launched
    finally:
        _servers.end_all([launched])


def send(server: _servers.Server, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    """One request as it stands, no path tidied up on the way: the status and the text."""
    door = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=120)
    try:
        door.request(method, path, body, headers)
        answer = door.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        door.close()


def read(server: _servers.Server, room: str, given: object) -> str:
    """What a room's public endpoint says to `given`, as the events of its stream."""
    body = json.dumps({"data": [given]}, allow_nan=True).encode()
    path = f"/{room}/gradio_api/call/read"
    status, text = send(server, "POST", path, body, **{"content-type": "application/json"})
    if status != 200:
        return text
    return send(server, "GET", f"{path}/{json.loads(text)['event_id']}")[1]


def goes_on(server: _servers.Server) -> None:
    assert send(server, "GET", "/healthz") == (200, '{"ok":true}')


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("image=../../../../etc/passwd", "no photo"),
        ("image=/etc/passwd", "no photo"),
        ("image=%2e%2e%2f%2e%2e%2fetc%2fpasswd", "no photo"),
        ("image=coffee%00.png", "no photo"),
        ("model=../../etc/passwd", ""),
        ("model=/etc/passwd", ""),
        ("model=<script>alert(1)</script>", ""),
        ("weights=/etc/passwd", "expected default or none"),
        ("model=" + "x" * 1900, ""),
        ("x" * 5000, "Expected the part of a link"),
    ],
)
def test_a_program_that_asks_for_what_is_not_offered_gets_a_sentence(
    server: _servers.Server, room: str, address: str, words: str
) -> None:
    said = read(server, room, address)
    assert "event: error" in said
    assert words in said
    assert not [sign for sign in TELLTALES if sign in said]


@pytest.mark.parametrize("given", [7, None, True, [], {}, [1, 2], {"a": 1}, 1e308, float("nan"), "\x00", "=&=&;"])
def test_wrong_types_are_told_what_was_expected(server: _servers.Server, given: object) -> None:
    said = read(server, "attention", given)
    if given not in ("\x00", "=&=&;"):  # odd, and a place like any other: all that is not known is left out
        assert "event: error" in said
    assert not [sign for sign in TELLTALES if sign in said]
    goes_on(server)


@pytest.mark.parametrize("room", ROOMS)
def test_huge_numbers_are_refused_before_anything_is_computed(server: _servers.Server, room: str) -> None:
    for name in ("layer", "query", "seed", "masks", "depth", "low", "high", "down", "across", "step", "block"):
        said = read(server, room, f"{name}=99999999999999999999999")
        # The room either does not know the name, and answers, or says what it expected.
        assert "event: complete" in said or "expected" in said
        assert not [sign for sign in TELLTALES if sign in said]
    goes_on(server)


@pytest.mark.parametrize("room", TITLES)
def test_no_file_can_be_had_that_was_not_offered(server: _servers.Server, room: str) -> None:
    weights = _servers.ROOT / "data/weights/vit.safetensors"
    for file in ("/etc/passwd", str(_servers.ROOT / "pyproject.toml"), str(weights), "../pyproject.toml"):
        for way in ("file=", "gradio_api/file=", "gradio_api/file%3D", "static/", "assets/", "theme.css/../../", ""):
            for name in (file, quote(file, safe=""), "/".join([".."] * 8) + file):
                status, text = send(server, "GET", f"/{room}/{way}{name}")
                assert status in (307, 400, 403, 404, 405, 422), (way, name)
                assert "root:x:0" not in text
                assert "[build-system]" not in text
    goes_on(server)


def test_the_wall_offers_pictures_alone(server: _servers.Server) -> None:
    for path in (
        "/wall/../apps/hub.py",
        "/wall/%2e%2e%2fhub.py",
        "/wall/room/../../x.jpg",
        "/wall/room/zzz.jpg",
        "/docs",
    ):
        status, text = send(server, "GET", path)
        assert status == 404
        assert "import" not in text


def test_html_in_a_link_comes_back_as_text(server: _servers.Server) -> None:
    wicked = "<img src=x onerror=alert(1)>"
    for room in TITLES:
        status, text = send(
            server, "GET", f"/{room}/?model={quote(wicked)}&image={quote(wicked)}&paper={quote(wicked)}"
        )
        assert status == 200
        assert wicked not in text


def upload(server: _servers.Server, name: str, body: bytes) -> tuple[int, str]:
    edge = "edge-of-a-part"
    part = (
        f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    whole = part + body + f"\r\n--{edge}--\r\n".encode()
    kind = f"multipart/form-data; boundary={edge}"
    return send(server, "POST", "/attention/gradio_api/upload", whole, **{"content-type": kind})


def test_an_upload_stays_in_its_folder_whatever_it_is_called(server: _servers.Server) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (40, 40)).save(picture, "png")
    for name in (
        "../../../../tmp/labkit-escaped.png",
        "..\\..\\labkit-escaped.png",
        "<b>labkit-escaped.png",
        "a" * 400,
    ):
        status, text = upload(server, name, picture.getvalue())
        if status == 200:
            (path,) = json.loads(text)
            assert ".." not in Path(path).parts
            assert Path(path).is_file()
            assert "gradio" in path
    assert not Path("/tmp/labkit-escaped.png").exists()
    goes_on(server)


def test_too_large_an_upload_is_refused_and_the_lab_goes_on(server: _servers.Server) -> None:
    status, _ = upload(server, "large.png", b"\0" * 70_000_000)
    assert status >= 400
    goes_on(server)


def test_after_all_this_a_good_question_gets_its_answer(server: _servers.Server) -> None:
    said = read(server, "attention", urllib.parse.urlencode({"model": "lab/vit", "image": "coffee"}))
    assert "event: complete" in said
    assert "espresso" in said
    assert "public URL" not in server.log.read_text(errors="replace")
