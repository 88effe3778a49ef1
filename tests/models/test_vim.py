"""Vim's mixer token by token, against transformers' Mamba, as a matrix; who hears whom; where the class token is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from labkit.models.backbones.vim import BothWays, Reading, VimBlock
from labkit.models.mixers.scan import scan_matrix
from labkit.models.mixers.ssm import SelectiveSsm


def silu(x: Tensor) -> Tensor:
    return x / (1 + (-x).exp())


def by_tokens(reading: Reading, x: Tensor) -> Tensor:
    """One way, one sequence `l e`: convolution, choice and recurrence from the equations, token by token."""
    ssm, kernel = reading.ssm, reading.conv.weight[:, 0]
    state = torch.zeros(x.shape[1], ssm.states, dtype=x.dtype)
    found = []
    for t in range(len(x)):
        near = sum(x[t - i] * kernel[:, 3 - i] for i in range(4) if t >= i)
        token = silu(near + reading.conv.bias)
        low, write, read = (ssm.choose.weight @ token).tensor_split((ssm.rank, ssm.rank + ssm.states))
        step = (low @ ssm.widen + ssm.start).exp().log1p()
        state = (-step[:, None] * ssm.log_rate.exp()).exp() * state + torch.outer(step * token, write)
        found.append(state @ read + ssm.skip * token)
    return torch.stack(found)


def test_the_mixer_is_its_equation():
    mixer, x = BothWays(3, states=2).double(), torch.randn(2, 9, 3, dtype=torch.float64)
    with torch.no_grad():
        for sample, found in zip(x, mixer(x), strict=True):
            inner, gate = (sample @ mixer.expand.weight.T).chunk(2, dim=-1)
            back = by_tokens(mixer.back, inner.flip(0)).flip(0)
            heard = (by_tokens(mixer.forth, inner) + back) / 2
            torch.testing.assert_close(found, (heard * silu(gate)) @ mixer.proj.weight.T)


@pytest.mark.slow  # importing transformers takes seconds
def test_one_way_equals_the_mamba_of_transformers_after_copying_its_weights():
    transformers = pytest.importorskip("transformers")
    from transformers.models.mamba.modeling_mamba import MambaMixer

    shape = {"hidden_size": 20, "state_size": 3, "conv_kernel": 4, "expand": 2, "time_step_rank": 2}
    theirs = MambaMixer(transformers.MambaConfig(**shape, num_hidden_layers=1), 0).eval()
    ours = BothWays(20, states=3, ways="forth")
    theirs.load_state_dict(
        {
            "A_log": ours.forth.ssm.log_rate,
            "D": ours.forth.ssm.skip,
            "conv1d.weight": ours.forth.conv.weight,
            "conv1d.bias": ours.forth.conv.bias,
            "x_proj.weight": ours.forth.ssm.choose.weight,
            "dt_proj.weight": ours.forth.ssm.widen.T,
            "dt_proj.bias": ours.forth.ssm.start,
            "in_proj.weight": ours.expand.weight,
            "out_proj.weight": ours.proj.weight,
        }
    )
    x = 3 * torch.randn(2, 37, 20)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-4)


def test_the_scan_is_the_matrix_that_its_tokens_choose():
    ssm, x = SelectiveSsm(4, rank=2, states=3).double(), torch.randn(2, 11, 4, dtype=torch.float64)
    with torch.no_grad():
        matrix = scan_matrix(**ssm.chosen(x))
        torch.testing.assert_close(torch.einsum("bdts,bsd->btd", matrix, x) + ssm.skip * x, ssm(x))


@pytest.mark.parametrize(("ways", "pairs"), [("forth", 15), ("back", 15), ("both", 25)])
def test_who_hears_whom(ways, pairs):
    mixer = BothWays(4, states=2, ways=ways).double()
    jacobian = torch.autograd.functional.jacobian(lambda x: mixer(x)[0], torch.randn(1, 5, 4, dtype=torch.float64))
    heard = jacobian[:, :, 0].abs().amax(dim=(1, 3))
    assert (heard > 0).sum() == pairs
    if ways != "both":
        unheard = heard.triu(1) if ways == "forth" else heard.tril(-1)
        assert unheard.max() == 0, "exactly: nothing comes from what is read later"


def test_two_alike_readings_do_not_know_left_from_right():
    mixer, x = BothWays(4, states=2), torch.randn(1, 6, 4)
    assert not torch.allclose(mixer(x.flip(1)), mixer(x).flip(1), atol=1e-3)
    mixer.back.load_state_dict(mixer.forth.state_dict())
    torch.testing.assert_close(mixer(x.flip(1)), mixer(x).flip(1))


@pytest.mark.parametrize(
    ("place", "order"), [("first", [0, 1, 2, 3, 4]), ("middle", [1, 2, 0, 3, 4]), ("last", [1, 2, 3, 4, 0])]
)
def test_the_class_token_is_read_where_it_is_said_to_stand(place, order):
    block = VimBlock(6, states=2, ways="both", place=place, drop_path=0.0)
    x = torch.randn(2, 5, 6)
    row = block.mixer(block.norm(x)[:, order])
    torch.testing.assert_close(block(x)[:, order], x[:, order] + row)


def test_a_fresh_layer_steps_between_a_thousandth_and_a_tenth():
    ssm = SelectiveSsm(400, rank=3)
    step = ssm.chosen(torch.zeros(1, 1, 400))["step"].detach().flatten()
    assert 1e-3 <= step.min() < 2e-3
    assert 5e-2 < step.max() <= 0.1001
    assert step.log().mean().item() == pytest.approx(math.log(1e-2), abs=0.3)
    torch.testing.assert_close(ssm.chosen(torch.zeros(1, 1, 400))["rate"][7], -torch.arange(1.0, 17))


def test_twice_the_tokens_cost_twice_as_much():
    mixer, counts = BothWays(8, states=4), []
    for tokens in (20, 40):
        with FlopCounterMode(display=False) as counter:
            mixer(torch.randn(1, tokens, 8))
        # Convolutions are counted with the three tokens of padding that are cut off again.
        counts.append(counter.get_total_flops() / 2 - 2 * 16 * 4 * 3)
    assert counts[1] == 2 * counts[0]
    assert counts[0] == 20 * (6 * 8 * 8 + 2 * 16 * (2 * 1 + 2 * 4 + 4)), "the label's, without the scan's 4 e n"
