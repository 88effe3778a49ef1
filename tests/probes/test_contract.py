"""What every instrument promises, tried on each: no trace, frozen models, `inference_mode`, and one sentence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

from labkit.models.backbones.vit import ViT
from labkit.probes.attention import attention_maps
from labkit.probes.cka import agreement
from labkit.probes.cost import cost
from labkit.probes.explain import METHODS, explain
from labkit.probes.filters import attention_responses, conv_responses
from labkit.probes.frequency import spectra
from labkit.probes.inputs import Refused
from labkit.probes.layers import layers
from labkit.probes.lesion import lesions
from labkit.probes.mixing import mixing_maps
from labkit.probes.mixing_held import attention_parts
from labkit.probes.passband import low_pass, passing
from labkit.probes.receptive_field import effective_fields
from labkit.probes.receptive_theory import theoretical_fields
from labkit.probes.rollout import gradient_rollout
from labkit.probes.sanity import randomised
from labkit.probes.scorecard import scorecard
from labkit.probes.similarity import smoothness
from labkit.probes.smoothing import reading
from labkit.probes.speed import speed
from labkit.taps import Unreadable

Ask = Callable[[nn.Module, torch.Tensor], object]

INSTRUMENTS: dict[str, Ask] = {
    **{
        name: lambda model, x, name=name: explain(model, x, methods=(name,), targets=1, masks=9)
        for name in METHODS
        if name != "cam"
    },  # a class token is no linear head of a map
    "attention": attention_maps,
    "gradient rollout": gradient_rollout,
    "scorecard": lambda model, x: scorecard(
        model, x, {"map": torch.arange(15.0).view(1, 3, 5).expand(len(x), 3, 5)}, pixels=240
    ),
    "similarity": smoothness,
    "smoothing": lambda model, x: list(reading(model, x, skip=[1])),
    "lesions": lesions,
    "cka": lambda model, x: agreement(model, x, samples="tokens"),
    "frequency": spectra,
    "attention responses": attention_responses,
    "kernel responses": conv_responses,
    "passing": lambda model, x: passing(model, x, [low_pass(0.2)]),
    "layers": layers,
    "effective fields": effective_fields,
    "mixing": lambda model, x: mixing_maps(model, x, probes=1, side=3),
    "attention parts": lambda model, x: attention_parts(model, x, layer="blocks.1.attn", probes=1),
    "speed": lambda model, x: speed(model, x, repeats=1, warm_up=1),
}
OF_THE_MODEL: dict[str, Ask] = {  # they look at no picture
    "theoretical fields": lambda model, x: theoretical_fields(model, (24, 40)),
    "cost": lambda model, x: cost(model, (24, 40)),
    "sanity": lambda model, x: randomised(
        model, lambda one: explain(one, x, methods=("gradcam",), targets=1)["gradcam"].raw, size=(24, 40)
    ),
}
EVERYTHING = INSTRUMENTS | OF_THE_MODEL
IMAGES = torch.randn(2, 3, 24, 40, generator=torch.Generator().manual_seed(3))


def vit() -> ViT:
    torch.manual_seed(1)
    model = ViT(dim=12, depth=2, heads=2, classes=4, image=32, patch=8).train()
    model.norm.eval()  # a mix of modes, to be found again
    return model


@pytest.mark.parametrize("name", EVERYTHING)
def test_no_trace_is_left(name):
    model, images = vit(), IMAGES.clone()
    for parameter in model.head.parameters():
        parameter.requires_grad_(False)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    dice, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    modes = [part.training for part in model.modules()]
    asks = [parameter.requires_grad for parameter in model.parameters()]
    EVERYTHING[name](model, images)
    assert torch.equal(images, IMAGES)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), dice)
    assert np.array_equal(np.random.get_state()[1], numpys)
    assert [part.training for part in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == asks
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(
        part._forward_hooks or part._forward_pre_hooks or "forward" in part.__dict__ for part in model.modules()
    )
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", EVERYTHING)
def test_frozen_models_and_inference_mode_make_no_difference(name):
    if name in ("speed", "cost"):  # one measures time, the other counts
        EVERYTHING[name](vit().requires_grad_(False), IMAGES)
        return
    plain, frozen = numbers(EVERYTHING[name](vit(), IMAGES)), vit().requires_grad_(False)
    with torch.inference_mode():
        again = numbers(EVERYTHING[name](frozen, IMAGES.clone()))
    assert len(plain) == len(again) > 0
    for ours, theirs in zip(again, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6, equal_nan=True)


def numbers(value: object) -> list[torch.Tensor]:
    """Every tensor in an answer, in order."""
    if isinstance(value, torch.Tensor):
        return [value.detach().clone()]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else None
    if parts is None:
        parts = vars(value).values() if hasattr(value, "__dataclass_fields__") else ()
    return [tensor for part in parts for tensor in numbers(part)]


@pytest.mark.parametrize("name", INSTRUMENTS)
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[:0], "none of them 0"),
        (IMAGES[0], "Add the batch axis"),
        (torch.full_like(IMAGES, torch.nan), "NaN or infinity"),
        (IMAGES.double(), r"use images\.to\(torch\.float32\)"),
    ],
)
def test_pictures_that_cannot_go_in_get_a_sentence(name, images, message):
    # Where the shape alone is wrong, our tests' type checks may be faster; people run without them.
    with pytest.raises((Refused, TypeCheckError)) as caught:
        INSTRUMENTS[name](vit(), images)
    if isinstance(caught.value, Refused):
        assert caught.match(message)
    else:
        assert images.ndim == 3


@pytest.mark.parametrize("name", EVERYTHING)
def test_wrapped_models_get_a_sentence(name):
    with pytest.raises(Unreadable, match=r"pass `model\.module` instead"):
        EVERYTHING[name](nn.DataParallel(vit()), IMAGES)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_half_precision_on_a_cpu_gets_a_sentence(name):
    with pytest.raises(Refused, match=r"float16 on the CPU"):
        INSTRUMENTS[name](vit().half(), IMAGES.half())
