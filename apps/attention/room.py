"""The attention room's page. What depends on data already here is drawn in the browser; `visits` does the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.attention.visits import Place, Seen, model_names, move, numbers, parcel, verdict, visit
from apps.desk import QUIET, page
from apps.frame import gr
from labkit.pretrained import UPBRINGINGS
from labkit.probes.attention import Bands
from labkit.widgets import figures
from labkit.widgets.attention import gradio_value, gradio_view

TITLE = "Attention"
SUBTITLE = "Where does the model look from here?"
CSS = (Path(__file__).parent / "attention.css").read_text(encoding="utf-8")
PARCELS = {
    "figure.png": "Figure (PNG)",
    "heads.png": "All heads (PNG)",
    "numbers.csv": "Numbers (CSV)",
    "numbers.json": "Numbers (JSON)",
}

_VIEW = "document.querySelector('#attention .lk-host')?.view"
_STATE_OF_VIEW = f"() => {{ const state = {_VIEW}.state; return [state.layer, state.head]; }}"
_TELL_VIEW = f"(layer, head) => {{ {_VIEW}?.choose({{ layer, head }}); }}"
_BAND_TO_VIEW = f"(low, high) => {{ {_VIEW}?.choose({{ bands: [Math.min(low, high), Math.max(low, high)] }}); }}"


def build() -> gr.Blocks:
    """The page."""
    start = Place()
    with page(TITLE, f"{SUBTITLE} Hover over the photo.", Place) as desk:
        with gr.Row():
            with gr.Column(scale=1, min_width=230):
                desk.controls(model_names())
                desk.kin("One ViT, brought up by", {what: f"lab/{name}" for what, name in UPBRINGINGS.items()})
            with gr.Column(scale=4, min_width=300):
                desk.steps()
                view = gradio_view(elem_id="attention", waiting='<div class="lab-wait">Opening the model …</div>')
                with gr.Row(elem_classes="lab-sliders"):
                    layer = gr.Slider(0, 11, 0, step=1, label="Layer", elem_id="layer")
                    head = gr.Slider(-1, 11, -1, step=1, label="Head (-1: mean)", elem_id="head")
                    low = gr.Slider(0, 0.5, start.low, step=0.005, label="Hybrid, from NMI", elem_id="low")
                    high = gr.Slider(0, 0.5, start.high, step=0.005, label="Hybrid, to NMI", elem_id="high")
        with gr.Row():
            with gr.Column(scale=1, min_width=230):
                top = gr.HTML("", elem_id="top")
            with gr.Column(scale=4, min_width=300):
                chart = gr.Plot(label="NMI, distance and entropy by depth", show_label=False, elem_id="depth")
        desk.foot(PARCELS)

        def paint(seen: Seen) -> dict[Any, Any]:
            place, look = seen.place, seen.look
            start = {name: getattr(place, name) for name in ("layer", "head", "query", "reverse")}
            heads = max(one.weights.shape[2] for one in look.maps)
            return {
                view: gradio_value(look, bands=place.bands, **start),
                layer: gr.Slider(maximum=len(look.maps) - 1, value=place.layer),
                head: gr.Slider(maximum=heads - 1, value=place.head),
                low: place.low,
                high: place.high,
                top: verdict(seen),
            }

        def draw(now: Seen | None, bottom: float, top_: float):
            if now is None:
                return gr.skip()
            return figures.by_depth_to_touch(now.look.with_bands(Bands((min(bottom, top_), max(bottom, top_)))))

        desk.wire(
            visit,
            paint,
            [view, layer, head, low, high, top],
            numbers=numbers,
            parcel=parcel,
            after=lambda event: event.then(draw, [desk.seen, low, high], chart, **QUIET),
        )
        desk.stops()
        view.picked(None, None, [layer, head], js=_STATE_OF_VIEW)
        desk.remember(view.picked, move)
        gr.on([layer.input, head.input], None, [layer, head], None, js=_TELL_VIEW)
        gr.on([low.input, high.input], None, [low, high], None, js=_BAND_TO_VIEW)
        gr.on([low.input, high.input], draw, [desk.seen, low, high], chart, trigger_mode="always_last", **QUIET)
    return desk.room
