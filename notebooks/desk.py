"""The controls around the live view: a model, a photo or a picture of your own, the band that is called hybrid."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from html import escape

import ipywidgets as widgets
from matplotlib.figure import Figure

from labkit.probes.attention import Bands
from labkit.session import Look, look
from labkit.widgets.attention import AttentionView


class Desk(widgets.VBox):
    """Choose, and the view below follows; a choice that cannot be looked at gets a sentence, and the desk goes on.

    models   what the menu shows -> (name, weights) as `labkit.session.look` takes them
    photos   names of the photos in the menu
    """

    def __init__(self, *, models: Mapping[str, tuple[str, str | None]], photos: Sequence[str]) -> None:
        self.look: Look | None = None
        self.view = AttentionView()
        self._models = dict(models)
        self._followers: list[Callable[[Look], None]] = []
        wide = {"layout": widgets.Layout(width="300px"), "style": {"description_width": "52px"}}
        self.model = widgets.Dropdown(options=list(models), description="model", **wide)
        self.photo = widgets.Dropdown(options=list(photos), description="photo", **wide)
        auto = widgets.Layout(width="max-content")
        self.own = widgets.FileUpload(accept="image/*", description="a picture of yours", layout=auto)
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
        self._says = widgets.HTML()
        self.model.observe(self._look_again, "value")
        self.photo.observe(self._leave_own_picture, "value")
        self.own.observe(self._look_again, "value")
        self.band.observe(lambda _: self._tell(), "value")
        widgets.jslink((self.band, "value"), (self.view, "bands"))
        choices = widgets.HBox([self.model, self.photo, self.own], layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__([choices, self._says, self.view, self.band])
        self._look_again()

    def on_look(self, follower: Callable[[Look], None]) -> None:
        """Call `follower` with the look on the desk, now and whenever it changes."""
        self._followers.append(follower)
        if self.look is not None:
            follower(self._with_band())

    def drawn(self, draw: Callable[[Look], Figure], *, alt: str) -> widgets.HTML:
        """A figure of the look on the desk that is drawn again whenever the look changes; `alt` says it in words."""
        place = widgets.HTML()

        def redraw(current: Look) -> None:
            file = io.BytesIO()
            draw(current).savefig(file, format="png", dpi=110)
            data = base64.b64encode(file.getvalue()).decode()
            place.value = f'<img style="max-width: 100%" alt="{escape(alt)}" src="data:image/png;base64,{data}">'

        self.on_look(redraw)
        return place

    def _leave_own_picture(self, _: object) -> None:
        if self.own.value:
            self.own.value = ()  # looks again by itself
        else:
            self._look_again()

    def _look_again(self, _: object = None) -> None:
        name, weights = self._models[self.model.value]
        picture = bytes(self.own.value[0]["content"]) if self.own.value else self.photo.value
        self._says.value = "<p>looking …</p>"
        try:
            self.look = look(name, picture, weights=weights)
        except ValueError as problem:  # labkit's own errors are sentences for people
            self._says.value = (
                f'<p role="alert" style="color: var(--jp-error-color1, #b00020)">{escape(str(problem))}</p>'
            )
            return
        self.view.show(self.look)
        sure = " · ".join(f"{escape(category)} {chance:.0%}" for category, chance in self.look.top[:3])
        self._says.value = f"<p>{'It says: <b>' + sure + '</b>' if sure else 'This model names nothing.'}</p>"
        self._tell()

    def _tell(self) -> None:
        if self.look is not None:
            for follower in self._followers:
                follower(self._with_band())

    def _with_band(self) -> Look:
        return self.look.with_bands(Bands(hybrid=self.band.value))
