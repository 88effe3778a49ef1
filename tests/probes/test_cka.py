"""Linear CKA against the formulas with explicit HSIC matrices in float64, and its invariances."""

from __future__ import annotations

import pytest
import timm
import torch

from labkit.models.backbones.vit import ViT
from labkit.probes.cka import MinibatchCKA, agreement, cka, features, streamed_agreement
from labkit.probes.inputs import Refused
from labkit.probes.layers import layers


def by_matrices(x: torch.Tensor, y: torch.Tensor) -> float:
    """tr(KHLH) / √(tr(KHKH) tr(LHLH)), Kornblith et al., equation 3."""
    n = len(x)
    k, m, h = x.double() @ x.double().T, y.double() @ y.double().T, torch.eye(n).double() - 1 / n

    def hsic(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.trace(a @ h @ b @ h) / (n - 1) ** 2

    return (hsic(k, m) / (hsic(k, k) * hsic(m, m)).sqrt()).item()


def unbiased_hsic(x: torch.Tensor, y: torch.Tensor) -> float:
    """Song et al., equation 5, term by term."""
    n = len(x)
    k, m = (a.double() @ a.double().T for a in (x, y))
    k, m = (a - torch.diag(a.diagonal()) for a in (k, m))
    one = torch.ones(n).double()
    value = (
        torch.trace(k @ m) + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ m @ one)
    )
    return (value / (n * (n - 3))).item()


def test_exact_cka_is_the_hsic_of_all_pairs():
    x = [torch.randn(11, 5) + 9, torch.randn(11, 30)]
    y = [x[0] @ torch.randn(5, 4), torch.randn(11, 3), x[1]]
    found = cka(x, y)
    assert found.dtype == torch.float64
    for i, a in enumerate(x):
        for j, b in enumerate(y):
            assert found[i, j].item() == pytest.approx(by_matrices(a, b), abs=1e-10)


def test_the_unbiased_estimator_is_songs_averaged_over_minibatches():
    batches = [([torch.randn(n, 6) + 3], [torch.randn(n, 4)]) for n in (5, 9, 9)]
    running = MinibatchCKA()
    for x, y in batches:
        y[0][:, :2] += x[0][:, :2]
        running.add(x, y)
    cross = sum(unbiased_hsic(x[0], y[0]) for x, y in batches)
    own, their = (sum(unbiased_hsic(p[i][0], p[i][0]) for p in batches) for i in (0, 1))
    assert running.cka().item() == pytest.approx(cross / (own * their) ** 0.5, abs=1e-10)


def test_rotation_and_scale_do_not_matter_but_other_maps_do():
    x = torch.randn(20, 8)
    turned = 7 * x @ torch.linalg.qr(torch.randn(8, 8)).Q + 100
    assert cka([x], [x]).item() == pytest.approx(1, abs=1e-12)
    assert cka([x], [turned]).item() == pytest.approx(1, abs=1e-6)
    assert cka([x], [x * torch.tensor([9.0] + [1] * 7)]).item() < 0.9
    running = MinibatchCKA()
    running.add([x], [turned])
    assert running.cka().item() == pytest.approx(1, abs=1e-6)


def test_large_features_are_exact_where_single_precision_fails():
    # The known fault of float32 sums: HSIC of large, hardly centred features goes wrong or negative.
    x = 1e4 + torch.randn(16, 300, dtype=torch.float64)
    assert cka([x], [x]).item() == pytest.approx(1, abs=1e-9)
    assert 0 <= cka([x], [1e4 + torch.randn(16, 300, dtype=torch.float64)]).item() <= 1


def test_independent_features_agree_by_chance_only_in_the_exact_form():
    running, exact = MinibatchCKA(), []
    for _ in range(200):
        x, y = torch.randn(6, 50), torch.randn(6, 50)
        running.add([x], [y])
        exact.append(cka([x], [y]).item())
    assert sum(exact) / len(exact) > 0.7  # six samples, fifty features
    assert abs(running.cka().item()) < 0.08


def test_what_does_not_vary_agrees_with_nothing():
    constant, x = torch.full((6, 3), 5.0), torch.randn(6, 3)
    assert cka([constant, x], [constant, x])[0].tolist() == [0, 0]
    running = MinibatchCKA()
    running.add([constant], [x])
    assert running.cka().tolist() == [[0]]


@pytest.fixture
def models() -> tuple[ViT, torch.nn.Module]:
    other = timm.create_model("test_convnext", num_classes=5).eval()
    return ViT(dim=12, depth=2, heads=2, classes=4, image=32, patch=4).eval(), other


def test_layers_of_two_models(models):
    vit, other = models
    images, theirs = torch.randn(5, 3, 24, 40), torch.randn(5, 3, 32, 64)
    alone = agreement(vit, images)
    assert alone.rows == alone.columns == ("blocks.0", "blocks.1")
    torch.testing.assert_close(alone.cka.diagonal(), torch.ones(2).double())
    torch.testing.assert_close(alone.cka, alone.cka.T)
    both = agreement(vit, images, other=other, other_images=theirs)
    assert both.cka.shape == (2, len(layers(other, theirs)))
    expected = by_matrices(layers(vit, images)[1].tokens.flatten(1), layers(other, theirs)[0].map.flatten(1))
    assert both.cka[1, 0].item() == pytest.approx(expected, abs=1e-9)


def test_tokens_as_samples_meet_on_the_coarsest_grid(models):
    vit, other = models
    images = torch.randn(2, 3, 32, 64)
    found = agreement(vit, images, other=other, samples="tokens")
    last = layers(other, images)[-1].map
    assert last.shape[-2:] == (1, 2)
    mine = torch.nn.functional.avg_pool2d(layers(vit, images)[0].map, 8)  # an 8 x 16 grid
    rows = [value.permute(0, 2, 3, 1).reshape(4, -1) for value in (mine, last)]
    assert found.cka[0, -1].item() == pytest.approx(by_matrices(*rows), abs=1e-6)
    assert features(layers(vit, images)[0], "tokens").shape == (2 * 8 * 16, 12)


def test_streaming_is_one_pass_a_batch_and_leaves_nothing(models):
    vit, _ = models
    batches = [torch.randn(6, 3, 16, 24) for _ in range(2)]
    with torch.inference_mode():
        found = streamed_agreement(vit.train(), iter(batches))
    assert vit.training
    running = MinibatchCKA()
    for images in batches:
        x = [layer.tokens.flatten(1) for layer in layers(vit, images)]
        running.add(x, x)
    torch.testing.assert_close(found.cka, running.cka())
    paired = streamed_agreement(vit, [(images, images) for images in batches], other=vit)
    torch.testing.assert_close(paired.cka, found.cka)


def test_too_few_samples_are_explained(models):
    with pytest.raises(Refused, match=r"at least 3 samples, got 2: give more pictures, or compare tokens"):
        agreement(models[0], torch.randn(2, 3, 16, 16))
    with pytest.raises(Refused, match="at least 4 samples, got 3"):
        MinibatchCKA().add([torch.randn(3, 2)], [torch.randn(3, 2)])
    with pytest.raises(Refused, match=r"as many samples in every layer of both models, got \[4, 5\]"):
        agreement(models[0], torch.randn(4, 3, 16, 16), other=models[0], other_images=torch.randn(5, 3, 16, 16))
    with pytest.raises(Refused, match="no minibatch has come yet"):
        streamed_agreement(models[0], [])
