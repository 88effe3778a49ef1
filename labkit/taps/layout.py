"""Where on the picture do an attention map's rows and columns lie? Found by one dry run, for any model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from labkit.taps.errors import Unreadable, nothing_found, refuse_wrapped
from labkit.taps.reading import attention_of, evaluating, keep
from labkit.taps.shapes import MOST_PREFIX_TOKENS, split_tokens
from labkit.taps.values import noise_for
from labkit.taps.watch import Watch

PADDING = -1000


@dataclass(frozen=True)
class Layout:
    """The places of one attention layer's queries and keys.

    grid, key_grid   (h, w) of the queries' and of the keys' grid; they differ where keys are pooled (PVT)
    queries, keys    `windows n`: a cell of that grid, counted row by row; -1 - i for prefix token i (class token
                     first); PADDING for a place outside the picture. A global layer has one window.
    """

    grid: tuple[int, int]
    key_grid: tuple[int, int]
    queries: Int64[Tensor, "windows q"]
    keys: Int64[Tensor, "windows k"]


_known: WeakKeyDictionary[nn.Module, dict[tuple, dict[str, Layout]]] = WeakKeyDictionary()


def layouts(model: nn.Module, size: tuple[int, int]) -> dict[str, Layout]:
    """The layout of every attention layer for pictures of `size` (height, width) in pixels, by module name.

    One picture of seeded noise goes through in eval mode, and is remembered for the model and size. Grid and prefix
    tokens follow from counting tokens against the maps met on the way. Windows are recognised by their tokens: what
    enters a windowed attention is a rearranged copy of a map that was there before, so equal vectors are equal places.

    Raises Unreadable when a layer's tokens fit no grid, naming the layer.
    """
    known = _known.setdefault(model, {})
    if size not in known:
        known[size] = _dry_run(model, size)
    return known[size]


def _dry_run(model: nn.Module, size: tuple[int, int]) -> dict[str, Layout]:
    refuse_wrapped(model)
    noise = noise_for(model, size)
    found: dict[str, Layout] = {}
    recent: deque[Tensor] = deque(maxlen=16)
    projected: deque[Tensor] = deque(maxlen=3)

    def met(name: str, attn: Tensor) -> None:
        layer = f"{name} ({type(model.get_submodule(name)).__name__})"
        sides = [*watch.sides, *(layout.grid for layout in reversed(found.values()))]
        keep(found, name, _place(layer, attn, sides, [*projected, *watch.entered], recent))

    with torch.inference_mode(), evaluating(model), Watch(model) as watch:
        watch.on_every(lambda output: recent.appendleft(output) if isinstance(output, Tensor) else None)
        with attention_of(watch, met, entered=projected.appendleft):
            model(noise)
    if not found:
        raise nothing_found(model, "b heads q k")
    return found


def _place(
    layer: str, attn: Tensor, sides: list[tuple[int, int]], candidates: Iterable[Tensor], recent: Iterable[Tensor]
) -> Layout:
    if attn.ndim != 4:
        raise Unreadable(
            f"{layer} attends with axes {tuple(attn.shape)}, whose places on the picture labkit cannot tell; "
            "reading(model, 'b heads q k') still gives the raw maps."
        )
    windows, _, q, k = attn.shape
    # Recognised tokens come first: a window that was padded could be mistaken for a grid with prefix tokens.
    recognised = _recognise(windows, q, candidates, recent, sides) if q == k else None
    if recognised is not None:
        grid, cells = recognised
        return Layout(grid, grid, cells, cells)
    if windows > 1:
        raise Unreadable(
            f"{layer} attends within {windows} windows of {q} tokens, and where these lie could not be told; "
            "reading(model, 'b heads q k') still gives the raw maps."
        )
    key_split = split_tokens(k, sides)
    if key_split is None:
        raise Unreadable(f"{layer} looks at {k} tokens, which fit none of the grids met before it ({sides[:4]}).")
    key_grid, key_prefix = key_split
    keys = _cells(key_grid, key_prefix)
    thinned = q in [h * w for h, w in _coarser(key_grid)]
    if q <= MOST_PREFIX_TOKENS and q < k // 2 and not thinned:  # class attention: only prefix tokens ask
        return Layout(key_grid, key_grid, -1 - torch.arange(q)[None], keys)
    split = split_tokens(q, [*sides, *_coarser(key_grid)])
    if split is None:
        raise Unreadable(f"{layer} asks with {q} tokens, which fit none of the grids met before it ({sides[:4]}).")
    return Layout(split[0], key_grid, _cells(*split), keys)


def _cells(grid: tuple[int, int], prefix: int) -> Tensor:
    """`1 n`: prefix tokens -1, -2, …, then the cells row by row."""
    return torch.cat([-1 - torch.arange(prefix), torch.arange(grid[0] * grid[1])])[None]


def _coarser(grid: tuple[int, int]) -> list[tuple[int, int]]:
    # Some models (LeViT) thin out the queries inside the attention, where no map shows the new grid.
    return [(-(-grid[0] // step), -(-grid[1] // step)) for step in (2, 4)]


def _recognise(
    windows: int, tokens: int, candidates: Iterable[Tensor], recent: Iterable[Tensor], sides: list[tuple[int, int]]
) -> tuple[tuple[int, int], Tensor] | None:
    """Grid and cells `windows tokens`: the rows that went into the attention, looked up among the maps before it."""
    for entered in candidates:
        rows = entered.flatten(0, -2)
        if len(rows) != windows * tokens:
            continue
        # One random direction tells vectors apart as well as all channels do, and padding is zero in any direction.
        direction = torch.randn(rows.shape[-1], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        codes = _codes(rows, direction)
        for value in recent:
            for grid, source in _as_rows(value, rows.shape[-1], sides):
                cells = _look_up(codes, _codes(source, direction))
                if cells is not None:
                    return grid, _prefix_first(cells.view(windows, tokens))
    return None


def _prefix_first(cells: Tensor) -> Tensor:
    """Zeros in front of all cells are prefix tokens, still untrained; padding would lie behind the rows."""
    known = (cells[0] >= 0).nonzero()
    front = int(known[0]) if len(cells) == 1 and len(known) else 0
    in_order = front and torch.equal(cells[0, front:], torch.arange(cells.shape[1] - front))
    return torch.cat([-1 - torch.arange(front), cells[0, front:]])[None] if in_order else cells


def _as_rows(value: Tensor, channels: int, sides: list[tuple[int, int]]) -> list[tuple[tuple[int, int], Tensor]]:
    """The readings of one module output as a row of tokens with a grid: tokens, a map with channels first, or last."""
    if value.ndim not in (3, 4) or len(value) != 1:
        return []
    if value.ndim == 3:
        split = split_tokens(value.shape[1], sides)
        return [(split[0], value[0, split[1] :])] if split and value.shape[2] == channels else []
    readings = []
    if value.shape[3] == channels:
        readings.append((tuple(value.shape[1:3]), value[0].flatten(0, 1)))
    if value.shape[1] == channels:
        readings.append((tuple(value.shape[2:4]), value[0].flatten(1).T))
    return readings


def _codes(rows: Tensor, direction: Tensor) -> Tensor:
    return rows.to("cpu", torch.float64) @ direction


def _look_up(codes: Tensor, source: Tensor) -> Tensor | None:
    """The index in `source` of each code, PADDING for zeros; None unless every place of the source is found once."""
    order = source.argsort()
    ranked = source[order]
    position = torch.searchsorted(ranked, codes).clamp(max=len(ranked) - 1)
    below = (position - 1).clamp(min=0)
    nearest = torch.where((ranked[below] - codes).abs() < (ranked[position] - codes).abs(), below, position)
    close = (ranked[nearest] - codes).abs() <= 1e-9 * (1 + codes.abs())
    cells = torch.where(close, order[nearest], torch.full_like(nearest, PADDING))
    found = cells[cells != PADDING]
    complete = len(found) == len(source) and len(found.unique()) == len(source)
    return cells if complete and (codes[cells == PADDING] == 0).all() else None
