"""What the view of explanations is shown, and the browser's reading of it, run in Node."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from labkit.session import sit
from labkit.session.explained import Pair
from labkit.session.explanations import explain_pair
from labkit.widgets.explain import ExplainView, explain_data, turns
from tests.widgets.test_maps_js import NODE, in_node

node = pytest.mark.skipif(NODE is None, reason="Node.js is not installed; the browser tests run the same code")


@pytest.fixture(scope="module")
def pair() -> Pair:
    return explain_pair(sit("lab/resnet", "coffee"), ("integrated-gradients", "rise"), masks=96, seed=2)


def test_the_head_is_plain_and_says_methods_scales_and_areas(pair: Pair) -> None:
    head, bodies = explain_data(pair, masks=96, seed=2, key="k")
    json.dumps(head, allow_nan=False)
    left, right = head["sides"]
    assert (left["title"], left["signed"], left["grid"], left["masks"]) == (
        "Integrated gradients",
        True,
        [64, 64],
        None,
    )
    assert (right["title"], right["masks"], right["trail"][-1][0]) == ("RISE", [96, 96], 96)
    assert left["low"] == -left["peak"]
    assert [body is None for body in bodies] == [False, True, False, False, False, False]
    assert left["film"]["areas"]["deletion"] == pytest.approx(float(pair.sides[0].film.curves.deletion_area[0]))
    assert (head["target"], len(head["classes"])) == (pair.target, 5)


def test_a_film_on_its_way_has_no_curve_and_no_turns(pair: Pair) -> None:
    head, bodies = explain_data(replace(pair, sides=(pair.sides[0], replace(pair.sides[1], film=None))))
    assert [side["film"] is None for side in head["sides"]] == [False, True]
    assert [body is None for body in bodies] == [False, True, False, False, False, True]


@pytest.mark.slow
def test_the_view_answers_its_menus_and_keeps_where_the_visitor_stands(pair: Pair) -> None:
    view = ExplainView()
    view.look(sit("lab/resnet", "coffee"), left="gradcam", right="occlusion", step=12)
    assert [one.method for one in view.pair.sides] == ["gradcam", "occlusion"]
    view.state = {**view.state, "divider": 0.2}
    wish = {**view.state, "left": "cam", "right": "occlusion", "target": view.pair.classes[1].index}
    view._asked(view, {**wish, "masks": 500, "seed": 0}, [])
    assert [one.method for one in view.pair.sides] == ["cam", "occlusion"]
    assert view.pair.target == view.pair.classes[1].index
    assert (view.state["divider"], view.state["step"]) == (0.2, 12)


@node
def test_the_browser_cuts_the_film_as_python_counts_it(pair: Pair, tmp_path) -> None:
    film = pair.sides[0].film
    given = {"turn": base64.b64encode(turns(film)).decode(), "step": 20}
    script = (
        "const turn = m.numbersOf(m.bytesOf(given.turn), Uint16Array), n = turn.length;"
        "const [before, after] = [m.plain([1, 2, 3], n), m.plain([7, 8, 9], n)];"
        "return [...m.filmPicture(turn, given.step, before, after, new Uint8ClampedArray(4 * n))];"
    )
    pixels = np.reshape(in_node(script, given, tmp_path, "explain.js"), (*film.turn.shape, 4))
    gone = film.turn.numpy() < 20
    assert (pixels[gone] == [7, 8, 9, 255]).all()
    assert (pixels[~gone] == [1, 2, 3, 255]).all()
    assert gone.mean() == pytest.approx(float(film.curves.share[20]), abs=1e-3)


@node
def test_places_scales_and_lines(tmp_path) -> None:
    def run(script: str, given: Any = None) -> Any:
        return in_node(script, given, tmp_path, "explain_maps.js")

    assert run("return m.valueUnder([1, 2, 3, 4, 5, 6], [2, 3], [0.9, 0.5]);") == 5
    scale = "const side = { low: -2, peak: 2 };"
    assert run(scale + "return [-2, 0, 1, 9, -9].map((v) => m.onScale(side, v));") == [0, 0.5, 0.75, 1, 0]
    assert run("return m.onScale({ low: 1, peak: 1 }, 1);") == 0
    assert run("return m.lineThrough([[0, 1], [2, 3.25]]);") == "M0.0 1.0L2.0 3.3"


@node
def test_numbers_are_said_with_three_digits_and_a_true_minus(tmp_path) -> None:
    found = in_node(
        "return given.map(m.digits);", [0, -0.025312, 0.1234, 12.345, 0.00042, 31415.9], tmp_path, "explain_words.js"
    )
    assert found == ["0", "−0.0253", "0.123", "12.3", "4.2 · 10^−4", "3.1 · 10^4"]


@node
def test_the_lines_say_values_errors_and_how_far_rise_has_come(tmp_path) -> None:
    sides = [
        {"title": "GradCAM", "unit": "score of the class", "value": -0.02, "error": None},
        {"title": "RISE", "unit": "probability", "value": 0.31, "error": 0.01},
    ]
    line = in_node("return m.valuesLine(37, [32, 32], given);", sides, tmp_path, "explain_words.js")
    assert line == "row 1, column 5: GradCAM −0.02 (score of the class); RISE 0.31 ± 0.01 (probability)."
    given = [{"masks": [96, 500], "trail": [[64, 0.3], [96, 0.21]]}, {"masks": [32, 500], "trail": []}]
    assert in_node("return given.map(m.riseLine);", given, tmp_path, "explain_words.js") == [
        "96 of 500 masks; standard error at most 21 % of the map's range",
        "32 of 500 masks",
    ]
