"""Raft mixing channel by channel in loops, what one and two of its steps see, its weights by hand, and other grids."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from labkit.models.backbones.raftmlp import Patches, Raft, RaftMixing, raftmlp
from labkit.models.mixers.tokens import TokenMlp


def by_loops(part: Raft, x: torch.Tensor, *, down: bool) -> torch.Tensor:
    """`h w c`: a line after the other; channel k of a raft of r is channel k · c / r further on."""
    out, normed = x.clone(), part.norm(x)
    apart = x.shape[2] // part.raft
    for line in range(x.shape[1 if down else 0]):
        for first in range(apart):
            tied = [first + k * apart for k in range(part.raft)]
            cells = normed[:, line] if down else normed[line]
            joined = torch.cat([cells[:, channel] for channel in tied])
            mixed = part.mlp.fc2(F.gelu(part.mlp.fc1(joined))).chunk(part.raft)
            for channel, values in zip(tied, mixed, strict=True):
                (out[:, line] if down else out[line])[:, channel] += values
    return out


@pytest.mark.parametrize("down", [True, False])
@pytest.mark.parametrize("raft", [1, 2, 3])
def test_a_raft_is_its_channels_end_to_end(down, raft):
    part = Raft(6, down=down, length=4 if down else 5, raft=raft).double()
    x = torch.randn(1, 4, 5, 6, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(part(x)[0], by_loops(part, x[0], down=down))


def test_columns_come_first_and_both_have_a_skip():
    mixing = RaftMixing(6, grid=(4, 5), raft=2).double()
    x = torch.randn(2, 4, 5, 6, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(mixing(x), mixing.rows(mixing.columns(x)))
        for part in (mixing.columns, mixing.rows):
            part.mlp.fc2.weight.zero_()
            part.mlp.fc2.bias.zero_()
        assert torch.equal(mixing(x), x)


def test_columns_see_their_column_and_both_see_all():
    mixing = RaftMixing(4, grid=(5, 6), raft=2).double()
    x = torch.randn(1, 5, 6, 4, dtype=torch.float64, requires_grad=True)

    def seen(out: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(out[0, 2, 3].sum(), x)[0][0].abs().sum(dim=-1) > 0

    column = torch.zeros(5, 6, dtype=torch.bool)
    column[:, 3] = True
    assert torch.equal(seen(mixing.columns(x)), column)
    assert seen(mixing(x)).all()


def test_its_weights_by_hand():
    """On 14 x 14 cells: 6,440 numbers for rafts of two, 154,252 for all cells at once."""

    def count(*parts: torch.nn.Module) -> int:
        return sum(p.numel() for part in parts for p in part.parameters())

    mixing = RaftMixing(8, grid=(14, 14), raft=2)
    n = 2 * 14
    assert count(mixing.columns.mlp, mixing.rows.mlp) == 2 * (4 * n**2 + 3 * n) == 6_440
    assert count(TokenMlp(grid=(14, 14), ratio=2)) == 4 * 196**2 + 3 * 196 == 154_252


def test_patches_are_squares_of_all_sizes_around_one_place():
    patches = Patches(2, 3, kernels=(2, 4)).double()
    x = torch.randn(1, 4, 6, 2, dtype=torch.float64)
    padded = F.pad(x, (0, 0, 1, 1, 1, 1))[0]
    with torch.no_grad():
        got = patches(x)[0]
        assert got.shape == (2, 3, 3)
        for i in range(2):
            for j in range(3):
                small = x[0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
                large = padded[2 * i : 2 * i + 4, 2 * j : 2 * j + 4]
                pieces = torch.cat([one.movedim(-1, 0).flatten() for one in (small, large)])
                torch.testing.assert_close(got[i, j], patches.proj(pieces))


def test_another_grid_is_resized_there_and_back():
    mixing = RaftMixing(4, grid=(4, 4), raft=2)
    x = torch.randn(2, 6, 5, 4)

    def to(x: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        return F.interpolate(x.movedim(-1, 1), grid, mode="bicubic", align_corners=False).movedim(1, -1)

    with torch.no_grad():
        wanted = to(mixing.rows(mixing.columns(to(x, (4, 4)))), (6, 5))
        torch.testing.assert_close(mixing(x), wanted)


def test_a_model_takes_pictures_of_other_sizes_and_its_own_unresized(monkeypatch):
    model = raftmlp(dims=(8, 12), depths=(1, 1), kernels=((4, 8), (2,)), pixels=32, classes=5).eval()
    sizes = []
    real = F.interpolate
    monkeypatch.setattr(F, "interpolate", lambda x, **how: sizes.append(how["size"]) or real(x, **how))
    model(torch.randn(1, 3, 32, 32))
    assert sizes == []
    model(torch.randn(1, 3, 35, 26))
    # Up to whole patches; there and back in the first stage; the same in the second.
    assert sizes == [(36, 28), (8, 8), (9, 7), (10, 8), (4, 4), (5, 4)]


def test_rafts_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="dim=8, raft=3"):
        RaftMixing(8, grid=(4, 4), raft=3)
