"""The hybrid layer is found, its attention is learned, and a pyramid is made of the last layer."""

from __future__ import annotations

import math

import pytest
import torch

from labkit.experiments._upbringings import alike_in_place, different, found, grey, profile, smooth
from labkit.experiments.unip import nmi_of
from labkit.methods.objectives.unip import LastLayerPyramid, attention_of, distillation, hybrid_layer, tiny, unip
from labkit.models.backbones.vit import ViT


def test_the_hybrid_layer_is_the_nearest():
    assert hybrid_layer([0.4, 0.2, 0.1, 0.06, 0.01]) == 2
    assert hybrid_layer([0.4, 0.2, 0.1, 0.06, 0.01], target=0.05) == 3
    with pytest.raises(ValueError, match="no layers"):
        hybrid_layer([])


def test_the_loss_is_the_divergence_row_by_row():
    teacher, student = (torch.randn(2, 3, 4, 4, dtype=torch.float64).softmax(dim=-1) for _ in range(2))
    by_hand = 0.0
    for b in range(2):
        for h in range(3):
            for q in range(4):
                for k in range(4):
                    t, s = teacher[b, h, q, k].item(), student[b, h, q, k].item()
                    by_hand += t * math.log(t / s) / (2 * 3 * 4)
    assert distillation(student, teacher).item() == pytest.approx(by_hand)
    assert distillation(teacher, teacher).item() == 0
    # One key against all four: log 4, by hand; and a teacher's zero costs nothing.
    sure, even = torch.eye(4)[None, None], torch.full((1, 1, 4, 4), 0.25)
    assert distillation(even, sure).item() == pytest.approx(math.log(4))
    assert torch.isfinite(distillation(sure, even))
    with pytest.raises(ValueError, match="teacher's number of heads"):
        distillation(student[:, :2], teacher)


def test_the_last_block_alone_has_the_teachers_heads():
    model, images = tiny()
    assert [block.attn.heads for block in model.blocks] == [2, 4]
    attention = attention_of(model, images, layer=-1)
    assert attention.shape == (2, 4, 7, 7)
    x = model.embed(images)
    x = model.blocks[0](x)
    q, k, _ = model.blocks[1].attn.qkv(model.blocks[1].norm1(x)).chunk(3, dim=-1)
    for head in range(4):
        part = slice(2 * head, 2 * head + 2)
        expected = (q[..., part] @ k[..., part].mT / 2**0.5).softmax(dim=-1)
        torch.testing.assert_close(attention[:, head], expected)
    assert model(images).shape == (2, 8)
    with pytest.raises(ValueError, match="whole number of channels"):
        unip(dim=10, heads=2, last_heads=4, depth=1, image=16, patch=4)


def test_a_student_comes_nearer():
    teacher = ViT(dim=8, depth=3, heads=4, classes=2, image=15, patch=3)
    with torch.no_grad():
        for block in teacher.blocks:
            block.attn.qkv.weight.mul_(20)  # fresh attention looks everywhere alike
    student, _ = tiny()
    images = torch.randn(8, 3, 15, 15)
    wanted = attention_of(teacher, images, layer=1).detach()
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = distillation(attention_of(student, images, layer=-1), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    last = student.blocks[-1]
    assert last.attn.proj.weight.grad is None or not last.attn.proj.weight.grad.any(), "its output is not asked for"


def test_the_pyramid_has_four_sizes():
    four, two, one, half = LastLayerPyramid(6)(torch.randn(2, 6, 4, 6))
    assert [tuple(x.shape) for x in (four, two, one, half)] == [
        (2, 6, 16, 24),
        (2, 6, 8, 12),
        (2, 6, 4, 6),
        (2, 6, 2, 3),
    ]
    x = torch.randn(1, 6, 4, 4)
    pyramid = LastLayerPyramid(6)
    assert torch.equal(pyramid(x)[2], x)
    assert torch.equal(pyramid(x)[3][0, 0, 0, 0], x[0, 0, :2, :2].max())


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0, 5.0])
def test_the_nmi_of_a_gaussian_is_that_of_the_sheet(spread: float):
    # 14 x 14 cells, a Gaussian around each: .763, .499, .275, .051, as computed elsewhere.
    cells = torch.cartesian_prod(torch.arange(14.0), torch.arange(14.0))
    near = (-(torch.cdist(cells, cells) ** 2) / (2 * spread**2)).softmax(dim=-1)
    whole = torch.zeros(1, 1, 197, 197)
    whole[..., 0, 0] = 1
    whole[..., 1:, 1:] = near
    expected = {0.5: 0.763, 1.0: 0.499, 2.0: 0.275, 5.0: 0.051}[spread]
    assert nmi_of(whole) == pytest.approx(expected, abs=0.002)


def test_thermal_like_pictures_have_no_colour_and_no_texture():
    noise = torch.randn(2, 3, 16, 16)
    one = grey(noise)
    assert torch.equal(one[:, 0], one[:, 2])
    assert smooth(one).var() < 0.2 * one.var()
    edge = torch.zeros(1, 3, 16, 16)
    edge[..., 8:] = 1
    assert torch.equal(smooth(edge), edge), "an edge stays where it is"


def test_profiles_differ_where_every_picture_says_so():
    low, high, noise = torch.full((2, 20), 0.1), torch.full((2, 20), 0.3), torch.randn(2, 20)
    assert different([low, high]) == 1
    assert different([low, low]) == 0
    # Three pairs of two layers: only noise against itself but for one layer does not differ.
    half = noise.clone()
    half[0] += 1
    assert different([noise, half]) == 0.5


def test_a_profile_has_a_number_a_layer_and_picture():
    vit, images = ViT(dim=8, depth=3, heads=2, classes=2, image=16, patch=4).eval(), torch.randn(5, 3, 16, 16)
    whole = profile(vit, images)
    assert whole.shape == (3, 5)
    torch.testing.assert_close(whole[:, 1:3], profile(vit, images[1:3]))


def test_objects_are_found_by_a_plane_in_pictures_it_was_not_fitted_to():
    truth = torch.rand(40, 16) < 0.4
    tokens = torch.randn(40, 16, 6)
    tokens[..., 2] = truth.float() + 0.05 * torch.randn(40, 16)
    assert found(tokens, tokens, truth).shape == (20,)
    assert found(tokens, tokens, truth).mean() == 1
    assert found(torch.randn(40, 16, 6), torch.randn(40, 16, 6), truth).mean() < 0.5
    tokens[20:, :, 2] *= -1
    assert found(tokens, tokens, truth).mean() < 0.5, "it is asked in the second half, and fitted to the first"


def test_tokens_of_one_place_are_alike_by_what_only_this_place_has():
    own = torch.randn(12, 9, 32)
    shared = 5 * torch.randn(1, 9, 32)  # what every street has there
    assert alike_in_place(own + shared, own + 2 * shared).mean() > 0.9
    assert alike_in_place(own + shared, shared - own).mean() < -0.9
    assert alike_in_place(own + shared, torch.randn(12, 9, 32) + shared).mean().abs() < 0.1
    assert alike_in_place(own, own.roll(-1, dims=0)).mean() < -0.9, "the other street is the one before"
