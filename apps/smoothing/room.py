"""The over-smoothing room's page. Patch, layer and colours are the browser's; photo, model and lost blocks are ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.desk import page
from apps.frame import gr
from apps.smoothing.visits import Place, Seen, model_names, move, numbers, parcel, visit, without
from labkit.widgets.smoothing import smoothing_data
from labkit.widgets.view import gradio_value, gradio_view

TITLE = "Over-smoothing"
SUBTITLE = "Do the patches become alike with depth?"
CSS = (Path(__file__).parent / "smoothing.css").read_text(encoding="utf-8")
PARCELS = {
    "figure.png": "Curves (PNG)",
    "matrices.png": "Matrices (PNG)",
    "numbers.csv": "Numbers (CSV)",
    "numbers.json": "Numbers (JSON)",
}
WAITING = '<div class="lab-wait">Opening the model …</div>'
IN_THE_VIEW = ("layer", "query", "centred", "range", "skip")


def build() -> gr.Blocks:
    """The page."""
    with page(TITLE, f"{SUBTITLE} Point at one and see its likes.", Place) as desk:
        with gr.Row():
            with gr.Column(scale=1, min_width=230):
                desk.controls(model_names())
            with gr.Column(scale=5, min_width=300):
                desk.steps()
                view = gradio_view("smoothing", elem_id="smoothing", waiting=WAITING)
        desk.foot(PARCELS)

        def paint(seen: Seen) -> dict[Any, Any]:
            start = {name: getattr(seen.place, name) for name in IN_THE_VIEW}
            return {view: gradio_value(*smoothing_data(seen.smoothed), **start)}

        desk.wire(visit, paint, [view], numbers=numbers, parcel=parcel)
        desk.turn(view.asked, without)
        desk.stops()
        desk.remember(view.picked, move)
    return desk.room
