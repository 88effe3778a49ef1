"""Find the blocks of any model by what they hand on, not by what they are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from labkit.taps.shapes import split_tokens
from labkit.taps.values import first
from labkit.taps.watch import Watch

LISTS = (nn.Sequential, nn.ModuleList)


@dataclass(frozen=True)
class _Run:
    """One run of an item: what it was given, what it returned, and the sides of the maps met before it ended."""

    given: Tensor | None
    output: Tensor
    sides: list[tuple[int, int]]


class Blocks:
    """Watches the items of every Sequential and ModuleList, and tells the blocks among them after the pass.

    A block is an item with parts of its own; what lies inside a block is not asked. A *stage* is left out in favour of
    its blocks: it returns the very tensor that its last block returned, or it holds a chain of equal blocks, each given
    what the one before returned (PVT, CAFormer). A model without lists has its repeated parts read instead (RegNet),
    and one without those its convolutions (VGG, a bare Sequential).
    """

    def __init__(self, model: nn.Module, watch: Watch) -> None:
        self._runs: dict[str, _Run] = {}
        self._given: dict[str, Tensor | None] = {}
        chosen = _items(model, lambda owner, _: isinstance(owner, LISTS))
        self._listed = bool(chosen)
        chosen = chosen or _items(model, _repeated)
        if not chosen:
            chosen = {name: part for name, part in model.named_modules() if isinstance(part, nn.Conv2d)}
        self._kinds = {name: type(part) for name, part in chosen.items()}
        for name, part in chosen.items():
            watch.on(
                part,
                before=lambda given, _, name=name: self._given.update({name: given}),
                after=lambda output, sides, name=name: self._note(name, output, sides),
            )

    def results(self) -> list[tuple[str, Tensor, list[tuple[int, int]]]]:
        """(name, output, sides of the maps met before) of each block, in the order in which they finished."""
        names = list(self._runs)
        inner = {name: [other for other in names if other.startswith(f"{name}.")] for name in names}
        stages = {name for name in names if self._is_stage(name, inner[name])}
        blocks = [name for name in names if name not in stages]
        nested = {other for name in blocks for other in inner[name]}
        return [(name, self._runs[name].output, self._runs[name].sides) for name in blocks if name not in nested]

    def _is_stage(self, name: str, inner: list[str]) -> bool:
        if any(self._runs[other].output is self._runs[name].output for other in inner):
            return True
        batch = len(self._runs[name].output)
        return self._listed and any(
            self._chained(one, after) and _placed(self._runs[after], batch) for one, after in pairwise(inner)
        )

    def _chained(self, one: str, after: str) -> bool:
        """Neighbours in one list, of one kind, the second given the very tensor of the first and keeping its shape."""
        before, second = self._runs[one], self._runs[after]
        alike = one.rpartition(".")[0] == after.rpartition(".")[0] and self._kinds[one] is self._kinds[after]
        return alike and second.given is before.output and second.output.shape == before.output.shape

    def _note(self, name: str, output: Any, sides: list[tuple[int, int]]) -> None:
        output = first(output)
        if isinstance(output, Tensor) and output.ndim in (3, 4):
            self._runs[name] = _Run(self._given.get(name), output, sides)


def _placed(run: _Run, batch: int) -> bool:
    """Does this value lie on the picture, not in windows folded into the batch or into an axis of their own?"""
    shape = tuple(run.output.shape)
    if shape[0] != batch:
        return False
    return (
        split_tokens(shape[1], run.sides) is not None
        if len(shape) == 3
        else bool({shape[1:3], shape[2:]} & {*run.sides})
    )


def _items(model: nn.Module, listed: Callable[[nn.Module, nn.Module], bool]) -> dict[str, nn.Module]:
    return {
        f"{name}.{child}" if name else child: part
        for name, owner in model.named_modules()
        for child, part in owner.named_children()
        if listed(owner, part) and not isinstance(part, LISTS) and _has_parts(part)
    }


def _has_parts(part: nn.Module) -> bool:
    """Two inner parts with weights or more: an activation inside a norm does not make a block."""
    return sum(any(True for _ in inner.parameters(recurse=False)) for inner in list(part.modules())[1:]) >= 2


def _repeated(owner: nn.Module, part: nn.Module) -> bool:
    return sum(type(other) is type(part) for other in owner.children()) >= 2
