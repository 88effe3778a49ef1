"""The view of frequencies: its transform, filter and words run in Node and compared with numpy and labkit.probes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from labkit.probes.filters import kernel_response
from labkit.probes.passband import HIGHEST, filtered
from labkit.probes.tuning import Filters, band_of
from labkit.widgets.frequency import WHOLE, FrequencyView, beside, depth_colours
from labkit.widgets.frequency import _levels as levels_of
from tests.widgets.test_maps_js import NODE, in_node

pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed; the browser tests run the same code")

FFT, WORDS = "frequency_fft.js", "frequency_words.js"
SIZES = [(1, 1), (2, 3), (6, 4), (8, 8), (9, 14), (11, 12), (16, 10), (49, 22), (37, 2), (13, 32)]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape)


def photo(side: int) -> np.ndarray:
    """Noise in three colours with a bright corner: no symmetry that a swapped axis could hide behind."""
    pixels = np.random.default_rng(side).integers(0, 180, (side, side, 3))
    pixels[: side // 3, : side // 2, 0] += 75
    return pixels.astype(np.uint8)


def as_rgba(pixels: np.ndarray) -> list[int]:
    alpha = np.full((*pixels.shape[:2], 1), 255, dtype=np.uint8)
    return np.concatenate([pixels, alpha], axis=-1).flatten().tolist()


def test_the_transform_is_that_of_numpy_for_any_size_and_back(tmp_path: Path) -> None:
    given = [{"size": size, "re": noise(*size).flatten().tolist()} for size in SIZES]
    script = (
        "const of = (values) => Float64Array.from(values);"
        "return given.map(({ size, re }) => { const im = re.map((v, i) => v * (i % 3));"
        " const forth = m.fft2(of(re), of(im), size);"
        " const back = m.fft2(of(forth[0]), of(forth[1]), [size[1], size[0]], +1);"
        " return { forth, back }; });"
    )
    for (h, w), values, found in zip(SIZES, given, in_node(script, given, tmp_path, FFT), strict=True):
        re = np.array(values["re"])
        whole = (re + 1j * re * (np.arange(h * w) % 3)).reshape(h, w)
        forth = np.array(found["forth"][0]).reshape(w, h) + 1j * np.array(found["forth"][1]).reshape(w, h)
        np.testing.assert_allclose(forth.T, np.fft.fft2(whole), atol=2e-4)
        back = np.array(found["back"][0]) + 1j * np.array(found["back"][1])
        np.testing.assert_allclose(back.reshape(h, w) / (h * w), whole, atol=2e-5)


@pytest.mark.parametrize("side", [15, 28])
def test_what_passes_in_the_browser_is_what_the_model_is_given(side: int, tmp_path: Path) -> None:
    """The same picture, filtered there in pixels and here as the model's normalised tensor; the mean on and off."""
    pixels = photo(side)
    means, stds = [0.4, 0.5, 0.3], [0.2, 0.3, 0.25]
    bands = [
        (0.0, WHOLE, True),
        (0.0, 0.2, True),
        (0.0, 0.2, False),
        (0.15, WHOLE, True),
        (0.15, WHOLE, False),
        (2 / side, 5 / side, True),
    ]
    script = (
        "const s = m.spectrumOf(given.pixels, given.side);"
        "const variances = m.variancesOf(m.powersOf(s), given.stds);"
        "return given.bands.map(([low, high, mean]) => {"
        " const passes = m.passesOf(s, low * given.side, high * given.side, mean);"
        " return [m.filteredOf(s, passes, given.means.map((v) => 255 * v)), m.keptOf(variances, passes)]; });"
    )
    given = {"pixels": as_rgba(pixels), "side": side, "bands": bands, "means": means, "stds": stds}
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (means, stds))
    image = ((torch.from_numpy(pixels).permute(2, 0, 1).double() / 255 - mean) / std)[None]
    variance = image.var(dim=(2, 3), correction=0).sum()
    for (low, high, keeps), (got, kept) in zip(bands, in_node(script, given, tmp_path, FFT), strict=True):
        passed = filtered(image, band_of(low, high, mean=keeps))
        expected = 255 * (passed[0] * std + mean)
        np.testing.assert_allclose(np.array(got).reshape(3, side, side), expected.numpy(), atol=2e-3)
        assert kept == pytest.approx(float(passed.var(dim=(2, 3), correction=0).sum() / variance), abs=1e-5)


