"""Theoretical fields against the published recursion, known answers, and what trained gradients may never exceed."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.models.backbones import resnet, vit
from labkit.probes.inputs import Refused
from labkit.probes.receptive_field import effective_fields
from labkit.probes.receptive_theory import theoretical_fields
from labkit.probes.structure import _mean_pool
from labkit.taps import Unreadable


class Net(nn.Sequential):
    """A few layers, then what a classifier needs to run."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).mean(dim=(2, 3))


def by_recursion(steps: list[tuple[int, int, int, int]]) -> tuple[int, int, int]:
    """(size, jump, start) by the recursion of Araujo et al., one axis; steps are kernel, stride, padding, dilation."""
    size, jump, start = 1, 1, 0
    for kernel, stride, padding, dilation in steps:
        size += dilation * (kernel - 1) * jump
        start -= padding * jump
        jump *= stride
    return size, jump, start


@pytest.mark.parametrize(
    "axes",
    [
        ([(3, 1, 1, 1), (3, 2, 1, 1), (3, 1, 2, 2)], [(5, 1, 2, 1), (5, 2, 2, 1), (1, 1, 0, 1)]),
        ([(7, 2, 3, 1), (2, 2, 0, 1)], [(3, 2, 1, 1), (4, 2, 1, 1)]),
        ([(3, 3, 0, 1), (3, 1, 3, 3), (5, 1, 2, 1)], [(3, 3, 1, 1), (3, 1, 2, 2), (3, 1, 1, 1)]),
    ],
)
def test_chains_follow_the_recursion_on_each_axis(axes):
    torch.manual_seed(1)
    steps = [tuple(zip(*pair, strict=True)) for pair in zip(*axes, strict=True)]
    layers, channels = [], 3
    for kernel, stride, padding, dilation in steps:
        how = {"stride": stride, "padding": padding, "dilation": dilation}
        layers += [nn.Conv2d(channels, 4, kernel, **how, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True)]
        channels = 4
    model = Net(*layers)
    nn.init.zeros_(model[-2].weight)  # a fresh residual branch starts like this; the structure does not care
    (found,) = theoretical_fields(model, (72, 60), layers=[str(len(layers) - 1)])
    for axis in (0, 1):
        expected = by_recursion(axes[axis])
        assert (found.size[axis], found.jump[axis], found.start[axis]) == expected
    # And on the picture: those pixels of it that the box covers, no more and no fewer.
    box = [
        slice(max(0, start + unit * jump), start + unit * jump + size)
        for start, unit, jump, size in zip(found.start, found.unit, found.jump, found.size, strict=True)
    ]
    expected = torch.zeros(72, 60, dtype=torch.bool)
    expected[box[0], box[1]] = True
    assert torch.equal(found.pixels, expected)
    assert found.centre == tuple(
        s + u * j + n / 2 for s, u, j, n in zip(found.start, found.unit, found.jump, found.size, strict=True)
    )


@pytest.mark.slow
def test_resnet18_has_its_known_fields():
    # Published for torchvision's, whose layers are the same: 43, 99 and 435 pixels.
    names = ["conv1", "maxpool", "layer1.1.conv2", "layer2.1.conv2", "layer4.1.conv2"]
    fields = theoretical_fields(timm.create_model("resnet18"), (96, 128), layers=names)
    assert [one.size for one in fields] == [(7, 7), (11, 11), (43, 43), (99, 99), (435, 435)]
    assert [one.jump for one in fields] == [(2, 2), (4, 4), (4, 4), (8, 8), (32, 32)]
    # By hand: conv1 starts at -3, the pool a jump of 2 earlier.
    assert [one.start for one in fields[:2]] == [(-3, -3), (-5, -5)]
    assert not any(one.whole for one in fields)


def test_the_widest_branch_counts_and_where_branches_lie_apart_so_does_the_field():
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left = nn.Conv2d(3, 4, (1, 3), padding=0)
            self.right = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.left(F.pad(x, (0, 2))) + self.right(x.roll(3, dims=3))

    (found,) = theoretical_fields(Net(Branches()), (20, 24), layers=["0"])
    # Columns u, u + 1, u + 2 by one branch, u - 3 by the other: six columns from the first to the last.
    assert (found.size, found.start) == ((1, 6), (0, -3))
    assert found.pixels[10].nonzero()[:, 0].tolist() == [9, 12, 13, 14]


def test_attention_sees_all_and_windows_see_themselves():
    model, _ = vit.tiny()
    fields = theoretical_fields(model, (12, 8))
    assert all(one.whole and one.pixels.all() for one in fields)
    assert (fields[0].size, fields[0].start, fields[0].centre) == (None, None, None)


