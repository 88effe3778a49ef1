"""`labkit papers`: the papers that hang here, and whether their claims held."""

from __future__ import annotations

from typing import Any

import click

from labkit.commands._output import BadInput, as_json, console, note
from labkit.paper import Exhibit, search

KEYS = "number, id, title, year, room, file, sizes, claim, verdict"


@click.command()
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option("--json", "machine", is_flag=True, help=f"One list on stdout: {KEYS}.")
def papers(*, words: tuple[str, ...], machine: bool) -> None:
    """List the papers whose id, title, claim, year or room holds every WORD; all of them without one.

    The verdict says whether the paper's claim held when we measured it: held, partly, not, or unmeasured.
    """
    found = search(" ".join(words))
    if not found:
        raise BadInput(f"no paper here speaks of '{' '.join(words)}'; `labkit papers` shows them all.")
    if machine:
        click.echo(as_json([row(one) for one in found]))
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("no.", justify="right")
    table.add_column("id", no_wrap=True)
    table.add_column("paper")
    table.add_column("year", justify="right")
    table.add_column("room", style="dim")
    table.add_column("held?")
    for one in found:
        colour = {"held": "green", "partly": "yellow", "not": "red"}.get(one.verdict, "dim")
        paper = one.paper
        cells = (str(paper.number), paper.id, paper.title, str(paper.year), one.room)
        table.add_row(*cells, f"[{colour}]{one.verdict}[/]")
    console().print(table)
    note("`labkit run ID` runs the experiment of one; `labkit run ID --help` shows its knobs.")


def row(one: Exhibit) -> dict[str, Any]:
    """What `--json` says of an exhibit."""
    paper = one.paper
    return {
        "number": paper.number,
        "id": paper.id,
        "title": paper.title,
        "year": paper.year,
        "room": one.room,
        "file": f"labkit/{one.file}",
        "sizes": list(one.sizes),
        "claim": paper.claim,
        "verdict": one.verdict,
    }
