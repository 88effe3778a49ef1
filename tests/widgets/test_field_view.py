"""What the view of fields is shown, and the browser's reading of it, run in Node."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from labkit.session import sit
from labkit.session.fields import PARTS, fields, horizons
from labkit.widgets.field import DECADES, FieldView, Side, field_data, levels
from tests.widgets.test_maps_js import NODE, in_node

node = pytest.mark.skipif(NODE is None, reason="Node.js is not installed; the browser tests run the same code")
PLACE = (0.3, 0.8)


@pytest.fixture(scope="module")
def side() -> Side:
    sitting = sit("lab/vit", "chelsea")
    *_, found = horizons(sitting)
    return Side(sitting, "lab/vit", found, {one.horizon.site.name: one for one in fields(sitting, PLACE)})


def test_the_head_is_plain_and_says_unit_square_and_sizes(side: Side) -> None:
    head, bodies = field_data([side, side], place=PLACE, key="k")
    json.dumps(head, allow_nan=False)
    assert len(bodies) == 12
    layer = head["models"][1]["layers"][5]
    assert (layer["name"], layer["grid"], layer["unit"], layer["kind"]) == ("blocks.5", [8, 8], [2, 6], "everything")
    assert layer["box"] == [0, 0, 64, 64]
    assert layer["sides"] == side.fields["blocks.5"].measures.side.tolist()


def test_heat_on_its_way_leaves_its_layer_without_numbers(side: Side) -> None:
    some = Side(side.sitting, side.title, side.horizons, {"blocks.2": side.fields["blocks.2"]})
    head, bodies = field_data([some], place=PLACE)
    assert [body is None for body in bodies] == [True, True, False, True, True, True]
    assert [layer["sides"] is None for layer in head["models"][0]["layers"]] == [body is None for body in bodies]


def test_a_cold_unit_has_no_numbers_and_no_nan(side: Side) -> None:
    from labkit.session.fields import unit_field

    horizon = side.horizons[0]
    cold = unit_field(horizon, (0, 0), 0 * side.fields["blocks.0"].heat)
    head, bodies = field_data([Side(side.sitting, "cold", [horizon], {"blocks.0": cold})], place=(0, 0))
    json.dumps(head, allow_nan=False)
    assert head["models"][0]["layers"][0]["sides"] == [None] * len(PARTS)
    assert not np.frombuffer(bodies[0], "<u2").any()


def test_levels_span_eight_decades_and_nothing_is_nothing() -> None:
    heat = np.array([[2.0, 2e-4, 2e-8], [0.0, 2e-12, 0.02]])
    found = np.frombuffer(levels(heat), "<u2").reshape(2, 3)
    assert found.tolist() == [[65535, 1 + 65534 // 2, 1], [0, 1, 49152]]


def test_the_view_keeps_where_the_visitor_stands(side: Side) -> None:
    view = FieldView()
    view.show(*field_data([side, side], place=PLACE), place=list(PLACE), layers=[1, 2])
    view.state = {**view.state, "scale": "linear"}
    view.show(*field_data([side, side], place=PLACE))
    assert view.state == {"place": [0.3, 0.8], "layers": [1, 2], "scale": "linear"}


def in_field(script: str, given: Any, tmp_path, name: str = "field_words.js") -> Any:
    return in_node(script, given, tmp_path, name)


@node
def test_the_browser_reads_the_heat_back(side: Side, tmp_path) -> None:
    heat = side.fields["blocks.1"].heat.numpy()
    body = base64.b64encode(levels(heat)).decode()
    found = in_field("return m.heatOf(m.bytesOf(given));", body, tmp_path, "field_maps.js")
    np.testing.assert_allclose(np.reshape(found, heat.shape), heat / heat.max(), rtol=1e-3, atol=10.0**-DECADES)


@node
def test_heat_is_clear_outside_the_square_and_follows_the_scale(tmp_path) -> None:
    script = (
        "return ['log', 'linear'].map((s) => m.heatMap(Float32Array.from(given), [2, 3], [-1, 1, 2, 9], s).shares);"
    )
    log, linear = in_field(script, [1, 1, 0.01, 1, 0, 1e-6], tmp_path, "field_maps.js")
    np.testing.assert_allclose(np.array(log, dtype=float), [np.nan, 1, 0.5, np.nan, 0, 0], atol=1e-6)
    np.testing.assert_allclose(np.array(linear, dtype=float), [np.nan, 1, 0.01, np.nan, 0, 1e-6], atol=1e-6)


@node
def test_places_units_and_squares_agree_with_python(side: Side, tmp_path) -> None:
    layer = {"grid": [8, 16], "theory": [63, 31], "jump": [8, 4], "start": [-31, -15]}
    script = (
        "const cell = m.cellOver(given.place, given.layer.grid);"
        "return [cell, m.placeAt(cell, given.layer.grid), m.squareOf(given.layer, cell), "
        "m.squareOf({ ...given.layer, start: null }, cell), m.around([10, 12], 5)];"
    )
    cell, place, square, nowhere, around = in_field(script, {"place": PLACE, "layer": layer}, tmp_path, "field_maps.js")
    assert cell == 2 * 16 + 12
    assert place == [2.5 / 8, 12.5 / 16]
    assert square == [-31 + 16, -15 + 48, 32 + 16, 16 + 48]
    assert nowhere is None
    assert around == [8, 10, 13, 15]


@node
def test_extents_are_shares_of_the_picture_and_lines_break_where_nothing_is_known(tmp_path) -> None:
    layers = [
        {"theory": [32, 96], "sides": [3, 16, None]},
        {"theory": None, "sides": None},
    ]
    found = in_field("return given.map((l) => m.extents(l, [64, 64], 1));", layers, tmp_path, "field_maps.js")
    assert found == [{"most": 1.5, "effect": 0.25}, {"most": None, "effect": None}]
    path = in_field("return m.pathOf([[0, 1], [2, 3], null, [4, 5]]);", None, tmp_path, "field_chart.js")
    assert path == "M0.0 1.0L2.0 3.0M4.0 5.0"


@node
def test_the_line_says_unit_square_and_extent(tmp_path) -> None:
    layer = {"name": "stages.2.0", "unit": [1, 2], "kind": "square", "theory": [63, 63], "sides": [9, 21, 47]}
    cut = {**layer, "kind": "cut", "theory": None, "sides": None}
    line = in_field(
        "return m.fieldLine(given.map((layer) => ({ title: 'net', layer })), [0.5, 0.9, 0.99], 1);",
        [layer, cut],
        tmp_path,
    )
    assert line == (
        "net, stages.2.0: unit row 1, column 2 can see 63 px; 90 % of its heat within 21 px. "
        "net, stages.2.0: unit row 1, column 2 can see beyond the picture; its heat is on its way."
    )
