"""Small pictures for a wall, and the sheet of many of them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from labkit.viz import cells
from labkit.viz.comparison import Panel, Row, sheet
from labkit.viz.theme import colour_table

PHOTO = np.full((30, 45, 3), 128, dtype=np.uint8)


def test_a_level_has_the_colour_of_the_table_where_it_covers_all():
    level = np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 0.25]])
    drawn = cells.lit(PHOTO, level, 1.0)
    assert drawn.shape == (30, 45, 3)
    for (r, c), value in np.ndenumerate(level):
        assert (drawn[15 * r + 7, 15 * c + 7] == colour_table()[round(255 * value)]).all()
    assert (cells.lit(PHOTO, level, 0.0) == 128).all()
    half = cells.lit(PHOTO, level, 0.5)[7, 22]
    assert half.tolist() == ((colour_table()[255].astype(float) + 128) / 2).round().astype(int).tolist()
    assert cells.lit(PHOTO, np.full((2, 3), np.nan), 1.0)[0, 0].tolist() == colour_table()[0].tolist()


def test_heat_of_nothing_leaves_the_photo():
    heat = np.array([[0.0, 1.0]])
    assert (cells.heated(PHOTO, heat)[:, :20] == 128).all()
    assert (cells.heated(PHOTO, heat)[:, 25:] != 128).any()
    assert (cells.glowing(PHOTO, heat)[:, :20] < 100).all()  # covered a little even at zero


def test_a_frame_lies_on_its_box_and_is_cut_at_the_border():
    drawn = cells.framed(PHOTO, (0.2, 0.4, 0.8, 0.8))  # rows 6..24, columns 18..36
    assert (drawn[6, 18:36] == cells.QUERY).all()
    assert (drawn[23, 18:36] == cells.QUERY).all()
    assert (drawn[6:24, 18] == cells.QUERY).all()
    assert (drawn[:6] == 128).all()
    assert (drawn[24:] == 128).all()
    assert (drawn[12, 25] == 128).all()
    assert (cells.framed(PHOTO, (-1, -1, 2, 2))[0] == cells.QUERY).all()
    assert (PHOTO == 128).all()


def test_a_spectrum_has_the_mean_below_and_the_corner_above():
    rings = np.array([0.0, -1, -2, -3, -4, -5, -6])  # a grid of 8: 0, 1/8 … 6/8 cycles per cell
    drawn = cells.spectrum([rings, rings], [(8, 8), (8, 8)], (-6, 0), high=70)
    assert drawn.shape == (70, 2, 3)
    assert (drawn[-1, 0] == colour_table()[255]).all()
    assert (drawn[0, 0] == colour_table()[0]).all()
    coarse = cells.spectrum([rings[:4]], [(4, 4)], (-6, 0), high=70)
    assert (coarse[0, 0] == colour_table()[128]).all()  # ring 3 of 4 cells is the corner


def test_a_strip_has_one_mark_a_head_in_three_shapes():
    drawn = cells.strip([np.array([0.2, 0.08]), np.array([0.01, np.nan])], bands=(0.06, 0.12), words='a "b" <c>')
    assert len(re.findall("<circle", drawn)) == 1
    assert len(re.findall("rotate", drawn)) == 1
    assert len(re.findall("<rect", drawn)) == 2
    assert 'viewBox="0 0 20 20"' in drawn
    assert "<c>" not in drawn
    assert 'cx="5" cy="5"' in drawn  # the local head of layer 0
    assert 'x="11.7" y="1.7"' in drawn  # the global one of layer 1


def test_a_curve_rises_when_the_cosine_does():
    mean = np.array([-0.5, 0.0, 0.9])
    drawn = cells.curve(mean, np.stack([mean - 0.1, mean, mean + 0.1], axis=1), words="alike")
    points = re.search('polyline points="([^"]+)"', drawn)[1].split()
    heights = [float(point.split(",")[1]) for point in points]
    assert heights == sorted(heights, reverse=True)
    assert heights[1] == pytest.approx(cells.HIGH / 2)
    assert cells.curve(mean[:1], np.zeros((1, 3)), words="one block").count("<circle") == 1


def test_a_sheet_has_a_picture_a_panel_and_words_for_the_rest():
    line = Panel("alike", mean=np.array([0.1, 0.2]), quantiles=np.zeros((2, 3)))
    rows = [
        Row("one", "reads", [Panel("pixels", PHOTO), Panel("does not fit")]),
        Row("two", "reads", [Panel("heads", nmi=[np.array([0.1, 0.2])]), line]),
        Row("three", "reads", [Panel("1\n2\n3"), Panel("4")]),
    ]
    figure = sheet("two models", ["a", "b" * 60], rows)
    assert len(figure.axes) == 3
    said = {text.get_text().replace("\n", "") for text in figure.texts}
    assert {"two models", "a", "b" * 60, "does not fit", "123", "alike"} <= said
    boxes = [axes.get_position() for axes in figure.axes]
    assert all(0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1 for box in boxes)
    assert boxes[1].y1 < boxes[0].y0
