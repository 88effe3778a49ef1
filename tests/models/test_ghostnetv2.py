"""The gate as one Kronecker matrix, its field, the ghost module by hand, and the whole model against timm's."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from labkit.models.backbones.ghostnetv2 import DfcGate, Ghost, GhostBlock, divisible, ghostnetv2
from labkit.models.layers import ConvBn


def band(taps: torch.Tensor, n: int) -> torch.Tensor:
    """The matrix `n n` of a zero-padded convolution along one axis."""
    half = len(taps) // 2
    rows = [[taps[j - i + half] if abs(j - i) <= half else taps.new_zeros(()) for j in range(n)] for i in range(n)]
    return torch.stack([torch.stack(row) for row in rows])


@pytest.mark.parametrize("taps", [5, 11])
def test_row_and_column_are_one_kronecker_matrix(taps):
    """And with 2 w - 1 taps no cell of the row is left out: 11 for the six columns."""
    h, w = 4, 6
    gate = DfcGate(2, 3, taps=taps, half=False).double().eval()
    row, column = gate.row[0], gate.column[0]
    x = torch.randn(1, 3, h, w, dtype=torch.float64)
    with torch.no_grad():
        y = column(row(x))[0]
        for c in range(3):
            across, down = band(row.weight[c, 0, 0], w), band(column.weight[c, 0, :, 0], h)
            whole = torch.kron(down, across)
            torch.testing.assert_close(y[c].flatten(), whole @ x[0, c].flatten(), atol=1e-12, rtol=0)
            assert (across != 0).all() == (taps == 11)


def field(part: nn.Module, side: int = 24) -> tuple[int, int]:
    """Rows and columns of the input that the middle of the output depends on."""
    x = torch.randn(1, 4, side, side, dtype=torch.float64, requires_grad=True)
    (moved,) = torch.autograd.grad(part.double().eval()(x)[0, :, side // 2, side // 2].sum(), x)
    seen = moved[0].abs().sum(dim=0) > 0
    return seen.any(dim=1).sum().item(), seen.any(dim=0).sum().item()


def test_the_gate_widens_the_view_from_3_to_10_cells():
    torch.manual_seed(0)
    assert field(Ghost(4, 8, active=False)) == (3, 3)
    assert field(Ghost(4, 8, active=False, gate=DfcGate(4, 8))) == (10, 10)
    assert field(DfcGate(4, 8, taps=3, half=False)) == (3, 3)


def test_a_ghost_is_its_primary_features_and_their_copies_under_the_gate():
    class Half(nn.Module):
        def forward(self, x):
            return torch.full_like(x[:, :1], 0.5)

    ghost = Ghost(4, 7, gate=Half()).eval()
    x = torch.randn(2, 4, 5, 6)
    with torch.no_grad():
        p = ghost.primary(x)
        assert p.shape[1] == 4, "half of seven, rounded up"
        torch.testing.assert_close(ghost(x), 0.5 * torch.cat([p, ghost.cheap(p)[:, :3]], dim=1))
        assert ghost(x).min() == 0


def test_a_gate_is_a_sigmoid_made_coarse():
    """2 x 2 cells share a gate, the fifth row that of the two above: it was left out of the mean, and is given one."""
    gate = DfcGate(4, 6).eval()
    with torch.no_grad():
        y = gate(torch.randn(1, 4, 5, 8))
        assert y.min() > 0
        assert y.max() < 1
        assert torch.equal(y[..., 0], y[..., 1])
        assert not torch.allclose(y[..., 1], y[..., 2])
        torch.testing.assert_close(y[:, :, 4], y[:, :, 3])


def test_what_it_cannot_be_and_widths_by_hand():
    with pytest.raises(ValueError, match=r"taps=4.*odd"):
        DfcGate(4, 8, taps=4)
    with pytest.raises(ValueError, match=r"map of 1 x 3.*larger picture"):
        DfcGate(4, 8)(torch.randn(1, 4, 1, 3))
    assert [divisible(c) for c in (16 * 1.3, 72 * 0.25, 3, 10.9)] == [20, 20, 4, 12]
    assert len(ConvBn(2, 3)) == 2
    assert isinstance(GhostBlock(8, 16, 8).skip, nn.Identity)


@pytest.mark.parametrize("width", [1.0, 1.3])
def test_it_equals_timms_after_copying_its_weights(width):
    theirs = timm.create_model(f"ghostnetv2_{round(100 * width)}", num_classes=5)
    ours = ghostnetv2(width=width, classes=5).eval()
    with torch.no_grad():
        for one in theirs.modules():
            if isinstance(one, nn.BatchNorm2d):  # else the norms are all alike, and the deep layers nearly silent
                one.weight.uniform_(1, 3)
                one.bias.normal_()
                one.momentum = None  # the statistics become those of what it sees
        theirs.train()(torch.randn(4, 3, 131, 97))
        theirs.eval()
        given, wanted = theirs.state_dict().values(), ours.state_dict()
        ours.load_state_dict({n: v.reshape(wanted[n].shape) for n, v in zip(wanted, given, strict=True)})
        x = torch.randn(2, 3, 131, 97)
        answer = theirs(x)
        assert (answer[0] - answer[1]).abs().max() > 0.1, "it tells pictures apart"
        torch.testing.assert_close(ours(x), answer, atol=1e-4, rtol=1e-4)
