"""What hangs in the papers room, as HTML: the list, the label on the wall, the panel of knobs, the answer."""

from __future__ import annotations

import io
from base64 import b64encode
from html import escape
from typing import Any

from labkit.experiments import Knob, Readout, experiment_of, knobs_of
from labkit.paper import Exhibit, catalogue, exhibit
from labkit.widgets.knobs import INCH, VERDICTS, words

HELD = {"held": "held", "partly": "held in part", "not": "did not hold", "unmeasured": "not measured"}


def paper_list() -> str:
    """A search field, a choice of rooms, and one button a paper; which of them are shown is decided in the browser."""
    rooms = sorted({one.room for one in catalogue()})
    options = "".join(f'<option value="{escape(room)}">{escape(room)}</option>' for room in rooms)
    rows = "".join(map(_row, catalogue()))
    return (
        '<div class="pa-find"><label>Search<input type="search" placeholder="title, claim, year …" '
        'autocomplete="off"></label><label>Room<select><option value="">all rooms</option>'
        f'{options}</select></label></div><output class="pa-count" aria-live="polite"></output>'
        f'<ul class="pa-list" aria-label="papers">{rows}</ul>'
    )


def _row(one: Exhibit) -> str:
    paper = one.paper
    text = f"{paper.number} {paper.id} {paper.title} {paper.year} {paper.claim} {one.label.sentence} {one.label.adds}"
    return (
        f'<li data-text="{escape(text.lower())}" data-room="{escape(one.room)}">'
        f'<button type="button" data-paper="{paper.id}" aria-pressed="false">'
        f"<b>{escape(paper.title)}</b><span>no. {paper.number} · {paper.year} · "
        f'<i class="pa-{one.verdict}">{HELD[one.verdict]}</i></span></button></li>'
    )


def label(one: Exhibit) -> str:
    """The label on the wall: what it adds, its equation, its price, its departures, its sizes."""
    paper, said = one.paper, one.label
    parts = "".join(
        f"<dt>{name}</dt><dd>{body}</dd>"
        for name, body in (
            ("Paper", escape(said.paper) + (f" · arXiv {escape(paper.arxiv)}" if paper.arxiv else "")),
            ("Adds", escape(said.adds)),
            ("Reads", f'<pre tabindex="0">{escape(said.reads)}</pre>'),
            ("Costs", escape(said.costs)),
            ("Departs", escape(said.departs)),
            ("File", f"<code>labkit/{escape(one.file)}</code>"),
        )
    )
    return (
        f'<article class="pa-label"><p class="pa-number">no. {paper.number} · {paper.year} · {escape(one.room)}</p>'
        f"<h2>{escape(paper.title)}</h2><p class='pa-sentence'>{escape(said.sentence)}</p>"
        f"<dl>{parts}</dl>{_sizes(one)}{_measured(one)}</article>"
    )


def _sizes(one: Exhibit) -> str:
    if not one.sizes:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{size.parameters:,}</td><td>{size.macs / 1e9:.2f}</td>'
        f"<td>{size.pixels}</td><td>{'–' if size.top1 is None else f'{size.top1:.1f}'}</td></tr>"
        for name, size in one.sizes.items()
    )
    heads = "".join(
        f'<th scope="col">{head}</th>'
        for head in ("size", "parameters", "MACs (10⁹)", "pixels", "top-1 in the paper (%)")
    )
    return f'<table class="pa-sizes"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _measured(one: Exhibit) -> str:
    found = one.measured
    if found is None:
        return ""
    runs = "".join(
        f"<li>seed {seed}: {escape(because)}</li>"
        for seed, because in zip(found["seeds"], found["because"], strict=True)
    )
    return (
        f'<p class="pa-claim"><b>The claim:</b> {escape(one.paper.claim)}</p><details><summary>'
        f'<b class="lk-{found["verdict"]}">{VERDICTS[found["verdict"]]}</b> Measured over {len(found["seeds"])} seeds'
        f"</summary><ul>{runs}</ul></details>"
    )


def panel(paper: str, values: dict[str, Any]) -> str:
    """A form with the knobs of the paper's experiment, as they stand."""
    if not exhibit(paper).has_experiment:
        return '<p class="lab-note">This paper hangs here without an experiment yet.</p>'
    experiment = experiment_of(paper)
    fields = "".join(_field(knob, values.get(knob.name, knob.default)) for knob in knobs_of(experiment))
    return (
        f'<form class="pa-panel" data-paper="{paper}"><h3>The experiment</h3><p>{escape(experiment.__doc__ or "")}</p>'
        f'<div class="pa-knobs">{fields}</div><button type="submit">Run the experiment</button></form>'
    )


def _field(knob: Knob, value: Any) -> str:
    name, title, says = knob.name, escape(knob.title), escape(knob.says)
    shared = f'name="{name}" data-default="{escape(_text(knob.default))}"'
    if knob.kind is bool:
        control = f'<input type="checkbox" {shared} {"checked" if value else ""}>'
    elif knob.kind is str:
        options = "".join(
            f"<option{' selected' if choice == value else ''}>{escape(choice)}</option>" for choice in knob.choices
        )
        control = f"<select {shared}>{options}</select>"
    else:
        limits = f'min="{knob.low:g}" max="{knob.high:g}" step="{knob.step:g}"'
        control = f'<span><input type="range" {shared} {limits} value="{value:g}"><output>{value:g}</output></span>'
    return f"<label><b>{title}</b>{control}<small>{says}</small></label>"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return value if isinstance(value, str) else f"{value:g}"


def answer(found: Readout) -> str:
    """What a run found: the verdict, the numbers, the figures."""
    pictures = "".join(_picture(figure, name) for name, figure in found.figures.items())
    seconds = f'<p class="lab-note">{found.seconds:.1f} seconds on this machine.</p>'
    return f'<div class="pa-answer">{words(found)}{seconds}<div class="pa-figures">{pictures}</div></div>'


def _picture(figure: Any, name: str) -> str:
    # What it shows, for those who do not see it: its title.
    title = figure.get_suptitle() or next((axes.get_title(loc="left") for axes in figure.axes), "")
    wide = f"{INCH * figure.get_figwidth():.0f}"
    return f'<figure><img alt="{escape(title or name)}" width="{wide}" src="{_png(figure)}"></figure>'


def _png(figure: Any) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=140)
    return "data:image/png;base64," + b64encode(file.getvalue()).decode()


def alert(text: str) -> str:
    """A sentence that a screen reader says at once; nothing for nothing."""
    return f'<p class="lab-alert" role="alert">{escape(text)}</p>' if text else ""
