"""The papers room's page: what is chosen in the browser stays there; Python is asked for labels and for runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from apps.desk import header
from apps.frame import gr
from apps.papers import plates
from apps.papers.places import Place, address, place_from
from labkit.experiments import experiment_of, run

TITLE = "Papers"
SUBTITLE = "What does it add, and does it hold?"

HERE = Path(__file__).parent
CSS = (HERE / "papers.css").read_text(encoding="utf-8")
_LIST, _PANEL = ((HERE / f"{name}.js").read_text(encoding="utf-8") for name in ("list", "panel"))
_SHOW_LINK = "(query) => { if (query) history.replaceState(null, '', query); }"
_TO_LABEL = "() => { if (innerWidth < 900) document.querySelector('#label')?.scrollIntoView({ behavior: 'smooth' }); }"


def build() -> gr.Blocks:
    """The page."""
    with gr.Blocks(title=f"{TITLE} · labkit", analytics_enabled=False) as room:
        gr.HTML(header(TITLE, f"{SUBTITLE} Read the label, turn the knobs, run the experiment."))
        notice = gr.HTML("", elem_id="notice")
        query = gr.Textbox(visible=False)
        with gr.Row(elem_classes="pa-room"):
            with gr.Column(scale=1, min_width=280):
                papers = gr.HTML(value="", html_template=plates.paper_list(), js_on_load=_LIST, elem_id="papers")
            with gr.Column(scale=3, min_width=300):
                label = gr.HTML("", elem_id="label")
                panel = gr.HTML("", js_on_load=_PANEL, elem_id="panel")
                answer = gr.HTML("", elem_id="answer")
        shown = [papers, label, panel, answer, query, notice]

        def show(place: Place, complaints: tuple[str, ...] = ()) -> dict:
            return {
                papers: place.paper,
                label: plates.label(place.exhibit),
                panel: plates.panel(place.paper, place.knobs),
                answer: "",
                query: address(place),
                notice: plates.alert(" ".join(complaints)),
            }

        def enter(request: gr.Request) -> dict:
            return show(*place_from(dict(request.query_params)))

        def take_paper(event: gr.EventData) -> dict:
            return show(*place_from({"paper": str(event.paper)}))

        def take_run(event: gr.EventData) -> Iterator[str]:
            place, _ = place_from({"paper": str(event.paper)})
            yield '<p class="pa-waiting" role="status">Running the experiment; a model may be learning …</p>'
            try:
                yield plates.answer(run(experiment_of(place.paper), dict(event.knobs)))
            except ValueError as error:
                yield plates.alert(str(error))

        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        room.load(enter, None, shown, **quiet)
        papers.picked(take_paper, None, shown, **quiet, trigger_mode="always_last").then(None, None, None, js=_TO_LABEL)
        panel.asked(take_run, None, answer, **quiet, concurrency_limit=1, concurrency_id="experiments")
        query.change(None, query, None, js=_SHOW_LINK)
    return room
