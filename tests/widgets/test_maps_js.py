"""The browser's reading of the packed layers, run in Node and compared with the tensors themselves."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit.probes.attention import Bands
from labkit.session import Look
from labkit.taps import PADDING
from labkit.viz.attention import same_spot
from labkit.viz.theme import colour_table, percent
from labkit.widgets.bundle import module
from labkit.widgets.packing import pack

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed; the browser tests run the same code")


def in_node(script: str, given: Any, tmp_path: Path, name: str = "attention_words.js") -> Any:
    """What `script` returns, with `m` the module `name` and `given` the data."""
    (tmp_path / "view.mjs").write_text(module(name), encoding="utf-8")
    (tmp_path / "given.json").write_text(json.dumps(given), encoding="utf-8")
    (tmp_path / "run.mjs").write_text(
        'import * as m from "./view.mjs"; import { readFileSync } from "node:fs";'
        'const given = JSON.parse(readFileSync(new URL("./given.json", import.meta.url)));'
        "const plain = (key, value) => (ArrayBuffer.isView(value) ? [...value] : value);"  # NaN becomes null
        f"const run = () => {{ {script} }}; console.log(JSON.stringify(run(), plain));",
        encoding="utf-8",
    )
    done = subprocess.run([NODE, tmp_path / "run.mjs"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def packed(seen: Look) -> dict[str, Any]:
    whole = pack(seen)
    return {"layers": whole.head["layers"], "bodies": [base64.b64encode(body).decode() for body in whole.layers]}


OPEN = "const layers = given.layers.map((info, i) => m.openLayer(info, m.bytesOf(given.bodies[i])));"


def test_every_row_of_every_layer_is_what_the_query_looks_at(seen: Look, tmp_path: Path) -> None:
    found = in_node(
        OPEN + "const of = (l, h) => [...l.rowsOf.keys()].map((q) => [q, m.looksAt(l, h, q)]);"
        "return layers.map((l) => [-1, 0, l.heads - 1].map((h) => of(l, h)));",
        packed(seen),
        tmp_path,
    )
    for attention, per_head in zip(seen.maps, found, strict=True):
        prefix = sorted({int(key) for key in attention.keys.unique() if key < 0}, reverse=True)
        for head, rows in zip((-1, 0, attention.heads - 1), per_head, strict=True):
            for query, got in rows:
                window, row = (attention.queries == query).nonzero()[0].tolist()
                weights = attention.weights[0, window, :, row].double().numpy()
                weights = weights.mean(axis=0) if head < 0 else weights[head]
                keys = attention.keys[window].numpy()
                expected = np.full(np.prod(attention.key_grid), np.nan)
                expected[keys[keys >= 0]] = weights[keys >= 0]
                np.testing.assert_allclose(
                    np.array(got["shares"], dtype=float), expected, atol=np.nanmax(expected) / 200
                )
                np.testing.assert_allclose(got["prefix"], [weights[keys == token].sum() for token in prefix], atol=1e-6)
                assert sum(share is not None for share in got["shares"]) == (keys >= 0).sum()
                assert expected[got["best"]] >= np.nanmax(expected) * 0.99


def test_every_column_is_who_looks_at_the_key(seen: Look, tmp_path: Path) -> None:
    found = in_node(
        OPEN + "const of = (l, h) => [...l.columnsOf.keys()].map((k) => [k, m.lookedAtBy(l, h, k)]);"
        "return layers.map((l) => [-1, 1].map((h) => of(l, h)));",
        packed(seen),
        tmp_path,
    )
    for attention, per_head in zip(seen.maps, found, strict=True):
        weights = attention.weights[0].double()
        for head, columns in zip((-1, 1), per_head, strict=True):
            chosen = weights.mean(dim=1) if head < 0 else weights[:, head]
            for key, got in columns:
                expected = np.full(np.prod(attention.grid), np.nan)
                for window, place in (attention.keys == key).nonzero().tolist():
                    for row, query in enumerate(attention.queries[window].tolist()):
                        if query >= 0:
                            expected[query] = chosen[window, row, place]
                np.testing.assert_allclose(np.array(got["shares"], dtype=float), expected, atol=0.004, equal_nan=True)


def test_a_query_that_the_layer_does_not_have_has_no_map(seen: Look, tmp_path: Path) -> None:
    found = in_node(OPEN + "return [m.looksAt(layers[3], 0, 4), m.looksAt(layers[2], 0, -1)];", packed(seen), tmp_path)
    assert found == [None, None]


def test_a_point_on_the_photo_finds_its_cell_also_on_the_edges(tmp_path: Path) -> None:
    points = [[0, 0], [1, 1], [0.999, 0], [0.39, 0.34], [0.41, 0.34], [-0.2, 1.7]]
    found = in_node("return given.map(([x, y]) => m.cellAt(x, y, [3, 5]));", points, tmp_path)
    assert found == [0, 14, 4, 6, 7, 10]


def test_the_same_spot_on_another_grid_is_the_one_of_the_figures(tmp_path: Path) -> None:
    cases = [
        [cell, a, b] for a, b in (((3, 5), (7, 4)), ((8, 8), (4, 4)), ((2, 3), (6, 9))) for cell in range(a[0] * a[1])
    ]
    cases.append([-2, (3, 5), (7, 4)])
    found = in_node("return given.map(([cell, a, b]) => m.sameSpot(cell, a, b));", cases, tmp_path)
    assert found == [same_spot(*case) for case in cases]


def test_patterns_and_percentages_are_named_as_in_python(tmp_path: Path) -> None:
    values = [0, 0.0599, 0.06, 0.09, 0.12, 0.1201, 1]
    found = in_node("return given.map((nmi) => m.patternOf(nmi, [0.06, 0.12]));", values, tmp_path)
    assert found == [Bands().name(value) for value in values]
    assert in_node("return m.patternOf(null, [0.06, 0.12]);", None, tmp_path) == "none"
    shares = [0, 1e-7, 0.00004, 0.00006, 0.00449, 0.0123, 0.1149, 0.5, 0.996, 1]
    assert in_node("return given.map(m.percent);", shares, tmp_path) == [percent(share) for share in shares]


def test_steps_stop_at_the_edges(tmp_path: Path) -> None:
    moves = [[0, "up"], [0, "left"], [14, "down"], [14, "right"], [7, "up"], [7, "right"], [7, "first"], [7, "last"]]
    found = in_node("return given.map(([cell, move]) => m.step(cell, move, [3, 5]));", moves, tmp_path)
    assert found == [0, 0, 14, 14, 2, 8, 5, 9]


def test_the_largest_share_has_the_last_colour_and_unseen_cells_are_clear(tmp_path: Path) -> None:
    given = list(colour_table().flatten().tolist())
    script = (
        "return m.paint({ shares: Float32Array.of(0, 0.1, NaN, 0.2), peak: 0.2 }, given, new Uint8ClampedArray(16));"
    )
    pixels = np.array(in_node(script, given, tmp_path)).reshape(4, 4)
    np.testing.assert_array_equal(pixels[3], [*colour_table()[255], 255])
    np.testing.assert_array_equal(pixels[1], [*colour_table()[128], 255])
    np.testing.assert_array_equal(pixels[:, 3], [255, 255, 0, 255])


def test_the_line_says_query_layer_pattern_best_cell_and_prefix(seen: Look, tmp_path: Path) -> None:
    state = {"layer": 0, "head": 1, "query": 8, "pinned": False, "reverse": False, "bands": [0.0, 1.0]}
    script = OPEN + "return m.lineOf(layers[0], given.state, m.looksAt(layers[0], 1, 8), true);"
    line = in_node(script, {**packed(seen), "state": state}, tmp_path)
    row = seen.maps[0].weights[0, 0, 1, 2 + 8]
    best = int(row[2:].argmax())
    nmi = float(seen.measures[0].nmi[0, 1])
    assert line.startswith(f"query row 1, column 3 · layer 0 head 1 (hybrid, NMI {nmi:.2f}) · looks most at ")
    assert f"row {best // 5}, column {best % 5} ({percent(float(row[2:].max()))})" in line
    assert f"{percent(float(row[0]))} goes to the class token" in line
    assert f"{percent(float(row[1]))} goes to the extra token 1" in line


def test_padding_is_called_the_same_in_the_browser(tmp_path: Path) -> None:
    assert in_node("return m.PADDING;", None, tmp_path) == PADDING
