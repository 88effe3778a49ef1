from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from labkit.viz import faithfulness as draw
from labkit.viz import rise
from tests.viz.conftest import labels_of

SHARE = np.linspace(0, 1, 5)
BAND = (SHARE * 0.5, SHARE * 0.5 + 0.2)
METHODS = ("gradcam", "rise", "random", "centre")
NOTES, ACROSS = {"deletion": "good: falls early"}, {"deletion": "taken away"}


def curves(band: tuple | None = BAND) -> Figure:
    lines = {name: draw.Line(SHARE, SHARE * 0.5 + 0.1, band) for name in METHODS}
    return draw.curves({"deletion": lines}, notes=NOTES, across=ACROSS, title="toy")


def gains() -> Figure:
    found = {"gradcam": draw.Gain(0.1, -0.05, 0.2), "rise": draw.Gain(0.3, None, None)}
    return draw.gains({"deletion": {"random": found, "centre": found}}, labels={"deletion": "deletion, probability"})


def running(photo: np.ndarray) -> Figure:
    maps = [np.linspace(0.2, 0.3 + 0.1 * turn, 24).reshape(4, 6) for turn in range(2)]
    errors = [np.full((4, 6), np.inf), np.full((4, 6), 0.05)]
    return rise.running(photo, maps, errors, masks=[1, 50], title="toy")


def test_figures_leave_no_trace():
    photo = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    before, copy = dict(matplotlib.rcParams), photo.copy()
    for figure in (curves(), curves(None), gains(), running(photo)):
        figure.canvas.draw()
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []
    np.testing.assert_array_equal(photo, copy)


def test_curves_have_their_units_their_names_and_a_band_for_each_method():
    figure = curves()
    axes = figure.get_axes()[0]
    assert {"probability of the class", "taken away, % of the pixels", *METHODS} <= labels_of(figure)
    assert "good: falls early" in [text.get_text() for text in axes.texts]
    assert len(axes.collections) == 2  # maps that know nothing have none
    low, high = axes.collections[0].get_datalim(axes.transData).intervaly
    assert (low, high) == (0, 0.7)
    assert not curves(None).get_axes()[0].collections
    colours = {line.get_label(): to_hex(line.get_color()) for line in axes.get_lines()}
    assert len(set(colours.values())) == 4
    assert colours["random"] == draw.KNOW_NOTHING["random"]


def test_gains_show_the_interval_where_there_is_one():
    figure = gains()
    axes = figure.get_axes()[0]
    whiskers = [line for line in axes.get_lines() if len(line.get_xdata()) == 2 and line.get_marker() == "None"]
    across = [tuple(map(float, line.get_xdata())) for line in whiskers]
    assert across.count((-0.05, 0.2)) == 2
    assert {"deletion, probability", "over random", "over centre"} <= labels_of(figure)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["gradcam", "rise"]


def test_the_running_map_says_its_values_and_shares_one_scale_of_errors():
    figure = running(np.zeros((20, 30, 3), np.uint8))
    titles = [axes.get_title(loc="left") for axes in figure.get_axes()]
    assert {"the photo", "1 mask", "50 masks", "its standard error"} <= set(titles)
    assert {"probability,\npixel kept", "standard error,\nprobability"} <= labels_of(figure)
    errors = [axes for axes in figure.get_axes() if axes.images and axes.images[0].get_cmap().name == "magma"]
    assert [axes.images[0].get_clim() for axes in errors] == [(0, 0.05)] * 2
    ticks = [tick.get_text() for axes in figure.get_axes() for tick in axes.get_yticklabels()]
    assert {"0.2", "0.4"} <= set(ticks)  # of the last map
    flat = rise.running(np.zeros((20, 30, 3), np.uint8), [np.ones((2, 2))], [np.zeros((2, 2))], masks=[1])
    flat.canvas.draw()
