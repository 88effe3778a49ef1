"""The inverted residual by matrices and loops, its widths by hand, and the whole model against torchvision's."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from labkit.models.backbones.mobilenetv2 import InvertedResidual, mobilenetv2, rounded


def test_a_block_is_its_equation():
    block = InvertedResidual(2, 2, expand=3).double().eval()
    norms = [block.widen[1], block.around[1], block.narrow[1]]
    with torch.no_grad():
        for norm in norms:
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
            norm.weight.uniform_(1, 3)
        x = 4 * torch.randn(1, 2, 4, 5, dtype=torch.float64)

        def normed(y: torch.Tensor, norm: nn.BatchNorm2d) -> torch.Tensor:
            return (y - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias

        u = normed(x[0].movedim(0, -1) @ block.widen[0].weight[..., 0, 0].T, norms[0]).clamp(0, 6)
        v = torch.zeros_like(u)
        for row in range(4):
            for column in range(5):
                for i in range(max(0, row - 1), min(4, row + 2)):
                    for j in range(max(0, column - 1), min(5, column + 2)):
                        v[row, column] += u[i, j] * block.around[0].weight[:, 0, i - row + 1, j - column + 1]
        y = normed(normed(v, norms[1]).clamp(0, 6) @ block.narrow[0].weight[..., 0, 0].T, norms[2])
        assert y.min() < 0, "the thin end is linear"
        torch.testing.assert_close(block(x)[0], x[0] + y.movedim(-1, 0))


def test_the_bent_end_lets_only_0_to_6_through():
    block = InvertedResidual(2, 5, expand=3, linear=False).eval()
    y = block(10 * torch.randn(2, 2, 4, 5))
    assert 0 <= y.min() < y.max() <= 6


def test_the_skip_is_there_only_where_the_shape_stays():
    assert InvertedResidual(4, 4, expand=2).same
    assert not InvertedResidual(4, 6, expand=2).same
    assert not InvertedResidual(4, 4, expand=2, stride=2).same


@pytest.mark.parametrize(("asked", "wanted"), [(32 * 0.35, 16), (24 * 1.4, 32), (16 * 0.35, 8), (96, 96), (11.9, 16)])
def test_widths_by_hand(asked, wanted):
    """11.2 would be 8, but that is less than 0.9 · 11.2; 33.6 is nearest to 32."""
    assert rounded(asked) == wanted


def test_no_width_is_refused():
    with pytest.raises(ValueError, match=r"width=0.*above 0"):
        mobilenetv2(width=0)


@pytest.mark.parametrize("width", [0.35, 1.4])
def test_it_equals_torchvisions_after_copying_its_weights(width):
    theirs = torchvision.models.mobilenet_v2(width_mult=width, num_classes=5)
    ours = mobilenetv2(width=width, classes=5).eval()
    with torch.no_grad():
        for one in theirs.modules():
            if isinstance(one, nn.BatchNorm2d):  # else the norms are all alike, and the deep layers nearly silent
                one.weight.uniform_(1, 3)
                one.bias.normal_()
                one.momentum = None  # the statistics become those of what it sees
        theirs.classifier[1].weight.normal_()
        theirs.train()(torch.randn(4, 3, 67, 45))
        theirs.eval()
    given, wanted = theirs.state_dict().values(), ours.state_dict()
    ours.load_state_dict(dict(zip(wanted, given, strict=True)))
    x = torch.randn(2, 3, 67, 45)
    with torch.no_grad():
        answer = theirs(x)
        assert (answer[0] - answer[1]).abs().max() > 1, "it tells pictures apart"
        torch.testing.assert_close(ours(x), answer, atol=1e-3, rtol=1e-4)
