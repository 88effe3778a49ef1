"""DHVT's three parts one number after the other in float64, what each sees, and that nothing tells a cell its place."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from labkit.models.backbones.dhvt import Affine, Daff, Dhvt, DhvtBlock, HeadTokenAttention, OverlappingPatches, dhvt
from labkit.probes.attention import attention_maps


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def batch_norm(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Of `c h w`, as it stands after training."""
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    return (x - norm.running_mean[:, None, None]) * factor[:, None, None] + norm.bias[:, None, None]


def layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    return (x - x.mean()) / (x.var(correction=0) + norm.eps).sqrt() * norm.weight + norm.bias


def stirred(part: nn.Module) -> nn.Module:
    """In double precision, as after training: no norm, factor or offset is where it starts."""
    part = part.double().eval()
    with torch.no_grad():
        for module in part.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)
            if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm)):
                module.weight.uniform_(0.5, 2)
                module.bias.uniform_(-1, 1)
            if isinstance(module, Affine):
                module.factor.uniform_(0.5, 2)
                module.offset.uniform_(-1, 1)
    return part


def halved(x: Tensor, weight: Tensor) -> Tensor:
    """A 3 x 3 convolution of `c h w` in steps of two, cell by cell, zeros around."""
    _, height, width = x.shape
    y = torch.zeros(len(weight), -(-height // 2), -(-width // 2), dtype=x.dtype)
    for row in range(y.shape[1]):
        for column in range(y.shape[2]):
            for i in range(3):
                for j in range(3):
                    r, c = 2 * row + i - 1, 2 * column + j - 1
                    if 0 <= r < height and 0 <= c < width:
                        y[:, row, column] += weight[:, :, i, j] @ x[:, r, c]
    return y


@torch.no_grad()
def test_overlapping_patches_are_their_equation():
    stem = stirred(OverlappingPatches(6, patch=4))
    x = torch.randn(1, 7, 10, 3, dtype=torch.float64)
    y = (x[0] * stem.before.factor + stem.before.offset).movedim(-1, 0)
    first, norm1, _, second, norm2 = stem.halve.part
    y = gelu(batch_norm(halved(y, first.weight), norm1))
    y = batch_norm(halved(y, second.weight), norm2).movedim(0, -1)
    torch.testing.assert_close(stem(x)[0], y * stem.after.factor + stem.after.offset)


@pytest.mark.parametrize(("patch", "widths", "active"), [(2, [8], 1), (4, [4, 8], 1), (16, [1, 2, 4, 8], 3)])
def test_a_patch_takes_a_halving_for_each_power_of_two(patch, widths, active):
    stem = OverlappingPatches(8, patch=patch)
    assert [part.out_channels for part in stem.modules() if isinstance(part, nn.Conv2d)] == widths
    assert sum(isinstance(part, nn.GELU) for part in stem.modules()) == active
    assert stem(torch.randn(2, 33, 50, 3)).shape == (2, -(-33 // patch), -(-50 // patch), 8)


@pytest.mark.parametrize("patch", [1, 6])
def test_other_patches_are_refused(patch):
    with pytest.raises(ValueError, match=rf"OverlappingPatches\(patch={patch}\): expected a power of two"):
        OverlappingPatches(8, patch=patch)


@torch.no_grad()
def test_head_tokens_are_their_equation():
    heads, d = 3, 4
    part = stirred(HeadTokenAttention(heads * d, heads=heads))
    x = torch.randn(2, 7, heads * d, dtype=torch.float64)
    for sample, found in zip(x, part.head_tokens(x), strict=True):
        for head in range(heads):
            mean = sum(token[head * d : (head + 1) * d] for token in sample) / 7  # the class token counts
            wide = part.widen.weight @ mean + part.widen.bias
            for i in range(heads):
                place = slice(i * d, (i + 1) * d)
                wanted = gelu(layer_norm(wide[place], part.norm)) + part.positions[head, place]
                torch.testing.assert_close(found[head, place], wanted)


@torch.no_grad()
def test_head_tokens_join_the_attention_and_go_into_the_class_token():
    part = stirred(HeadTokenAttention(6, heads=2))
    x = torch.randn(2, 8, 6, dtype=torch.float64)
    for sample, tokens, found in zip(x, part.head_tokens(x), part(x), strict=True):
        row = torch.cat([sample, tokens])  # behind all others, as in the paper
        q, k, v = (row @ part.attention.qkv.weight.T + part.attention.qkv.bias).split(6, dim=1)
        mixed = torch.zeros_like(row)
        for query in range(10):
            for at in (slice(0, 3), slice(3, 6)):
                shares = torch.stack([(q[query, at] * k[key, at]).sum() / math.sqrt(3) for key in range(10)]).exp()
                mixed[query, at] = sum(share * v[key, at] for key, share in enumerate(shares)) / shares.sum()
        y = mixed @ part.attention.proj.weight.T + part.attention.proj.bias
        torch.testing.assert_close(found[0], y[0] + (y[8] + y[9]) / 2)
        torch.testing.assert_close(found[1:], y[1:8])


@torch.no_grad()
def test_daff_is_its_equation():
    part = stirred(Daff(4))
    x = torch.randn(2, 1 + 3 * 5, 4, dtype=torch.float64)
    for sample, found in zip(x, part(x, (3, 5)), strict=True):
        wide, norm, _ = part.expand
        u = torch.stack([wide.weight[..., 0, 0] @ token + wide.bias for token in sample[1:]], dim=1).view(16, 3, 5)
        u = gelu(batch_norm(u, norm))
        near, norm, _ = part.around
        y = near.bias[:, None, None].repeat(1, 3, 5)
        for row in range(3):
            for column in range(5):
                for i in range(max(0, row - 1), min(3, row + 2)):
                    for j in range(max(0, column - 1), min(5, column + 2)):
                        y[:, row, column] += near.weight[:, 0, i - row + 1, j - column + 1] * u[:, i, j]
        u = u + gelu(batch_norm(y, norm))
        narrow, norm = part.narrow
        y = batch_norm((narrow.weight[..., 0, 0] @ u.flatten(1) + narrow.bias[:, None]).view(4, 3, 5), norm)
        squeeze, _, excite = part.excite
        hidden = gelu(squeeze.weight @ y.mean(dim=(1, 2)) + squeeze.bias)
        torch.testing.assert_close(found[0], sample[0] * (excite.weight @ hidden + excite.bias))
        torch.testing.assert_close(found[1:], y.flatten(1).T)


@torch.no_grad()
def test_without_its_convolution_daff_is_an_mlp_and_held_factors_of_one_leave_the_class_token():
    part = stirred(Daff(4))
    nn.init.zeros_(part.around[1].weight)
    nn.init.zeros_(part.around[1].bias)
    part.factors.register_forward_hook(lambda module, args, out: torch.ones_like(out))
    x = torch.randn(1, 7, 4, dtype=torch.float64)
    found = part(x, (2, 3))
    torch.testing.assert_close(found[:, 0], x[:, 0])
    order = torch.tensor([0, 3, 5, 1, 6, 2, 4])
    torch.testing.assert_close(part(x[:, order], (2, 3)), found[:, order])


def test_patches_hear_of_their_neighbours_alone_and_the_class_token_of_all():
    part = stirred(Daff(4))
    jacobian = torch.autograd.functional.jacobian(
        lambda x: part(x, (5, 6))[0], torch.randn(1, 31, 4, dtype=torch.float64)
    )
    heard = jacobian[:, :, 0].abs().amax(dim=(1, 3)) > 0
    assert heard[0].all()
    assert not heard[1:, 0].any(), "the class token passes by the convolutions"
    assert heard[1 + 2 * 6 + 3].sum() == 9


@torch.no_grad()
def test_a_block_adds_what_its_two_parts_make():
    block = stirred(DhvtBlock(6, attention=HeadTokenAttention(6, heads=2), mlp=Daff(6), drop_path=0.3))
    x = torch.randn(2, 7, 6, dtype=torch.float64)
    y = x + block.attention(block.norm1(x))
    torch.testing.assert_close(block(x, (2, 3)), y + block.mlp(block.norm2(y), (2, 3)))


def spread(model: Dhvt, image: Tensor, *, by: tuple[int, int]) -> float:
    """How far the logits move when the picture is rolled by whole patches."""
    return (model(image.roll(by, (2, 3))) - model(image)).abs().max().item()


def around_the_edge(model: Dhvt) -> Dhvt:
    """The same model on a torus: where a convolution leaves the map it comes in again on the other side."""
    for part in model.modules():
        if isinstance(part, nn.Conv2d) and part.padding != (0, 0):
            part.padding_mode = "circular"
    return model


@torch.no_grad()
def test_only_the_edge_tells_a_cell_where_it_lies():
    small, image = {"dim": 8, "depth": 2, "heads": 2, "patch": 4, "classes": 5}, torch.randn(1, 3, 24, 20).double()
    model = stirred(dhvt(**small))
    assert spread(model, image, by=(8, 4)) > 1e-3, "zeros are padded"
    assert spread(around_the_edge(model), image, by=(8, 4)) < 1e-12, "on a torus it knows no place"
    placed = around_the_edge(stirred(dhvt(**small, positions=6)))
    assert spread(placed, image, by=(8, 4)) > 1e-3
    assert not [name for name, _ in model.named_parameters() if name.startswith("positions")]


@torch.no_grad()
def test_without_its_parts_it_is_a_vit():
    model = stirred(dhvt(dim=6, depth=1, heads=2, patch=4, sope=False, head_tokens=False, daff=False, positions=2))
    image = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    patches = nn.functional.conv2d(image, model.stem.proj.part.weight, model.stem.proj.part.bias, stride=4)
    x = patches.flatten(2).mT + model.positions.table.flatten(2).mT
    x = torch.cat([model.cls.expand(2, 1, 6), x], dim=1)
    (block,) = model.blocks
    x = x + block.attention(block.norm1(x))
    x = x + block.mlp.mlp(block.norm2(x))
    torch.testing.assert_close(model(image), model.head(model.norm(x[:, 0])))


def test_who_attends_to_whom_is_seen_with_its_place():
    model = dhvt(dim=12, depth=2, heads=3, patch=4, classes=5)
    for seen in attention_maps(model, torch.randn(2, 3, 24, 20)):
        assert seen.weights.shape == (2, 1, 3, 1 + 3 + 30, 1 + 3 + 30), "class token, head tokens, cells"
        assert (seen.grid, seen.prefix) == ((6, 5), 4)
