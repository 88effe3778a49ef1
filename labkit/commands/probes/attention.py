"""`labkit probe attention`: who looks at whom, head by head."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from labkit.commands._output import BadInput, console
from labkit.commands._seeing import Answer, View, instrument

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from labkit.session import Look


@instrument
@click.option("--layer", type=int, help="Only this layer, from 0.")
@click.option("--head", type=int, help="Only this head, from 0.")
def attention(view: View, *, layer: int | None, head: int | None) -> Answer:
    """Who looks at whom: distance (patches), entropy (nats), NMI and pattern of every head."""
    view.one()
    found = _look(view)
    rows = found.rows()
    _check("layer", layer, [row["layer"] for row in rows], view.name)
    rows = [row for row in rows if layer in (None, row["layer"])]
    _check("head", head, [row["head"] for row in rows], view.name if layer is None else f"layer {layer} of {view.name}")
    rows = [row for row in rows if head in (None, row["head"])]

    return Answer(
        rows, partial(_figures, found, view.title, head), words=_sees(found, view), table=partial(_table, found, rows)
    )


def _look(view: View) -> Look:
    from labkit.session import look
    from labkit.taps import Unreadable

    try:
        return look(view.name, view.pictures[0], weights=view.weights, device=view.device)
    except Unreadable as error:
        hint = f"`labkit probe mixing --model {view.name}` gives distance, entropy and NMI for any model."
        raise BadInput(f"{error} {hint}") from error


def _sees(found: Look, view: View) -> str:
    if not found.top or view.weights is None:
        return ""
    return "It sees: " + ", ".join(f"{category} {chance:.0%}" for category, chance in found.top)


def _figures(look: Look, title: str, head: int | None) -> dict[str, Figure]:
    """Where the centre of the picture looks, and what the heads do with depth; of one head, or the mean of all."""
    from labkit.widgets import figures as drawing

    h, w = look.maps[0].grid
    query = h // 2 * w + w // 2
    whose = "mean of the heads" if head is None else f"head {head}"
    chosen = drawing.MEAN if head is None else head
    return {
        "overview": drawing.overview(look, layer=0, head=chosen, query=query, title=f"{title}\n{whose}"),
        "heads": drawing.attention_grid(look, layer=0, query=query, title=f"{title}\nevery layer and head"),
        "patterns": drawing.pattern_strip(look, title=title),
        "depth": drawing.by_depth(look, title=title),
    }


def _check(what: str, asked: int | None, there: list[int], where: str) -> None:
    if asked is not None and asked not in there:
        last = max(there)
        choice = f"{what}s 0 to {last}" if last else f"one {what} only, 0"
        raise BadInput(f"--{what} {asked}: {where} has {choice}.")


def _table(found: Look, rows: list[dict[str, Any]], title: str) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from labkit.viz.theme import PATTERNS

    def pattern(name: str | None) -> Text:
        return Text(name, style=PATTERNS[name].dark) if name else Text("–", style="dim")

    def number(value: float | None, digits: int) -> str:
        return "–" if value is None or value != value else f"{value:.{digits}f}"

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, unit in (("layer", ""), ("head", ""), ("NMI", "0..1"), ("distance", "patches"), ("entropy", "nats")):
        table.add_column(f"{heading}\n[dim]{unit}[/]", justify="right")
    table.add_column("pattern\n")
    for layer in sorted({row["layer"] for row in rows}):
        ours = [row for row in rows if row["layer"] == layer]
        for row in ours:
            numbers = (number(row["nmi"], 3), number(row["distance"], 2), number(row["entropy"], 2))
            table.add_row(str(layer), str(row["head"]), *numbers, pattern(row["pattern"]))
        if len(ours) > 1:
            measures = found.measures[layer]
            means = (measures.nmi.mean(), measures.distance.mean(), measures.entropy.mean())
            numbers = (number(mean.item(), digits) for mean, digits in zip(means, (3, 2, 2), strict=True))
            table.add_row("", "all", *numbers, pattern(measures.pattern()), style="bold", end_section=True)
    console().print(table)
