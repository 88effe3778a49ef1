"""The mix-shift mixer by loops over cells, the set of cells it sees, and that shifts cost no weights."""

from __future__ import annotations

import pytest
import torch

from labkit.models.backbones.ms_mlp import KERNELS, SHIFTS, MixShift, MixShiftBlock
from labkit.probes.mixing import mixing_map
from labkit.taps import Form


def test_the_mixer_is_its_equation_cell_by_cell():
    shifts, kernels, widths = (-1, 0, 2), (1, 3, 3), (2, 2, 1)  # five channels in three groups: the last is smaller
    mixer = MixShift(5, shifts=shifts, kernels=kernels).double()
    h, w = 4, 6
    x = torch.randn(2, h, w, 5, dtype=torch.float64)
    y, first = torch.zeros_like(x), 0
    with torch.no_grad():
        for group, (shift, kernel, width) in enumerate(zip(shifts, kernels, widths, strict=True)):
            for convs, step in ((mixer.along_rows, (0, shift)), (mixer.along_columns, (shift, 0))):
                conv = convs[group]
                for c in range(width):
                    y[..., first + c] += conv.bias[c]
                    for row in range(h):
                        for column in range(w):
                            for i in range(kernel):
                                for j in range(kernel):
                                    r, s = row + i - kernel // 2, column + j - kernel // 2
                                    if 0 <= r < h and 0 <= s < w:  # zeros outside, but the shift goes round
                                        seen = x[:, (r - step[0]) % h, (s - step[1]) % w, first + c]
                                        y[:, row, column, first + c] += conv.weight[c, 0, i, j] * seen
            first += width
        torch.testing.assert_close(mixer(x), y)


def sees(shifts: tuple[int, ...], *, side: int = 15) -> torch.Tensor:
    """Which cells the middle one of a block depends on."""
    x, form = torch.randn(1, side, side, 10), Form("b h w c", (side, side), 10)
    block = MixShiftBlock(10, mixer=MixShift(10, shifts=shifts), scale=1.0)
    return (mixing_map(block, x, before=form, after=form, probes=1).norms[0, side * side // 2] > 0).view(side, side)


def test_it_sees_the_union_of_the_shifted_squares_and_no_other_cell():
    wanted = torch.zeros(15, 15, dtype=torch.bool)
    wanted[7, 7] = True  # the residual
    for shift, kernel in zip(SHIFTS, KERNELS[0], strict=True):
        for row, column in ((7, 7 - shift), (7 - shift, 7)):
            reach = kernel // 2
            wanted[row - reach : row + reach + 1, column - reach : column + reach + 1] = True
    assert torch.equal(sees(SHIFTS), wanted)
    assert sees((0,) * 5).sum() == 49, "without shifts the largest kernel is all"


def test_shifts_cost_no_weights():
    # dim = 10, two channels a group, two directions: 2 · 2 · Σ (k² + 1).
    still, moved = MixShift(10, shifts=(0,) * 5), MixShift(10)
    counts = [sum(p.numel() for p in one.parameters()) for one in (still, moved)]
    assert counts == [4 * (1 + 1 + 9 + 25 + 49 + 5)] * 2


def test_a_turn_round_the_whole_grid_is_no_shift():
    mixer = MixShift(5, shifts=(6,) * 5, kernels=(3,) * 5)
    still = MixShift(5, shifts=(0,) * 5, kernels=(3,) * 5)
    still.load_state_dict(mixer.state_dict())
    x = torch.randn(1, 6, 6, 5)
    torch.testing.assert_close(mixer(x), still(x))


def test_a_block_whose_scale_is_nothing_hands_its_input_on():
    x = torch.randn(1, 4, 5, 10)
    assert torch.equal(MixShiftBlock(10, mixer=MixShift(10), scale=0.0)(x), x)


def test_what_it_cannot_be_is_refused():
    with pytest.raises(ValueError, match="expected one odd kernel a shift"):
        MixShift(10, kernels=(1, 2, 3, 5, 7))
    with pytest.raises(ValueError, match="expected one odd kernel a shift"):
        MixShift(10, shifts=(1, 2))
    with pytest.raises(ValueError, match=r"dim=3.*widen"):
        MixShift(3)
