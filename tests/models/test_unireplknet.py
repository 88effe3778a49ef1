"""Dilated kernels as sparse ones by loops, the block by its equation, and folding, that changes no answer."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import pytest
import torch
from torch import nn

from labkit.experiments.unireplknet import by_distance, parts_of
from labkit.models.backbones.unireplknet import (
    BRANCHES,
    SIZES,
    DilatedKernel,
    Excite,
    ResponseNorm,
    UniBlock,
    depthwise,
    fold,
    spread,
    unireplknet,
)


def stirred(model: nn.Module) -> nn.Module:
    """As if it had learned: else norms and GRN are the identity, the scale is nearly nothing, and both hide errors."""
    with torch.no_grad():
        for one in model.modules():
            if isinstance(one, nn.BatchNorm2d):
                one.running_mean.uniform_(-1, 1)
                one.running_var.uniform_(0.5, 2)
                one.weight.uniform_(0.5, 2)
                one.bias.uniform_(-1, 1)
            elif isinstance(one, ResponseNorm):
                one.weight.uniform_(-1, 1)
                one.bias.uniform_(-1, 1)
        for name, one in model.named_parameters():
            if name.endswith("scale.factor"):
                one.uniform_(0.5, 2)
    return model.double().eval()


def normed(x: torch.Tensor, norm: nn.BatchNorm2d) -> torch.Tensor:
    """The batch norm in eval mode of `h w c`."""
    return (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias


def convolved(x: torch.Tensor, conv: nn.Conv2d) -> torch.Tensor:
    """`h w c` by a depthwise kernel that takes every so many cells, zeros around, tap by tap."""
    h, w, _ = x.shape
    reach, rate = conv.kernel_size[0] // 2, conv.dilation[0]
    y = torch.zeros_like(x)
    for row in range(h):
        for column in range(w):
            for i in range(-reach, reach + 1):
                for j in range(-reach, reach + 1):
                    if 0 <= row + rate * i < h and 0 <= column + rate * j < w:
                        tap = conv.weight[:, 0, i + reach, j + reach]
                        y[row, column] += tap * x[row + rate * i, column + rate * j]
    return y


def looked(x: torch.Tensor, around: DilatedKernel) -> torch.Tensor:
    return sum(normed(convolved(x, conv), norm) for conv, norm in around.parts)


def test_a_kernel_with_others_beside_it_is_a_sum_of_normed_convolutions():
    around = stirred(DilatedKernel(2, 7, BRANCHES[7]))
    x = torch.randn(1, 2, 6, 9, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(around(x)[0].movedim(0, -1), looked(x[0].movedim(0, -1), around))


def test_a_dilated_kernel_spread_by_hand():
    kernel = torch.arange(1.0, 10).view(1, 1, 3, 3)
    wanted = [[1, 0, 2, 0, 3], [0] * 5, [4, 0, 5, 0, 6], [0] * 5, [7, 0, 8, 0, 9]]
    assert spread(kernel, 2)[0, 0].tolist() == wanted


@pytest.mark.parametrize("kernel", [7, 11, 13])
def test_each_part_is_a_sparse_kernel_of_the_large_ones_side(kernel):
    around = stirred(DilatedKernel(3, kernel, BRANCHES[kernel]))
    x = torch.randn(1, 3, 8, 11, dtype=torch.float64)
    weights, biases = around.kernels()
    assert weights.shape == (1 + len(BRANCHES[kernel]), 3, 1, kernel, kernel)
    for part, weight, bias in zip(around.parts, weights, biases, strict=True):
        assert (weight != 0).sum() == part[0].weight.numel()
        found = nn.functional.conv2d(x, weight, bias, padding=kernel // 2, groups=3)
        with torch.no_grad():
            torch.testing.assert_close(found, part(x))


def test_the_papers_branches_span_no_more_than_their_kernel():
    assert BRANCHES[13] == ((5, 1), (7, 2), (3, 3), (3, 4), (3, 5))
    for kernel, branches in BRANCHES.items():
        spans = [rate * (side - 1) + 1 for side, rate in branches]
        assert max(spans) <= kernel
        assert all(one < other for one, other in pairwise(rate for _, rate in branches))


def test_louder_channels_get_louder_by_hand():
    norm = ResponseNorm(2).double()
    x = torch.zeros(2, 2, 2, 2, dtype=torch.float64)
    x[0, 0, 0, 0], x[0, 1, 1, 0], x[0, 0, 1, 1] = 3, 4, 1  # sizes 5 and 1, their mean 3
    x[1, 0, 1] = torch.tensor([70.0, 70.0])  # another picture, as loud in both channels, asks for nothing of the first
    with torch.no_grad():
        torch.testing.assert_close(norm(x), x)
        norm.weight.copy_(torch.tensor([0.6, 3.0]))
        norm.bias.copy_(torch.tensor([0.0, 10.0]))
        y = norm(x)
    torch.testing.assert_close(y[0, ..., 0], 2 * x[0, ..., 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(y[0, ..., 1], 2 * x[0, ..., 1] + 10, atol=1e-5, rtol=0)
    torch.testing.assert_close(y[1, 0, 1], torch.tensor([1.6 * 70, 4 * 70 + 10], dtype=torch.float64))


def test_squeeze_and_excitation_by_hand():
    one = Excite(4)
    x = torch.rand(1, 3, 5, 4)
    with torch.no_grad():
        one.squeeze.weight.copy_(torch.tensor([[1.0, 0, 0, -1]]))
        one.excite.weight.copy_(torch.tensor([[2.0], [0], [-2], [0]]))
        one.excite.bias.copy_(torch.tensor([0.0, 0, 0, 9]))
        x[..., 0] += 2  # so that what is squeezed lies above 0
        hidden = x[0, ..., 0].mean() - x[0, ..., 3].mean()
        factor = torch.stack([2 * hidden, hidden * 0, -2 * hidden, hidden * 0 + 9]).sigmoid()
        torch.testing.assert_close(one(x), x * factor)
        x[..., 0] -= 9  # and now below: ReLU leaves the bias
        torch.testing.assert_close(one(x), x * torch.tensor([0.0, 0, 0, 9]).sigmoid())


def test_a_block_is_its_equation():
    block = stirred(UniBlock(4, kernel=7, branches=BRANCHES[7]))
    x = torch.randn(1, 5, 6, 4, dtype=torch.float64)
    with torch.no_grad():
        u = normed(looked(x[0], block.around.part), block.norm1.part)
        hidden = (block.excite.squeeze.weight @ u.mean(dim=(0, 1))).clamp(min=0)
        u = u * torch.sigmoid(block.excite.excite.weight @ hidden + block.excite.excite.bias)
        v = nn.functional.gelu(u @ block.widen.weight.T + block.widen.bias)
        loud = v.square().sum(dim=(0, 1)).sqrt()
        v = (block.respond.weight * loud / loud.mean() + 1) * v + block.respond.bias
        y = x[0] + block.scale.factor * normed(v @ block.narrow.weight.T, block.norm2.part)
        torch.testing.assert_close(block(x)[0], y, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "branches"), [(3, ()), (7, BRANCHES[7]), (13, BRANCHES[13]), (7, ((3, 3),))])
def test_a_folded_block_answers_the_same(kernel, branches):
    block = stirred(UniBlock(6, kernel=kernel, branches=branches))
    x = torch.randn(2, 9, 8, 6, dtype=torch.float64)
    folded = deepcopy(block)
    folded.fold()
    with torch.no_grad():
        torch.testing.assert_close(folded(x), block(x), atol=1e-10, rtol=1e-10)
        assert (block(x) - x).std() > 0.1, "the branch says something"
    assert not any(isinstance(one, nn.BatchNorm2d) for one in folded.modules())
    # One kernel and two linear maps with a bias each, the gate, and what GRN has without its bias.
    gate = 6 * 1 + 1 + 1 * 6 + 6
    wanted = 6 * kernel**2 + 6 + gate + (6 * 24 + 24) + 24 + (24 * 6 + 6)
    assert sum(p.numel() for p in folded.parameters()) == wanted


def test_what_is_shown_adds_up_to_the_folded_kernel():
    block = stirred(UniBlock(4, kernel=9, branches=BRANCHES[9]))
    parts, channel = parts_of(block)
    block.fold()
    torch.testing.assert_close(parts.sum(dim=0), block.around.part.weight[channel, 0].detach())
    ring = torch.zeros(1, 1, 5, 5)
    ring[..., 0, 1], ring[..., 2, 2] = 4, 3  # mean of squares 1; 16 cells in the outer ring, one in the middle
    torch.testing.assert_close(by_distance(ring), torch.tensor([3.0, 0.0, 1.0]))


def test_a_folded_model_answers_the_same_and_the_first_is_as_it_was():
    model = stirred(unireplknet(dims=(8, 16), depths=(2, 1), kernels=((3, 9), (7,)), folded=False, classes=3))
    before = {name: one.clone() for name, one in model.state_dict().items()}
    x = torch.randn(2, 3, 45, 38, dtype=torch.float64)
    dice = torch.get_rng_state()
    folded = fold(model)
    assert torch.equal(torch.get_rng_state(), dice)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), model(x))
        torch.testing.assert_close(fold(folded)(x), folded(x)), "what is folded stays so"
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    fresh = unireplknet(dims=(8, 16), depths=(2, 1), kernels=((3, 9), (7,)), classes=3).double().eval()
    fresh.load_state_dict(folded.state_dict())
    assert torch.equal(fresh(x), folded(x))


@pytest.mark.parametrize(
    ("size", "learning"),
    [("a", 4_649_060), ("f", 6_489_328), ("p", 11_080_520), ("n", 18_818_880), ("t", 31_693_420)],
)
def test_parameters_of_the_form_that_learns(size, learning):
    with torch.device("meta"):
        model = unireplknet(**SIZES[size].build, folded=False)
    assert sum(p.numel() for p in model.parameters()) == learning


def test_kernels_take_turns_and_scales_start_small():
    with torch.device("meta"):
        model = unireplknet(**SIZES["t"].build, folded=False)
    blocks = [[one for one in stage if isinstance(one, UniBlock)] for stage in model.stages]
    small = [[isinstance(one.around.part, nn.Conv2d) for one in stage] for stage in blocks]
    assert small == [[True] * 3, [False] * 3, [False, True] * 9, [False] * 3]
    scale = unireplknet(dims=(8,), depths=(1,), folded=False).stages[0][0].scale
    assert scale.factor.unique().tolist() == [torch.tensor(1e-6).item()]


def test_the_head_takes_the_mean_before_the_norm():
    head = unireplknet(dims=(4, 4), depths=(1, 1), classes=3).head
    norm, last = head.norm, head.fc
    x = torch.randn(2, 5, 6, 4) + torch.tensor([0.0, 2, 4, 8])
    with torch.no_grad():
        torch.testing.assert_close(head(x), last(norm(x.mean(dim=(1, 2)))))
        assert not torch.allclose(head(x), last(norm(x).mean(dim=(1, 2))), atol=1e-4)


def test_what_cannot_be_is_refused_by_name():
    with pytest.raises(ValueError, match=r"kernel=7.*\(5, 2\) is wider, 9 cells"):
        DilatedKernel(4, 7, ((5, 2),))
    with pytest.raises(ValueError, match=r"a kernel of 6 cells.*try 7"):
        depthwise(4, 6)
    with pytest.raises(ValueError, match=r"3 stages, but kernels= has sides for 2"):
        unireplknet(dims=(4, 8, 8), depths=(1, 1, 1), kernels=((3,), (7,)))
