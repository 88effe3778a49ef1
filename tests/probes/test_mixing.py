"""Mixing maps against the whole Jacobian in float64, their error bars against many seeds, and what goes wrong."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from labkit.models.backbones import resnet, vit
from labkit.probes.inputs import Refused
from labkit.probes.mixing import EXACT, MixingMap, cells, mixing_map, mixing_maps
from labkit.taps import Form, Unreadable

GRID = (3, 5)


class Toy(nn.Module):
    """Mixes everything, works in place, and changes grid and channels: 6 x 10 maps of 4 channels to 3 x 5 of 3."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(4, 3, 3, stride=2, padding=1)
        self.gate = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.act(x))
        return x * self.gate(x.mean(dim=(2, 3))).sigmoid()[:, :, None, None]


def jacobian_norms(function, x: Tensor, before: Form, after: Form) -> Tensor:
    """The definition: the whole Jacobian of one value, its blocks between tokens, their squared norms, `q k`."""
    full = torch.func.jacrev(lambda one: after.to_tokens(function(one)))(x)[0]  # n c 1 …x's own axes
    n, c = full.shape[:2]
    tokens = before.to_tokens(full.reshape(n * c, *x.shape[1:])).unflatten(0, (n, c))  # n c m c_in
    return tokens.square().sum(dim=(1, 3))


def toy() -> tuple[nn.Module, Tensor, dict[str, Form]]:
    block = Toy().double().eval()
    return (
        block,
        torch.randn(2, 4, 6, 10).double(),
        {"before": Form("b c h w", (6, 10), 4), "after": Form("b c h w", GRID, 3)},
    )


def a_block() -> tuple[nn.Module, Tensor, Form]:
    """A transformer block on a 3 x 5 grid with a class token, in float64."""
    block = vit.Block(8, heads=2, drop_path=0.0).double().eval()
    return block, torch.randn(2, 16, 8).double(), Form("b n c", GRID, 8, prefix=1)


def test_every_row_equals_the_whole_jacobian_picture_by_picture():
    block, x, forms = toy()
    found = mixing_map(block, x, probes=EXACT, **forms)
    assert (found.grid, found.key_grid, found.probes) == (GRID, (6, 10), 0)
    assert found.squared.shape == (2, 15, 60)
    for image in range(2):
        expected = jacobian_norms(lambda one: block(one.clone()), x[image : image + 1], **forms)
        torch.testing.assert_close(found.squared[image], expected)
    assert not found.error.any()
    torch.testing.assert_close(found.norms.square(), found.squared)


def test_prefix_tokens_are_context_and_maps_may_lie_channels_last():
    block, x, form = a_block()
    found = mixing_map(block, x, before=form, after=form, probes=EXACT)
    torch.testing.assert_close(found.squared[1], jacobian_norms(block, x[1:], form, form))

    def last(value: Tensor) -> Tensor:
        return block(value.flatten(1, 2)).unflatten(1, GRID)

    form = Form("b h w c", GRID, 8)
    x = torch.randn(1, 3, 5, 8).double()
    found = mixing_map(last, x, before=form, after=form, probes=EXACT)
    torch.testing.assert_close(found.squared[0], jacobian_norms(last, x, form, form))


def test_without_the_identity_the_branch_remains():
    block, x, form = a_block()
    whole, branch = (mixing_map(block, x, before=form, after=form, probes=EXACT, identity=on) for on in (True, False))
    expected = jacobian_norms(lambda one: block(one) - one, x[:1], form, form)
    torch.testing.assert_close(branch.squared[0], expected)
    # By hand: the identity has a norm of √8 on the diagonal and none elsewhere.
    nothing = mixing_map(lambda one: 1 * one, x, before=form, after=form, probes=3)
    torch.testing.assert_close(nothing.norms, 8**0.5 * torch.eye(15).double().expand(2, -1, -1))
    off = ~torch.eye(15, dtype=torch.bool)
    torch.testing.assert_close(whole.squared[:, off], branch.squared[:, off])


