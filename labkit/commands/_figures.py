"""The files that `labkit probe attention --out` writes, made in memory: the numbers as JSON and CSV, the figures."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.commands._output import as_json

if TYPE_CHECKING:
    from labkit.probes.attention import AttentionMap
    from labkit.session import Look

COLUMNS = ("layer", "head", "nmi", "distance", "entropy", "pattern")


def numbers(rows: Sequence[dict[str, Any]]) -> dict[str, bytes]:
    """`attention.json` and `attention.csv`: one row a layer and head; what is not defined is null, or empty."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return {"attention.json": (as_json(rows) + "\n").encode(), "attention.csv": text.getvalue().encode()}


def figures(look: Look, *, title: str, head: int | None = None) -> dict[str, bytes]:
    """The figures, each as PNG and SVG: where the centre of the picture looks, and what the heads do with depth.

    head   whose attention the overview shows; None is the mean of the heads
    """
    from labkit.viz import attention as draw

    measures, maps = look.measures, look.maps
    nmi, distance, entropy = (
        [getattr(one, name)[0].numpy() for one in measures] for name in ("nmi", "distance", "entropy")
    )
    grids = [one.grid for one in maps]
    h, w = grids[0]
    query = h // 2 * w + w // 2
    shares = [shares_of(one, draw.same_spot(query, grids[0], one.grid)) for one in maps]
    bands = measures[0].bands.hybrid
    picture = np.asarray(look.picture)
    whose = "mean of the heads" if head is None else f"head {head}"
    drawn = {
        "overview": draw.overview(
            picture,
            [share.mean(axis=0) if head is None else share[head] for share in shares],
            query=query,
            grids=grids,
            title=f"{title}\n{whose}",
        ),
        "heads": draw.attention_grid(
            picture, shares, query=query, grids=grids, nmi=nmi, bands=bands, title=f"{title}\nevery layer and head"
        ),
        "patterns": draw.pattern_strip(nmi, bands=bands, title=title),
        "depth": draw.by_depth(
            nmi,
            distance,
            entropy,
            grids=grids,
            key_grids=[one.key_grid for one in maps],
            bands=bands,
            title=title,
        ),
    }
    files = {}
    for name, figure in drawn.items():
        for kind in ("png", "svg"):
            file = io.BytesIO()
            figure.savefig(file, format=kind)
            files[f"{name}.{kind}"] = file.getvalue()
    return files


def shares_of(attention: AttentionMap, query: int) -> np.ndarray:
    """`heads h w`: what each head gives to each cell of the key grid, 0..1; NaN where the query cannot look.

    query   a cell, row by row, or -1 - i for prefix token i; all NaN when nobody asks from there
    """
    h, w = attention.key_grid
    shares = np.full((attention.heads, h * w), math.nan)
    asking = (attention.queries == query).nonzero()
    if len(asking):
        window, row = asking[0].tolist()
        cells = attention.keys[window].cpu().numpy()
        shares[:, cells[cells >= 0]] = attention.weights[0, window, :, row].float().cpu().numpy()[:, cells >= 0]
    return shares.reshape(-1, h, w)
