"""Closed forms against the Jacobian of the layers they speak of, and against numbers made by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from labkit.models.backbones import vit
from labkit.probes import mixing_closed as closed
from labkit.probes.inputs import Refused
from labkit.probes.mixing import EXACT, MixingMap, mixing_map
from labkit.taps import Form

GRID = (5, 7)


def exactly(
    layer, channels: int, *, after: tuple[int, int] = GRID, c_out: int | None = None, axes="b c h w"
) -> MixingMap:
    before = Form(axes, GRID, channels)
    x = torch.randn(1, channels, *GRID) if axes == "b c h w" else torch.randn(1, GRID[0] * GRID[1], channels)
    return mixing_map(layer, x.double(), before=before, after=Form(axes, after, c_out or channels), probes=EXACT)


@pytest.mark.parametrize(
    "how",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": 1, "groups": 4},
        {"kernel_size": (3, 5), "padding": (1, 0), "dilation": (2, 1), "groups": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1, "bias": False},
        {"kernel_size": (2, 3), "stride": (1, 2), "padding": (0, 1)},
        {"kernel_size": (4, 3), "padding": "same"},
        {"kernel_size": 1},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_a_convolution_is_the_norms_of_its_kernel_cut_at_the_border(how):
    conv = nn.Conv2d(4, 8, **how).double()
    found = closed.of_convolution(conv, GRID)
    expected = exactly(conv, 4, after=found.grid, c_out=8)
    torch.testing.assert_close(found.squared, expected.squared)
    assert (found.key_grid, found.probes) == (GRID, 0)


def test_a_kernel_by_hand():
    conv = nn.Conv2d(1, 2, (1, 3), padding=(0, 1), bias=False)
    conv.weight.data = torch.tensor([[[[3.0, 0.0, 5.0]]], [[[4.0, 2.0, 12.0]]]])
    # Offsets -1, 0, 1 have the norms 5, 2, 13; the first column has no left neighbour.
    assert closed.of_convolution(conv, (1, 3)).norms[0].tolist() == [[2, 13, 0], [5, 2, 13], [0, 5, 2]]
    with pytest.raises(Refused, match="only zeros"):
        closed.of_convolution(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), (5, 5))


@pytest.mark.parametrize(
    "layer",
    [
        nn.AvgPool2d(3, stride=1, padding=1),
        nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
        nn.AvgPool2d(2),
        nn.Identity(),
        nn.Upsample(scale_factor=2, mode="bilinear"),
    ],
    ids=str,
)
def test_a_layer_that_treats_every_channel_alike(layer):
    found = closed.of_channelwise(layer, GRID, channels=3)
    expected = exactly(layer, 3, after=found.grid)
    torch.testing.assert_close(found.squared.double(), expected.squared)


def test_poolformers_mixer_by_hand():
    # Average minus itself: (1/9 - 1) at the place of the query, 1/9 around it; √4 for four channels.
    pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)

    class Mixer(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return pool(x) - x

    centre = closed.of_channelwise(Mixer(), GRID, channels=4).norms[0, 17].view(GRID)
    assert centre[2, 3].item() == pytest.approx(2 * 8 / 9, abs=1e-6)
    assert centre[1, 2].item() == pytest.approx(2 / 9, abs=1e-6)
    assert centre[0].abs().max() == 0


def test_a_linear_over_tokens_is_its_own_mixing_matrix():
    linear = nn.Linear(35, 12).double()
    found = closed.of_matrix(linear.weight, channels=3, grid=(3, 4), key_grid=GRID)
    torch.testing.assert_close(found.norms[0], 3**0.5 * linear.weight.abs())

    def mix(x: Tensor) -> Tensor:
        return linear(x.mT).mT

    torch.testing.assert_close(found.squared, exactly(mix, 3, after=(3, 4), axes="b n c").squared)


@pytest.mark.parametrize("norm", ["ortho", "backward"])
def test_a_global_filter_is_a_circular_convolution(norm):
    h, w = GRID
    weight = torch.randn(h, w // 2 + 1, 3, dtype=torch.complex128)

    def gfnet(x: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(x, norm=norm) * weight.movedim(-1, 0), s=GRID, norm=norm)

    found = closed.of_global_filter(weight, GRID)
    torch.testing.assert_close(found.squared, exactly(gfnet, 3).squared)
    with pytest.raises(Refused, match="needs 5 x 4 x c"):
        closed.of_global_filter(weight[:, :3], GRID)


def test_attention_held_fixed_is_the_norm_of_what_each_head_carries():
    heads, d, c, c_out, n = 3, 4, 8, 6, 35
    attn = torch.randn(2, heads, n, n).double().softmax(-1)
    value, out = torch.randn(heads, d, c).double(), torch.randn(heads, c_out, d).double()
    found = closed.of_attention(attn, value, out, grid=GRID)
    whole = torch.einsum("bhqk,hod,hdc->bqkoc", attn, out, value)  # every block of the Jacobian
    torch.testing.assert_close(found.squared, whole.square().sum(dim=(3, 4)))

    def attend(x: Tensor) -> Tensor:
        return torch.einsum("hqk,hod,hdc,bkc->bqo", attn[1], out, value, x)

    torch.testing.assert_close(found.squared[1:], exactly(attend, c, c_out=c_out, axes="b n c").squared)
    # One head gives back its own rows.
    one = closed.of_attention(attn[:, 1:2], value[1:2], out[1:2], grid=GRID)
    torch.testing.assert_close(one.shares, attn[:, 1])


def test_an_estimate_of_a_closed_form_lies_within_its_error_bars():
    conv = nn.Conv2d(4, 8, 3, padding=1).double()
    form = {"before": Form("b c h w", GRID, 4), "after": Form("b c h w", GRID, 8)}
    guess = mixing_map(conv, torch.zeros(1, 4, *GRID).double(), probes=256, **form)
    expected = closed.of_convolution(conv, GRID).squared
    reached = expected > 0
    assert not guess.squared[~reached].any()  # what is not reached is 0 in every probe
    z = ((guess.squared - expected) / guess.error)[reached]
    assert z.std().item() == pytest.approx(1, abs=0.15)
    assert z.abs().max() < 4.5


def test_our_own_attention_matches_its_closed_form_when_held():
    from labkit.probes.mixing_held import attention_parts
    from labkit.taps import reading

    torch.manual_seed(2)
    model, images = (
        vit.ViT(dim=8, depth=2, heads=2, classes=5, image=16, patch=4).double().eval(),
        torch.randn(2, 3, 12, 8),
    )
    images = images.double()
    for parameter in model.parameters():  # larger weights: the attention is far from even
        parameter.data.normal_(std=0.5)
    parts = attention_parts(model, images, "blocks.1.attn", probes=EXACT)
    with torch.no_grad(), reading(model, "b heads q k") as read:
        model(images)
    part = model.blocks[1].attn
    value = part.qkv.weight.detach()[16:].view(2, 4, 8)
    out = part.proj.weight.detach().view(8, 2, 4).transpose(0, 1)
    found = closed.of_attention(read["blocks.1.attn"][:, :, 1:, 1:], value, out, grid=(3, 2))
    torch.testing.assert_close(parts.held.squared, found.squared)
    assert not torch.allclose(parts.live.squared, found.squared, rtol=0.1)
