from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from labkit.session import Look
from labkit.widgets.attention import AttentionView, Shelf, gradio_value, gradio_view, opening
from labkit.widgets.packing import pack_layer


def test_a_view_opens_on_a_hybrid_layer_at_the_centre(seen: Look) -> None:
    start = opening(seen)
    patterns = [measures.pattern() for measures in seen.measures]
    assert start["layer"] == (patterns.index("hybrid") if "hybrid" in patterns else 2)
    assert opening(seen, layer=0) == {"layer": 0, "head": -1, "query": 7}  # row 1, column 2 of 3 x 5
    assert opening(seen, layer=99)["layer"] == start["layer"]


def test_of_takes_what_is_given_and_fills_in_the_rest(seen: Look) -> None:
    view = AttentionView.of(seen, layer=2, head=1)
    assert (view.layer, view.head, view.query) == (2, 1, 2 * 6 + 3)
    assert view.packed["head"]["model"] == "toy"
    assert view.packed["layers"][1] == pack_layer(seen.maps[1])


def test_show_keeps_layer_and_head_where_the_new_model_has_them(seen: Look) -> None:
    view = AttentionView.of(seen, layer=0, head=2)
    view.show(replace(seen, model="other"))
    assert (view.layer, view.head, view.packed["head"]["model"]) == (0, 2, "other")
    view.show(replace(seen, maps=seen.maps[1:2], measures=seen.measures[1:2]))
    assert (view.layer, view.head) == (0, 1)


def test_a_missing_layer_is_sent_when_asked_for_and_nothing_else_is(
    seen: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    view, sent = AttentionView.of(seen), []
    monkeypatch.setattr(view, "send", lambda content, buffers=None: sent.append((content, buffers)))
    for message in ({"want": 1}, {"want": 99}, {"want": -1}, {"want": "1"}, {}):
        view._answer(view, message, [])
    assert sent == [({"layer": 1}, [pack_layer(seen.maps[1])])]


def test_the_gradio_value_is_plain_data_and_whole(seen: Look) -> None:
    value = json.loads(json.dumps(gradio_value(seen, layer=1, head=0, query=3), allow_nan=False))
    assert value["state"] == {"layer": 1, "head": 0, "query": 3, "bands": [0.06, 0.12]}
    assert base64.b64decode(value["layers"][3]) == pack_layer(seen.maps[3])
    assert value["token"] == ""


def test_large_looks_wait_on_the_shelf_under_a_name_nobody_guesses(seen: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.widgets.attention.GRADIO_BYTES", 100)
    value = gradio_value(seen, layer=2)
    assert [body is None for body in value["layers"]] == [True, True, False, True]
    assert len(value["token"]) >= 20
    fetch = gradio_view().layer_bytes
    assert base64.b64decode(fetch({"token": value["token"], "layer": 1})) == pack_layer(seen.maps[1])
    with pytest.raises(KeyError):
        fetch({"token": "guessed", "layer": 1})


def test_the_shelf_lets_the_oldest_go(seen: Look) -> None:
    shelf = Shelf(room=2)
    first, second, third = (shelf.put(seen) for _ in range(3))
    assert shelf.layer(second, 0) == shelf.layer(third, 0) == pack_layer(seen.maps[0])
    with pytest.raises(KeyError):
        shelf.layer(first, 0)
