"""The knobs of an experiment as a panel in a notebook: turn one, and the readout follows.

panel("metaformer")            # in a cell: the knobs, a button, the numbers, the figures
"""

from __future__ import annotations

import html
import io
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from labkit.experiments import BadKnob, Knob, Readout, experiment_of, knobs_of, run

VERDICTS = {"held": "It held.", "partly": "It held in part.", "not": "It did not hold."}
INCH = 80
"""Pixels on the screen for an inch of a figure, so that the letters of all figures are of one size."""

_LEFT = 'style="text-align: left; font-weight: 400; padding-right: 14px"'
_WIDE = {"description_width": "9em"}


def control(knob: Knob) -> widgets.Widget:
    """The ipywidget of one knob."""
    shared = {"value": knob.default, "description": knob.title, "style": _WIDE}
    if knob.kind is bool:
        return widgets.Checkbox(indent=False, **shared)
    if knob.kind is str:
        return widgets.Dropdown(options=knob.choices, **shared)
    kind = widgets.IntSlider if knob.kind is int else widgets.FloatSlider
    return kind(min=knob.low, max=knob.high, step=knob.step, continuous_update=False, **shared)


class Panel(widgets.VBox):
    """Knobs, a button, and what the last run said. `readout` is that run; `run()` is what the button does."""

    def __init__(self, name: str, *, experiment: Callable[..., Readout] | None = None) -> None:
        self.name = name
        self._experiment = experiment or experiment_of(name)
        self.controls = {knob.name: control(knob) for knob in knobs_of(self._experiment)}
        self.readout: Readout | None = None
        self._button = widgets.Button(description="Run", button_style="primary", icon="play")
        self._button.on_click(lambda _: self.run())
        self._words = widgets.HTML()
        self._figures = widgets.VBox(layout={"align_items": "flex-start"})
        says = [widgets.Label(knob.says) for knob in knobs_of(self._experiment)]
        knobs = [widgets.HBox(pair) for pair in zip(self.controls.values(), says, strict=True)]
        super().__init__([*knobs, self._button, self._words, self._figures])

    @property
    def values(self) -> dict[str, Any]:
        """The knobs as they stand."""
        return {name: one.value for name, one in self.controls.items()}

    def run(self) -> None:
        """Run the experiment with the knobs as they stand, and show what it found, or why it cannot."""
        self._button.disabled, self._button.description = True, "Running …"
        try:
            self.readout = run(self._experiment, self.values)
            self._words.value = words(self.readout)
            self._figures.children = [picture(figure) for figure in self.readout.figures.values()]
        except BadKnob as error:
            self._words.value = f'<p role="alert">{html.escape(str(error))}</p>'
        finally:
            self._button.disabled, self._button.description = False, "Run"


def panel(name: str) -> Panel:
    """The panel of a paper's experiment, by the paper's id."""
    return Panel(name)


def words(found: Readout) -> str:
    """The claim, the verdict and the numbers of a run, as HTML that any page can show."""
    rows = "".join(
        f'<tr><th scope="row" {_LEFT}>{html.escape(name)}</th>'
        f"<td {_LEFT}>{shown(one.value)}</td><td {_LEFT}>{html.escape(one.unit)}</td></tr>"
        for name, one in found.numbers.items()
    )
    heads = "".join(f'<th scope="col" {_LEFT}>{head}</th>' for head in ("measured", "value", "unit"))
    return (
        f'<div class="lk-readout"><p><b>The claim:</b> {html.escape(found.claim)}</p>'
        f'<p><b class="lk-{found.verdict}">{VERDICTS[found.verdict]}</b> {html.escape(found.because)}</p>'
        f"<table><thead><tr>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def shown(value: float) -> str:
    """A number for people: whole ones in full, others to three digits, "–" where it is not defined."""
    if value != value:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def picture(figure: Any) -> widgets.Image:
    """A figure as an image."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=140)
    wide = f"{INCH * figure.get_figwidth():.0f}px"
    return widgets.Image(value=file.getvalue(), format="png", layout={"width": wide, "max_width": "100%"})