def test_one_wave_is_one_bright_cell_on_each_side_of_the_middle(tmp_path: Path) -> None:
    side, wave = 12, 3
    column = np.cos(2 * np.pi * wave * np.arange(side) / side)
    pixels = np.broadcast_to((100 + 50 * column)[None, :, None], (side, side, 3)).round().astype(np.uint8)
    script = "return m.levelsOf(m.powersOf(m.spectrumOf(given, 12)), 12);"
    levels = np.array(in_node(script, as_rgba(pixels), tmp_path, FFT)).reshape(side, side)
    middle = side // 2
    brightest = np.argsort(levels.flatten())[-3:]
    assert sorted(map(int, brightest)) == [middle * side + middle + k for k in (-wave, 0, wave)]
    assert levels[middle, middle] == pytest.approx(np.log10(pixels.mean() / 255), abs=1e-4)
    assert levels[middle, middle + wave] == pytest.approx(np.log10(25 / 255), abs=0.01)  # half its amplitude a side


def test_stretching_fills_the_range_and_keeps_the_order(tmp_path: Path) -> None:
    given = np.linspace(118, 122, 27).tolist()
    plain, stretched = in_node("return [m.pixelsOf(given, 3), m.pixelsOf(given, 3, true)];", given, tmp_path, FFT)
    plain, stretched = (np.array(one).reshape(9, 4)[:, :3] for one in (plain, stretched))
    assert plain.max() - plain.min() == 4
    assert stretched.max() - stretched.min() > 240
    assert (np.diff(stretched.T.flatten()) >= 0).all()


def test_a_band_stays_a_band(tmp_path: Path) -> None:
    whole = {"low": 0, "high": WHOLE}
    cases = [
        [{"low": 0.3, "high": 0.2}, {"low": 0.1, "high": 0.2}],  # the low ring pushed against the high one
        [{"low": 0.3, "high": 0.1}, {"low": 0.3, "high": 0.5}],  # and the other way round
        [{"low": -1, "high": 9}, whole],
        [{"low": 0.05, "high": 0.2}, whole],  # both at once, from a link
    ]
    found = in_node("return given.map(([to, before]) => m.bandOf(to, before));", cases, tmp_path, WORDS)
    assert found == [{"low": 0.198, "high": 0.2}, {"low": 0.3, "high": 0.302}, whole, {"low": 0.05, "high": 0.2}]
    for band in found:
        band_of(band["low"], band["high"], mean=False)  # Python takes each of them
    assert in_node("return m.CORNER;", None, tmp_path, WORDS) == WHOLE > HIGHEST


def test_the_words_say_units_and_ends(tmp_path: Path) -> None:
    script = (
        "return [m.frequencyWords(0.05), m.frequencyWords(0.4), m.frequencyWords(0), m.frequencyWords(m.CORNER),"
        "m.bandWords({ low: 0, high: 0.1, mean: true }, 0.8642),"
        "m.bandWords({ low: 0.1, high: m.CORNER, mean: false }, 0.00021),"
        "m.bandWords({ low: 0.1, high: 0.2, mean: true }, 1), m.crossingWords({ where: null, photos: 3, mean: true }),"
        "m.crossingWords({ where: 0.1284, photos: 14, mean: false })];"
    )
    assert in_node(script, None, tmp_path, WORDS) == [
        "0.050 cycles per pixel (10 % of Nyquist, waves of 20 pixels)",
        "0.400 cycles per pixel (80 % of Nyquist, waves of 2.5 pixels)",
        "0 (nothing is cut below)",
        "0.71 (nothing is cut above)",
        "What is coarser than 0.10 cycles per pixel passes · 86 % of the variance · the mean passes",
        "What is finer than 0.10 cycles per pixel passes · 0 % of the variance · the mean is lost",
        "0.10 to 0.20 cycles per pixel passes · 100 % of the variance · the mean passes",
        "The two curves do not cross. 3 photos, the mean kept on both sides.",
        "They cross at 0.128 cycles per pixel: as many answers hang on what is finer as on what is coarser. "
        "14 photos, the mean lost on both sides.",
    ]


