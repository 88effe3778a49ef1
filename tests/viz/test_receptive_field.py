from __future__ import annotations

import matplotlib
import numpy as np

from labkit.viz import receptive_field as draw
from tests.viz.conftest import labels_of


def test_heat_lies_inside_the_frame_and_the_photo_outside():
    photo = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    seen = np.zeros((15, 25), dtype=bool)
    seen[4:9, 10:20] = True
    heat = np.where(seen, 4.0, 0.0)
    heat[5, 12] = 16
    before = matplotlib.rcParams.copy()
    figure = draw.fields_over_photo(
        photo, [heat, np.zeros((15, 25))], [seen, np.ones((15, 25), dtype=bool)], names=["a", "b"], notes=["x", "y"]
    )
    assert matplotlib.rcParams == before
    first, second, bar = figure.get_axes()
    assert (first.get_title(loc="left"), second.get_xlabel()) == ("a", "y")
    painted = first.get_images()[1].get_array()
    assert painted[5, 12] == 1
    assert painted[4, 10] == 0.5  # the square root of a quarter
    assert np.ma.getmaskarray(np.ma.masked_invalid(painted))[0, 0]
    # The frame: pixels 4..8 of 15 rows on 30, columns 10..19 of 25 on 50, to half a pixel.
    (x0, y0), (x1, y1) = first.collections[-1].get_datalim(first.transData).get_points()
    np.testing.assert_allclose([x0, y0, x1, y1], [20, 8, 40, 18], atol=1.01)
    assert second.get_images()[1].get_array().max() == 0
    assert [tick.get_text() for tick in bar.get_yticklabels()] == ["0", "10 %", "50 %", "100 %"]


def test_growth_says_where_everything_is_seen():
    figure = draw.growth([7, 35, None], [[3, 5, 9], [7, 30, 60]], parts=(0.5, 0.99), names=["a", "b", "c"], picture=64)
    (axes,) = figure.get_axes()
    assert axes.get_yscale() == "log"
    assert {"at most", "at most: everything", "50 % of the heat", "99 % of the heat"} <= labels_of(figure)
    assert axes.collections[0].get_offsets().tolist() == [[2, 64]]
    nothing_measured = draw.growth([None], [[3]], parts=(0.5,), names=["a"], picture=64)
    assert "at most" not in labels_of(nothing_measured)
