"""What every live view shares on the side of Python: the widget for JupyterLab, the component for Gradio.

A view `name` is `name.js` (it exports `mount`, `inGradio` and, by default, `inJupyter`) with `view.css` and `name.css`.
It is shown a `head` (plain data: grids, names, words), `bodies` (bytes: numbers by the thousand) and a `state` (what
the visitor may change). What follows from these is drawn in the browser; for all else the view asks Python.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import numpy as np
import traitlets

from labkit.widgets.bundle import module, styles

if TYPE_CHECKING:
    import gradio as gr

Answer = Callable[[dict[str, Any]], None]


class View(anywidget.AnyWidget):
    """A live view in a notebook. A subclass names its JavaScript: `class Heat(View, view="heat")`.

    `state` is kept in step with the browser, both ways: read it to see where the visitor stands, set it to move them.
    """

    value = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    _name: ClassVar[str]

    def __init_subclass__(cls, view: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if view is None:  # traitlets makes a subclass of its own for each widget
            return
        cls._name = view
        cls._esm = module(f"{view}.js")
        cls._css = style_of(view)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._answer: Answer = lambda what: None
        self.on_msg(self._asked)

    def show(self, head: dict[str, Any], bodies: Sequence[bytes | None] = (), /, **state: Any) -> None:
        """Show new data in the same view; what `state` does not name stays, where the new data has it."""
        with self.hold_sync():
            self.state = {**self.state, **state}
            self.value = {"head": head, "bodies": list(bodies)}

    def on_ask(self, answer: Answer) -> None:
        """Call `answer(what)` when the view wants something computed; the view is busy until it returns."""
        self._answer = answer

    def _asked(self, _widget: object, what: dict[str, Any], _buffers: object) -> None:
        try:
            self._answer(what)
        finally:
            self.send({"busy": False})


def style_of(name: str) -> str:
    """The style sheets of a view, the shared one first."""
    return styles("view.css") + styles(f"{name}.css")


def numbers(values: Any) -> bytes:
    """Numbers of any shape for the browser: float32, little-endian, row by row (`numbersOf` reads them)."""
    values = values.detach().cpu() if hasattr(values, "detach") else values
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def text_of(data: bytes) -> str:
    """Bytes as text that any host can carry (base64)."""
    return base64.b64encode(data).decode()


# ---- Gradio

_MOUNT = """import("data:text/javascript;base64,%s").then((made) => {
  const style = document.createElement("style");
  style.textContent = %s;
  document.head.append(style);
  // Gradio keeps an event that comes while another of its kind is at work, but fires the first one's data again:
  // so each kind has one object, which always holds the last word.
  const words = { picked: {}, asked: {} };
  const say = (event, data) => {
    for (const name of Object.keys(words[event])) delete words[event][name];
    trigger(event, Object.assign(words[event], data));
  };
  const host = { tell: (state) => say("picked", state), ask: (what) => say("asked", what) };
  made.inGradio({ element, props, watch, server, host });
});"""


def gradio_value(head: dict[str, Any], bodies: Sequence[bytes | None] = (), /, **state: Any) -> dict[str, Any]:
    """What a `gradio_view` shows, as its value: plain data, with the bytes as text."""
    return {"head": head, "bodies": [body and text_of(body) for body in bodies], "state": state}


def gradio_view(
    name: str, *, waiting: str = "", functions: Sequence[Callable[..., Any]] = (), **options: Any
) -> gr.HTML:
    """The view `name` as a Gradio component; until it is given a value it shows `waiting` (HTML).

    Its event `picked` carries the state whenever the visitor has chosen; `asked` carries what Python is to compute.
    """
    import gradio as gr

    return gr.HTML(
        value=None,
        html_template=f'<div class="lk-host">{waiting}</div>',
        js_on_load=_MOUNT % (text_of(module(f"{name}.js").encode()), json.dumps(style_of(name))),
        server_functions=list(functions),
        apply_default_css=False,
        **options,
    )
