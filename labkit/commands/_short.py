"""The table that a person reads: the columns that fit a terminal, under short headings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from labkit.commands._seeing import Answer, Rows, show_table


def short(rows: Rows, columns: Mapping[str, str], *, units: Mapping[str, str] | None = None) -> Callable[[str], None]:
    """Prints these columns (name -> heading) of the rows, given the title; a column nowhere defined is left out.

    units   by heading. What is left out here, `--json` and `--out` have
    """
    there = {name: heading for name, heading in columns.items() if any(row[name] is not None for row in rows)}
    lines = [{heading: _rounded(row[name]) for name, heading in there.items()} for row in rows]
    return partial(show_table, Answer(lines, dict, units or {}))


def _rounded(value: Any) -> Any:
    # Shares and cosines of 1e-5 are 0 to a reader; adding 0.0 makes that of -0.0 too.
    return round(value, 3) + 0.0 if isinstance(value, float) else value
