"""Effective fields against gradients by hand and finite differences, and the measures of fields of known shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from labkit.models.backbones import resnet, vit
from labkit.probes.extent import area, central_square, gaussian_width
from labkit.probes.inputs import Refused
from labkit.probes.receptive_field import effective_fields, log_scaled, measure_field
from labkit.taps import Unreadable


def bell(sigma: tuple[float, float], centre: tuple[float, float], size: tuple[int, int]) -> torch.Tensor:
    row, column = (torch.arange(side, dtype=torch.float64) for side in size)
    down = ((row - centre[0]) / sigma[0]).square()
    across = ((column - centre[1]) / sigma[1]).square()
    return (-(down[:, None] + across[None]) / 2).exp()


@pytest.mark.parametrize("how", ["relu", "abs", "square"])
def test_heat_is_the_gradient_of_the_unit_one_picture_at_a_time(how):
    model, images = resnet.tiny()
    found = effective_fields(model, images, layers=["stages.1.0", "stem.0"], unit=(2, 4), how=how)
    model.eval()
    # The convolution of the stem gives both signs, which a ReLU has yet to sort.
    for field, part in zip(found, (lambda x: model.stages[0:2](model.stem(x)), model.stem[0]), strict=True):
        for image in range(2):
            x = images[image : image + 1].clone().requires_grad_()
            unit = part(x)[0, :, 2, 4]
            (gradient,) = torch.autograd.grad((unit.relu() if how == "relu" else unit).sum(), x)
            made = {"relu": gradient.relu(), "abs": gradient.abs(), "square": gradient.square()}[how]
            torch.testing.assert_close(field.heat[image], made[0].sum(dim=0))
        torch.testing.assert_close(field.mean, field.heat.mean(dim=0))


def test_a_linear_layers_heat_is_its_kernel():
    conv = nn.Conv2d(3, 2, (3, 5), padding=(1, 2), bias=False)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).mean(dim=(2, 3))

    (field,) = effective_fields(Net(), torch.randn(2, 3, 9, 11), layers=["conv"], how="abs")
    assert (field.unit, field.centre) == ((4, 5), (4, 5))
    expected = torch.zeros(9, 11)
    expected[3:6, 3:8] = conv.weight.detach().sum(dim=0).abs().sum(dim=0)
    torch.testing.assert_close(field.heat, expected.expand(2, -1, -1))


def test_the_middle_of_a_prefixed_token_grid_is_its_middle_patch():
    model, images = vit.tiny()
    (field,) = effective_fields(model, images, layers=["blocks.0"], how="square")
    assert (field.unit, field.centre) == ((1, 1), (6, 6))
    assert field.mean[4:8, 4:8].mean() > field.mean.mean()  # its own patch, by the residual path


def test_measures_of_a_gaussian_are_those_of_the_formula():
    heat = bell((4.0, 6.0), (40.0, 50.0), (81, 101))
    found = measure_field(heat, centre=(40, 50))
    torch.testing.assert_close(found.width, torch.tensor([4.0, 6.0]).double(), rtol=1e-3, atol=0)
    # Half of a Gaussian lies within an ellipse of radius σ √(2 ln 2); pixels the strongest first are that ellipse.
    ellipse = torch.pi * 4 * 6 * 2 * np.log(2) / (81 * 101)
    assert found.area[found.parts.index(0.5)].item() == pytest.approx(ellipse, rel=0.02)
    assert (found.area <= found.square).all()
    assert (found.side[1:] >= found.side[:-1]).all()


def test_squares_and_areas_by_hand():
    heat = torch.zeros(5, 7)
    heat[2, 3], heat[1, 3], heat[0, 0] = 5, 3, 2
    assert [central_square(heat, part, centre=(2, 3)).item() for part in (0.2, 0.5, 0.51, 0.8, 0.81)] == [1, 1, 3, 3, 7]
    assert [area(heat.flatten(), part).item() * 35 for part in (0.5, 0.51, 0.81)] == pytest.approx([1, 2, 3])
    found = measure_field(heat, centre=(2, 3), parts=(0.5, 0.8, 0.9))
    # A square of side 7 leaves the five rows above and below: five rows and seven columns of it count.
    assert found.square.tolist() == pytest.approx([1 / 35, 9 / 35, 1])
    torch.testing.assert_close(gaussian_width(torch.ones(3, 5)), torch.tensor([(2 / 3) ** 0.5, 2**0.5]))
    shares = torch.tensor([[0.1, 0.4, 0.2, 0.3], [1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
    assert area(shares, 0.5).tolist() == [0.5, 0.25, 0.5]
    assert area(7 * shares, 0.71).tolist() == [0.75, 0.25, 0.75]


def test_a_map_without_heat_claims_nothing():
    found = measure_field(torch.zeros(5, 7), centre=(2, 3))
    assert found.square.isnan().all()
    assert found.area.isnan().all()
    assert found.width.isnan().all()


def test_area_ratios_are_those_of_the_published_script():
    # RepLKNet's analysis, as it was released: logarithm, then the smallest odd central square above the threshold.
    heat = 40 * bell((9.0, 9.0), (28.0, 28.0), (56, 56)).numpy()
    data = np.log10(heat + 1)
    data = data / np.max(data)
    ratios = []
    for threshold in (0.2, 0.3, 0.5, 0.99):
        for i in range(1, 28):
            selected = data[28 - i : 29 + i, 28 - i : 29 + i]
            if selected.sum() / data.sum() > threshold:
                ratios.append((2 * i + 1, (2 * i + 1) / 56 * (2 * i + 1) / 56))
                break
    raised = log_scaled(torch.from_numpy(heat))
    torch.testing.assert_close(raised, torch.from_numpy(data))
    found = measure_field(raised, centre=(28, 28))
    assert found.side.tolist() == [side for side, _ in ratios]
    torch.testing.assert_close(found.square, torch.tensor([ratio for _, ratio in ratios]).double())


def test_a_frozen_model_inside_inference_mode_is_left_as_it_was():
    model, images = vit.tiny()
    model.train().requires_grad_(False)
    given = images.clone()
    with torch.inference_mode():
        fields = effective_fields(model, images)
    assert [one.layer for one in fields] == ["blocks.0", "blocks.1"]
    assert all(one.heat.sum() > 0 and not one.heat.requires_grad for one in fields)
    assert torch.equal(images, given)
    assert images.grad is None
    assert all(part.training for part in model.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_in_place_layers_behind_the_unit_change_nothing():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.randn(1, 3, 8, 9)
    (field,) = effective_fields(model, images, layers=["0"], how="abs")
    expected = model[0].weight.detach().sum(dim=0).abs().sum(dim=0)
    torch.testing.assert_close(field.heat[0][3:6, 3:6], expected)


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ({"unit": (10, 0), "layers": ["stem"]}, Refused, "has 10 x 13 units"),
        ({"how": "loud"}, Refused, "expected one of relu"),
        ({"layers": ["head"]}, Unreadable, "does not lie on the picture"),
    ],
)
def test_what_cannot_be_done_is_said(how, error, says):
    model, images = resnet.tiny()
    with pytest.raises(error, match=says):
        effective_fields(model, images, **how)
