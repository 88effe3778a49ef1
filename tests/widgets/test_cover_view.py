from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from labkit.data.transforms import Transform
from labkit.pretrained import Pretrained
from labkit.session import Covered, Sitting
from labkit.widgets.cover import KEPT, CoverView, cover_data
from tests.widgets.test_maps_js import NODE, in_node

CLASSES = 60


@pytest.fixture
def covered() -> Covered:
    dice = torch.Generator().manual_seed(0)
    answers = tuple((4 * torch.randn(6, CLASSES, generator=dice)).softmax(dim=-1) for _ in range(2))
    transform = Transform(size=8, mean=(0.5, 0.25, 0.0), std=(1.0, 1.0, 1.0))
    opened = Pretrained("toy", torch.nn.Identity(), transform, tuple(f"kind {c}" for c in range(CLASSES)))
    picture = Image.new("RGB", (8, 8))
    sitting = Sitting("toy", opened, torch.zeros(1, 3, 8, 8), picture, picture, threading.Lock())
    whole = torch.randn(CLASSES, generator=dice).softmax(dim=-1)
    return Covered(sitting, whole, (2, 3), ((2, 2), (4, 4)), answers)


def test_what_is_likely_anywhere_travels_under_its_name(covered: Covered) -> None:
    head, bodies = cover_data(covered)
    json.dumps(head, allow_nan=False)
    assert head["colour"] == "rgb(128, 64, 0)"
    assert len(head["names"]) == KEPT
    kept = [int(name.removeprefix("kind ")) for name in head["names"]]
    for body, answers in zip(bodies, covered.answers, strict=True):
        np.testing.assert_array_equal(np.frombuffer(body, "<f4").reshape(6, KEPT), answers[:, kept])
        assert set(answers.argmax(dim=1).tolist()) <= set(kept)


def test_the_view_keeps_where_the_visitor_stands(covered: Covered) -> None:
    view = CoverView.of(covered, query=4)
    view.state = {**view.state, "size": 1}
    view.show(*cover_data(covered))
    assert view.state == {"query": 4, "size": 1}


@pytest.mark.skipif(NODE is None, reason="Node.js is not installed; the browser tests run the same code")
def test_the_browser_ranks_the_answers_of_a_cell(covered: Covered, tmp_path) -> None:
    answers = covered.answers[0]
    found = in_node(
        "return m.likeliest(given.answers, 4, given.classes, 3);",
        {"answers": answers.flatten().tolist(), "classes": CLASSES},
        tmp_path,
        "cover.js",
    )
    chances, classes = answers[4].topk(3)
    assert [c for c, _ in found] == classes.tolist()
    assert [chance for _, chance in found] == pytest.approx(chances.tolist())
