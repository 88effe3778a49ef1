"""What the over-smoothing view is shown, and what its JavaScript makes of it."""

from __future__ import annotations

import base64
import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from labkit.data.transforms import Transform
from labkit.models.backbones.vit import ViT
from labkit.pretrained import Pretrained
from labkit.session import Sitting
from labkit.session.smoothings import possible, smoothed
from labkit.widgets.smoothing import SmoothingView, pack_cosines, smoothing_data
from tests.widgets.test_maps_js import NODE, in_node

node = pytest.mark.skipif(NODE is None, reason="Node.js is not installed; the browser tests run the same code")


@pytest.fixture(scope="module")
def sitting() -> Sitting:
    torch.manual_seed(0)
    model = ViT(dim=12, depth=3, heads=2, classes=3, image=16, patch=4).eval()
    picture = Image.new("RGB", (20, 12))
    opened = Pretrained("toy", model, Transform(16, (0.5,) * 3, (0.5,) * 3, 1.0), ("a", "b", "c"), {})
    return Sitting("toy", opened, torch.randn(1, 3, 12, 20), picture, picture, threading.Lock())


def test_the_head_is_plain_data_and_says_what_was_measured(sitting: Sitting) -> None:
    seen = smoothed(sitting, (1,))
    head, bodies = smoothing_data(seen)
    found = seen.found
    assert json.loads(json.dumps(head, allow_nan=False)) == head
    assert [layer["name"] for layer in head["layers"]] == ["blocks.0", "blocks.1", "blocks.2"]
    for shown, one in zip(head["layers"], found.without.layers, strict=True):
        assert shown["raw"]["mean"] == pytest.approx(one.measures.raw.mean.item(), abs=1e-5)
        assert shown["cls"] == pytest.approx(one.measures.prefix[0, 0].item(), abs=1e-5)
        assert shown["shown"] == shown["grid"] == [3, 5]
    whole = found.whole.layers[2].measures.effective_rank.item()
    assert head["whole"][2]["rank"] == pytest.approx(whole, abs=1e-5)
    assert head["skipped"] == [1]
    assert head["effect"]["label"] in "abc"
    assert [len(answers) for answers in head["answers"]] == [3, 3]
    assert [len(body) for body in bodies] == [2 * 2 * (15 * 16 // 2)] * 3
    plain, _ = smoothing_data(smoothed(sitting))
    assert (plain["whole"], plain["effect"], len(plain["answers"])) == (None, None, 1)


def test_a_sitting_does_without_the_blocks_it_can_do_without(sitting: Sitting) -> None:
    assert possible(sitting, (1, 7, -1)) == (1,)
    seen = smoothed(sitting, (0, 2, 5))
    assert seen.found.skipped == (0, 2)
    assert seen.title == "toy without blocks 0, 2"
    assert smoothed(sitting).title == "toy"
    assert seen.top == seen.answers[0] != seen.answers[1]


def test_the_widget_keeps_what_the_visitor_chose(sitting: Sitting) -> None:
    view = SmoothingView()
    view.show(*smoothing_data(smoothed(sitting)), layer=1)
    view.show(*smoothing_data(smoothed(sitting, (2,))), skip="2")
    assert view.state == {"layer": 1, "skip": "2"}
    assert view.value["head"]["skipped"] == [2]
    asked = []
    view.on_ask(asked.append)
    view._asked(view, {"skip": "0"}, [])
    assert asked == [{"skip": "0"}]


@node
def test_the_matrices_arrive_as_they_were(sitting: Sitting, tmp_path: Path) -> None:
    layer = smoothed(sitting).found.whole.layers[1]
    body = base64.b64encode(pack_cosines(layer)).decode()
    got = in_node(
        "const found = m.openCosines([3, 5], m.bytesOf(given));"
        "return { ...found, row: m.rowOf(found.raw, 7), kin: m.kinOf(m.rowOf(found.centred, 7), 7) };",
        body,
        tmp_path,
        "smoothing_cosines.js",
    )
    for name in ("raw", "centred"):
        expected = getattr(layer, name)[0].numpy()
        np.testing.assert_allclose(np.reshape(got[name], (15, 15)), expected, atol=2e-5)
    np.testing.assert_allclose(got["row"], layer.raw[0, 7].numpy(), atol=2e-5)
    others = layer.centred[0, 7].clone()
    others[7] = -2
    assert got["kin"]["most"] == int(others.argmax())
    others[7] = 2
    assert got["kin"]["least"] == int(others.argmin())


@node
def test_blocks_are_turned_over_one_by_one(tmp_path: Path) -> None:
    got = in_node(
        'const turned = [["", 3], ["3-10", 4], ["3-10", 3], ["3", 3]].map((pair) => m.turnedOver(...pair));'
        'return [m.blocksIn(""), m.blocksIn("0-12"), ...turned];',
        None,
        tmp_path,
        "smoothing_cosines.js",
    )
    assert got == [[], [0, 12], "3", "3-4-10", "10", ""]


@node
def test_the_words_say_what_is_there(sitting: Sitting, tmp_path: Path) -> None:
    heads = [smoothing_data(smoothed(sitting, skip))[0] for skip in ((), (1,), (0, 2))]
    heads[1]["effect"] = {"label": "cat", "before": 0.5, "after": 0.25, "kl": 0.1, "turned": -0.25, "changed": 1}
    heads[1]["whole"][2]["raw"]["mean"], heads[1]["layers"][2]["raw"]["mean"] = 0.5, 0.75
    heads[2]["effect"] = None
    got = in_node(
        "const lines = given.map(m.effectLine);"
        "const state = { layer: 1, query: 0, other: -1, pinned: true };"
        "const matrix = Float32Array.from({ length: 225 }, (_, i) => ({ 4: 0.9, 14: -0.5 })[i % 15] ?? 0.1);"
        "const likes = [-1, 14].map((other) => m.likesLine(given[1], { ...state, other }, matrix));"
        "const tokens = [[32, 32], [16, 16]].map((grid) => m.tokensLine({ grid, shown: [16, 16] }));"
        "return [...lines, ...likes, ...tokens];",
        heads,
        tmp_path,
        "smoothing_words.js",
    )
    assert got[0].startswith("Press a number")
    assert got[1] == (
        "Without block 1, “cat” falls from 50 % to 25 % (KL 0.10 nats); the mean cosine of the last tokens is "
        "−0.25 with what they were, and 0.75 with each other, before 0.50."
    )
    assert re.fullmatch(
        r"Without blocks 0 and 2, the mean cosine of the last tokens is −?0\.\d\d with each other, before −?0\.\d\d\.",
        got[2],
    )
    start = "row 0, column 0 (pinned) · layer 1 (blocks.1, left out) · "
    assert got[3] == start + "most alike: row 0, column 4 (0.90), least: row 2, column 4 (−0.50)"
    assert got[4] == start + "with row 2, column 4 a cosine of −0.50"
    assert got[5] == "16 × 16 of the 32 × 32 tokens, evenly chosen; the numbers are over all of them"
    assert got[6] == "16 × 16 tokens, row by row"