@pytest.mark.slow
def test_windows_see_themselves_then_their_neighbours():
    swin = timm.create_model("swin_tiny_patch4_window7_224")
    names = ["layers.0.blocks.0", "layers.0.blocks.1"]
    alone, shifted = theoretical_fields(swin, (224, 224), layers=names, unit=(0, 8))
    assert alone.pixels[:28, 28:56].all()
    assert alone.pixels.sum() == 28 * 28
    assert alone.jump == (4, 4)
    # Shifted by three tokens, the unit's window covers parts of several earlier ones.
    assert shifted.pixels.sum() > alone.pixels.sum()
    assert not shifted.pixels[112:].any()


def test_a_squeeze_makes_it_all_and_is_named_when_left_out():
    class Squeeze(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return x * F.hardsigmoid(self.fc(F.relu(x.mean((2, 3), keepdim=True))))

    model = Net(Squeeze(), nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 3, padding=1))
    assert all(one.whole for one in theoretical_fields(model, (40, 40), layers=["0", "2"]))
    inner, outer = theoretical_fields(model, (40, 40), layers=["0", "2"], local=True)
    assert (inner.size, inner.squeezes) == ((3, 3), ("0",))
    assert (outer.size, outer.squeezes) == ((5, 5), ("0", "1"))


@pytest.mark.parametrize("seed", range(4))
def test_no_gradient_leaves_the_field_and_the_field_is_not_too_large(seed):
    dice = torch.Generator().manual_seed(seed)
    layers, channels = [], 3
    for _ in range(4):
        kernel = tuple((1 + 2 * torch.randint(0, 3, (2,), generator=dice)).tolist())
        stride = int(torch.randint(1, 3, (1,), generator=dice))
        layers += [nn.Conv2d(channels, 12, kernel, stride=stride, padding=tuple(k // 2 for k in kernel)), nn.GELU()]
        channels = 12
    layers.insert(3, nn.MaxPool2d(3, stride=1, padding=1))
    model = Net(*layers)
    name = str(len(layers) - 1)
    images = torch.randn(40, 3, 64, 80)
    (theory,) = theoretical_fields(model, (64, 80), layers=[name])
    (effective,) = effective_fields(model, images, layers=[name], how="abs")
    seen = effective.mean > 0
    assert not (seen & ~theory.pixels).any()
    assert seen[theory.pixels].float().mean() > 0.9  # forty pictures choose most maxima once


@pytest.mark.parametrize(
    "how",
    [
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": (2, 3), "stride": (2, 1), "dilation": (1, 2)},
        {"kernel_size": 3, "stride": 2, "ceil_mode": True},
        {"kernel_size": 2},
    ],
    ids=str,
)
def test_a_mean_stands_for_every_maximum(how):
    x = torch.zeros(1, 2, 8, 9)
    expected = F.max_pool2d(x, **how)
    assert _mean_pool(x, **how).shape == expected.shape
    for place in torch.arange(72):
        x = torch.zeros(1, 2, 72)
        x[..., place] = 1
        x = x.view(1, 2, 8, 9)
        assert torch.equal(_mean_pool(x, **how) > 0, F.max_pool2d(x, **how) > 0)


def test_a_branch_that_starts_at_zero_counts_with_all_it_can_reach():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.scale = nn.Conv2d(3, 3, 5, padding=2), nn.Parameter(torch.zeros(3, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.scale * self.conv(x)

    (found,) = theoretical_fields(Net(Scaled()), (20, 24), layers=["0"])
    assert (found.size, found.start) == ((5, 5), (-2, -2))


def test_the_model_is_left_as_it_was_and_any_unit_can_be_asked():
    model, _ = resnet.tiny()
    model.train().requires_grad_(False)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    dice = torch.get_rng_state()
    with torch.inference_mode():
        (corner,) = theoretical_fields(model, (19, 26), layers=["stages.0.0"], unit=(0, 1))
    assert (corner.unit, corner.size, corner.jump, corner.start) == ((0, 1), (11, 11), (2, 2), (-5, -5))
    assert corner.pixels.nonzero().amax(dim=0).tolist() == [5, 7]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(part.training for part in model.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), dice)
    with pytest.raises(Refused, match=r"has 10 x 13 units"):
        theoretical_fields(model, (19, 26), layers=["stages.0.0"], unit=(10, 0))
    with pytest.raises(Unreadable, match="did you mean"):
        theoretical_fields(model, (19, 26), layers=["stages.7"])
