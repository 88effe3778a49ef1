"""The measures by depth as a chart to hover over (plotly); `labkit.viz.patterns.by_depth` is its print."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labkit.viz.patterns import ANCHOR, Bands, Grid, Heads, beside, even_attention, heads_of
from labkit.viz.theme import PATTERNS

# One chart for light and dark pages: inks that stand on both, no ground of its own.
INK, LINE, HAIR = "#7d7d88", "#8f8f9b", "rgba(140,140,155,0.28)"
COLOURS = {"local": "#dd6b1a", "hybrid": "#12a57c", "global": "#6f6ae8"}
_HOVER = (
    "layer %{customdata[0]} head %{customdata[1]}: <b>%{y:.3g}</b><br>NMI %{customdata[2]:.3f}, PATTERN<extra></extra>"
)
SYMBOLS = {"o": "circle", "D": "diamond", "s": "square"}


def by_depth_live(
    nmi: Sequence[Heads],
    distance: Sequence[Heads],
    entropy: Sequence[Heads],
    *,
    grids: Sequence[Grid],
    key_grids: Sequence[Grid] | None = None,
    bands: Bands = (0.06, 0.12),
) -> go.Figure:
    """NMI, distance (patches) and entropy (nats) of every head by layer; a hover names the head and its numbers."""
    figure = make_subplots(rows=1, cols=3, subplot_titles=["NMI", "distance (patches)", "entropy (nats)"])
    even = [even_attention(grid, keys) for grid, keys in zip(grids, key_grids or grids, strict=True)]
    depth = list(range(len(nmi)))
    for column, values in enumerate((nmi, distance, entropy), start=1):
        for name, pattern in PATTERNS.items():
            dots = [
                (beside(layer, head, len(nmi[layer])), float(values[layer][head]), layer, head, float(nmi[layer][head]))
                for layer, head in heads_of(nmi, bands, name)
            ]
            figure.add_scatter(
                x=[dot[0] for dot in dots],
                y=[dot[1] for dot in dots],
                customdata=[list(dot[2:]) for dot in dots],
                hovertemplate=_HOVER.replace("PATTERN", name),
                mode="markers",
                marker={"color": COLOURS[name], "symbol": SYMBOLS[pattern.marker], "size": 8},
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                row=1,
                col=column,
            )
        figure.add_scatter(
            x=depth,
            y=[float(np.mean(one)) for one in values],
            mode="lines",
            line={"color": LINE, "width": 2},
            name="mean of heads",
            legendgroup="mean",
            showlegend=column == 1,
            hovertemplate="layer %{x}, mean: <b>%{y:.3g}</b><extra></extra>",
            row=1,
            col=column,
        )
        if column == 1:
            figure.add_hrect(
                y0=bands[0], y1=bands[1], fillcolor=COLOURS["hybrid"], opacity=0.16, line_width=0, row=1, col=1
            )
            figure.add_hline(y=ANCHOR, line={"color": COLOURS["hybrid"], "width": 1, "dash": "dash"}, row=1, col=1)
        else:
            figure.add_scatter(
                x=depth,
                y=[one[column - 2] for one in even],
                mode="lines",
                line={"color": LINE, "width": 1, "dash": "dash"},
                name="even look",
                legendgroup="even",
                showlegend=column == 2,
                hovertemplate="looking at every cell alike: %{y:.3g}<extra></extra>",
                row=1,
                col=column,
            )
    figure.update_xaxes(
        title={"text": "layer", "standoff": 6}, gridcolor=HAIR, zeroline=False, dtick=max(1, len(nmi) // 6)
    )
    figure.update_yaxes(rangemode="tozero", gridcolor=HAIR, zerolinecolor=HAIR)
    figure.update_layout(
        template="none",
        height=330,
        margin={"l": 42, "r": 12, "t": 34, "b": 46},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "IBM Plex Sans, system-ui, sans-serif", "size": 13, "color": INK},
        legend={"orientation": "h", "x": 0, "y": -0.22, "font": {"size": 13}},
        hoverlabel={"font": {"size": 13}},
    )
    return figure
