"""What can be taken home from the compare room: numbers as plain data, and the wall on one sheet."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from apps import visits
from apps.compare.plates import limits, short
from apps.compare.readings import BANDS, Found
from apps.compare.visits import Refusal, Seen
from labkit.viz import cells, comparison
from labkit.viz.theme import percent


def numbers(seen: Seen) -> dict[str, Any]:
    """One row a model, instrument and measure, with its unit; `refused` says what did not fit which model, and why."""
    rows = table(seen)
    return {
        **asdict(seen.place),
        "image": seen.picture_name,
        "models": [asdict(column) for column in seen.columns],
        "rows": [{name: row[name] for name in row if name != "note"} for row in rows if not row["note"]],
        "refused": [
            {**{name: row[name] for name in ("model", "weights", "instrument")}, "why": row["note"]}
            for row in rows
            if row["note"]
        ],
    }


def table(seen: Seen) -> list[dict[str, object]]:
    """The same row by row: model, weights, instrument, measure, value, unit; `note` says why there is no value."""
    rows = []
    for name in seen.place.rows:
        for i, column in enumerate(seen.columns):
            about = {"model": column.name, "weights": column.weights, "instrument": name}
            found = seen.cells.get((name, i))
            if isinstance(found, Refusal):
                rows.append({**about, "measure": "", "value": None, "unit": "", "note": found.why})
            elif found is not None:
                rows += [
                    {**about, "measure": measure, "value": _number(value), "unit": unit, "note": ""}
                    for measure, (value, unit) in found.numbers.items()
                ]
    return rows


def parcel(seen: Seen, kind: str) -> Path:
    """Write one download ("wall.png", "numbers.csv" or "numbers.json") to a file of its own."""
    return visits.parcel(seen, kind, {"wall.png": wall}, rows=table, numbers=numbers)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def wall(seen: Seen) -> Figure:
    """What is on the wall, as one figure."""
    return comparison.sheet(*_sheet(seen))


def _sheet(seen: Seen) -> tuple[str, list[str], list[comparison.Row]]:
    """The title, the columns and the rows of the sheet."""
    rows = []
    for name, instrument in seen.place.rows.items():
        found = [seen.cells.get((name, i)) for i in range(len(seen.columns))]
        panels = [_panel(name, one, limits(name, found)) for one in found]
        rows.append(comparison.Row(instrument.title, f"{instrument.asks} {instrument.reads}", panels))
    columns = [f"{one.name}{' (random weights)' * (one.weights == 'none')}" for one in seen.columns]
    return f"{len(columns)} models before {seen.picture_name}", columns, rows


def _panel(name: str, found: Found | Refusal | None, common: tuple) -> comparison.Panel:
    if not isinstance(found, Found):
        return comparison.Panel(words=found.short if found else "not looked at")
    if name == "frequency":
        drawn = cells.spectrum(found.series["radial"], found.series["grids"], common)
        return comparison.Panel(words=f"{found.said}; colours {common[0]:.1f} to {common[1]:.1f} nats", pixels=drawn)
    if name == "answer":
        return comparison.Panel(
            words="\n".join(f"{percent(p)}  {label}" for label, p in found.series["top"]) or found.said
        )
    if name == "cost":
        return comparison.Panel(words="\n".join(_prices(found)))
    return comparison.Panel(found.said, found.pixels, bands=BANDS, **found.series)


def _prices(found: Found) -> list[str]:
    """One line a number of the cost."""
    lines = []
    for name, (value, unit) in found.numbers.items():
        if name.startswith("time"):
            lines.append(f"{name}: {value:.3g} ms")
        else:
            lines.append(f"{name}: {short(value)}{'B' * unit.startswith('bytes')}")
    return lines
