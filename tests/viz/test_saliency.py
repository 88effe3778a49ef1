from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from labkit.viz import saliency as draw
from tests.viz.conftest import labels_of


@pytest.fixture
def photos() -> list[np.ndarray]:
    dice = np.random.default_rng(0)
    return [dice.integers(0, 256, (30, 50, 3), dtype=np.uint8) for _ in range(2)]


HEATS = {"Grad-CAM": [np.eye(3, 5), np.zeros((3, 5))], "RISE": [np.full((30, 50), 0.5), np.ones((30, 50))]}
SIGNED = {"HiResCAM": [np.linspace(-2, 1, 15).reshape(3, 5), np.zeros((3, 5))]}
UNITS = {"HiResCAM": "score"}


def every_figure(photos: list[np.ndarray]) -> list[Figure]:
    return [
        draw.side_by_side(photos, HEATS, names=["one", "two"], notes={"Grad-CAM": "layer4"}, title="toy"),
        draw.side_by_side(photos[:1], HEATS, title="toy"),
        draw.signed_side_by_side(photos, SIGNED, units=UNITS, title="toy"),
    ]


def test_figures_leave_no_trace(photos):
    before, copies = dict(matplotlib.rcParams), [photo.copy() for photo in photos]
    for figure in every_figure(photos):
        figure.canvas.draw()
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []
    np.testing.assert_array_equal(photos, copies)


def test_bars_carry_their_units_and_panels_their_names(photos):
    shared, single, signed = every_figure(photos)
    for figure in (shared, single):
        assert "share of the map's largest" in labels_of(figure)
        assert [axes.get_title(loc="left") for axes in figure.get_axes()[1:3]] == ["Grad-CAM", "RISE"]
    assert "layer4" in labels_of(shared)
    assert shared.get_axes()[0].get_title(loc="left") == "one"
    assert single.get_axes()[0].get_title(loc="left") == "the photo"
    assert "score" in labels_of(signed)
    bars = [axes for axes in signed.get_axes() if axes.get_xlabel() == "score"]
    assert [[text.get_text() for text in bar.get_xticklabels()] for bar in bars] == [["−2", "0", "2"], ["−1", "0", "1"]]


def test_heat_lies_over_the_whole_photo_on_a_fixed_scale_and_zero_shows_the_photo(photos):
    axes = Figure().subplots()
    heat = np.zeros((3, 5))
    heat[0, 4], heat[2, 0] = 0.5, 1.0
    draw.heat_over_photo(axes, photos[0], heat)
    grey, painted = axes.images
    assert grey.get_extent() == painted.get_extent() == [0, 50, 30, 0]
    assert painted.get_clim() == (0, 1)
    np.testing.assert_array_equal(painted.get_array(), heat)
    strength = painted.get_alpha()
    assert (strength[heat == 0] == 0).all()
    assert 0 < strength[0, 4] < strength[2, 0] < 1


def test_signed_maps_have_symmetric_limits_and_both_ends_cover_alike(photos):
    axes = Figure().subplots()
    values = np.array([[-3.0, 0.0], [1.5, 3.0]])
    assert draw.signed_over_photo(axes, photos[0], values) == 3
    painted = axes.images[1]
    assert painted.get_clim() == (-3, 3)
    assert painted.get_interpolation() == "nearest"
    strength = painted.get_alpha()
    assert strength[0, 0] == strength[1, 1] > strength[1, 0] > strength[0, 1] == 0
    red, blue = matplotlib.colormaps[draw.SIGNED](1.0), matplotlib.colormaps[draw.SIGNED](0.0)
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert draw.signed_over_photo(Figure().subplots(), photos[0], values, limit=10) == 10


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.full((2, 3), np.nan)])
def test_a_map_of_nothing_is_drawn_without_a_warning(photos, values):
    figure = Figure()
    axes = figure.subplots()
    assert draw.signed_over_photo(axes, photos[0], values) == 0
    draw.heat_over_photo(axes, photos[0], values)
    figure.canvas.draw()


@pytest.mark.parametrize(("methods", "across"), [(1, 2), (5, 6), (6, 4), (11, 6)])
def test_the_panels_of_one_photo_are_broken_into_even_lines(photos, methods, across):
    figure = draw.side_by_side(photos[:1], {f"m{i}": [np.eye(3)] for i in range(methods)})
    assert figure.get_axes()[0].get_subplotspec().get_gridspec().ncols == across
    assert sum(len(axes.images) == 2 for axes in figure.get_axes()) == methods
