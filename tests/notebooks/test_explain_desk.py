"""The desk of lesson 2: a method that does not fit a model gives way, with a sentence, and the desk goes on."""

from __future__ import annotations

import pytest

from notebooks.desk import ExplainDesk

MODELS = {"vit": ("lab/vit", "default"), "resnet": ("lab/resnet", "default")}


def methods(desk: ExplainDesk) -> list[str]:
    return [one.method for one in desk.seen.sides]


@pytest.mark.slow
def test_a_method_that_does_not_fit_gives_way_and_says_so():
    desk = ExplainDesk(models=MODELS, photos=["coffee", "chelsea"])
    told = []
    desk.on_seen(lambda pair: told.append(pair.target))
    assert methods(desk) == ["gradcam", "rise"]
    assert "espresso" in desk.says.value

    def ask(**wish: object) -> None:
        desk.view._asked(desk.view, {**desk.view.state, **wish}, [])

    ask(left="relevance", right="occlusion", divider=0.3, step=4)
    assert methods(desk) == ["relevance", "occlusion"]
    assert "alert" not in desk.says.value
    desk.model.value = "resnet"  # it has no attention
    assert methods(desk) == ["gradcam", "occlusion"]
    assert "no attention to read" in desk.says.value
    assert "espresso" in desk.says.value
    assert (desk.view.state["divider"], desk.view.state["step"]) == (0.3, 4)  # the visitor stays where they were
    ask(right="legrad")
    assert methods(desk) == ["gradcam", "rise"]
    assert "no attention to read" in desk.says.value
    ask(right="eigencam")
    assert methods(desk) == ["gradcam", "eigencam"]
    assert "alert" not in desk.says.value
    assert len(told) == 5
    other = desk.seen.classes[1].index
    ask(target=other)
    assert told[-1] == other
