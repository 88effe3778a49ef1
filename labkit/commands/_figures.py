"""The files that `labkit probe attention --out` writes, made in memory: the numbers as JSON and CSV, the figures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from labkit.commands._output import as_json

if TYPE_CHECKING:
    from labkit.session import Look


def numbers(rows: Sequence[dict[str, Any]]) -> dict[str, bytes]:
    """`attention.json` and `attention.csv`: one row a layer and head; what is not defined is null, or empty."""
    from labkit.session import as_csv

    return {"attention.json": (as_json(rows) + "\n").encode(), "attention.csv": as_csv(rows).encode()}


def figures(look: Look, *, title: str, head: int | None = None) -> dict[str, bytes]:
    """The figures, each as PNG and SVG: where the centre of the picture looks, and what the heads do with depth.

    head   whose attention the overview shows; None is the mean of the heads
    """
    from labkit.widgets import figures as drawing

    h, w = look.maps[0].grid
    query = h // 2 * w + w // 2
    whose = "mean of the heads" if head is None else f"head {head}"
    chosen = drawing.MEAN if head is None else head
    drawn = {
        "overview": drawing.overview(look, layer=0, head=chosen, query=query, title=f"{title}\n{whose}"),
        "heads": drawing.attention_grid(look, layer=0, query=query, title=f"{title}\nevery layer and head"),
        "patterns": drawing.pattern_strip(look, title=title),
        "depth": drawing.by_depth(look, title=title),
    }
    files = {}
    for name, figure in drawn.items():
        for kind in ("png", "svg"):
            file = io.BytesIO()
            figure.savefig(file, format=kind)
            files[f"{name}.{kind}"] = file.getvalue()
    return files
