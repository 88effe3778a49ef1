"""The desk that stands in every room: photos, models, the link, files to take home; and the way of every visit.

    with page("Heat", "What is warm?", Place) as desk:
        desk.controls(model_names())
        desk.steps()
        view = gradio_view("heat", elem_id="heat")
        desk.foot({"numbers.json": "Numbers (JSON)"})
        desk.wire(visit, paint, [view], numbers=numbers, parcel=parcel)
    return desk.room

`visit(place, own)` does the work and gives a Seen; as a generator it may yield Steps before, and a Seen as often as
there is something new to show. `paint(seen)` gives each of the room's components its value.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from apps.frame import gr
from apps.links import CARRIED, Place, address, place_from
from apps.rooms import TITLES
from apps.turns import QUIET, Turns
from apps.visits import Seen, Step, alert, link_note, model_names, photo_wall, progress_bar

Visit = Callable[[Place, Path | None], Seen | Iterator[Seen | Step]]
Paint = Callable[[Seen], dict[Any, Any]]

_PICK_PHOTO = """
const word = {};  // one object: gradio fires the first event's data again where one came while it was at work
const mark = () => element.querySelectorAll("[data-photo]").forEach((button) =>
  button.setAttribute("aria-pressed", String(button.dataset.photo === props.value)));
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-photo]");
  if (button) trigger("picked", Object.assign(word, { photo: button.dataset.photo }));
});
mark();
watch("value", mark);
"""
# The address of the page follows the view, and the doors to the other rooms carry model and photo along.
_SHOW_LINK = """(query) => {
  if (!query) return "";
  history.replaceState(null, "", query);
  const here = new URLSearchParams(query);
  const carried = new URLSearchParams(CARRIED.filter((name) => here.has(name)).map((name) => [name, here.get(name)]));
  for (const door of document.querySelectorAll(".lab-rooms [data-room]"))
    if (door.dataset.room !== "papers") door.search = carried;
  return location.origin + location.pathname + query;
}""".replace("CARRIED", json.dumps(CARRIED))
_FETCH_PARCEL = "() => document.querySelector('#parcel').click()"


def header(title: str, subtitle: str) -> str:
    """The head of a room's page, with the doors to all others."""
    doors = "".join(
        f'<a href="/{name}/" data-room="{name}"{" aria-current=page" if text == title else ""}>{html.escape(text)}</a>'
        for name, text in TITLES.items()
    )
    return (
        f'<header class="lab-head"><nav class="lab-rooms" aria-label="the lab"><a href="/">labkit</a>{doors}</nav>'
        f"<h1>{html.escape(title)}</h1><p>{html.escape(subtitle)}</p></header>"
    )


@contextmanager
def page(title: str, subtitle: str, kind: type[Place]) -> Iterator[Desk]:
    """A room's page, with its head and a place for messages; what is made within it is on the page."""
    with gr.Blocks(title=f"{title} · labkit", analytics_enabled=False, delete_cache=(3600, 3600)) as room:
        gr.HTML(header(title, subtitle))
        yield Desk(room, kind)


