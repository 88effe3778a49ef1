"""The compare room's page. Python asks the models and writes the cells; the page's script keeps the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.compare.files import numbers, parcel
from apps.compare.instruments import INSTRUMENTS
from apps.compare.places import METHODS, MOST, RANDOM, USUAL, Place, change, choose
from apps.compare.plates import wall
from apps.compare.visits import Seen, visit
from apps.desk import page
from apps.frame import gr
from apps.visits import model_names

TITLE = "Compare"
SUBTITLE = "What do several models make of the same picture, and at what price?"

HERE = Path(__file__).parent
CSS = (HERE / "compare.css").read_text(encoding="utf-8")
PARCELS = {"wall.png": "The wall (PNG)", "numbers.csv": "Numbers (CSV)", "numbers.json": "Numbers (JSON)"}
_WALL = (
    '<div class="lk-host cm-wall" role="region" aria-label="the wall" tabindex="0">'
    "<table><caption>Opening the models …</caption><thead><tr></tr></thead></table></div>"
)
_WISH = "(models) => document.querySelector('.cm-wall').view?.wish(models)"


def build() -> gr.Blocks:
    """The page."""
    start = Place()
    offered = [*dict.fromkeys((*model_names(), *USUAL))]
    untrained = [(f"{name}, random weights", f"{name}{RANDOM}") for name in offered]
    with page(TITLE, SUBTITLE, Place) as desk:
        with gr.Row():
            with gr.Column(scale=1, min_width=230):
                desk.controls(offered)
                beside = gr.Dropdown(
                    [*((name, name) for name in offered), *untrained],
                    value=list(start.others),
                    label="Beside it",
                    info=f"up to {MOST - 1} more; timm/name{RANDOM} for one without its weights",
                    multiselect=True,
                    max_choices=MOST - 1,
                    allow_custom_value=True,
                    elem_id="beside",
                )
                rows = gr.CheckboxGroup(
                    [(one.title, name) for name, one in INSTRUMENTS.items()],
                    value=list(INSTRUMENTS),
                    label="Instruments",
                    elem_id="instruments",
                )
                method = gr.Dropdown(list(METHODS), value=start.method, label="What decided: by", elem_id="method")
                depth = gr.Slider(
                    0,
                    100,
                    start.depth,
                    step=5,
                    label="Depth of the block (%)",
                    info="for the unit's field and the token's mixing",
                    elem_id="depth",
                )
                seed = gr.Number(start.seed, precision=0, minimum=0, maximum=9999, label="Seed", elem_id="seed")
            with gr.Column(scale=4, min_width=300):
                desk.steps()
                go = gr.Button("Go on", size="sm", elem_id="go", min_width=80)
                table = gr.HTML(
                    value=None,
                    html_template=_WALL,
                    js_on_load=(HERE / "wall.js").read_text(encoding="utf-8"),
                    apply_default_css=False,
                    elem_id="compare",
                )
        desk.foot(PARCELS)

        def paint(seen: Seen) -> dict[Any, Any]:
            place = seen.place
            return {
                table: wall(seen),
                beside: list(place.others),
                rows: [name for name in place.rows if name in INSTRUMENTS],
                method: place.method,
                depth: place.depth,
                seed: place.seed,
            }

        knobs = [rows, method, depth, seed]
        desk.wire(visit, paint, [table, beside, *knobs], numbers=numbers, parcel=parcel)
        desk.turn([one.input for one in knobs], change, knobs)
        # Not `input`: that is silent about a name that is typed.
        beside.change(None, beside, None, js=_WISH)
        desk.turn(table.wished, lambda place, wish: choose(place, wish["models"]))
        desk.turn(go.click, lambda place, _: place)
        desk.stops()
    return desk.room
