"""The frequency room's page. Bands, layers and filters are the browser's; what the model says of a band is ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.desk import page
from apps.frame import gr
from apps.frequency.visits import Place, Seen, listen, model_names, move, numbers, parcel, shown, visit
from labkit.widgets.view import gradio_value, gradio_view

TITLE = "Frequency"
SUBTITLE = "Which waves of a photo does the model live on?"
CSS = (Path(__file__).parent / "frequency.css").read_text(encoding="utf-8")
PARCELS = {
    "spectra.png": "Spectra (PNG)",
    "filters.png": "Filters (PNG)",
    "passed.png": "What passes (PNG)",
    "numbers.csv": "Numbers (CSV)",
    "numbers.json": "Numbers (JSON)",
}
WAITING = '<div class="lab-wait">Opening the model …</div>'
IN_THE_VIEW = ("low", "high", "mean", "layer", "head", "sweep")


def build() -> gr.Blocks:
    """The page."""
    with page(TITLE, f"{SUBTITLE} Drag the rings on the spectrum.", Place) as desk:
        with gr.Row():
            with gr.Column(scale=1, min_width=230):
                desk.controls(model_names())
            with gr.Column(scale=5, min_width=300):
                desk.steps()
                view = gradio_view("frequency", elem_id="frequency", waiting=WAITING)
        desk.foot(PARCELS)

        def paint(seen: Seen) -> dict[Any, Any]:
            start = {name: getattr(seen.place, name) for name in IN_THE_VIEW}
            return {view: gradio_value(*shown(seen), **start)}

        desk.wire(visit, paint, [view], numbers=numbers, parcel=parcel)
        desk.turn(view.asked, listen)
        desk.stops()
        desk.remember(view.picked, move)
    return desk.room
