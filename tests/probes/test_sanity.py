"""Adebayo's check: a map of the weights falls, an edge detector does not, and the model is never touched."""

from __future__ import annotations

import itertools

import pytest
import timm
import torch
from torch import nn

from labkit.probes.inputs import Refused
from labkit.probes.sanity import randomised, spearman
from labkit.taps import Unreadable

SIZE = (32, 48)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", depth=3, embed_dim=24, num_heads=2, img_size=SIZE, patch_size=8)
    model.head = nn.Linear(24, 5)
    return model.requires_grad_(False)


def gradient(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        x = images.clone().requires_grad_()
        score = model(x)[:, 2].sum()
        return torch.autograd.grad(score, x)[0].sum(1)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def test_spearman_is_scipys_with_ties():
    from scipy.stats import spearmanr

    dice = torch.Generator().manual_seed(0)
    a = torch.randint(0, 9, (3, 5, 7), generator=dice).float()
    b = a + torch.randint(0, 9, (3, 5, 7), generator=dice)
    expected = [spearmanr(one.flatten(), other.flatten()).statistic for one, other in zip(a, b, strict=True)]
    assert spearman(a, b).tolist() == pytest.approx(expected, abs=1e-6)
    assert spearman(a, -a).tolist() == pytest.approx([-1] * 3)
    assert spearman(a, a.exp()).tolist() == pytest.approx([1] * 3)
    assert spearman(a, torch.ones(3, 5, 7)).tolist() == [0] * 3  # no NaN where a map is constant
    with pytest.raises(Refused, match="expected the same grid for both"):
        spearman(a, b[:, 1:])


def test_parts_go_from_the_output_down_and_each_parameter_once(model, images):
    filled: list[set[str]] = []
    own = {name: parameter.clone() for name, parameter in model.named_parameters()}

    def explain(copied: nn.Module) -> torch.Tensor:
        filled.append({name for name, parameter in copied.named_parameters() if not torch.equal(parameter, own[name])})
        return gradient(copied, images)

    found = randomised(model, explain, size=SIZE)
    assert found.layers == ("head", "blocks.2", "blocks.1", "blocks.0", "stem")
    first, *cascade = filled
    assert first == set()
    assert all(before < after for before, after in itertools.pairwise(cascade))
    assert all(name.startswith(("head.", "norm.")) for name in cascade[0])
    assert {name for name in cascade[1] - cascade[0]} <= {name for name in own if name.startswith("blocks.2.")}
    # What is constant (biases at zero, weights of norms at one) has no spread to be drawn with.
    assert cascade[-1] == {name for name, value in own.items() if value.std() > 0}

    filled.clear()
    alone = randomised(model, explain, size=SIZE, order="independent")
    assert filled[1:] == [cascade[0], *(after - before for before, after in itertools.pairwise(cascade))]
    torch.testing.assert_close(alone.likeness[0], found.likeness[0])


def test_a_map_of_the_weights_falls_and_an_edge_detector_passes_unchanged(model, images):
    learnt = randomised(model, lambda m: gradient(m, images), size=SIZE)
    edges = randomised(model, lambda m: images.sum(1).diff(dim=1).abs(), size=SIZE)
    assert learnt.likeness.shape == learnt.sizes.shape == (5, 2)
    assert learnt.likeness[-1].abs().max() < 0.3
    assert (edges.likeness == 1).all()
    assert (edges.sizes == 1).all()


def test_a_layer_keeps_its_mean_and_spread_and_the_seed_decides(model, images):
    seen: list[torch.Tensor] = []

    def explain(copied: nn.Module) -> torch.Tensor:
        seen.append(copied.blocks[1].mlp.fc1.weight.clone())
        return gradient(copied, images)

    for seed in (0, 0, 1):
        randomised(model, explain, size=SIZE, layers=["blocks.1.mlp"], seed=seed)
    own, noise, _, again, _, other = seen
    assert noise.mean().item() == pytest.approx(own.mean().item(), abs=3e-3)
    assert noise.std().item() == pytest.approx(own.std().item(), rel=0.05)
    assert torch.equal(noise, again)
    assert not torch.equal(noise, other)


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_never_touched(model, images, fails):
    model.train()
    own = {name: value.clone() for name, value in model.state_dict().items()}
    state, calls = torch.get_rng_state(), []

    def explain(copied: nn.Module) -> torch.Tensor:
        assert copied is not model
        calls.append(1)
        if fails and len(calls) == 3:
            raise RuntimeError("the third map")
        return gradient(copied, images)

    with torch.inference_mode():
        if fails:
            with pytest.raises(RuntimeError, match="third"):
                randomised(model, lambda m: explain_inside(explain, m), size=SIZE)
        else:
            randomised(model, lambda m: explain_inside(explain, m), size=SIZE)
    assert all(torch.equal(value, own[name]) for name, value in model.state_dict().items())
    assert model.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())


def explain_inside(explain, model):
    with torch.inference_mode(False):
        return explain(model)


def test_bad_input_is_explained(model, images):
    with pytest.raises(Refused, match=r"layers has 'blocks\.9', but VisionTransformer has no parameters there"):
        randomised(model, lambda m: gradient(m, images), size=SIZE, layers=["blocks.9"])
    with pytest.raises(Unreadable, match=r"pass `model\.module`"):
        randomised(nn.DataParallel(model), lambda m: gradient(m, images), size=SIZE)
