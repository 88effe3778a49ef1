"""One call for every method gives what each room gives by itself."""

from __future__ import annotations

import pytest
import torch

from labkit.models.backbones import resnet
from labkit.models.backbones.vit import ViT
from labkit.probes.attribution import attribute
from labkit.probes.cam import cam
from labkit.probes.explain import METHODS, explain
from labkit.probes.inputs import Refused
from labkit.probes.relevance import legrad, relevance
from labkit.probes.rise import rise

IMAGES = torch.randn(2, 3, 24, 40, generator=torch.Generator().manual_seed(3))


def vit() -> ViT:
    torch.manual_seed(1)
    return ViT(dim=12, depth=3, heads=2, classes=4, image=32, patch=8).requires_grad_(False)


def test_each_method_gives_what_its_own_room_gives():
    model = vit()
    names = ("rise", "gradcam", "occlusion", "relevance", "eigencam", "legrad", "integrated-gradients")
    found = explain(model, IMAGES, methods=names, targets=[1, 3], layer="blocks.0", masks=30, seed=5)
    assert tuple(found) == names
    assert all(one.method == name for name, one in found.items())
    *_, state = rise(model, IMAGES, masks=30, targets=[1, 3], seed=5)
    alone = {
        "rise": state.map(),
        "gradcam": cam(model, IMAGES, method="gradcam", targets=[1, 3], layer="blocks.0").raw,
        "eigencam": cam(model, IMAGES, method="eigencam", layer="blocks.0").raw,
        "relevance": relevance(model, IMAGES, targets=[1, 3]).raw,
        "legrad": legrad(model, IMAGES, targets=[1, 3]).raw,
        "occlusion": attribute(model, IMAGES, method="occlusion", targets=[1, 3]).raw,
        "integrated-gradients": attribute(model, IMAGES, method="integrated-gradients", targets=[1, 3]).raw,
    }
    for name, raw in alone.items():
        torch.testing.assert_close(found[name].raw, raw)
    assert found["relevance"].targets.tolist() == [1, 3]


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("relevance", "legrad")])
def test_every_method_answers_for_a_network_of_convolutions(name):
    model, images = resnet.tiny()
    for part in model.modules():  # a fresh residual branch is zero
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
    found = explain(model.eval(), images, methods=(name,), masks=12)[name]
    assert len(found.raw) == len(images)
    assert torch.isfinite(found.raw).all()
    assert found.raw.any()


def test_what_is_being_done_is_told():
    told: list[str] = []
    explain(vit(), IMAGES, methods=("gradient", "gradcam", "layercam"), telling=told.append)
    assert told == ["gradcam, layercam", "gradient"]


def test_a_name_that_is_not_there_gets_the_nearest():
    with pytest.raises(Refused, match=r"no method 'grad-cam', there are cam, gradcam, .* Did you mean gradcam\?$"):
        explain(vit(), IMAGES, methods=("gradcam", "grad-cam"))
    with pytest.raises(Refused, match=r"no method 'zzz', there are cam, .*, occlusion\.$"):
        explain(vit(), IMAGES, methods=("zzz",))
