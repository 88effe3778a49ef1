"""The receptive-field room's page. Layers, scales and squares are drawn in the browser; `visits` does the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from apps.desk import page
from apps.field.visits import Place, Seen, move, numbers, parcel, to, view_of, visit
from apps.frame import gr
from apps.visits import model_names
from labkit.widgets.view import gradio_value, gradio_view

TITLE = "Receptive field"
SUBTITLE = "How far does one unit see?"
CSS = (Path(__file__).parent / "field.css").read_text(encoding="utf-8")
PARCELS = {"fields.png": "Fields (PNG)", "numbers.csv": "Numbers (CSV)", "numbers.json": "Numbers (JSON)"}
OVER = [("this photo", "photo"), ("mean of all photos", "photos"), ("mean of random inputs", "noise")]


def build() -> gr.Blocks:
    """The page."""
    with page(TITLE, f"{SUBTITLE} Click on a photo.", Place) as desk:
        with gr.Row():
            with gr.Column(scale=1, min_width=230):
                desk.controls(model_names())
                desk.beside(model_names())
                over = gr.Radio(OVER, value=Place().over, label="Heat of", elem_id="over")
                beyond = gr.Checkbox(
                    label="follow squares beyond the picture",
                    info="takes seconds to minutes a model, once",
                    elem_id="beyond",
                    visible=False,
                )
            with gr.Column(scale=4, min_width=300):
                desk.steps()
                view = gradio_view("field", elem_id="field", waiting='<div class="lab-wait">Opening two models …</div>')
        desk.foot(PARCELS)

        def paint(seen: Seen) -> dict[Any, Any]:
            place = seen.place
            head, bodies, state = view_of(seen)
            return {
                view: gradio_value(head, bodies, **state),
                over: place.over,
                beyond: gr.Checkbox(value=place.beyond, visible=seen.cut or place.beyond),
            }

        desk.wire(visit, paint, [view, over, beyond], numbers=numbers, parcel=parcel)
        desk.turn(view.asked, to)
        desk.turn(over.input, lambda place, over: replace(place, over=over), [over])
        desk.turn(beyond.input, lambda place, beyond: replace(place, beyond=beyond), [beyond])
        desk.stops()
        desk.remember(view.picked, move)
    return desk.room