class Desk:
    """The controls that every room has, and what happens when one is turned."""

    def __init__(self, room: gr.Blocks, kind: type[Place]) -> None:
        self.room, self.kind = room, kind
        self.seen, self.place = gr.State(None, time_to_live=7200), gr.State(kind())
        self.notice = gr.HTML("", elem_id="notice")
        self.query = gr.Textbox(visible=False)
        self._turns = Turns()
        self.second: list[Any] = []  # the controls of a second model
        self.family: gr.Radio | None = None
        self._family: dict[str, str] = {}

    def controls(self, models: Sequence[str]) -> None:
        """Photos, the visitor's own picture, the model and its weights."""
        start = self.kind()
        self.photos = gr.HTML(value=start.image, html_template=photo_wall(), js_on_load=_PICK_PHOTO, elem_id="photos")
        self.upload = gr.UploadButton("Your own picture …", size="sm", elem_id="upload")
        self.model = gr.Dropdown(
            models,
            value=start.model,
            label="Model",
            info="or type any timm/… name",
            allow_custom_value=True,
            elem_id="model",
        )
        self.random = gr.Checkbox(label="random weights (untrained)", elem_id="random")

    def kin(self, label: str, family: Mapping[str, str]) -> None:
        """Models of the menu that differ in one thing: what it is for each -> its name. None there: no control."""
        self._family = {what: name for what, name in family.items() if name in model_names()}
        if self._family:
            self.family = gr.Radio(list(self._family), label=label, value=None, elem_id="family")

    def beside(self, models: Sequence[str]) -> None:
        """A second model and its weights, for rooms whose Place has `other` and `other_weights`."""
        start = self.kind()
        self.second = [
            gr.Dropdown(models, value=start.other, label="Beside it", allow_custom_value=True, elem_id="other"),
            gr.Checkbox(label="random weights (untrained)", elem_id="other-random"),
        ]

    def steps(self) -> None:
        """Where the progress of a long visit is shown, with a button that stops it."""
        with gr.Row(elem_id="steps"):
            self.progress = gr.HTML("", elem_id="progress", scale=4)
            self.stop = gr.Button("Stop", size="sm", elem_id="stop", min_width=80, scale=0)

    def foot(self, parcels: dict[str, str]) -> None:
        """The link to this view, and a button for each file to take home: what it is -> what the button says."""
        with gr.Row():
            with gr.Column(scale=3, min_width=280):
                self.link = gr.Textbox(label="Link to this view", buttons=["copy"], interactive=False, elem_id="link")
                self.caution = gr.HTML("")
            with gr.Column(scale=2, min_width=280):
                with gr.Row():
                    self.parcels = {kind: gr.Button(text, size="sm", min_width=190) for kind, text in parcels.items()}
                self.ready = gr.DownloadButton("file", visible="hidden", elem_id="parcel")

    def wire(
        self,
        visit: Visit,
        paint: Paint,
        paints: Sequence[Any],
        *,
        numbers: Callable[[Seen], dict[str, Any]],
        parcel: Callable[[Seen, str], Path],
        after: Callable[[Any], object] = lambda event: None,
    ) -> None:
        """Join the controls to the work.

        paints    the components that `paint` gives values to
        numbers   a Seen as plain data, for the public endpoint `read`
        parcel    writes one of the foot's files
        after     is given each event that ends in a new Seen, to hang more behind it
        """
        self._visit, self._paint, self._after = visit, paint, after
        own = [self.photos, self.model, self.random, self.notice, self.progress, self.query, self.caution]
        self._shown = [self.seen, self.place, *own, *filter(None, [self.family]), *self.second, *paints]

        def enter(request: gr.Request) -> Iterator[dict]:
            wish, complaints = place_from(self.kind, dict(request.query_params))
            yield from self._show(wish, None, None, self.kind(), complaints)

        def take_photo(event: gr.EventData, before: Seen | None, stood: Place) -> Iterator[dict]:
            yield from self._show(replace(stood, image=str(event.photo)), None, before, stood)

        def take_upload(path: str | None, before: Seen | None, stood: Place) -> Iterator[dict]:
            yield from self._show(stood, Path(path) if path else None, before, stood)

        def take_model(name: str, untrained: bool, before: Seen | None, stood: Place) -> Iterator[dict]:
            wish = replace(stood, model=(name or "").strip(), weights="none" if untrained else "default")
            yield from self._show(wish, before.own if before else None, before, stood)

        here = [self.seen, self.place]
        self._hang(self.room.load, enter, [])
        self._hang(self.photos.picked, take_photo, here)
        self._hang(self.upload.upload, take_upload, [self.upload, *here])
        self._hang([self.model.input, self.random.input], take_model, [self.model, self.random, *here])
        if self.family:
            self.turn(self.family.input, self._with_kin, [self.family])
        if self.second:
            self.turn([control.input for control in self.second], _with_other, self.second)
        self.query.change(None, self.query, self.link, js=_SHOW_LINK)
        for kind, button in self.parcels.items():

            def wrap(now: Seen | None, stood: Place, kind: str = kind) -> Path | None:
                return parcel(replace(now, place=stood), kind) if now else None

            button.click(wrap, here, self.ready, **QUIET).success(None, None, None, js=_FETCH_PARCEL)
        self._offer(numbers)

    def turn(self, triggers: Any, change: Callable[..., Place], inputs: Sequence[Any] = ()) -> None:
        """When one of `triggers` fires, go to `change(place, *inputs)`; an event that carries data is asked with
        `change(place, data)` where `inputs` is empty and `change` takes it. Call it after `wire`."""

        def take(event: gr.EventData, before: Seen | None, stood: Place, *values: Any) -> Iterator[dict]:
            wish = change(stood, *(values if inputs else [event._data]))
            yield from self._show(wish, before.own if before else None, before, stood)

        self._hang(triggers, take, [self.seen, self.place, *inputs])

    def remember(self, trigger: Any, move: Callable[[Place, dict[str, Any]], Place]) -> None:
        """When the visitor has moved within what is already shown, the place and its link follow."""

        def follow(event: gr.EventData, stood: Place) -> tuple[Place, str]:
            moved = move(stood, event._data)
            return moved, address(moved)

        trigger(follow, [self.place], [self.place, self.query], queue=False, trigger_mode="always_last", **QUIET)

    def stops(self) -> None:
        """The stop button ends every visit under way, and the controls go back to what is shown. Call it last."""

        def back(before: Seen | None, stood: Place) -> dict:
            painted = self._painted(replace(before, place=stood)) if before else {}
            return {**painted, self.progress: ""}

        self._turns.stop(self.stop, back, [self.seen, self.place], self._shown)

    # ---- within

    def _hang(self, triggers: Any, take: Callable[..., Iterator[dict]], inputs: list[Any]) -> None:
        for trigger in triggers if isinstance(triggers, list) else [triggers]:
            self._after(self._turns.hang(trigger, take, inputs, self._shown, self.progress))

    def _show(
        self, wish: Place, own: Path | None, before: Seen | None, stood: Place, complaints: Iterable[str] = ()
    ) -> Iterator[dict]:
        """Visit and paint; when the visit fails, say why and stay with what was shown before."""
        try:
            for step in steps_of(self._visit(wish, own)):
                if isinstance(step, Step):
                    yield {self.progress: progress_bar(step)}
                else:
                    yield {**self._painted(step), self.seen: step, self.notice: alert(" ".join(complaints))}
        except ValueError as error:
            told = " ".join([*complaints, _sentence(str(error))])
            if before is not None:
                yield {**self._painted(replace(before, place=stood)), self.notice: alert(told)}
            elif wish != self.kind():
                # A link that leads nowhere: the room as it opens by itself, with the photo that was asked for.
                usual = self.kind() if "photo" in str(error) else self.kind(image=wish.image)
                yield from self._show(usual if usual != wish else self.kind(), None, None, self.kind(), [told])
            else:
                yield {self.notice: alert(told)}
        yield {self.progress: ""}

    def _painted(self, seen: Seen) -> dict:
        place = seen.place
        beside = (place.other, place.other_weights == "none") if self.second else ()
        kin = next((what for what, name in self._family.items() if name == place.model), None)
        return {
            **self._paint(seen),
            **dict(zip(self.second, beside, strict=True)),
            **({self.family: kin} if self.family else {}),
            self.place: place,
            self.photos: "" if seen.own else place.image,
            self.model: place.model,
            self.random: place.weights == "none",
            self.query: address(place),
            self.caution: link_note(seen),
        }

    def _with_kin(self, place: Place, what: str) -> Place:
        return replace(place, model=self._family[what], weights="default")

    def _offer(self, numbers: Callable[[Seen], dict[str, Any]]) -> None:
        """The public endpoint: `client.predict("model=lab/vit&image=coffee", api_name="/read")`."""

        def read(address: str) -> dict:
            """The numbers of this room at a place, which is given as the part of its link after the question mark."""
            if not isinstance(address, str) or len(address) > 2000:
                raise gr.Error("Expected the part of a link after '?', such as model=lab/vit&image=coffee.")
            place, complaints = place_from(self.kind, dict(parse_qsl(address.removeprefix("?"))))
            if complaints:
                raise gr.Error(" ".join(complaints))
            try:
                *_, seen = steps_of(self._visit(place, None))
            except ValueError as error:
                raise gr.Error(_sentence(str(error))) from None
            return numbers(seen)

        gr.api(read, api_name="read", concurrency_id="visits")


def steps_of(visit: Seen | Iterator[Seen | Step]) -> Iterator[Seen | Step]:
    """What a visit gives, one after the other, also when it gives but one thing."""
    if isinstance(visit, Seen):
        yield visit
    else:
        yield from visit


def _with_other(place: Place, name: str, untrained: bool) -> Place:
    return replace(place, other=(name or "").strip(), other_weights="none" if untrained else "default")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
