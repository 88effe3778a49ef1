from __future__ import annotations

import itertools

import numpy as np
import pytest

from labkit.viz import patterns as draw
from labkit.viz.patterns_live import by_depth_live
from labkit.viz.theme import PATTERNS
from tests.viz.conftest import BANDS, DISTANCE, ENTROPY, GRIDS, NMI, labels_of


def test_the_strip_marks_every_head_by_shape() -> None:
    axes = draw.pattern_strip(NMI).get_axes()[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("layer", "head")
    spots = dict(zip(PATTERNS, (np.asarray(group.get_offsets()).tolist() for group in axes.collections), strict=True))
    assert spots["local"] == [[0, 0], [1, 0], [2, 2]]
    assert spots["hybrid"] == [[0, 1], [1, 1], [1, 2]]
    assert spots["global"] == [[0, 2], [2, 0]]


def test_depth_charts_name_units_band_and_anchor() -> None:
    figure = draw.by_depth(NMI, DISTANCE, ENTROPY, grids=GRIDS, bands=BANDS)
    assert {"NMI", "distance (patches)", "entropy (nats)", "layer", "mean of heads"} <= labels_of(figure)
    nmi = figure.get_axes()[0]
    band = nmi.patches[0].get_extents().transformed(nmi.transData.inverted())
    assert (band.y0, band.y1) == pytest.approx(BANDS)
    assert any(line.get_ydata()[0] == draw.ANCHOR for line in nmi.lines)


def test_the_line_is_the_mean_of_the_heads() -> None:
    figure = draw.by_depth(DISTANCE, DISTANCE, ENTROPY, grids=GRIDS)
    line = next(line for line in figure.get_axes()[2].lines if line.get_linestyle() == "-")
    np.testing.assert_allclose(line.get_ydata(), [1.7, 1.7, 1.7])


def test_even_attention_is_the_mean_over_all_pairs() -> None:
    for grid, keys in (((3, 5), (3, 5)), ((4, 6), (2, 3)), ((1, 1), (1, 1))):
        asking = [((r + 0.5), (c + 0.5)) for r in range(grid[0]) for c in range(grid[1])]
        asked = [
            ((r + 0.5) * grid[0] / keys[0], (c + 0.5) * grid[1] / keys[1])
            for r in range(keys[0])
            for c in range(keys[1])
        ]
        expected = np.mean([np.hypot(a - c, b - d) for (a, b), (c, d) in itertools.product(asking, asked)])
        assert draw.even_attention(grid, keys) == pytest.approx((expected, np.log(len(asked))))


def test_the_chart_to_touch_holds_every_defined_head_and_what_a_hover_says() -> None:
    figure = by_depth_live(NMI, DISTANCE, ENTROPY, grids=GRIDS, bands=BANDS)
    dots = [trace for trace in figure.data if trace.mode == "markers"]
    per_panel = [sum(len(trace.x) for trace in dots if trace.xaxis == axis) for axis in ("x", "x2", "x3")]
    assert per_panel == [8, 8, 8]  # one of the nine heads has no NMI, hence no pattern
    local = next(trace for trace in dots if trace.name == "local")
    assert [list(row) for row in local.customdata] == [[0, 0, 0.3], [1, 0, 0.13], [2, 2, 0.121]]
    assert "layer %{customdata[0]} head %{customdata[1]}" in local.hovertemplate
    assert {note.text for note in figure.layout.annotations} == {"NMI", "distance (patches)", "entropy (nats)"}
    assert {trace.type for trace in figure.data} == {"scatter"}  # gradio draws with an older plotly.js
