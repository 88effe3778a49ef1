"""The table that a person reads: the columns that fit a terminal, with their units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from labkit.commands._output import console

Rows = list[dict[str, Any]]


def show(rows: Rows, columns: Sequence[str], units: Mapping[str, str], title: str) -> None:
    """Print these columns of the rows (all of them, when none is named), each with its unit in the head."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    columns = columns or (list(rows[0]) if rows else [])
    for column in columns:
        number = any(isinstance(row[column], int | float) for row in rows)
        heading = f"{column.replace('_', ' ')}\n[dim]{units.get(column, '')}[/]"
        table.add_column(heading, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    console().print(table)


def short(rows: Rows, columns: Mapping[str, str], *, units: Mapping[str, str] | None = None) -> Callable[[str], None]:
    """Prints these columns (name -> heading) of the rows, given the title; a column nowhere defined is left out.

    units   by heading. What is left out here, `--json` and `--out` have
    """
    there = {name: heading for name, heading in columns.items() if any(row[name] is not None for row in rows)}
    lines = [{heading: _rounded(row[name]) for name, heading in there.items()} for row in rows]
    return partial(show, lines, (), units or {})


def _rounded(value: Any) -> Any:
    # Shares and cosines of 1e-5 are 0 to a reader; adding 0.0 makes that of -0.0 too.
    return round(value, 3) + 0.0 if isinstance(value, float) else value


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
