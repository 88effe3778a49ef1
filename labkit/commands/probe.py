"""`labkit probe`: the instruments, in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labkit.cli import Nearest
from labkit.commands._output import BadInput, as_json, console, note, write_all

if TYPE_CHECKING:
    from labkit.session import Look


@click.group(cls=Nearest)
def probe() -> None:
    """Look into a model with one of the instruments."""


@probe.command()
@click.option(
    "--model", "name", default="lab/vit", show_default=True, help="A name from `labkit models`, or timm/<any>."
)
@click.option("--image", default="chelsea", show_default=True, help="A photo's name or a picture file.")
@click.option("--weights", default="default", show_default=True, help="default, none (random), or a safetensors file.")
@click.option("--layer", type=int, help="Only this layer, from 0.")
@click.option("--head", type=int, help="Only this head, from 0.")
@click.option("--device", help="cpu, cuda, …  [default: CUDA where there is one]")
@click.option("--json", "machine", is_flag=True, help="One row a layer and head on stdout, and nothing else.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Write the numbers and the figures there.")
def attention(
    *,
    name: str,
    image: str,
    weights: str,
    layer: int | None,
    head: int | None,
    device: str | None,
    machine: bool,
    out: Path | None,
) -> None:
    """Who looks at whom: distance (patches), entropy (nats), NMI and pattern of every head."""
    with console(stderr=True).status(f"Looking at {image} through {name} …"):
        found = _look(name, image, weights, device)
    rows = found.rows()
    _check("layer", layer, [row["layer"] for row in rows], name)
    rows = [row for row in rows if layer in (None, row["layer"])]
    _check("head", head, [row["head"] for row in rows], name if layer is None else f"layer {layer} of {name}")
    rows = [row for row in rows if head in (None, row["head"])]
    title = f"{Path(image).name} through {name}" + (" (random weights)" if weights == "none" else "")
    if out:
        from labkit.commands._figures import figures, numbers

        write_all(out, {})  # to find out now, not after the drawing, whether the folder can be there
        files = numbers(rows) | figures(found, title=title, head=head)
        write_all(out, files)
        note(f"Wrote {len(files)} files to {out}: {', '.join(sorted(files))}.")
    if machine:
        click.echo(as_json(rows))
    elif not out:
        _table(found, rows, title)


def _look(name: str, image: str, weights: str, device: str | None) -> Look:
    from labkit.commands._device import checked
    from labkit.data.images import open_image
    from labkit.session import look

    picture = open_image(image)
    if weights.lower() == "none":
        return look(name, picture, weights=None, device=checked(device))
    return look(name, picture, weights=weights, device=checked(device))


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
    out = console()
    out.print(table)
    if found.top and "random" not in title:
        out.print("It sees: " + ", ".join(f"{category} {chance:.0%}" for category, chance in found.top), soft_wrap=True)
