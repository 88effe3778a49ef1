from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import LogNorm

from labkit.viz import mixing as draw
from labkit.viz.theme import PATTERNS


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)


def test_one_query_is_painted_on_one_logarithmic_scale_and_found_again_on_every_grid(photo):
    shares = [np.full((3, 5), 1 / 15), np.array([[0.9998, 0.0002], [0, 0]]), np.full((2, 2), np.nan)]
    before = matplotlib.rcParams.copy()
    figure = draw.mixing_over_photo(
        photo, shares, query=7, grids=[(3, 5), (2, 2), (2, 2)], names=["a", "b", "c"], notes=["x", "y", "z"], title="t"
    )
    assert matplotlib.rcParams == before
    panels = [axes for axes in figure.get_axes() if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == ["a", "b", "c"]
    assert [axes.get_xlabel() for axes in panels] == ["x", "y", "z"]
    for axes in panels:
        over = axes.get_images()[1]
        assert isinstance(over.norm, LogNorm)
        assert (over.norm.vmin, over.norm.vmax) == (draw.FLOOR, 1)
        assert over.get_extent() == [0, 50, 30, 0]
    painted = panels[1].get_images()[1].get_array()
    assert painted.tolist() == [[0.9998, draw.FLOOR], [draw.FLOOR, draw.FLOOR]]
    # Cell 7 of 3 x 5 is its middle (row 1, column 2): 10 x 10 pixels at (20, 10); on 2 x 2 the lower right one.
    assert panels[0].patches[0].get_bbox().bounds == (20, 10, 10, 10)
    assert panels[1].patches[0].get_bbox().bounds == (25, 15, 25, 15)
    bar = figure.get_axes()[-1]
    assert bar.get_ylabel() == "share of the row"
    assert [tick.get_text() for tick in bar.get_yticklabels()] == ["≤ 0.1 %", "1 %", "10 %", "100 %"]


def test_every_model_has_its_colour_and_shape_and_every_block_its_mark():
    models = {
        "one": draw.Series(np.array([0.9, 0.5, 0.1]), np.array([0.1, 0.5, 1.2])),
        "two": draw.Series(np.array([0.3, np.nan]), np.array([0.2, np.nan])),
    }
    figure = draw.mixing_chart(models, bands=(0.1, 0.2))
    (axes,) = figure.get_axes()
    one, two = axes.collections
    np.testing.assert_allclose(one.get_offsets(), [[0.1, 0.9], [0.5, 0.5], [1.2, 0.1]])
    assert list(one.get_sizes()) == sorted(one.get_sizes())
    assert one.get_facecolor().tolist() != two.get_facecolor().tolist()
    assert axes.get_xlim()[1] > 1.2
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["one", "two"]
    assert {text.get_text() for text in axes.texts} == set(PATTERNS)
    assert axes.patches[0].get_bbox().bounds[1::2] == pytest.approx((0.1, 0.1))


def test_the_first_and_the_last_filter_are_named():
    frequency = np.linspace(0, 0.7, 4)
    figure = draw.response_by_block([frequency] * 3, [np.array([1, 0.5, 0.2, g]) for g in (0.1, 0.2, 0.3)], names="abc")
    (axes,) = figure.get_axes()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "c"]
    assert "cycles per cell" in axes.get_xlabel()
    assert axes.get_lines()[1].get_ydata()[3] == 0.2
