"""The explain room's page. Divider, film and readings are the browser's; methods, class and masks are ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.desk import page
from apps.explain.visits import Place, Seen, asked, move, numbers, parcel, view_of, visit
from apps.frame import gr
from apps.visits import model_names
from labkit.pretrained import TRAININGS
from labkit.widgets.view import gradio_value, gradio_view

TITLE = "Explain"
SUBTITLE = "Which pixels decided?"
CSS = (Path(__file__).parent / "explain.css").read_text(encoding="utf-8")
PARCELS = {
    "maps.png": "Maps (PNG)",
    "curves.png": "Curves (PNG)",
    "numbers.csv": "Curves (CSV)",
    "numbers.json": "Numbers (JSON)",
}


def build() -> gr.Blocks:
    """The page."""
    with page(TITLE, f"{SUBTITLE} Ask by two methods, and test both.", Place) as desk:
        with gr.Row():
            with gr.Column(scale=1, min_width=230):
                desk.controls(model_names())
                desk.kin("One CNN, trained on pictures", {what: f"lab/{name}" for what, name in TRAININGS.items()})
            with gr.Column(scale=5, min_width=300):
                desk.steps()
                view = gradio_view(
                    "explain", elem_id="explain", waiting='<div class="lab-wait">Opening the model …</div>'
                )
        desk.foot(PARCELS)

        def paint(seen: Seen) -> dict[Any, Any]:
            head, bodies, state = view_of(seen)
            return {view: gradio_value(head, bodies, **state)}

        desk.wire(visit, paint, [view], numbers=numbers, parcel=parcel)
        desk.turn(view.asked, asked)
        desk.stops()
        desk.remember(view.picked, move)
    return desk.room
