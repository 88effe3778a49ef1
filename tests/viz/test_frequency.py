from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from labkit.viz import frequency as draw
from labkit.viz.passband import sweep

GRIDS = [(6, 9), (6, 9), (3, 5), (1, 2)]
RINGS = [7, 7, 4, 2]
DICE = np.random.default_rng(0)


def radial() -> list[np.ndarray]:
    return [np.linspace(-1, -5, rings) + i for i, rings in enumerate(RINGS)]


def gains(filters: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [DICE.uniform(0, 3, (filters, 7)) for _ in range(3)], [np.arange(7) / 9] * 3


def every_figure() -> list[Figure]:
    ends = [np.array([0, -1, -2.0]), np.array([0, -1.5, -2.5]), np.array([0, -1.0]), np.array([0.0])]
    steps = [np.arange(len(one)) * 2 / 6 for one in ends]
    pictures = [DICE.integers(0, 256, (12, 18, 3), dtype=np.uint8) for _ in range(3)]
    return [
        draw.amplitude_heat(radial(), grids=GRIDS, title="toy"),
        draw.half_diagonals(ends, steps, grids=GRIDS, title="toy"),
        draw.responses(*gains(4), names=["a", "b", "c" * 40], what="head", title="toy"),
        draw.responses(*gains(40), names=["a", "b", "c"], what="kernel"),
        draw.planes(DICE.uniform(0, 2, (10, 5, 8)), title="toy"),
        sweep(
            pictures, ["≤ 0.1", "≤ 0.2", "≤ 0.5"], np.array([0, 0.2, 0.7]), np.array([0.1, 0.5, 1]),
            np.array([[0.1, 0.5, 1], [-0.2, 0.3, 1]]), sure=0.8, label="cat", names=["a", "b"], title="toy",
        ),
    ]  # fmt: skip


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


@pytest.fixture(scope="module")
def drawn() -> list[Figure]:
    before = dict(matplotlib.rcParams)
    figures = every_figure()
    for figure in figures:
        figure.canvas.draw()
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []
    return figures


def test_figures_carry_their_units(drawn: list[Figure]) -> None:
    heat, diagonal, few, many, _, passes = map(words, drawn)
    assert "frequency (cycles per cell)" in heat
    assert "nats" in heat
    assert "units of π" in diagonal
    assert "thin: each head" in few
    assert "80 % of the kernels" in many
    assert "probability of cat" in passes
    assert "cycles per pixel" in passes
    assert "c" * 30 not in few
    assert draw.short("stages.0.conv", 6) == "….conv"


def test_each_ring_is_painted_at_its_frequency(drawn: list[Figure]) -> None:
    meshes = drawn[0].get_axes()[0].collections
    for mesh, grid, values in zip(meshes, GRIDS, radial(), strict=True):
        edges = mesh.get_coordinates()[:, 0, 1]
        np.testing.assert_allclose(edges[1:-1], (np.arange(1, len(values)) - 0.5) / max(grid))
        np.testing.assert_allclose(mesh.get_array().ravel(), values - values[0])
    assert meshes[2].get_coordinates()[0, :, 0].tolist() == [1.5, 2.5]


def test_gains_are_drawn_against_their_own_largest(drawn: list[Figure]) -> None:
    lines = drawn[2].get_axes()[0].lines
    assert all(line.get_ydata().max() == pytest.approx(1) for line in lines[:4])


def test_planes_have_zero_frequency_in_the_middle() -> None:
    gain = np.zeros((1, 5, 8))
    gain[0, 0, 0] = 3
    shown = draw.planes(gain).get_axes()[0].images[0].get_array()
    assert shown[2, 4] == 1
    assert shown.sum() == 1


def test_cosines_of_a_sweep_are_symmetric_about_zero(drawn: list[Figure]) -> None:
    heat = [axes.images[0] for axes in drawn[5].get_axes() if axes.images and axes.images[0].get_array().ndim == 2]
    assert heat[0].get_clim() == (-1, 1)
    assert heat[0].get_array().shape == (2, 3)


def test_a_constant_spectrum_can_be_drawn() -> None:
    draw.amplitude_heat([np.zeros(3)], grids=[(2, 4)]).canvas.draw()
    draw.responses([np.zeros((2, 3))], [np.arange(3) / 4], names=["a"]).canvas.draw()