@pytest.mark.parametrize("act", [nn.SiLU(), nn.ReLU6()], ids=str)
def test_batch_norms_before_an_activation_stay_local(act):
    # Where torch's vectorised backward pass is wrong without a word: every cell seemed to listen to every other.
    block = nn.Sequential(nn.BatchNorm2d(4), act).eval()
    x, form = torch.randn(1, 4, *GRID), Form("b c h w", GRID, 4)
    found = mixing_map(block, x, before=form, after=form, probes=EXACT)
    for q in range(15):
        rows = torch.zeros(15)
        for channel in range(4):
            given = x.clone().requires_grad_()
            block(given)[0, channel].flatten()[q].backward()
            rows += given.grad[0].square().sum(dim=0).flatten()
        torch.testing.assert_close(found.squared[0, q], rows)


def test_large_grids_are_seen_in_squares_of_tokens():
    coarse, places = cells((6, 10), 4)
    assert coarse == (2, 4)  # squares of 3 x 3, the last column of them one token wide
    assert places.view(6, 10)[4].tolist() == [4, 4, 4, 5, 5, 5, 6, 6, 6, 7]
    assert cells((6, 10), 10)[0] == (6, 10)

    block, x, forms = toy()
    fine, seen = (mixing_map(block, x, probes=EXACT, side=side, **forms) for side in (16, 4))
    assert (seen.grid, seen.key_grid) == ((2, 3), (2, 4))
    asking, asked = cells(GRID, 4)[1], cells((6, 10), 4)[1]
    for q in range(6):
        for k in range(8):
            expected = fine.squared[:, asking == q][:, :, asked == k].sum(dim=(1, 2))
            torch.testing.assert_close(seen.squared[:, q, k], expected)
    torch.testing.assert_close(fine.coarser(4).squared, seen.squared)
    guessed = mixing_map(block, x, probes=200, side=4, **forms)
    z = (guessed.squared - seen.squared) / guessed.error
    assert z.abs().max() < 5


def test_an_estimate_lies_within_its_own_error_bars():
    block, x, form = a_block()
    exact = mixing_map(block, x, before=form, after=form, probes=EXACT).squared
    scores = []
    for seed in range(6):
        guess = mixing_map(block, x, before=form, after=form, probes=256, seed=seed)
        scores.append((guess.squared - exact) / guess.error)
    z = torch.stack(scores)
    assert z.mean().abs() < 0.1  # a little low with few probes: where these agree by chance, their spread is small too
    assert z.std().item() == pytest.approx(1, abs=0.12)
    assert (z.abs() < 2).double().mean().item() == pytest.approx(0.95, abs=0.02)
    # And unbiased: the mean over seeds comes as near as 225 probes must.
    means = torch.stack([mixing_map(block, x, before=form, after=form, probes=1, seed=s).squared for s in range(225)])
    error = means.std(dim=0) / 15
    assert ((means.mean(dim=0) - exact) / error).abs().max() < 5


def test_one_probe_is_exact_where_channels_do_not_mix_and_says_nothing_of_its_error():
    conv = nn.Conv2d(6, 6, 3, padding=1, groups=6)
    form = Form("b c h w", GRID, 6)
    x = torch.randn(2, 6, *GRID)
    once, all_of_it = (mixing_map(conv, x, before=form, after=form, probes=probes) for probes in (1, EXACT))
    torch.testing.assert_close(once.squared, all_of_it.squared)
    assert once.error.isnan().all()
    assert mixing_map(conv, x, before=form, after=form, probes=2).error.max() < 1e-6


