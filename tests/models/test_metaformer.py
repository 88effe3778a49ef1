"""PoolFormer: its mixer by loops and by hand, its trunk against timm's, its head as the paper has it."""

from __future__ import annotations

import pytest
import timm
import torch
from torch.nn import functional as F

from labkit.models.backbones.metaformer import Pooling, map_norm, metaformer
from labkit.models.mixers.plain import NoMixing
from labkit.probes.filters import kernel_response
from labkit.probes.mixing import EXACT, mixing_map
from labkit.taps import Form


def by_loops(x: torch.Tensor, pool: int) -> torch.Tensor:
    """The mean over those cells of the square that are on the map, less the cell."""
    out, reach = torch.empty_like(x), pool // 2
    _, h, w, _ = x.shape
    for row in range(h):
        for column in range(w):
            rows = slice(max(0, row - reach), row + reach + 1)
            columns = slice(max(0, column - reach), column + reach + 1)
            out[:, row, column] = x[:, rows, columns].mean(dim=(1, 2)) - x[:, row, column]
    return out


@pytest.mark.parametrize("pool", [3, 5])
def test_pooling_is_a_mean_less_oneself(pool):
    x = torch.randn(2, 5, 7, 3, dtype=torch.float64)
    torch.testing.assert_close(Pooling(pool=pool)(x), by_loops(x, pool))


def test_one_number_by_hand():
    x = torch.zeros(1, 3, 3, 1)
    x[0, 0, 0, 0] = 12
    found = Pooling()(x)[0, :, :, 0]
    assert found[0, 0] == 12 / 4 - 12, "a corner has four cells around it"
    assert found[0, 1] == 12 / 6
    assert found[1, 1] == pytest.approx(12 / 9)
    assert found[2, 2] == 0


def test_nothing_is_mixed_on_a_constant_map_and_a_square_has_a_middle():
    assert Pooling(pool=5)(torch.full((1, 4, 6, 2), 3.0)).abs().max() < 1e-6
    with pytest.raises(ValueError, match=r"Pooling\(pool=4\).*try 5"):
        Pooling(pool=4)


def test_the_mean_lets_the_mean_through_and_a_ninth_of_the_checkerboard():
    gain = kernel_response(torch.full((1, 1, 3, 3), 1 / 9), (6, 6)).gain[0]
    assert gain[0, 0] == pytest.approx(1)
    assert gain[3, 3] == pytest.approx(1 / 9)


def test_its_mixing_map_is_its_matrix():
    form = Form("b h w c", (4, 5), 2)
    found = mixing_map(Pooling(), torch.randn(1, 4, 5, 2), before=form, after=form, probes=EXACT)
    row = found.norms[0, 0].view(4, 5) / 2**0.5  # two channels, alike
    torch.testing.assert_close(row[:2, :2], torch.tensor([[0.75, 0.25], [0.25, 0.25]]))
    assert row[2:].abs().max() == row[:, 2:].abs().max() == 0


def test_the_norm_is_over_the_whole_map_of_a_picture():
    x = torch.randn(2, 3, 4, 6) * torch.tensor([1.0, 7.0]).view(2, 1, 1, 1) + 5
    found = map_norm(6)(x)
    torch.testing.assert_close(found.mean(dim=(1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.var(dim=(1, 2, 3), unbiased=False), torch.ones(2), atol=1e-4, rtol=0)


def test_the_trunk_equals_timms_after_copying_its_weights():
    shape = {"depths": (1, 2, 1, 1), "dims": (8, 12, 16, 20)}
    theirs = timm.models.MetaFormer(
        **shape,
        num_classes=7,
        downsample_norm=None,
        token_mixers=timm.models.metaformer.Pooling,
        mlp_act=torch.nn.GELU,
        mlp_bias=True,
        norm_layers=timm.models.metaformer.GroupNorm1,
        layer_scale_init_values=0.5,
        res_scale_init_values=None,
        use_mlp_head=False,
    ).eval()
    ours = metaformer(**shape, classes=7).eval()
    weights = [value for name, value in theirs.state_dict().items()]
    names = list(ours.state_dict())
    shapes = {name: value.shape for name, value in ours.state_dict().items()}
    ours.load_state_dict({n: v.reshape(shapes[n]) for n, v in zip(names, weights, strict=True)})
    for block in ours.modules():
        if hasattr(block, "scale1"):
            assert block.scale1.factor[0] == 0.5
    x = torch.randn(2, 3, 67, 45)
    trunk = ours.stages(ours.stem(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
    torch.testing.assert_close(trunk, theirs.forward_features(x), atol=1e-5, rtol=1e-4)
    # The head: the norm of the map, then its mean; timm takes the mean first.
    normed = F.group_norm(trunk, 1, ours.head.norm.part.weight, ours.head.norm.part.bias)
    torch.testing.assert_close(ours(x), ours.head.fc(normed.mean(dim=(2, 3))), atol=1e-5, rtol=1e-4)


def test_the_mixer_is_a_part_and_pooling_has_nothing_to_learn():
    pooled, bare = (
        metaformer(dims=(8,), depths=(2,), mixer=lambda stage, dim, mixer=mixer: mixer(), classes=3)
        for mixer in (Pooling, NoMixing)
    )
    count = [sum(p.numel() for p in model.parameters()) for model in (pooled, bare)]
    assert count[0] == count[1]
