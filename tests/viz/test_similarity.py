from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from labkit.viz import similarity as draw
from labkit.viz.depth import across, depth_axis, depth_colours, evenly

LAYERS = [(6, 9), (6, 9), (3, 5), (1, 2)]


def cosines() -> draw.Cosines:
    return draw.Cosines(
        np.array([0.2, 0.3, 0.5, 0.8]), np.sort(np.random.default_rng(0).uniform(-1, 1, (4, 5)), axis=1)
    )


def depth(**extra: np.ndarray) -> Figure:
    rank, most, share = np.array([9.0, 8, 5, 2]), [12, 12, 15, 2], np.array([0.5, 0.4, 0.3, 0.0])
    return draw.by_depth(cosines(), cosines(), rank, most, share, grids=LAYERS, title="toy", **extra)


def every_figure() -> list[Figure]:
    matrices = [np.eye(n) for n in (54, 54, 15, 2)]
    return [
        depth(cls=np.zeros(4), same=np.full(4, 0.6), different=np.full(4, np.nan)),
        draw.matrices(matrices, names=list("abcd"), title="toy"),
        draw.agreement(np.eye(3, 4), rows=list("abc"), columns=list("abcd"), horizontal="one", vertical="other"),
        draw.lesions([0.3, None, -0.1, 0.0], [0.9, None, 0.7, 1.0], grids=LAYERS, title="toy"),
    ]


def words(figure: Figure) -> str:
    """All that is written on a figure."""
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


@pytest.mark.slow
def test_figures_leave_no_trace_and_carry_their_units() -> None:
    before = dict(matplotlib.rcParams)
    said = []
    for figure in every_figure():
        figure.canvas.draw()
        said.append(words(figure))
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []
    for text in ("effective rank (directions)", "5 to 95 % of pairs", "class token with patches", "different objects"):
        assert text in said[0]
    assert "class token" not in words(depth())
    assert "cosine of two tokens" in said[1]
    assert "linear CKA" in said[2]
    assert "probability lost" in said[3]


def test_signed_maps_are_symmetric_and_shares_start_at_zero() -> None:
    _, matrices, agreement, _ = every_figure()
    assert all(axes.images[0].get_clim() == (-1, 1) for axes in matrices.get_axes() if axes.images)
    assert agreement.get_axes()[0].images[0].get_clim() == (0, 1)
    np.testing.assert_array_equal(agreement.get_axes()[0].images[0].get_array(), np.eye(3, 4))


def test_the_band_is_that_of_the_quantiles() -> None:
    axes = depth().get_axes()[0]
    outer, inner = (band.get_paths()[0].vertices for band in axes.collections[:2])
    q = cosines().quantiles
    assert set(np.round(outer[:, 1], 6)) == set(np.round(q[:, [0, 4]].ravel(), 6))
    assert set(np.round(inner[:, 1], 6)) == set(np.round(q[:, [1, 3]].ravel(), 6))
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), cosines().mean)


def test_a_block_that_cannot_be_left_out_is_grey_and_has_no_bar() -> None:
    above, below = every_figure()[3].get_axes()
    assert [round(bar.get_height(), 6) for bar in above.patches[:4]] == [0.3, 0, -0.1, 0]
    assert len(above.patches) == 5  # four bars and one grey span
    assert "cannot be" in below.get_xlabel()
    none_at_all = draw.lesions([None, None], [None, None], grids=[(2, 2), (1, 1)])
    none_at_all.canvas.draw()


def test_the_axis_of_depth_names_each_grid_once_and_few_panels_fill_their_lines() -> None:
    axes = Figure().subplots()
    depth_axis(axes, LAYERS)
    assert [text.get_text() for text in axes.texts] == ["6×9", "3×5", "1×2"]
    assert axes.get_xlim() == (-0.5, 3.5)
    assert evenly(30, 4) == [0, 10, 19, 29]
    assert evenly(3, 12) == [0, 1, 2]
    assert [across(count, 4) for count in (1, 4, 5, 6, 9, 12)] == [1, 4, 3, 3, 3, 4]
    assert depth_colours(5).shape == (5, 4)


@pytest.mark.parametrize("count", [1, 2])
def test_few_layers_can_be_drawn(count: int) -> None:
    one = draw.Cosines(np.zeros(count), np.zeros((count, 5)))
    values = np.ones(count)
    draw.by_depth(one, one, values, [1] * count, values, grids=[(2, 2)] * count).canvas.draw()
    draw.matrices([np.eye(4)] * count, names=["a"] * count).canvas.draw()
