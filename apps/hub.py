"""The hub: a wall of pictures, each a door into a room of the lab, and the rooms behind it."""

from __future__ import annotations

import html
import json
import threading
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from apps import attention, wall
from apps.frame import hang
from apps.rooms import rooms
from labkit.widgets.bundle import module
from labkit.widgets.view import style_of

ROOMS = rooms()
FAVICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="7" fill="#2a0930"/>
<circle cx="16" cy="16" r="8.5" fill="none" stroke="#fb8861" stroke-width="3"/>
<circle cx="16" cy="16" r="3" fill="#fcfdbf"/></svg>"""


def create_app(first: str | None = None) -> FastAPI:
    """The server: the wall at /, each room at its own path, /healthz. With `first`, / leads to that room."""
    app = FastAPI(title="labkit", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    def healthz() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/", response_model=None)
    def door() -> Response:
        return RedirectResponse(f"/{first}/") if first else HTMLResponse(page())

    @app.get("/favicon.ico")
    def favicon() -> Response:
        return Response(FAVICON, media_type="image/svg+xml")

    @app.get("/wall/live.json")
    def live() -> Response:
        return Response(json.dumps(wall.live()), media_type="application/json")

    @app.get("/wall/view.js")
    def view() -> Response:
        return Response(module("attention.js"), media_type="text/javascript")

    @app.get("/wall/{photo}.jpg")
    def picture(photo: str) -> Response:
        if photo not in (*wall.PHOTOS, wall.LIVE):
            raise HTTPException(404, "There is no such picture on the wall.")
        return Response(wall.hung(photo).jpeg, media_type="image/jpeg")

    @app.get("/wall/room/{name}.jpg")
    def poster(name: str) -> Response:
        if name not in ROOMS:
            raise HTTPException(404, "There is no such room.")
        return Response(wall.poster(name), media_type="image/jpeg")

    for name, room in ROOMS.items():
        app = hang(app, room.build(), path=f"/{name}", extra_css=room.CSS)
    threading.Thread(target=hang_pictures, daemon=True).start()  # the first visitor finds them made
    return app


def hang_pictures() -> None:
    """Make every picture on the wall."""
    page()
    for name in ROOMS:
        if name != "attention":
            wall.poster(name)


def page() -> str:
    """The wall: one large living picture, a picture for every other room, and small ones that lead to a photo."""
    small = "".join(
        f'<a href="{html.escape(hung.link)}"><img src="/wall/{photo}.jpg" alt="" width="360" height="360">'
        f"<span>{html.escape(hung.caption)}</span></a>"
        for photo in wall.PHOTOS
        for hung in [wall.hung(photo)]
    )
    doors = "".join(
        f'<a href="/{name}/"><img src="/wall/room/{name}.jpg" alt="" width="720" height="720" loading="lazy">'
        f"<h2>{html.escape(room.TITLE)}</h2><span>{html.escape(room.SUBTITLE)}</span></a>"
        for name, room in ROOMS.items()
        if room is not attention
    )
    return _PAGE.format(
        doors=doors,
        css=style_of("attention") + (Path(__file__).parent / "hub.css").read_text(encoding="utf-8"),
        title=html.escape(attention.TITLE),
        subtitle=html.escape(attention.SUBTITLE),
        live=wall.LIVE,
        small=small,
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>labkit</title>
<style>{css}</style>
</head>
<body>
<header><h1>labkit</h1><p>Put a photo through a vision model and see how it mixes what it sees.</p></header>
<main>
<article>
  <div class="living" id="living"><img src="/wall/{live}.jpg" alt="{live}, with what the model looks at"></div>
  <div class="plate">
    <h2><a href="/attention/">{title}</a></h2>
    <p>{subtitle} Move over the picture: it answers.</p>
    <p>Each photo is cut into squares. In every layer, every square asks all others and takes most from those that
       answer best; bright squares are the ones it takes most from.</p>
    <a class="enter" href="/attention/">Enter the room</a>
  </div>
</article>
<nav class="rooms" aria-label="rooms">{doors}</nav>
<h3>Or begin with a photo</h3>
<nav class="photos" aria-label="photos in the attention room">{small}</nav>
</main>
<script type="module">
import {{ bytesOf, mount }} from "/wall/view.js";
const value = await (await fetch("/wall/live.json")).json();
if (value) {{
  const host = document.getElementById("living");
  const view = mount(host, {{ tell() {{}}, want() {{}} }}, {{ bare: true }});
  view.show(value.head, value.layers.map((body) => body && bytesOf(body)), value.state);
  // Until a hand comes, the question wanders by itself; not for those who asked for stillness.
  const [h, w] = value.head.layers[value.state.layer].grid;
  let step = 0;
  const wander = () => {{
    step += 0.11;
    const row = Math.floor(h * (0.5 + 0.36 * Math.sin(step)));
    const column = Math.floor(w * (0.5 + 0.36 * Math.sin(1.618 * step)));
    view.follow({{ query: row * w + column }});
  }};
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const timer = still ? 0 : setInterval(wander, 260);
  for (const kind of ["pointerenter", "focusin"]) host.addEventListener(kind, () => clearInterval(timer));
}}
</script>
</body>
</html>
"""
