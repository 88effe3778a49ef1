from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from labkit.viz import attention as draw
from labkit.viz.theme import PATTERNS
from tests.viz.conftest import DISTANCE, ENTROPY, GRIDS, NMI, labels_of


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)


def shares(heads: int = 3) -> list[np.ndarray]:
    dice = np.random.default_rng(1)
    return [dice.dirichlet(np.ones(h * w), heads).reshape(heads, h, w) for h, w in GRIDS]


def every_figure(photo: np.ndarray) -> list[Figure]:
    grids = {"grids": GRIDS, "layer": 0}
    return [
        draw.overview(photo, [one[0] for one in shares()], query=7, **grids, title="toy"),
        draw.attention_grid(photo, shares(), query=7, **grids, nmi=NMI, title="toy"),
        draw.pattern_strip(NMI, title="toy"),
        draw.by_depth(NMI, DISTANCE, ENTROPY, grids=GRIDS, title="toy"),
    ]


def test_figures_leave_no_trace(photo: np.ndarray) -> None:
    before, copy = dict(matplotlib.rcParams), photo.copy()
    for figure in every_figure(photo):
        figure.canvas.draw()
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []
    np.testing.assert_array_equal(photo, copy)


def test_pictures_of_shares_carry_a_bar_with_its_unit(photo: np.ndarray) -> None:
    for figure in every_figure(photo)[:2]:
        assert "share of attention, of the panel's largest" in labels_of(figure)


def test_each_panel_says_its_own_scale(photo: np.ndarray) -> None:
    rows = [np.array([[0.25, 0.5], [0.125, np.nan]]), np.full((2, 2), np.nan)]
    figure = draw.overview(photo, rows, query=1, grids=[(2, 2), (2, 2)])
    assert {"0 to 50 %", "does not ask"} <= labels_of(figure)


def test_shares_are_painted_from_zero_to_their_peak_where_the_query_can_look(photo: np.ndarray) -> None:
    axes = Figure().subplots()
    row = np.array([[0.25, 0.5], [0.125, np.nan]])
    assert draw.lay_over(axes, photo, row, query=1, grid=(2, 2)) == 0.5
    painted = axes.images[1]
    assert painted.get_clim() == (0, 0.5)
    np.testing.assert_array_equal(np.ma.getmaskarray(painted.get_array()), [[False, False], [False, True]])
    assert painted.get_interpolation() == "nearest"


@pytest.mark.parametrize(("query", "corner"), [(0, (0, 0)), (7, (20, 10)), (14, (40, 20))])
def test_the_outline_lies_on_the_query(photo: np.ndarray, query: int, corner: tuple[int, int]) -> None:
    axes = Figure().subplots()
    draw.lay_over(axes, photo, shares()[0][0], query=query, grid=(3, 5))
    box = axes.patches[-1]
    assert (box.get_xy(), box.get_width(), box.get_height()) == (corner, 10, 10)


def test_a_prefix_token_has_no_outline(photo: np.ndarray) -> None:
    axes = Figure().subplots()
    draw.lay_over(axes, photo, shares()[0][0], query=-1, grid=(3, 5))
    assert not axes.patches


def test_frames_have_the_colour_of_the_pattern(photo: np.ndarray) -> None:
    figure = draw.attention_grid(photo, shares(), query=7, grids=GRIDS, nmi=NMI)
    colours = [axes.spines["left"].get_edgecolor() for axes in figure.get_axes()[:3]]
    assert colours == [to_rgba(PATTERNS[name].light) for name in ("local", "hybrid", "global")]
