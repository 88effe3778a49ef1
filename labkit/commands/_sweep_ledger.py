"""What a sweep knows already: one file an answer, each whole or not there; and the tables that are made of them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.commands._output import as_json, write_all
from labkit.commands._sweep_tasks import Task

if TYPE_CHECKING:
    from pandas import DataFrame


class Ledger:
    """The folder of a sweep: `cells/<key>.json` for each answer, and the tables beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells"
        write_all(self.cells, {})  # to find out now whether the folder can be there

    def known(self, task: Task) -> dict[str, Any] | None:
        """The answer that was kept; None where there is none that can be read."""
        try:
            return json.loads((self.cells / f"{task.key}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def keep(self, row: dict[str, Any]) -> None:
        """Keep an answer. A run that is killed loses those that are not kept yet, and no other."""
        write_all(self.cells, {f"{row['key']}.json": as_json(row).encode()})

    def write_tables(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        """Write `sweep.parquet` (a row a question) and a table an instrument; returns their names."""
        made = {f"{name}.parquet": _parquet(table) for name, table in tables(rows)}
        write_all(self.folder, made)
        return list(made)


def tables(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, DataFrame]]:
    """The sweep's own table, then one for each instrument: its rows, beside the model and picture they are of."""
    import pandas as pd

    yield "sweep", pd.DataFrame([{**row, "rows": len(row["rows"])} for row in rows])
    for probe in dict.fromkeys(row["probe"] for row in rows):
        found = [
            # What the instrument calls as we do ("model") is the instrument's.
            {**{name: row[name] for name in ("key", "model", "image", "parameters")}, **one}
            for row in rows
            if row["probe"] == probe
            for one in row["rows"]
        ]
        if found:
            yield probe.replace("-", "_"), pd.DataFrame(found)


def _parquet(table: DataFrame) -> bytes:
    file = io.BytesIO()
    table.to_parquet(file, index=False)
    return file.getvalue()
