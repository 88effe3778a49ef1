"""`labkit models`: what can be opened by name."""

from __future__ import annotations

import dataclasses

import click

from labkit.commands._output import BadInput, as_json, console, note


@click.command()
@click.option("--filter", "word", default="", metavar="WORD", help="All models, timm's too, whose name holds WORD.")
@click.option("--json", "machine", is_flag=True, help="One list on stdout: name, params, input, source, top1.")
def models(*, word: str, machine: bool) -> None:
    """List the models that can be opened by name."""
    from labkit.pretrained import available

    rows = available(word)
    if not rows:
        raise BadInput(f"no model's name holds '{word}'; `labkit models` shows the choice.")
    if machine:
        click.echo(as_json([dataclasses.asdict(row) for row in rows]))
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", no_wrap=True)
    for title in ("parameters", "pixels", "top-1"):
        table.add_column(title, justify="right")
    table.add_column("weights from", style="dim")
    for row in rows:
        top1 = "" if row.top1 is None else f"{row.top1:.1%}"
        table.add_row(row.name, f"{row.params / 1e6:.2f} M", str(row.input), top1, row.source)
    console().print(table)
    if not word:
        note("Any other timm model opens as timm/<name>; --filter WORD finds them.")
