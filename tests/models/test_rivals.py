"""Ten mixers in one frame: nothing but the mixer differs, and a mixer of tokens is its equation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from labkit.models.mixers.tokens import TokenMlp
from labkit.models.rivals import MIXERS, PIXELS, rival
from labkit.models.scaffold import Block


@pytest.mark.parametrize("mixer", MIXERS)
def test_it_answers_and_nothing_but_the_mixer_differs(mixer):
    model, bare = rival(mixer, classes=5).eval(), rival("identity", classes=5)
    assert model(torch.randn(1, 3, PIXELS, PIXELS)).shape == (1, 5)
    blocks = [block for block in model.modules() if isinstance(block, Block)]
    assert len(blocks) == 4
    for block in blocks:
        block.mixer = nn.Identity()
    assert [(n, p.shape) for n, p in model.named_parameters()] == [(n, p.shape) for n, p in bare.named_parameters()]


def test_a_name_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no rival mixes by 'magic': expected identity, pooling"):
        rival("magic", classes=5)


def test_a_token_mlp_by_loops():
    mixer = TokenMlp(grid=(2, 3), ratio=0.5).double()
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64)
    w1, b1, w2, b2 = mixer.mlp.fc1.weight, mixer.mlp.fc1.bias, mixer.mlp.fc2.weight, mixer.mlp.fc2.bias
    assert w1.shape == (3, 6)
    expected = torch.zeros_like(x)
    for b in range(2):
        for c in range(4):
            row = x[b, :, :, c].flatten()
            expected[b, :, :, c] = (w2 @ nn.functional.gelu(w1 @ row + b1) + b2).view(2, 3)
    torch.testing.assert_close(mixer(x), expected)
    with pytest.raises(ValueError, match=r"a grid of 2 x 3 cells, got 3 x 2: resize"):
        mixer(x.transpose(1, 2))