def test_the_same_seed_gives_the_same_map_and_nobody_elses_dice_move():
    block, x, form = a_block()
    state = torch.get_rng_state()
    first, again, other = (mixing_map(block, x, before=form, after=form, probes=2, seed=s).squared for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    # The two pictures have signs of their own: the same picture twice is estimated twice.
    twice = mixing_map(block, x[:1].repeat(2, 1, 1), before=form, after=form, probes=1).squared
    assert not torch.allclose(twice[0], twice[1])


def test_shares_are_rows_and_a_query_that_depends_on_nothing_has_none():
    squared = torch.tensor([[[1.0, 9.0], [0.0, 0.0]]])
    found = MixingMap("", squared, 0 * squared, (1, 2), (1, 2))
    assert found.shares[0, 0].tolist() == [0.25, 0.75]
    assert found.shares[0, 1].isnan().all()
    assert found.attention().weights.shape == (1, 1, 1, 2, 2)
    with pytest.raises(Refused, match="errors do not add up"):
        MixingMap("", squared, squared, (1, 2), (1, 2), probes=4).coarser(1)


def test_a_model_is_read_block_by_block_and_left_as_it_was():
    model, images = vit.tiny()
    model.train().requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    given = images.clone()
    with torch.inference_mode():
        maps = mixing_maps(model, images, probes=2)
        named = mixing_maps(model, images, layers=[model.blocks[1], "blocks.0.attn"], probes=2)
    assert [one.name for one in maps] == ["blocks.0", "blocks.1"]
    assert [one.name for one in named] == ["blocks.1", "blocks.0.attn"]
    torch.testing.assert_close(named[0].squared, maps[1].squared)
    assert maps[0].squared.shape == (2, 6, 6)
    assert (maps[0].grid, maps[0].squared.requires_grad, maps[0].squared.is_inference()) == ((3, 2), False, False)
    assert all(part.training for part in model.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(images, given)


def test_after_an_error_nothing_stays_behind():
    model, images = vit.tiny()
    model.train()

    def break_down(*_):
        raise ArithmeticError("broken on purpose")

    hook = model.blocks[1].mlp.register_forward_pre_hook(break_down)
    with pytest.raises(ArithmeticError):
        mixing_maps(model, images)
    hook.remove()
    assert all(part.training for part in model.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert torch.is_grad_enabled()


def test_a_model_whose_weights_take_gradients_gets_none():
    model, images = resnet.tiny()
    mixing_maps(model, images, probes=1)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"probes": -1}, "probes >= 0"),
        ({"side": 0}, "side >= 1"),
        ({"layers": ["stages.1.0"], "identity": False}, "no identity in it to leave out"),
        ({"layers": ["stem.0"], "images": torch.zeros(0, 3, 19, 26)}, "none of them 0"),
    ],
)
def test_what_cannot_be_done_is_said(how, says):
    model, images = resnet.tiny()
    with pytest.raises(Refused, match=says):
        mixing_maps(model, how.pop("images", images), **how)


def test_a_layer_that_is_not_there_and_one_that_mixes_no_tokens():
    model, images = vit.tiny()
    with pytest.raises(Unreadable, match="did you mean blocks"):
        mixing_maps(model, images, layers=["blocks.7"])
    with pytest.raises(Refused, match="does not depend on its input"):
        mixing_map(
            lambda x: torch.ones_like(x),
            torch.ones(1, 6, 8),
            before=Form("b n c", (3, 2), 8),
            after=Form("b n c", (3, 2), 8),
        )
    with pytest.raises(Refused, match="expected Form"):
        mixing_map(
            lambda x: x[:, :4], torch.ones(1, 6, 8), before=Form("b n c", (3, 2), 8), after=Form("b n c", (3, 2), 8)
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["swin_tiny_patch4_window7_224", "convnext_atto", "mambaout_femto", "tf_efficientnet_lite0"]
)
def test_foreign_blocks_are_read_without_a_line_about_them(name):
    import timm

    model = timm.create_model(name).eval()
    maps = mixing_maps(model, torch.randn(1, 3, 224, 224), layers=None, probes=1, side=4)
    assert len(maps) > 10
    for one in maps:
        assert one.squared.isfinite().all()
        # A block listens to its own place (a stage that halves the grid: to what lies there), in one way or another.
        assert one.shares.sum(dim=-1).allclose(torch.ones(()))
