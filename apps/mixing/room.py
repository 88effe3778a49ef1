"""The mixing room's page. What follows from the matrices is drawn in the browser; `visits` does the rest."""

from __future__ import annotations

from typing import Any

from apps.desk import page
from apps.frame import gr
from apps.mixing.visits import Place, Seen, move, numbers, parcel, to, view_of, visit
from apps.visits import model_names
from labkit.widgets.view import gradio_value, gradio_view

TITLE = "Mixing"
SUBTITLE = "What is one place made of?"
CSS = ""
PARCELS = {"mixing.png": "All blocks (PNG)", "numbers.csv": "Numbers (CSV)", "numbers.json": "Numbers (JSON)"}


def build() -> gr.Blocks:
    """The page."""
    with page(TITLE, f"{SUBTITLE} Point at a photo.", Place) as desk:
        with gr.Row():
            with gr.Column(scale=1, min_width=230):
                desk.controls(model_names())
                desk.beside(model_names())
            with gr.Column(scale=4, min_width=300):
                desk.steps()
                waiting = '<div class="lab-wait">Opening two models …</div>'
                view = gradio_view("mixing", elem_id="mixing", waiting=waiting)
        desk.foot(PARCELS)

        def paint(seen: Seen) -> dict[Any, Any]:
            head, bodies, state = view_of(seen)
            return {view: gradio_value(head, bodies, **state)}

        desk.wire(visit, paint, [view], numbers=numbers, parcel=parcel)
        desk.turn(view.asked, to)
        desk.stops()
        desk.remember(view.picked, move)
    return desk.room
