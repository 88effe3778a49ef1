from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox

from labkit.viz import embedding as draw
from labkit.viz.theme import HAIR

DICE = np.random.default_rng(0)


def photos(count: int) -> list[np.ndarray]:
    return [DICE.integers(0, 256, (30, 50, 3), dtype=np.uint8) for _ in range(count)]


def painted(pictures: int, layers: int) -> list[np.ndarray]:
    return [DICE.uniform(0, 1, (pictures, 3, 5, 3)) for _ in range(layers)]


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def test_figures_leave_no_trace() -> None:
    before = dict(matplotlib.rcParams)
    thumbs, points = photos(7), DICE.normal(size=(7, 2))
    index, cosine = np.array([[1, 2], [0, 5]]), np.array([[0.9, 0.8], [0.7, -0.1]])
    for figure in (
        draw.token_pictures(photos(1), painted(1, 4), names=list("abcd"), title="toy"),
        draw.token_pictures(photos(3), painted(3, 2), names=list("ab")),
        draw.scatter(points, thumbs, share=np.array([0.5, 0.25]), title="toy"),
        draw.scatter(points, thumbs, kind="UMAP"),
        draw.neighbours(thumbs, index, cosine, queries=[0, 6], title="toy"),
    ):
        figure.canvas.draw()
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []
    assert "-0.10" in words(figure)


@pytest.mark.parametrize("count", [1, 3])
def test_each_picture_stands_beside_its_own_tokens(count: int) -> None:
    pictures, colours = photos(count), painted(count, 2)
    colours[1][0, 0, 0] = np.nan
    figure = draw.token_pictures(pictures, colours, names=["a", "b"])
    panels = [axes for axes in figure.get_axes() if axes.images]
    assert len(panels) == 3 * count
    np.testing.assert_array_equal(panels[3 * (count - 1)].images[0].get_array(), pictures[-1])
    np.testing.assert_array_equal(panels[3 * (count - 1) + 1].images[0].get_array(), colours[0][-1])
    assert panels[2].images[0].get_array()[0, 0].tolist() == list(to_rgb(HAIR))  # without a colour
    assert [axes.get_title(loc="left") for axes in panels[:3]] == ["photo", "0  a", "1  b"]


def test_points_are_the_pictures_they_stand_for_or_dots_in_their_mean_colour() -> None:
    points, thumbs = DICE.normal(size=(5, 2)), photos(5)
    axes = draw.scatter(points, thumbs, share=np.array([0.5, 0.25])).get_axes()[0]
    boxes = [artist for artist in axes.artists if isinstance(artist, AnnotationBbox)]
    np.testing.assert_allclose([box.xy for box in boxes], points)
    assert axes.get_xlabel() == "component 1 (50% of the variance)"
    many = draw.MOST_THUMBS + 1
    dots = draw.scatter(DICE.normal(size=(many, 2)), [np.full((2, 2, 3), 51, np.uint8)] * many, kind="UMAP").get_axes()[
        0
    ]
    np.testing.assert_allclose(dots.collections[0].get_facecolor()[0, :3], [0.2] * 3)
    assert "no unit" in dots.get_xlabel()
