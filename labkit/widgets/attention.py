"""The live view of attention, `attention.js`, in JupyterLab (`AttentionView`) and in Gradio (`gradio_view`)."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from labkit.widgets import view
from labkit.widgets.bundle import module
from labkit.widgets.figures import MEAN
from labkit.widgets.packing import pack, pack_layer

if TYPE_CHECKING:
    import gradio as gr

    from labkit.session import Look


class AttentionView(anywidget.AnyWidget):
    """Hover over the photo and the attention of that place follows the pointer; no word goes to Python for it.

    `layer` and `head` count from 0; `head` -1 is the mean of the heads. `query` is the cell on the layer's grid, row by
    row; -1 is the class token. All are kept in step with the browser, both ways.
    """

    _esm = module("attention.js")
    _css = view.style_of("attention")
    packed = traitlets.Dict().tag(sync=True)
    layer = traitlets.Int(0).tag(sync=True)
    head = traitlets.Int(MEAN).tag(sync=True)
    query = traitlets.Int(0).tag(sync=True)
    pinned = traitlets.Bool(False).tag(sync=True)
    reverse = traitlets.Bool(False, help="show who looks at the place, not where it looks").tag(sync=True)
    bands = traitlets.Tuple(traitlets.Float(), traitlets.Float(), default_value=(0.06, 0.12)).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._look: Look | None = None
        self.on_msg(self._answer)

    @classmethod
    def of(cls, look: Look, **traits: Any) -> AttentionView:
        """A view of one look; `layer`, `head`, `query`, `reverse` and `bands` may be set at once."""
        view = cls()
        view.show(look, **traits)
        return view

    def show(self, look: Look, **traits: Any) -> None:
        """Show another look in the same view; what is not given stays, where the new model has it."""
        self._look = look
        start = opening(look, layer=traits.get("layer", self.layer if self.packed else None))
        kept = {} if not self.packed else {"head": min(self.head, look.maps[start["layer"]].weights.shape[2] - 1)}
        packed = pack(look, chosen=start["layer"])
        with self.hold_sync():
            for name, value in {**start, **kept, **traits}.items():
                self.set_trait(name, value)
            self.packed = {"head": packed.head, "layers": list(packed.layers)}

    def _answer(self, _widget: object, message: dict[str, Any], _buffers: object) -> None:
        wanted = message.get("want")
        if self._look is not None and isinstance(wanted, int) and 0 <= wanted < len(self._look.maps):
            self.send({"layer": wanted}, buffers=[pack_layer(self._look.maps[wanted])])


def opening(look: Look, *, layer: int | None = None) -> dict[str, Any]:
    """Where a view of this look starts: the first hybrid layer (else the middle one), the mean of heads, the centre."""
    if layer is None or not 0 <= layer < len(look.maps):
        hybrid = [i for i, measures in enumerate(look.measures) if measures.pattern() == "hybrid"]
        layer = hybrid[0] if hybrid else len(look.maps) // 2
    h, w = look.maps[layer].grid
    return {"layer": layer, "head": MEAN, "query": h // 2 * w + w // 2}


# ---- Gradio

GRADIO_BYTES = 6_000_000
"""In Gradio the bytes travel as text in an event; above this each layer is asked for by itself."""


class Shelf:
    """Looks whose layers travel one by one, under names that cannot be guessed; the oldest make room for the new."""

    def __init__(self, room: int = 8) -> None:
        self._looks: OrderedDict[str, Look] = OrderedDict()
        self._room = room
        self._lock = Lock()

    def put(self, look: Look) -> str:
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._looks[token] = look
            while len(self._looks) > self._room:
                self._looks.popitem(last=False)
        return token

    def layer(self, token: str, layer: int) -> bytes:
        """The bytes of one layer; KeyError when the look is no longer here, IndexError when it has no such layer."""
        with self._lock:
            look = self._looks[token]
        return pack_layer(look.maps[layer])


_shelf = Shelf()


def gradio_value(look: Look, *, bands: Sequence[float] = (0.06, 0.12), **state: Any) -> dict[str, Any]:
    """A look as the value of `gradio_view()`: plain data, with the bytes as text."""
    start = {**opening(look, layer=state.get("layer")), **state, "bands": list(bands)}
    packed = pack(look, chosen=start["layer"], limit=GRADIO_BYTES)
    waiting = any(body is None for body in packed.layers)
    layers = [body and view.text_of(body) for body in packed.layers]
    return {"head": packed.head, "layers": layers, "state": start, "token": _shelf.put(look) if waiting else ""}


def gradio_view(*, waiting: str = "", **options: Any) -> gr.HTML:
    """The view as a Gradio component; its value comes from `gradio_value(look)`; until then it shows `waiting` (HTML).

    Its event `picked` carries `layer`, `head`, `query`, `pinned`, `reverse` whenever the visitor has chosen.
    """

    def layer_bytes(asked: dict[str, Any]) -> str:
        return view.text_of(_shelf.layer(asked["token"], int(asked["layer"])))

    return view.gradio_view("attention", waiting=waiting, functions=[layer_bytes], **options)
