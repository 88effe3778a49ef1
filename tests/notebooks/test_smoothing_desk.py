"""The desk of lesson 3: blocks that are left out stay out, as long as the model has them."""

from __future__ import annotations

import pytest

from notebooks.desk import SmoothingDesk

MODELS = {"vit": ("lab/vit", "default"), "resnet": ("lab/resnet", "default")}


@pytest.mark.slow
def test_blocks_left_out_stay_out_until_a_model_needs_them():
    desk = SmoothingDesk(models=MODELS, photos=["coffee", "chelsea"])
    told = []
    desk.on_seen(told.append)
    assert desk.view.state == {"layer": 0, "query": 36}  # the first layer, the middle
    assert desk.seen.found.skipped == ()
    desk.view.state = {**desk.view.state, "layer": 3}
    desk._leave_out({"skip": "0-3"})
    desk.photo.value = "chelsea"
    assert [seen.found.skipped for seen in told] == [(), (0, 3), (0, 3)]
    assert desk.view.value["head"]["skipped"] == [0, 3]
    assert desk.view.state["layer"] == 3  # the visitor stays where they were
    desk.model.value = "resnet"  # its block 0 keeps the shape, its block 3 does not
    assert desk.seen.found.skipped == (0,)
    desk.model.value = "vit"
    assert desk.seen.found.skipped == (0,)
    desk._leave_out({"skip": ""})
    assert desk.seen.found.skipped == ()
    assert desk.view.value["head"]["effect"] is None
