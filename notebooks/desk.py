"""The controls around a live view: a model, a photo or a picture of your own, and what a lesson adds to them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure

from labkit.probes.attention import Bands
from labkit.session import Look, Sitting, cover, look, sit
from labkit.session.explanations import Pair
from labkit.session.smoothings import Smoothed, smoothed
from labkit.session.tunings import tuned
from labkit.widgets.attention import AttentionView
from labkit.widgets.cover import CoverView, cover_data
from labkit.widgets.explain import ExplainView
from labkit.widgets.field import FieldView
from labkit.widgets.frequency import FrequencyView
from labkit.widgets.mixing import MixingView
from labkit.widgets.smoothing import SmoothingView, smoothing_data

Read = Callable[[str, str | bytes, str | None], Any]


class Desk(widgets.VBox):
    """Choose, and the view below follows; a choice that cannot be looked at gets a sentence, and the desk goes on.

    read     (model, picture, weights) -> what is seen; ValueError is shown as a sentence
    show     puts what is seen into the view
    models   what the menu shows -> (name, weights) as `labkit.session.sit` takes them
    photos   names of the photos in the menu
    below    controls of the lesson, under the view
    """

    def __init__(
        self,
        view: widgets.DOMWidget,
        *,
        read: Read,
        show: Callable[[Any], None],
        models: Mapping[str, tuple[str, str | None]],
        photos: Sequence[str],
        below: Sequence[widgets.Widget] = (),
    ) -> None:
        self.seen: Any = None
        self.view = view
        self._read, self._show = read, show
        self._models = dict(models)
        self._followers: list[Callable[[Any], None]] = []
        wide = {"layout": widgets.Layout(width="300px"), "style": {"description_width": "52px"}}
        self.model = widgets.Dropdown(options=list(models), description="model", **wide)
        self.photo = widgets.Dropdown(options=list(photos), description="photo", **wide)
        auto = widgets.Layout(width="max-content")
        self.own = widgets.FileUpload(accept="image/*", description="a picture of yours", layout=auto)
        self.says = widgets.HTML()
        self.model.observe(self.read, "value")
        self.photo.observe(self._leave_own_picture, "value")
        self.own.observe(self.read, "value")
        choices = widgets.HBox([self.model, self.photo, self.own], layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__([choices, self.says, view, *below])
        self.read()

    def on_seen(self, follower: Callable[[Any], None]) -> None:
        """Call `follower` with what is on the desk, now and whenever it changes."""
        self._followers.append(follower)
        if self.seen is not None:
            follower(self.told())

    def drawn(self, draw: Callable[[Any], Figure], *, alt: str) -> widgets.HTML:
        """A figure of what is on the desk that is drawn again whenever it changes; `alt` says it in words."""
        place = widgets.HTML()

        def redraw(current: Any) -> None:
            file = io.BytesIO()
            draw(current).savefig(file, format="png", dpi=110)
            data = base64.b64encode(file.getvalue()).decode()
            place.value = f'<img style="max-width: 100%" alt="{escape(alt)}" src="data:image/png;base64,{data}">'

        self.on_seen(redraw)
        return place

    def read(self, _: object = None) -> None:
        """Read the picture that is chosen through the model that is chosen, and show it."""
        name, weights = self._models[self.model.value]
        picture = bytes(self.own.value[0]["content"]) if self.own.value else self.photo.value
        self.says.value = "<p>looking …</p>"
        try:
            self.seen = self._read(name, picture, weights)
        except ValueError as problem:  # labkit's own errors are sentences for people
            self.says.value = refused(problem)
            return
        self._show(self.seen)
        self.says.value = self.said()
        self.tell()

    def said(self) -> str:
        """What the model says of it, as HTML."""
        return f"<p>{named(self.seen.top)}</p>" if hasattr(self.seen, "top") else ""

    def tell(self) -> None:
        """Tell the followers what is on the desk."""
        if self.seen is not None:
            for follower in self._followers:
                follower(self.told())

    def told(self) -> Any:
        """What the followers are told of what is on the desk."""
        return self.seen

    def _leave_own_picture(self, _: object) -> None:
        if self.own.value:
            self.own.value = ()  # reads again by itself
        else:
            self.read()


class AttentionDesk(Desk):
    """The desk of lesson 1: the attention of a model, and the band that is called hybrid."""

    def __init__(self, *, models: Mapping[str, tuple[str, str | None]], photos: Sequence[str]) -> None:
        self.band = widgets.FloatRangeSlider(
            value=(0.06, 0.12),
            min=0,
            max=0.5,
            step=0.01,
            readout_format=".2f",
            description="hybrid: NMI from – to",
            layout=widgets.Layout(width="460px"),
            style={"description_width": "170px"},
        )
        view = AttentionView()
        widgets.jslink((self.band, "value"), (view, "bands"))
        self.band.observe(lambda _: self.tell(), "value")
        super().__init__(
            view,
            read=lambda name, picture, weights: look(name, picture, weights=weights),
            show=view.show,
            models=models,
            photos=photos,
            below=[self.band],
        )

    def told(self) -> Look:
        return self.seen.with_bands(Bands(hybrid=self.band.value))


class CoverDesk(Desk):
    """The desk of lesson 0: a photo with a part of it covered, and what the model says then."""

    def __init__(self, *, models: Mapping[str, tuple[str, str | None]], photos: Sequence[str]) -> None:
        view = CoverView()
        super().__init__(
            view,
            read=lambda name, picture, weights: cover(sit(name, picture, weights=weights)),
            show=lambda covered: view.show(*cover_data(covered)),
            models=models,
            photos=photos,
        )


class SmoothingDesk(Desk):
    """The desk of lesson 3: which patches are alike behind every block, with all blocks or without some."""

    def __init__(self, *, models: Mapping[str, tuple[str, str | None]], photos: Sequence[str]) -> None:
        self._skip: tuple[int, ...] = ()
        view = SmoothingView()
        view.on_ask(self._leave_out)
        super().__init__(view, read=self._smoothed, show=self._show_blocks, models=models, photos=photos)

    def _smoothed(self, name: str, picture: str | bytes, weights: str | None) -> Smoothed:
        return smoothed(sit(name, picture, weights=weights), self._skip)

    def _show_blocks(self, seen: Smoothed) -> None:
        self._skip = seen.found.skipped  # another model may not have all of these blocks
        h, w = seen.found.shown.layers[0].grid
        start = {} if self.view.state else {"layer": 0, "query": h // 2 * w + w // 2}
        self.view.show(*smoothing_data(seen), **start)

    def _leave_out(self, asked: Mapping[str, Any]) -> None:
        self._skip = tuple(map(int, asked["skip"].split("-"))) if asked["skip"] else ()
        self.read()


class FieldDesk(Desk):
    """The desk of lesson 5: the fields of one place in two models; `beside` chooses the second."""

    shows: type = FieldView

    def __init__(self, *, models: Mapping[str, tuple[str, str | None]], beside: str, photos: Sequence[str]) -> None:
        wide = {"layout": widgets.Layout(width="300px"), "style": {"description_width": "52px"}}
        self.beside = widgets.Dropdown(options=list(models), value=beside, description="beside", **wide)
        view = self.shows()
        super().__init__(view, read=self._sit, show=self._look, models=models, photos=photos)
        choices, *rest = self.children
        choices.children = (choices.children[0], self.beside, *choices.children[1:])
        self.children = (choices, *rest)
        self.beside.observe(self.read, "value")

    def _sit(self, name: str, picture: str | bytes, weights: str | None) -> tuple[Sitting, Sitting]:
        other, other_weights = self._models[self.beside.value]
        return sit(name, picture, weights=weights), sit(other, picture, weights=other_weights)

    def _look(self, seen: tuple[Sitting, Sitting]) -> None:
        self.view.look(dict(zip((self.model.value, f"beside it: {self.beside.value}"), seen, strict=True)))


class MixingDesk(FieldDesk):
    """The desk of lesson 6: who mixes whom in two models."""

    shows = MixingView


class FrequencyDesk(Desk):
    """The desk of lesson 4: the waves of a photo that pass, and what the model says then; it starts with the coarse."""

    def __init__(self, *, models: Mapping[str, tuple[str, str | None]], photos: Sequence[str]) -> None:
        view = FrequencyView(state={"low": 0.0, "high": 0.1, "mean": True, "layer": 3})
        super().__init__(
            view,
            read=lambda name, picture, weights: tuned(sit(name, picture, weights=weights)),
            show=lambda seen: view.look(seen, weights=self._models[self.model.value][1]),
            models=models,
            photos=photos,
        )


class ExplainDesk(Desk):
    """The desk of lesson 2: which pixels decided, by two methods. Where one does not fit the model, another takes its
    place and a sentence says why: GradCAM at the left, RISE at the right, which fit every model."""

    INSTEAD = ({}, {"left": "gradcam"}, {"right": "rise"}, {"left": "gradcam", "right": "rise"})

    def __init__(self, *, models: Mapping[str, tuple[str, str | None]], photos: Sequence[str]) -> None:
        self._refusal = ""
        super().__init__(ExplainView(), read=self._explained, show=lambda pair: None, models=models, photos=photos)

    def said(self) -> str:
        return super().said() + self._refusal

    def _explained(self, name: str, picture: str | bytes, weights: str | None) -> Pair:
        return self._look(sit(name, picture, weights=weights), {})

    def _look(self, sitting: Sitting, wish: Mapping[str, Any]) -> Pair:
        problems = []
        for instead in self.INSTEAD:
            try:
                self.view.look(sitting, **{**wish, **instead})
                break
            except ValueError as problem:
                problems.append(problem)
        else:
            raise problems[0]
        self._refusal = refused(problems[0]) if problems else ""
        self.view.on_ask(lambda what: self._answer(sitting, what))
        return self.view.pair

    def _answer(self, sitting: Sitting, wish: Mapping[str, Any]) -> None:
        """What the view's own menus ask for."""
        self.seen = self._look(sitting, wish)
        self.says.value = self.said()
        self.tell()


def refused(problem: ValueError) -> str:
    """Why something cannot be looked at, as HTML."""
    return f'<p role="alert" style="color: var(--jp-error-color1, #b00020)">{escape(str(problem))}</p>'


def named(top: Sequence[tuple[str, float]]) -> str:
    """ "It says: tabby cat 61% · …", as HTML."""
    sure = " · ".join(f"{escape(category)} {chance:.0%}" for category, chance in top[:3])
    return f"It says: <b>{sure}</b>" if sure else "This model names nothing."
