from __future__ import annotations

import math

import matplotlib
import pytest

from labkit.viz import cost as draw


def test_one_bar_a_block_from_the_top_and_one_column_a_measure():
    before = matplotlib.rcParams.copy()
    figure = draw.cost_by_layer(["first", "last"], {"MACs": [3, 1], "MB": [0.5, 0.25]}, title="t")
    assert matplotlib.rcParams == before
    left, right = figure.get_axes()
    assert (left.get_xlabel(), right.get_xlabel()) == ("MACs", "MB")
    assert [bar.get_width() for bar in left.patches] == [3, 1]
    assert [text.get_text() for text in left.get_yticklabels()] == ["first", "last"]
    assert left.get_ylim()[0] > left.get_ylim()[1]  # the input is at the top


def test_a_power_law_runs_through_its_points_and_one_point_has_none():
    tokens = [16, 64, 256]
    figure = draw.cost_growth(tokens, {"ms": ([2, 8, 32], 1.0), "MACs": ([5, 5, 5], math.nan)}, sides=[32, 64, 128])
    left, right = figure.get_axes()
    assert left.get_xscale() == left.get_yscale() == "log"
    fit, measured = left.get_lines()
    assert fit.get_ydata() == pytest.approx([2, 8, 32])
    assert measured.get_ydata() == pytest.approx([2, 8, 32])
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["tokens to the power of 1.00"]
    assert [text.get_text() for text in left.texts] == ["32 px", "64 px", "128 px"]
    assert right.get_legend() is None
    assert len(right.get_lines()) == 1