def test_a_point_finds_the_nearer_ring_and_the_nearest_curve(tmp_path: Path) -> None:
    rings = "return [0, 0.1, 0.21, 0.7].map((f) => m.nearerRing(f, { low: 0.1, high: 0.3 }));"
    assert in_node(rings, None, tmp_path, WORDS) == ["low", "low", "high", "high"]
    curves = [{"values": [0, -1, -2, -3, -4], "longer": 8}, {"values": [0, -3, -3], "longer": 2}]
    points = [[0.25, -2.1], [0.25, -1.4], [0.6, -4], [0.7, -3]]
    script = (
        "const curves = given[0].map(({ values, longer }) => ({ values: Float32Array.from(values), longer }));"
        "return given[1].map(([f, value]) => m.nearestCurve(curves, f, value));"
    )
    # At 0.25 the first curve is at -2 and the second, halfway to its second ring, at -1.5.
    assert in_node(script, [curves, points], tmp_path, WORDS) == [0, 1, 1, 1]


def test_gains_are_read_back_from_the_plane(tmp_path: Path) -> None:
    weight = torch.tensor([[[[0.0, 1, 0], [1, 4, 1], [0, 1, 0]]], [[[0.0, -1, 0], [-1, 4.5, -1], [0, -1, 0]]]])
    response = kernel_response(weight, (8, 10))
    peaks = response.gain.amax(dim=(1, 2))
    given = {"levels": np.frombuffer(levels_of(response.gain), np.uint8).tolist(), "peaks": peaks.tolist()}
    script = (
        "return given.peaks.map((peak, i) => m.gainsOf(given.levels.slice(80 * i, 80 * (i + 1)), [8, 10], peak))"
        ".map((gains) => ({ ...gains, kind: m.kindOf(gains) }));"
    )
    coarse, fine = in_node(script, given, tmp_path, WORDS)
    # Σ weights at the mean; at Nyquist along one axis its two neighbours change sign: 4 ∓ 2 + 2 and 4.5 ± 2 - 2.
    assert coarse["mean"] == pytest.approx(8, rel=0.01)
    assert coarse["nyquist"] == pytest.approx(4, rel=0.01)
    assert fine["mean"] == pytest.approx(0.5, rel=0.01)
    assert fine["nyquist"] == pytest.approx(4.5, rel=0.01)
    assert [coarse["kind"], fine["kind"]] == ["passes both", "passes the fine"]


def test_layers_are_cut_out_of_one_row_of_numbers(tmp_path: Path) -> None:
    script = "return m.cutUp(Float32Array.of(1, 2, 3, 4, 5, 6), [3, 1, 2]).map((part) => [...part]);"
    assert in_node(script, None, tmp_path, WORDS) == [[1, 2, 3], [4], [5, 6]]


def test_filters_stand_beside_the_block_they_lead_to() -> None:
    kinds = {"a": "attention", "c": "convolution"}

    def bank(kind: str, block: int | None) -> Filters:
        return SimpleNamespace(kind=kinds[kind], block=block)

    rows = [bank("a", 0), bank("a", 1), bank("c", None), bank("c", 0), bank("c", None), bank("c", 1), bank("c", None)]
    assert beside(rows, 2) == [0, 1, 0, 0, 1, 1, 1]
    assert beside([bank("a", 3), bank("c", None)], 4) == [3, 0]  # a patch embedding
    assert beside([], 4) == []


def test_each_layer_has_a_colour_on_either_ground() -> None:
    colours = depth_colours(7)
    assert {len(set(some)) for some in colours.values()} == {7}
    assert colours["light"][0] == "#440154"
    assert depth_colours(1)["dark"]


def test_the_widget_carries_data_and_state() -> None:
    view = FrequencyView()
    view.show({"side": 2}, [b"\0\1"], low=0.1, head=-1)
    assert view.state == {"low": 0.1, "head": -1}
    assert json.dumps(view.value["head"]) == '{"side": 2}'
    assert "fft2" in view._esm
    assert ".lk-frequency" in view._css
