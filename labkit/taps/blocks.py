"""Find the blocks of any model by what they hand on, not by what they are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from labkit.taps.watch import Watch

LISTS = (nn.Sequential, nn.ModuleList)


class Blocks:
    """Watches the items of every Sequential and ModuleList, and tells the blocks among them after the pass.

    A block is an item with parts of its own. A *stage* is one too, but it returns the very tensor that its last block
    returned, so it says nothing new and is left out; so are items inside a block. A model without lists has its
    repeated parts read instead (RegNet), and one without those its convolutions (VGG, a bare Sequential).
    """

    def __init__(self, model: nn.Module, watch: Watch) -> None:
        self._outputs: dict[str, tuple[Tensor, list[tuple[int, int]]]] = {}
        chosen = _items(model, lambda owner, _: isinstance(owner, LISTS)) or _items(model, _repeated)
        if not chosen:
            chosen = {name: part for name, part in model.named_modules() if isinstance(part, nn.Conv2d)}
        for name, part in chosen.items():
            watch.on(part, after=lambda output, sides, name=name: self._note(name, output, sides))

    def results(self) -> list[tuple[str, Tensor, list[tuple[int, int]]]]:
        """(name, output, sides of the maps met before) of each block, in the order in which they finished."""
        names = list(self._outputs)
        inner = {name: [other for other in names if other.startswith(f"{name}.")] for name in names}
        stages = {
            name for name in names if any(self._outputs[other][0] is self._outputs[name][0] for other in inner[name])
        }
        blocks = [name for name in names if name not in stages]
        nested = {other for name in blocks for other in inner[name]}
        return [(name, *self._outputs[name]) for name in blocks if name not in nested]

    def _note(self, name: str, output: Any, sides: list[tuple[int, int]]) -> None:
        if isinstance(output, tuple) and output:
            output = output[0]
        if isinstance(output, Tensor) and output.ndim in (3, 4):
            self._outputs[name] = (output, sides)


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
