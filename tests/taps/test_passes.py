"""Acting on one pass: values held with a graph, replaced, left out; calls made again; and nothing stays behind."""

from __future__ import annotations

import threading

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from labkit.models.backbones.vit import ViT
from labkit.taps import calls, holding, replacing, skipping


class InPlace(nn.Module):
    """A network that works in place on what its layers return."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        x = F.relu_(self.first(x))
        y = self.second(x)
        y += x
        return self.head(F.relu_(y).mean((2, 3)))


def traces(model: nn.Module) -> list[str]:
    found = [name for name, part in model.named_modules() if part._forward_hooks or part._forward_pre_hooks]
    found += [name for name, part in model.named_modules() if "forward" in part.__dict__]
    return found + [name for name, weight in model.named_parameters() if weight.grad is not None]


def gradients_by_hand(model: InPlace, x: torch.Tensor, target: int) -> tuple[torch.Tensor, torch.Tensor]:
    first = model.first(x).detach().requires_grad_()
    second = model.second(F.relu(first))
    logits = model.head(F.relu(second + F.relu(first)).mean((2, 3)))
    return torch.autograd.grad(logits[:, target].sum(), (first, second))


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_gradients_at_layers_before_and_behind_in_place_operations(frozen, mode):
    model, x = InPlace().requires_grad_(not frozen), torch.randn(2, 3, 5, 7)
    with mode(), holding(model, ["first", "second"], graph=True) as held:
        logits = model(x)
        gradients = torch.autograd.grad(logits[:, 3].sum(), list(held.values()))
    with torch.enable_grad():
        expected = gradients_by_hand(model, x, 3)
    for ours, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert held["first"].is_leaf
    torch.testing.assert_close(held["first"].detach(), model.first(x).detach())
    assert traces(model) == []


def test_the_head_of_the_network_costs_no_graph():
    model = InPlace()
    with holding(model, ["second"], graph=True) as held:
        assert not torch.is_grad_enabled()
        model(torch.randn(1, 3, 5, 7))
    assert held["second"].grad_fn is None
    assert held["second"].requires_grad
    assert torch.is_grad_enabled()


def test_without_a_graph_what_is_held_is_what_the_layer_gave():
    model, x = InPlace(), torch.randn(1, 3, 5, 7)
    with holding(model, ["first"]) as held:
        model(x)
    torch.testing.assert_close(held["first"], model.first(x).detach())
    assert (held["first"] < 0).any()  # the ReLU that works in place did not reach it


def test_modes_come_back_after_an_error():
    model = InPlace().train()
    with pytest.raises(RuntimeError), holding(model, ["first"], graph=True):
        model(torch.randn(1, 4, 5, 7))
    assert model.training
    assert torch.is_grad_enabled()
    assert traces(model) == []


def test_other_threads_are_not_held():
    model, x = InPlace(), torch.randn(1, 3, 5, 7)
    with holding(model, ["first"]) as held:
        other = threading.Thread(target=model, args=(x,))
        other.start()
        other.join()
        assert held == {}


def test_a_replaced_output_goes_on():
    model, x = InPlace(), torch.randn(2, 3, 5, 7)
    with torch.no_grad(), replacing(model, {"second": lambda y: y * 0}):
        ours = model(x)
    with torch.no_grad():
        theirs = model.head(F.relu(model.first(x)).mean((2, 3)))
    torch.testing.assert_close(ours, theirs)
    assert traces(model) == []


def test_a_block_left_out_hands_on_what_it_was_given():
    model = ViT(dim=12, depth=3, heads=2, classes=4, image=32, patch=8).eval()
    x = torch.randn(2, 3, 24, 40)
    with torch.no_grad(), skipping(model, ["blocks.1"]):
        ours = model(x)
    shorter = ViT(dim=12, depth=2, heads=2, classes=4, image=32, patch=8).eval()
    weights = {k.replace("blocks.2.", "blocks.1."): v for k, v in model.state_dict().items() if "blocks.1." not in k}
    shorter.load_state_dict(weights)
    with torch.no_grad():
        torch.testing.assert_close(ours, shorter(x))
    assert traces(model) == []


def test_a_block_that_changes_the_shape_cannot_be_left_out():
    model = timm.create_model("resnet18").eval()
    with (
        pytest.raises(
            ValueError, match=r"layer2\.0 cannot be left out: it turns \(1, 64, 8, 8\) into \(1, 128, 4, 4\)"
        ),
        skipping(model, ["layer2.0"]),
    ):
        model(torch.randn(1, 3, 32, 32))
    assert traces(model) == []


def test_what_a_block_does_in_place_to_its_input_is_not_handed_on():
    class Doubling(nn.Module):
        def forward(self, x):
            return x.mul_(2)

    x = torch.randn(1, 3, 4, 5)
    with skipping(model := nn.Sequential(Doubling()), ["0"]):
        assert torch.equal(model(x.clone()), x)


def test_a_call_is_made_again_with_another_input():
    model, x = InPlace(), torch.randn(2, 3, 5, 7)
    call = calls(model, ["second"], x)["second"]
    with torch.no_grad():
        torch.testing.assert_close(call.x, F.relu(model.first(x)))
        torch.testing.assert_close(call(call.x), call.output)
        torch.testing.assert_close(call(2 * call.x), model.second(2 * call.x))
    assert traces(model) == []


def test_a_call_keeps_its_other_arguments():
    class Scaled(nn.Module):
        def forward(self, *, x, by):
            return x * by

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Scaled()

        def forward(self, x):
            return self.inner(x=x, by=3)

    x = torch.randn(1, 3, 4, 5)
    call = calls(Outer(), ["inner", "inner"], x)["inner"]
    torch.testing.assert_close(call(x + 1), 3 * (x + 1))
