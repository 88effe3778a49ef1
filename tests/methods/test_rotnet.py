"""The network in network of RotNet, written out; and what its experiment reads from it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labkit.experiments.rotnet import blocks_of, looks, probed
from labkit.methods.objectives.rotnet import Rotation, rotnet, turned


def test_each_block_sees_once_and_the_head_takes_the_mean():
    model = rotnet(blocks=3, width=12).eval()
    kernels = [[part.kernel_size[0] for part in block if isinstance(part, nn.Conv2d)] for block in model.blocks]
    assert kernels == [[5, 1, 1], [5, 1, 1], [3, 1, 1]]
    picture = torch.randn(2, 3, 16, 16)
    maps = model.blocks(picture)
    assert maps.shape == (2, 12, 4, 4), "two blocks halve the sides"
    expected = F.linear(maps.mean(dim=(2, 3)), model.head.weight, model.head.bias)
    torch.testing.assert_close(model(picture), expected)
    with pytest.raises(ValueError, match="at least the two blocks"):
        rotnet(blocks=1)


def test_the_network_by_hand_is_the_network():
    model = rotnet(blocks=2, width=12).eval()
    picture = torch.randn(1, 3, 8, 8)
    x = picture
    for block, pool in zip(model.blocks, (F.max_pool2d, F.avg_pool2d), strict=True):
        for first in (0, 3, 6):
            x = F.relu(block[first + 1](F.conv2d(x, block[first].weight, padding=block[first].kernel_size[0] // 2)))
        x = pool(x, 3, stride=2, padding=1)
    torch.testing.assert_close(model.blocks(picture), x)
    spread = rotnet(blocks=3, width=64).blocks[1][0].weight.std().item()
    assert spread == pytest.approx((2 / (25 * 64)) ** 0.5, rel=0.05)


def test_turns_can_be_learned():
    # Bright above, dark below: what is up can be seen.
    ramp = torch.linspace(1, -1, 12).view(1, 1, 12, 1).expand(8, 3, 12, 12) + 0.1 * torch.randn(8, 3, 12, 12)
    task = Rotation(rotnet(blocks=2, width=12))
    optimiser = torch.optim.AdamW(task.parameters(), lr=1e-2)
    for _ in range(30):
        loss, right = task.loss(ramp)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert right.float().mean() > 0.9
    views, labels = turned(ramp)
    assert (task.eval()(views).argmax(dim=1) == labels).float().mean() > 0.9


def test_what_the_blocks_hold_is_read_as_cells():
    model = rotnet(blocks=3, width=12)
    photos = torch.randn(6, 3, 12, 12)
    maps = blocks_of(model, photos)
    assert [tuple(one.shape) for one in maps] == [(6, 6, 3, 3), (6, 12, 3, 3), (6, 12, 3, 3)]
    model.train()
    torch.testing.assert_close(maps[0], F.adaptive_avg_pool2d(model.blocks[0](photos), 3))
    shown = looks(model.eval(), photos[:1])
    assert [tuple(one.shape) for one in shown] == [(6, 6), (3, 3), (3, 3)]
    torch.testing.assert_close(shown[0], model.blocks[0](photos[:1])[0].pow(2).sum(dim=0))


def test_a_probe_tells_what_is_there_and_guesses_what_is_not():
    labels = torch.arange(4).repeat(40)
    told = F.one_hot(labels, 4).float()[:, :, None, None].expand(-1, -1, 3, 3) + 0.1 * torch.randn(160, 4, 3, 3)
    assert probed(told, labels, 40) == 1
    assert probed(torch.randn(160, 4, 3, 3), labels, 40) < 0.6
