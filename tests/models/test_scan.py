"""The selective scan: the equation in blocks, as a convolution, as a matrix; its gradients; long and strong decays."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from labkit.models.mixers import scan_blocks
from labkit.models.mixers.scan import recurrence, scan_matrix, selective_scan


def made(b: int, l: int, d: int, n: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:  # noqa: E741
    """x and all that the scan needs beside it, each a leaf."""
    return {
        "x": torch.randn(b, l, d, dtype=dtype).requires_grad_(),
        "step": torch.rand(b, l, d, dtype=dtype).requires_grad_(),
        "rate": (-3 * torch.rand(d, n, dtype=dtype)).requires_grad_(),
        "write": torch.randn(b, l, n, dtype=dtype).requires_grad_(),
        "read": torch.randn(b, l, n, dtype=dtype).requires_grad_(),
        "skip": torch.randn(d, dtype=dtype).requires_grad_(),
    }


def scan(given: dict[str, Tensor], **other: object) -> Tensor:
    return selective_scan(given["x"], **{name: value for name, value in given.items() if name != "x"}, **other)


@pytest.fixture(params=[16, 2], ids=["one by one at the end", "pairs to the end"])
def _ending(request, monkeypatch):
    monkeypatch.setattr(scan_blocks, "ONE_BY_ONE", request.param)


@pytest.mark.usefixtures("_ending")
@pytest.mark.parametrize(("l", "block"), [(1, None), (2, 1), (37, 8), (51, 25), (70, 35), (39, None)])
def test_blocks_give_what_the_equation_gives_and_its_gradients(l, block):  # noqa: E741
    given = made(2, l, 3, 2)
    seeds = torch.randn_like(given["x"])
    ours = scan(given, block=block)
    theirs = recurrence(given["x"], **{name: value for name, value in given.items() if name != "x"})
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
    ours, theirs = (torch.autograd.grad((y * seeds).sum(), list(given.values())) for y in (ours, theirs))
    for name, mine, other in zip(given, ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-11, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


def test_gradients_are_those_of_small_differences():
    given = made(1, 7, 2, 2)
    names, values = list(given), tuple(given.values())
    assert torch.autograd.gradcheck(lambda *v: scan(dict(zip(names, v, strict=True)), block=3), values)
    with pytest.raises(RuntimeError, match="differentiable once; for create_graph=True take recurrence"):
        torch.autograd.grad(scan(given).sum(), given["x"], create_graph=True)


def test_a_memory_of_halves_by_hand():
    # Δ = ln 2 and A = -1: each token halves what there was, and adds ln 2 of itself.
    x = torch.tensor([8.0, 0, 4, 1])[None, :, None]
    one = torch.ones(1, 4, 1)
    found = selective_scan(x, step=one * math.log(2), rate=-torch.ones(1, 1), write=one, read=one, skip=torch.ones(1))
    expected = math.log(2) * torch.tensor([8.0, 4, 2 + 4, 3 + 1]) + x.flatten()
    torch.testing.assert_close(found.flatten(), expected)


def test_with_one_step_for_all_tokens_it_is_a_convolution():
    given = made(2, 37, 3, 2)
    step, write, read = (given[name][:1, :1] for name in ("step", "write", "read"))
    given |= {name: given[name][:1, :1].expand_as(given[name]) for name in ("step", "write", "read")}
    ages = torch.arange(37.0, dtype=torch.float64)
    kernel = torch.einsum(
        "n,dnt,d,n->dt",
        read[0, 0],
        (step[0, 0, :, None, None] * given["rate"][..., None] * ages).exp(),
        step[0, 0],
        write[0, 0],
    )
    x = torch.nn.functional.pad(given["x"].mT, (36, 0))
    expected = torch.nn.functional.conv1d(x, kernel.flip(-1)[:, None], groups=3).mT + given["skip"] * given["x"]
    torch.testing.assert_close(scan(given, block=8), expected)


def test_without_decay_it_is_a_sum_and_without_a_step_nothing_is_remembered():
    given = made(1, 20, 2, 3) | {"rate": torch.zeros(2, 3, dtype=torch.float64)}
    summed = ((given["step"] * given["x"])[..., None] * given["write"][:, :, None]).cumsum(dim=1)
    expected = (summed * given["read"][:, :, None]).sum(dim=-1) + given["skip"] * given["x"]
    torch.testing.assert_close(scan(given, block=6), expected)
    passed = scan(given | {"step": torch.zeros_like(given["step"])})
    assert torch.equal(passed, given["skip"] * given["x"])


def test_its_matrix_is_its_jacobian_and_looks_back_alone():
    given = made(1, 9, 2, 3)
    inner = {name: value for name, value in given.items() if name not in ("x", "skip")}
    matrix = scan_matrix(**inner)
    jacobian = torch.autograd.functional.jacobian(lambda x: selective_scan(x, **inner, block=4)[0], given["x"])
    for channel in range(2):
        torch.testing.assert_close(matrix[0, channel], jacobian[:, channel, 0, :, channel])
    assert jacobian[:, 0, 0, :, 1].abs().max() == 0, "no channel meets another"
    assert matrix.triu(1).abs().max() == 0
    assert matrix.tril().ne(0).sum() == 2 * 45


@pytest.mark.parametrize(("step", "rate"), [(10.0, -50.0), (1e-3, -1e-4)], ids=["forgets at once", "forgets nothing"])
def test_single_precision_holds_over_sixteen_thousand_tokens(step, rate):
    given = {name: value.detach() for name, value in made(1, 16_384, 2, 3, torch.float32).items()}
    given["step"] = step * (0.5 + given["step"])
    given["rate"] = rate * (1 + given["rate"].abs())
    exact = scan({name: value.double() for name, value in given.items()})
    leaves = {name: value.requires_grad_() for name, value in given.items()}
    found = scan(leaves)
    assert (found - exact).abs().max() < 1e-5 * exact.abs().max()
    found.square().mean().backward()
    assert all(value.grad.isfinite().all() for value in leaves.values())
    faded = (leaves["step"].sum() * leaves["rate"].max()).abs()
    assert rate > -1 or faded > 1e5, "an exponent of the whole sum would be 0 or infinite"


def test_any_order_in_memory_will_do_and_nothing_is_written_on():
    given = {name: value.detach() for name, value in made(2, 12, 3, 4).items()}
    turned = given | {name: given[name].mT.contiguous().mT for name in ("x", "step", "write", "read", "rate")}
    before = {name: value.clone() for name, value in turned.items()}
    assert torch.equal(scan(turned, block=5), scan(given, block=5))
    assert all(torch.equal(turned[name], before[name]) for name in turned)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.randn(2, 3, 4, 5)}, "a map `b h w c` is made a sequence first"),
        ({"rate": -torch.ones(4, 5)}, r"x \(2, 6, 5\) and rate \(4, 5\)"),
        ({"write": torch.randn(2, 4, 6)}, r"write \(2, 6, 4\), got \(2, 4, 6\): it has its length last"),
        ({"read": torch.randn(2, 6, 5)}, r"with 4 states a channel expected read \(2, 6, 4\), got \(2, 6, 5\)"),
        ({"step": torch.rand(2, 6, 1)}, r"expected step \(2, 6, 5\)"),
        ({"skip": torch.randn(4)}, r"expected skip \(5,\), got \(4,\): it is one factor a channel"),
        ({"write": torch.randn(2, 6, 4).double()}, "one floating dtype.*write torch.float64.*autocast"),
        ({"block": 0}, r"block=0\): expected at least one token"),
        ({"x": torch.randn(2, 0, 5)}, "with l >= 1"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(change, message):
    given = {name: value.detach() for name, value in made(2, 6, 5, 4, torch.float32).items()}
    with pytest.raises(ValueError, match=message):
        scan(given | change)
