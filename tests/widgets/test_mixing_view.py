"""What the view of mixing is shown, and the browser's reading of it, run in Node."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
import torch

from labkit.probes.mixing import MixingMap
from labkit.probes.mixing_measures import measure_mixing
from labkit.session import sit
from labkit.session.mixtures import PARTS, Apart, Mixed, mixing_sites
from labkit.widgets.mixing import MixingView, Side, levels, mixing_data
from tests.widgets.test_maps_js import NODE, in_node

node = pytest.mark.skipif(NODE is None, reason="Node.js is not installed; the browser tests run the same code")


def norms(queries: int, keys: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(queries, keys, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def side() -> Side:
    """lab/vit with one block's numbers and one layer's parts, made up: nothing is computed."""
    sitting = sit("lab/vit", "chelsea")
    sites = mixing_sites(sitting)
    map = MixingMap("blocks.2", norms(64, 64)[None].square(), torch.zeros(1, 64, 64), (8, 8), (8, 8), 4)
    mixed = {"blocks.2": Mixed(sites[2], map, measure_mixing(map), False)}
    rows = {part: norms(64, 64, seed) for seed, part in enumerate(PARTS)}
    apart = {"blocks.1": Apart("blocks.1.attn", (8, 8), rows, dict.fromkeys(PARTS, 0.25), 0.6)}
    return Side(sitting, "lab/vit", sites, {"blocks.1": "blocks.1.attn"}, mixed, apart)


def test_the_head_is_plain_and_has_what_is_known(side: Side) -> None:
    head, bodies = mixing_data([side, side], skip=False, key="k")
    json.dumps(head, allow_nan=False)
    layers = head["models"][1]["layers"]
    assert [layer["name"] for layer in layers] == [f"blocks.{i}" for i in range(6)]
    assert ["nmi" in layer for layer in layers] == [False, False, True, False, False, False]
    assert layers[1]["parts"] == {
        "layer": "blocks.1.attn", "grid": [8, 8], "own": dict.fromkeys(PARTS, 0.25), "softmax": 0.6,
    }  # fmt: skip
    assert layers[0]["attention"] is None
    assert [i for i, body in enumerate(bodies) if body] == [*range(6, 11), *range(36, 41)]


def test_a_block_that_mixes_nothing_has_no_numbers_and_no_nan(side: Side) -> None:
    map = MixingMap("blocks.2", torch.zeros(1, 64, 64), torch.zeros(1, 64, 64), (8, 8), (8, 8), 4)
    still = Side(
        side.sitting, "", side.sites, {}, {"blocks.2": Mixed(side.sites[2], map, measure_mixing(map), False)}, {}
    )
    head, bodies = mixing_data([still], skip=False)
    json.dumps(head, allow_nan=False)
    layer = head["models"][0]["layers"][2]
    assert (layer["nmi"], layer["reach"], layer["own"]) == (None, None, None)
    assert not np.frombuffer(bodies[10], "<u2").any()


def test_the_view_keeps_where_the_visitor_stands(side: Side) -> None:
    view = MixingView()
    view.show(*mixing_data([side, side], skip=False), place=[0.2, 0.3], layers=[1, 2])
    view.state = {**view.state, "reverse": True}
    view.show(*mixing_data([side, side], skip=False))
    assert view.state == {"place": [0.2, 0.3], "layers": [1, 2], "reverse": True}


def in_maps(script: str, given: Any, tmp_path, name: str = "mixing_maps.js") -> Any:
    return in_node(script, given, tmp_path, name)


@node
def test_the_browser_reads_rows_and_columns_back(tmp_path) -> None:
    matrix = norms(6, 9)
    script = (
        "const norms = m.normsOf(m.bytesOf(given));"
        "return [m.sharesOf(norms, 9, 4, false), m.sharesOf(norms, 9, 7, true),"
        " m.sharesOf(norms.fill(0), 9, 0, false)];"
    )
    row, column, nothing = in_maps(script, base64.b64encode(levels(matrix)).decode(), tmp_path)
    np.testing.assert_allclose(row, matrix[4] / matrix[4].sum(), atol=1e-4)
    np.testing.assert_allclose(column, matrix[:, 7] / matrix[:, 7].sum(), atol=1e-4)
    assert nothing == [None] * 9


@node
def test_scales_for_the_eye(tmp_path) -> None:
    script = (
        "const shares = Float32Array.from(given);"
        "return ['linear', 'log'].map((s) => m.mixingMap(shares, [2, 3], s, new Set([0])))"
        ".map(({ shares, peak }) => [[...shares], peak]);"
    )
    (linear, peak), (log, whole) = in_maps(script, [0.6, 0.1, 0.01, 1e-3, 1e-5, 0], tmp_path)
    assert peak == pytest.approx(0.1)  # the asking cell's own 0.6 does not set the scale
    assert linear[0] == pytest.approx(0.6)
    assert whole == 1
    np.testing.assert_allclose(log, [1 + np.log10(0.6) / 3, 2 / 3, 1 / 3, 0, 0, 0], atol=1e-6)


@node
def test_the_own_place_on_another_grid_is_the_same_as_in_python(tmp_path) -> None:
    script = "return given.map(([cell, from, to]) => [...m.ownCells(cell, from, to)]);"
    same, finer, coarser, odd = in_maps(
        script, [[5, [2, 4], [2, 4]], [3, [2, 2], [4, 4]], [10, [4, 4], [2, 2]], [4, [3, 3], [2, 2]]], tmp_path
    )
    assert (same, finer, coarser) == ([5], [10, 11, 14, 15], [3])
    from labkit.probes.mixing_measures import _own

    map = MixingMap("", torch.ones(1, 9, 4), torch.zeros(1, 9, 4), (3, 3), (2, 2), 4)
    assert odd == _own(map)[4].nonzero().flatten().tolist()


@node
def test_own_and_best_sum_the_one_and_leave_it_out_of_the_other(tmp_path) -> None:
    found = in_maps("return m.ownAndBest(given, new Set([0, 1]));", [0.5, 0.2, 0.1, 0.2], tmp_path)
    assert found == {"own": pytest.approx(0.7), "best": 3, "most": 0.2}


@node
def test_a_part_is_shown_where_there_is_one_else_the_block(tmp_path) -> None:
    script = (
        "const bodies = ['block', 'a', 'v', 's', 'l'];"
        "const layer = { grid: [2, 2], keyGrid: [4, 4], parts: { grid: [3, 3] } };"
        "return [m.shownOf(layer, bodies, 'softmax'), m.shownOf({ ...layer, parts: null }, bodies, 'softmax'),"
        " m.shownOf(layer, [null], 'block')];"
    )
    part, block, waiting = in_maps(script, None, tmp_path)
    assert (part["norms"], part["keyGrid"], part["part"]) == ("s", [3, 3], "softmax")
    assert (block["norms"], block["keyGrid"], block["part"]) == ("block", [4, 4], "block")
    assert waiting is None


@node
def test_the_words_say_which_way_and_which_part_is_larger(tmp_path) -> None:
    script = (
        "const found = { cell: 5, grid: [4, 4], to: [4, 4], own: 0.25, best: 2, most: 0.1 };"
        "const one = { title: 'net', name: 'blocks.1', part: 'block', found };"
        "const parts = { layer: 'attn', softmax: 0.7, own: { values: 0.01, softmax: 0.2 } };"
        "return [m.mixingLine([one], false), m.mixingLine([one, { ...one, found: null }], true),"
        " m.partsLine(parts), m.partsLine({ ...parts, softmax: 0.3 }),"
        " m.mixingLine([{ ...one, found: { ...found, own: 1, most: 0 } }], false)];"
    )
    made, goes, larger, smaller, alone = in_maps(script, None, tmp_path, "mixing_words.js")
    assert made == (
        "net, blocks.1: row 1, column 1 is made of itself by 25 %; most of the rest comes from row 0, column 2 (10 %)."
    )
    assert alone.endswith("is made of itself by 100 %; nothing comes from anywhere else.")
    assert goes.endswith("net, blocks.1: on its way.")
    assert "gives 25 % to its own place" in goes
    assert "the larger one of the two: 70 %" in larger
    assert "the smaller one of the two: 30 %" in smaller


@node
def test_every_block_with_numbers_is_a_point(tmp_path) -> None:
    models = [{"layers": [{"nmi": 0.25, "reach": 0.5}, {"nmi": None, "reach": None}, {}]}, {"layers": []}]
    script = "return [m.pointsOf(given), m.heightOf(0.25)];"
    points, height = in_maps(script, models, tmp_path, "mixing_chart.js")
    assert points == [{"side": 0, "layer": 0, "reach": 0.5, "nmi": 0.25}]
    assert height == 0.5
