"""Occlusion against captum's and by hand; captum's methods against closed forms, and no trace of its dice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from labkit.probes.attribution import (
    METHODS,
    Gradient,
    IntegratedGradients,
    KernelShap,
    Occlusion,
    SmoothGrad,
    attribute,
)
from labkit.probes.inputs import Refused
from labkit.probes.occlusion import answers_without, occlusion

SIZE = (12, 20)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 4, 5, stride=2), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 5)).requires_grad_(False)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, *SIZE, generator=torch.Generator().manual_seed(1))


class Plane(nn.Module):
    """logit c = sum of weights[c] · pixels: every method has a closed form."""

    def __init__(self) -> None:
        super().__init__()
        weights = torch.randn(4, 3, *SIZE, generator=torch.Generator().manual_seed(2))
        self.weights = nn.Parameter(weights, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bchw,kchw->bk", x, self.weights)


@pytest.mark.parametrize(
    ("window", "stride"), [((4, 5), (4, 5)), ((4, 5), (2, 3)), ((12, 20), (1, 1)), ((1, 4), (1, 2))]
)
def test_occlusion_is_captums(model, images, window, stride):
    from captum.attr import Occlusion as Captums

    expected = Captums(model).attribute(
        images, (3, *window), (3, *stride), baselines=0.3, target=torch.tensor([0, 4, 2])
    )
    found = occlusion(model, images, window=window, stride=stride, baseline=0.3, targets=[0, 4, 2], batch=7)
    torch.testing.assert_close(found.raw, expected[:, 0], atol=1e-5, rtol=1e-4)


def test_occlusion_window_by_window_where_windows_do_not_fit(model, images):
    total, times = torch.zeros(3, *SIZE, dtype=torch.float64), torch.zeros(SIZE, dtype=torch.float64)
    label = model(images).argmax(1)
    before = model(images).softmax(1).gather(1, label[:, None])[:, 0]
    for top in (0, 3, 6, 7):  # 5 high, a step of 3, the last at the edge
        for left in (0, 4, 8, 12, 13):
            covered = images.clone()
            covered[:, :, top : top + 5, left : left + 7] = 0
            fall = before - model(covered).softmax(1).gather(1, label[:, None])[:, 0]
            total[:, top : top + 5, left : left + 7] += fall[:, None, None]
            times[top : top + 5, left : left + 7] += 1
    found = occlusion(model, images, window=(5, 7), stride=(3, 4), unit="probability")
    torch.testing.assert_close(found.raw.double(), total / times, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(found.targets, label)
    assert (found.raw.double() - total / times).abs().max() < 1e-6 < found.raw.abs().max()


def test_answers_without_a_window_around_each_cell_cut_off_at_the_edge(model, images):
    one = images[:1]
    found = answers_without(model, one, grid=(3, 4), window=(6, 4), baseline=0.3, batch=5)
    for cell, (row, column) in enumerate((row, column) for row in range(3) for column in range(4)):
        covered = one.clone()
        top, left = 4 * row + 2 - 3, 5 * column + 2.5 - 2
        top, left = max(top, -1), round(left)
        covered[:, :, max(top, 0) : top + 6, left : left + 4] = 0.3
        torch.testing.assert_close(found[cell], model(covered).softmax(1)[0], msg=f"cell {cell}")
    with pytest.raises(Refused, match="expected one picture"):
        answers_without(model, images, grid=(3, 4), window=(6, 4))
    with pytest.raises(Refused, match="12 x 20 pixels"):
        answers_without(model, one, grid=(3, 4), window=(6, 40))


def test_closed_forms_of_a_linear_model(images):
    model, targets = Plane(), [3, 0, 2]
    weights = model.weights[targets]
    both = (Gradient(), SmoothGrad(samples=3))
    for method in both:  # the gradient is the same everywhere, so noise changes nothing
        found = attribute(model, images, method=method, targets=targets)
        torch.testing.assert_close(found.raw, weights.abs().amax(1), atol=1e-5, rtol=1e-5)
    found = attribute(model, images, method=IntegratedGradients(steps=4, baseline=0.5), targets=targets)
    torch.testing.assert_close(found.raw, (weights * (images - 0.5)).sum(1), atol=1e-4, rtol=1e-4)
    exact = (weights * images).sum(1).view(3, 3, 4, 4, 5).sum((2, 4))  # what each of 3 x 4 cells gives
    found = attribute(model, images, method=KernelShap(grid=(3, 4), samples=80), targets=targets, batch=16)
    torch.testing.assert_close(
        found.raw, (exact / 20).repeat_interleave(4, 1).repeat_interleave(5, 2), atol=1e-3, rtol=0
    )
    found = attribute(model, images, method=Occlusion(window=(4, 5), stride=(4, 5)), targets=targets)
    torch.testing.assert_close(found.raw, exact.repeat_interleave(4, 1).repeat_interleave(5, 2), atol=1e-4, rtol=0)


def test_smoothgrad_averages_before_it_takes_the_size():
    class Sizes(nn.Module):
        def forward(self, x):
            return x.abs().sum((2, 3))[:, :2]

    picture = torch.zeros(1, 3, 4, 6)
    picture[0, 0, 0] = torch.tensor([-1, 1, 0.1, -0.1, 0.3, 0])
    found = attribute(Sizes(), picture, method=SmoothGrad(samples=900, noise=0.1), targets=0, batch=300)
    # The gradient is the sign; the noise has σ = 0.1 · (1 - -1), so its mean is erf(x / (σ √2)).
    expected = torch.erf(picture[0, 0] / (0.2 * 2**0.5)).abs()
    assert (found.raw[0] - expected).abs().max() < 0.12
    assert found.raw[0, 1:].max() < 0.12


def test_what_should_add_up_adds_up(model, images):
    with torch.no_grad():
        change = (model(images) - model(torch.zeros_like(images)))[:, 3]
    for method in (IntegratedGradients(steps=60), KernelShap(grid=(3, 3), samples=60)):
        found = attribute(model, images, method=method, targets=3)
        torch.testing.assert_close(found.raw.sum((1, 2)), change, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_its_images_and_a_function_is_a_class(model, images, method):
    how = {"kernelshap": KernelShap(grid=(2, 3), samples=40), "smoothgrad": SmoothGrad(samples=4)}.get(method, method)
    found = attribute(model, images, method=how, targets=[1, 2, 4])
    assert found.raw.shape == (3, *SIZE)
    assert found.layer is None
    assert found.targets.tolist() == [1, 2, 4]
    alone = attribute(model, images[1:2], method=how, targets=2)
    torch.testing.assert_close(alone.raw, found.raw[1:2], atol=1e-5, rtol=1e-4)
    by_function = attribute(model, images, method=how, targets=lambda logits: logits[:, 2])
    assert by_function.targets is None
    torch.testing.assert_close(by_function.raw[1], found.raw[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_it_leaves_no_trace_on_a_frozen_model_inside_inference_mode(model, images, method):
    how = {"kernelshap": KernelShap(grid=(2, 2), samples=10), "smoothgrad": SmoothGrad(samples=2)}.get(method, method)
    model.train()
    torch_state, numpy_state, copy = torch.get_rng_state(), np.random.get_state()[1].copy(), images.clone()
    with torch.inference_mode():
        inside = attribute(model, images.clone(), method=how)
    again = attribute(model, images, method=how)
    torch.testing.assert_close(inside.raw.clone(), again.raw)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()
    assert torch.equal(copy, images)
    assert not images.requires_grad
    assert images.grad is None
    assert model.training
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_constant_scores_give_zeros(images):
    flat = Plane()
    flat.weights.zero_()
    for method in ("gradient", "integrated-gradients", "occlusion", KernelShap(grid=(2, 2), samples=20)):
        assert attribute(flat, images, method=method).raw.abs().max() < 1e-6


@pytest.mark.parametrize(
    ("method", "targets", "message"),
    [
        ("gradcam", None, "method='gradcam': expected one of gradient, smoothgrad, integrated-gradients"),
        (SmoothGrad(samples=0), None, r"SmoothGrad\(samples=0.*expected counts of at least 1"),
        (Occlusion(window=(4, 4), stride=(5, 4)), None, "steps from 1 pixel to one window"),
        (Occlusion(window=(13, 4)), None, "windows within the picture's 12 x 20"),
        ("gradient", 5, r"expected classes in 0\.\.4"),
    ],
)
def test_bad_input_is_explained(model, images, method, targets, message):
    with pytest.raises(Refused, match=message):
        attribute(model, images, method=method, targets=targets)
