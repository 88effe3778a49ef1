from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from labkit.viz.theme import INK, PAPER, PATTERNS, colour_table, percent, share_bar, style


def luminance(colour: str | np.ndarray) -> float:
    """Relative luminance as in WCAG 2, 0..1."""
    rgb = np.array(to_rgb(colour) if isinstance(colour, str) else colour, dtype=float)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


# How the three common kinds of colour blindness see (Machado et al. 2009, severity 1.0), on linear RGB.
BLIND = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def test_the_callers_settings_are_as_before_also_after_an_error() -> None:
    before = dict(matplotlib.rcParams)

    def draw_and_fail() -> None:
        with style():
            assert matplotlib.rcParams["axes.spines.top"] is False
            raise RuntimeError

    with pytest.raises(RuntimeError):
        draw_and_fail()
    assert dict(matplotlib.rcParams) == before


def test_the_map_of_shares_rises_in_lightness_all_the_way() -> None:
    light = np.array([luminance(row / 255) for row in colour_table()])
    assert light[0] < 0.005
    assert light[-1] > 0.9
    assert (np.diff(light) > -1e-3).all()


@pytest.mark.parametrize("name", PATTERNS)
def test_pattern_colours_stand_out_from_their_ground(name: str) -> None:
    assert contrast(PATTERNS[name].light, PAPER) >= 4.5
    assert contrast(PATTERNS[name].dark, "#17171c") >= 4.5


@pytest.mark.parametrize("ground", ["light", "dark"])
@pytest.mark.parametrize("kind", BLIND)
def test_pattern_colours_stay_apart_for_every_eye(kind: str, ground: str) -> None:
    seen = []
    for pattern in PATTERNS.values():
        rgb = np.array(to_rgb(getattr(pattern, ground)))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        seen.append(np.clip(np.array(BLIND[kind]) @ linear, 0, 1) ** (1 / 2.2))
    gaps = [np.linalg.norm(seen[i] - seen[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(gaps) > 0.15


def test_pattern_markers_differ() -> None:
    assert len({pattern.marker for pattern in PATTERNS.values()}) == 3


def test_text_can_be_read() -> None:
    assert contrast(INK, PAPER) >= 7


def test_the_bar_of_shares_runs_from_zero_to_the_peak_in_percent() -> None:
    figure = Figure()
    axes = figure.subplots()
    bar = share_bar(figure, axes, peak=0.113)
    assert bar.ax.get_ylabel() == "share of attention"
    assert [label.get_text() for label in bar.ax.get_yticklabels()] == ["0 %", "2.8 %", "5.7 %", "8.5 %", "11 %"]
    assert (bar.vmin, bar.vmax) == (0, 0.113)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.1149, "11 %"),
        (0.04, "4 %"),
        (0.00449, "0.45 %"),
        (0.00004, "0 %"),
        (0.9949, "99 %"),
    ],
)
def test_percentages_have_two_digits(share: float, text: str) -> None:
    assert percent(share) == text
