"""StarReLU by its moments, the mixers by loops, the frame against timm's, and what the grids of chance refuse."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from labkit.models.backbones.metaformer import Pooling
from labkit.models.backbones.metaformer_baselines import (
    MapNorm,
    SepConv,
    StarBlock,
    StarReLU,
    grid_of,
    metaformer_baselines,
    mixer_of,
)
from labkit.models.mixers.plain import NoMixing, RandomMixing, SelfAttention
from labkit.models.scaffold import Scale


def test_star_relu_by_hand_and_by_its_moments():
    star = StarReLU()
    assert star(torch.tensor([-3.0, 0.0, 2.0])).tolist() == [0, 0, 4]
    with torch.no_grad():
        star.scale.fill_(2 / 5**0.5)
        star.offset.fill_(-1 / 5**0.5)
        # A normal value, taken at the middles of 200,000 equal shares of its chance.
        u = torch.special.ndtri((torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000)
        kept = star(u)
    assert kept.mean().item() == pytest.approx(0, abs=1e-5)
    assert kept.var().item() == pytest.approx(1, abs=2e-3)


def test_the_separable_convolution_is_its_equation():
    mixer = SepConv(3).double()
    x = torch.randn(2, 5, 4, 3, dtype=torch.float64)
    with torch.no_grad():
        nn.init.constant_(mixer.act.offset, 0.3)  # padding adds zeros behind the activation, not before it
        wide = (x @ mixer.widen.weight.T).clamp(min=0) ** 2 * mixer.act.scale + 0.3
        kernel = mixer.around.part.weight[:, 0]
        around = torch.zeros_like(wide)
        for row in range(5):
            for column in range(4):
                for i in range(5):
                    for j in range(4):
                        # At most 4 cells apart: of a kernel of 7 only what lies within 3 of the middle.
                        if abs(i - row) <= 3 and abs(j - column) <= 3:
                            around[:, row, column] += wide[:, i, j] * kernel[:, i - row + 3, j - column + 3]
        torch.testing.assert_close(mixer(x), around @ mixer.narrow.weight.T)
    # dim = 64, on one cell: 2 · 64 · 128 for the linear maps and 128 · 49 for the kernel.
    assert sum(p.numel() for p in SepConv(64).parameters()) - 2 == 4 * 64**2 + 98 * 64 == 22_656


def test_the_identity_path_is_scaled_from_the_third_stage_on():
    model = metaformer_baselines(mixers=("conv",) * 4, dims=(4, 4, 4, 4), depths=(1, 1, 1, 1), head_dim=2, classes=3)
    blocks = [block for block in model.modules() if isinstance(block, StarBlock)]
    assert [type(block.keep1) for block in blocks] == [nn.Identity, nn.Identity, Scale, Scale]
    block, x = blocks[3], torch.randn(1, 2, 3, 4)
    with torch.no_grad():
        nn.init.constant_(block.keep1.factor, 0.0)
        nn.init.zeros_(block.mlp.fc2.weight)
        # No identity path is left: what comes out is the mixer alone.
        torch.testing.assert_close(block(x), block.mixer(block.norm1(x)))


def test_the_map_is_normed_as_one():
    norm = MapNorm(5)
    nn.init.constant_(norm.factor, 2.0)
    found = norm(torch.randn(2, 3, 4, 5) * 7 + 1)
    torch.testing.assert_close(found.mean(dim=(1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std(dim=(1, 2, 3), unbiased=False), torch.full((2,), 2.0))


def test_a_matrix_of_chance_is_drawn_once_and_never_learned():
    model = metaformer_baselines(mixers=("identity", "random"), dims=(4, 8), depths=(1, 1), picture=(35, 26), classes=3)
    mixer = model.stages[1][1].mixer
    assert "matrix" in dict(mixer.named_buffers())
    assert list(mixer.parameters()) == []
    torch.testing.assert_close(mixer.matrix.sum(dim=1), torch.ones(len(mixer.matrix)))
    # softmax of numbers in 0..1: in a row, no share is over e times another.
    assert (mixer.matrix.amax(dim=1) / mixer.matrix.amin(dim=1)).max() < 2.7183
    assert model(torch.randn(1, 3, 35, 26)).isfinite().all()
    with pytest.raises(ValueError, match="drawn for a grid of 5 x 3, got 3 x 5"):
        model(torch.randn(1, 3, 26, 35))


@pytest.mark.parametrize("picture", [(224, 224), (35, 26), (31, 33)])
def test_the_grid_of_a_stage_is_told_before_it_is_built(picture):
    model = metaformer_baselines(mixers=("identity",) * 3, dims=(2, 2, 2), depths=(1, 1, 1), classes=2)
    x = model.stem(torch.zeros(1, *picture, 3))
    for stage, part in enumerate(model.stages):
        x = part(x)
        assert grid_of(picture, stage) == tuple(x.shape[1:3])


def test_names_choose_mixers_and_bad_ones_are_refused():
    kinds = {"identity": NoMixing, "random": RandomMixing, "pooling": Pooling, "conv": SepConv}
    kinds["attention"] = SelfAttention
    assert all(isinstance(mixer_of(name, 8, grid=(2, 3), head_dim=4), kind) for name, kind in kinds.items())
    with pytest.raises(ValueError, match="'convolution': expected identity, random, pooling, conv, attention"):
        mixer_of("convolution", 8, grid=(2, 3), head_dim=4)
    with pytest.raises(ValueError, match="each stage has one mixer, one width and one depth"):
        metaformer_baselines(mixers=("conv",))


def test_random_matrices_of_the_published_size():
    with torch.device("meta"):
        model = metaformer_baselines(mixers=("identity", "identity", "random", "random"), depths=(2, 2, 6, 2))
    assert sum(buffer.numel() for buffer in model.buffers()) == 6 * 196**2 + 2 * 49**2 == 235_298


@pytest.mark.parametrize(
    ("mixers", "head"), [("conv conv attention attention", "mlp"), ("pooling pooling pooling pooling", "linear")]
)
def test_it_equals_timms_after_copying_its_weights(mixers, head):
    mixers, shape = mixers.split(), {"depths": (1, 1, 2, 1), "dims": (8, 12, 32, 64)}
    parts = timm.models.metaformer
    their_mixers = {"conv": parts.SepConv, "attention": parts.Attention}
    norms = {"conv": parts.LayerNorm2dNoBias, "attention": parts.LayerNormNoBias, "pooling": parts.GroupNorm1NoBias}
    theirs = timm.models.MetaFormer(
        **shape,
        num_classes=5,
        token_mixers=[their_mixers.get(name, parts.Pooling) for name in mixers],
        norm_layers=[norms[name] for name in mixers],
        use_mlp_head=head == "mlp",
    ).eval()
    ours = metaformer_baselines(**shape, mixers=mixers, head=head, classes=5).eval()
    with torch.no_grad():
        for one in theirs.parameters():
            one.add_(0.1 * torch.randn_like(one))  # else all norms and scales are ones and tell nothing
    given, wanted = list(theirs.state_dict().values()), ours.state_dict()
    ours.load_state_dict({n: v.reshape(wanted[n].shape) for n, v in zip(wanted, given, strict=True)})
    x = torch.randn(2, 3, 67, 45)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-4)
