"""The masks of RISE: drawn one by one from a seed, painted on the device, and summed as cells instead of pixels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor


class Masks:
    """Grids of coin throws made large and shifted, section 3.2 of the paper: mean `keep` everywhere, 0..1, soft edges.

    A picture of h x w pixels has cells of ceil(h / grid) x ceil(w / grid) pixels. The grid is enlarged (bilinear) to
    grid + 1 cells a side, and h x w pixels of it are cut out at a shift of 0 to one cell less a pixel. The dice are
    thrown on the CPU, so that every device gets the same masks.

    places   entries in a table of sums, one for each shift and cell: (row shift, row, column shift, column)
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        grid: int = 8,
        keep: float = 0.5,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.size, self.grid, self.keep, self.device = size, grid, keep, device
        self.cell = (math.ceil(size[0] / grid), math.ceil(size[1] / grid))
        self.places = self.cell[0] * grid * self.cell[1] * grid
        self._dice = torch.Generator().manual_seed(seed)
        self._rows, self._columns = (self._enlarging(axis) for axis in (0, 1))  # U and V: `shift pixels cells`

    def dice(self) -> UInt8[Tensor, "bytes"]:
        """Where the dice stand: with `set_dice`, the next masks come again."""
        return self._dice.get_state()

    def set_dice(self, dice: UInt8[Tensor, "bytes"]) -> None:
        self._dice.set_state(dice.cpu())

    def draw(self, n: int) -> tuple[Bool[Tensor, "n grid grid"], Int64[Tensor, "n 2"]]:
        """The next n masks: which cells are kept, and the shift (rows, columns) in pixels."""
        # One row of numbers a mask: where a chunk ends does not change what the next mask is.
        thrown = torch.rand(n, self.grid**2 + 2, generator=self._dice).to(self.device)
        cells = (thrown[:, 2:] < self.keep).view(n, self.grid, self.grid)
        return cells, (thrown[:, :2] * torch.tensor(self.cell, device=self.device)).long()

    def paint(self, cells: Bool[Tensor, "n grid grid"], shifts: Int64[Tensor, "n 2"]) -> Float[Tensor, "n h w"]:
        """The masks as pictures: U g Vᵀ."""
        rows, columns = self._rows[shifts[:, 0]], self._columns[shifts[:, 1]]
        return rows @ cells.float() @ columns.mT

    def collected(
        self, cells: Bool[Tensor, "n grid grid"], shifts: Int64[Tensor, "n 2"]
    ) -> tuple[Int64[Tensor, "n grid grid"], tuple[Float[Tensor, "n grid grid"], ...]]:
        """The places of these cells in a table of sums, and what is added there, times the score: five tables.

        The cells themselves, for the mean. For the mean of squares a mask is squared: a pixel is made of two by two
        cells, so its square takes the cells and their products with the next to the right, below, and across.
        """
        at = torch.arange(self.grid, device=self.device)
        row, column = (shifts[:, axis, None] * self.grid + at for axis in (0, 1))
        places = row[:, :, None] * (self.cell[1] * self.grid) + column[:, None, :]
        kept = cells.float()
        below, right = F.pad(kept[:, 1:], (0, 0, 0, 1)), F.pad(kept[:, :, 1:], (0, 1))
        across = kept * F.pad(kept[:, 1:, 1:], (0, 1, 0, 1)) + right * below
        return places, (kept, kept, kept * right, kept * below, across)

    def spread(self, table: Float[Tensor, "b places"]) -> Float[Tensor, "b h w"]:
        """Σ score · mask at every pixel, from the first table."""
        return self._apply(self._flat(self._rows), table, self._flat(self._columns))

    def spread_squares(self, tables: list[Float[Tensor, "b places"]]) -> Float[Tensor, "b h w"]:
        """Σ score² · mask² at every pixel, from the other four."""
        rows, columns = (self._flat(weights**2) for weights in (self._rows, self._columns))
        # What a cell and the next weigh together; the last has no next.
        next_rows, next_columns = (
            self._flat(F.pad(weights[..., :-1] * weights[..., 1:], (0, 1))) for weights in (self._rows, self._columns)
        )
        same, right, below, across = tables
        total = self._apply(rows, same, columns)
        total += 2 * self._apply(rows, right, next_columns)
        total += 2 * self._apply(next_rows, below, columns)
        return total + 2 * self._apply(next_rows, across, next_columns)

    def _enlarging(self, axis: int) -> Float[Tensor, "shift pixels cells"]:
        length, cell = self.size[axis], self.cell[axis]
        whole = F.interpolate(torch.eye(self.grid)[None], size=(self.grid + 1) * cell, mode="linear")[0].T
        pixels = torch.arange(cell)[:, None] + torch.arange(length)
        return whole[pixels].to(self.device)

    @staticmethod
    def _flat(weights: Float[Tensor, "shift pixels cells"]) -> Float[Tensor, "pixels entries"]:
        return weights.permute(1, 0, 2).flatten(1)

    @staticmethod
    def _apply(rows: Tensor, table: Tensor, columns: Tensor) -> Tensor:
        return rows @ table.view(len(table), rows.shape[1], columns.shape[1]) @ columns.T
