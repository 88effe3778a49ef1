"""The attention room: choose a photo and a model, hover, and see where each place looks. `visits` does the work."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from apps.frame import gr
from apps.places import START, Place, address, place_from
from apps.visits import Seen, alert, link_note, model_names, move, parcel, verdict, visit
from labkit.data.images import open_image, photo_names
from labkit.probes.attention import Bands
from labkit.widgets import figures
from labkit.widgets.attention import gradio_value, gradio_view
from labkit.widgets.packing import data_url

TITLE = "Attention"
SUBTITLE = "Where does the model look from here?"


@cache
def photo_wall() -> str:
    """One button a photo."""
    buttons = []
    for name in photo_names():
        small = open_image(name)
        side = min(small.size)
        left, top = (small.width - side) // 2, (small.height - side) // 2
        small = small.crop((left, top, left + side, top + side)).resize((112, 112))
        buttons.append(
            f'<button type="button" data-photo="{name}" aria-pressed="false" title="{name}">'
            f'<img src="{data_url(small, lossless=False)}" alt="{name}"></button>'
        )
    return f'<div class="lab-photos" role="group" aria-label="photos">{"".join(buttons)}</div>'


# ---- the page

PARCELS = {"figure": "Figure (PNG)", "heads": "All heads (PNG)", "csv": "Numbers (CSV)", "json": "Numbers (JSON)"}

HEAD = f"""<header class="lab-head"><a href="/">labkit</a><h1>{TITLE}</h1>
<p>{SUBTITLE} Hover over the photo.</p></header>"""

CSS = (Path(__file__).parent / "attention.css").read_text(encoding="utf-8")

_PICK_PHOTO = """
const mark = () => element.querySelectorAll("[data-photo]").forEach((button) =>
  button.setAttribute("aria-pressed", String(button.dataset.photo === props.value)));
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-photo]");
  if (button) trigger("picked", { photo: button.dataset.photo });
});
mark();
watch("value", mark);
"""
_VIEW = "document.querySelector('#attention .lk-host')?.view"
_STATE_OF_VIEW = f"() => {{ const state = {_VIEW}.state; return [state.layer, state.head]; }}"
_TELL_VIEW = f"(layer, head) => {{ {_VIEW}?.choose({{ layer, head }}); }}"
_BAND_TO_VIEW = f"(low, high) => {{ {_VIEW}?.choose({{ bands: [Math.min(low, high), Math.max(low, high)] }}); }}"
_SHOW_LINK = "(query) => { history.replaceState(null, '', query); return location.origin + location.pathname + query; }"
_FETCH_PARCEL = "() => document.querySelector('#parcel').click()"


def build() -> gr.Blocks:
    """The page. What depends on data already here is done in the browser; Python is asked for new photos and models."""
    with gr.Blocks(title=f"{TITLE} · labkit", analytics_enabled=False, delete_cache=(3600, 3600)) as room:
        seen, place = gr.State(None, time_to_live=7200), gr.State(START)
        gr.HTML(HEAD)
        notice = gr.HTML("", elem_id="notice")
        with gr.Row():
            with gr.Column(scale=1, min_width=230):
                photos = gr.HTML(
                    value=START.image, html_template=photo_wall(), js_on_load=_PICK_PHOTO, elem_id="photos"
                )
                upload = gr.UploadButton("Your own picture …", size="sm", elem_id="upload")
                names = model_names()
                model = gr.Dropdown(
                    names,
                    value=START.model,
                    label="Model",
                    info="or type any timm/… name",
                    allow_custom_value=True,
                    elem_id="model",
                )
                random = gr.Checkbox(label="random weights (untrained)", elem_id="random")
            with gr.Column(scale=4, min_width=300):
                view = gradio_view(elem_id="attention", waiting='<div class="lab-wait">Opening the model …</div>')
                with gr.Row(elem_classes="lab-sliders"):
                    layer = gr.Slider(0, 11, 0, step=1, label="Layer", elem_id="layer")
                    head = gr.Slider(-1, 11, -1, step=1, label="Head (-1: mean)", elem_id="head")
                    low = gr.Slider(0, 0.5, START.low, step=0.005, label="Hybrid, from NMI", elem_id="low")
                    high = gr.Slider(0, 0.5, START.high, step=0.005, label="Hybrid, to NMI", elem_id="high")
        with gr.Row():
            with gr.Column(scale=1, min_width=230):
                top = gr.HTML("", elem_id="top")
            with gr.Column(scale=4, min_width=300):
                chart = gr.Plot(label="NMI, distance and entropy by depth", show_label=False, elem_id="depth")
        with gr.Row():
            with gr.Column(scale=3, min_width=280):
                query = gr.Textbox(visible=False)
                link = gr.Textbox(label="Link to this view", buttons=["copy"], interactive=False, elem_id="link")
                caution = gr.HTML("")
            with gr.Column(scale=2, min_width=280):
                with gr.Row():
                    kinds = {
                        "figure": "Figure (PNG)",
                        "heads": "All heads (PNG)",
                        "csv": "Numbers (CSV)",
                        "json": "Numbers (JSON)",
                    }
                    downloads = {kind: gr.Button(text, size="sm", min_width=190) for kind, text in kinds.items()}
                ready = gr.DownloadButton("file", visible="hidden", elem_id="parcel")

        shown = [seen, place, view, layer, head, low, high, model, random, photos, top, notice, query, caution]

        def show(wish: Place, own: Path | None, before: Seen | None, complaints: tuple[str, ...] = ()) -> dict:
            try:
                now = visit(wish, own=own)
            except ValueError as error:
                told = {notice: alert(" ".join([*complaints, str(error)]))}
                if before is None:
                    return told
                # The last good view stays, and the controls go back to what it shows.
                return {**told, **controls(before, before.place)}
            stood = now.place
            start = {name: getattr(stood, name) for name in ("layer", "head", "query", "reverse")}
            heads = max(one.weights.shape[2] for one in now.look.maps)
            return {
                **controls(now, stood),
                seen: now,
                place: stood,
                view: gradio_value(now.look, bands=stood.bands, **start),
                layer: gr.Slider(maximum=len(now.look.maps) - 1, value=stood.layer),
                head: gr.Slider(maximum=heads - 1, value=stood.head),
                low: stood.low,
                high: stood.high,
                top: verdict(now),
                notice: alert(" ".join(complaints)),
                query: address(stood),
                caution: link_note(now),
            }

        def controls(now: Seen, stood: Place) -> dict:
            return {
                model: stood.model,
                random: stood.weights == "none",
                photos: "" if now.own else stood.image,
            }

        def enter(request: gr.Request) -> dict:
            wish, complaints = place_from(dict(request.query_params))
            return show(wish, None, None, complaints)

        def take_photo(event: gr.EventData, before: Seen | None, stood: Place) -> dict:
            return show(replace(stood, image=event.photo), None, before)

        def take_upload(path: str | None, before: Seen | None, stood: Place) -> dict:
            return show(stood, Path(path) if path else None, before)

        def take_model(name: str, untrained: bool, before: Seen | None, stood: Place) -> dict:
            wish = replace(stood, model=(name or "").strip(), weights="none" if untrained else "default")
            return show(wish, before.own if before else None, before)

        def remember(event: gr.EventData, stood: Place) -> tuple[Place, str]:
            moved = move(stood, event._data)
            return moved, address(moved)

        def draw(now: Seen | None, bottom: float, top_: float):
            if now is None:
                return gr.skip()
            return figures.by_depth_to_touch(now.look.with_bands(Bands((min(bottom, top_), max(bottom, top_)))))

        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        latest = {**quiet, "trigger_mode": "always_last"}
        visits = [
            room.load(enter, None, shown, **quiet),
            photos.picked(take_photo, [seen, place], shown, **latest),
            upload.upload(take_upload, [upload, seen, place], shown, **latest),
            model.input(take_model, [model, random, seen, place], shown, **latest),
            random.input(take_model, [model, random, seen, place], shown, **latest),
        ]
        for step in visits:
            step.then(draw, [seen, low, high], chart, **quiet)
        view.picked(None, None, [layer, head], js=_STATE_OF_VIEW)
        view.picked(remember, [place], [place, query], queue=False, **latest)
        query.change(None, query, link, js=_SHOW_LINK)
        gr.on([layer.input, head.input], None, [layer, head], None, js=_TELL_VIEW)
        gr.on([low.input, high.input], None, [low, high], None, js=_BAND_TO_VIEW)
        gr.on([low.input, high.input], draw, [seen, low, high], chart, **latest)
        for kind, button in downloads.items():

            def wrap(now: Seen | None, stood: Place, kind: str = kind) -> Path | None:
                return parcel(replace(now, place=stood), kind) if now else None

            button.click(wrap, [seen, place], ready, **quiet).success(None, None, None, js=_FETCH_PARCEL)
    return room
