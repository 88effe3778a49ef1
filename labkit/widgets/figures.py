"""A look as printed figures: from its tensors to the arrays that `labkit.viz` draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labkit.viz import attention as draw
from labkit.viz.patterns_live import by_depth_live

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from labkit.session.looks import AttentionMap, Look


MEAN = -1
"""As a head: the mean of all heads."""


def shares_of(layer: AttentionMap, query: int) -> NDArray[np.float32]:
    """`heads h w`: what one query of the first picture gives to each cell of the key grid; NaN where it cannot look.

    `query` is a cell on the layer's grid, row by row, or -1 - i for prefix token i; all NaN if no such query.
    """
    shares = np.full((layer.weights.shape[2], layer.key_grid[0] * layer.key_grid[1]), np.nan, dtype=np.float32)
    places = (layer.queries == query).nonzero()
    if len(places):
        window, row = places[0].tolist()
        keys = layer.keys[window]
        on_grid = keys >= 0
        shares[:, keys[on_grid].numpy()] = layer.weights[0, window, :, row][:, on_grid].numpy()
    return shares.reshape(-1, *layer.key_grid)


def overview(look: Look, *, layer: int, head: int, query: int, title: str | None = None) -> Figure:
    """The photo and where one query looks in every layer; `head` -1 is the mean of the heads."""
    rows = _every_layer(look, layer, query)
    shares = [row[min(head, len(row) - 1)] if head >= 0 else row.mean(axis=0) for row in rows]
    if title is None:
        title = f"{look.model}, {'mean of heads' if head < 0 else f'head {head}'}\n{query_name(look, layer, query)}"
    return draw.overview(_pixels(look), shares, query=query, grids=_grids(look), layer=layer, title=title)


def attention_grid(look: Look, *, layer: int, query: int, title: str | None = None) -> Figure:
    """Where one query looks in every layer and head."""
    title = f"{look.model} · {query_name(look, layer, query)}" if title is None else title
    rows, nmi = _every_layer(look, layer, query), _measure(look, "nmi")
    settings = {"query": query, "grids": _grids(look), "layer": layer, "bands": _bands(look), "title": title}
    return draw.attention_grid(_pixels(look), rows, nmi=nmi, **settings)


def pattern_strip(look: Look, *, title: str | None = None) -> Figure:
    """The pattern of every layer and head."""
    return draw.pattern_strip(_measure(look, "nmi"), bands=_bands(look), title=title or look.model)


def by_depth(look: Look, *, title: str | None = None) -> Figure:
    """NMI, distance and entropy of every head, by layer."""
    return draw.by_depth(*_measures(look), **_depths(look), title=title or look.model)


def by_depth_to_touch(look: Look) -> go.Figure:
    """The same as a chart that names each head under the pointer."""
    return by_depth_live(*_measures(look), **_depths(look))


def query_name(look: Look, layer: int, query: int) -> str:
    """ "query row 3, column 5", or the token's name; counted from 0."""
    if query < 0:
        return "query class token" if query == -1 else f"query extra token {-1 - query}"
    row, column = divmod(query, look.maps[layer].grid[1])
    return f"query row {row}, column {column}"


def _every_layer(look: Look, layer: int, query: int) -> list[NDArray[np.float32]]:
    grid = look.maps[layer].grid
    return [shares_of(one, draw.same_spot(query, grid, one.grid)) for one in look.maps]


def _pixels(look: Look) -> NDArray[np.uint8]:
    return np.asarray(look.picture.convert("RGB"))


def _grids(look: Look) -> list[tuple[int, int]]:
    return [one.grid for one in look.maps]


def _measure(look: Look, name: str) -> list[NDArray[np.float32]]:
    return [getattr(measures, name)[0].cpu().numpy() for measures in look.measures]


def _measures(look: Look) -> tuple[list[NDArray[np.float32]], ...]:
    return tuple(_measure(look, name) for name in ("nmi", "distance", "entropy"))


def _bands(look: Look) -> tuple[float, float]:
    return look.measures[0].bands.hybrid


def _depths(look: Look) -> dict:
    return {"grids": _grids(look), "key_grids": [one.key_grid for one in look.maps], "bands": _bands(look)}
