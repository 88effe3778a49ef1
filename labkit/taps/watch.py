"""Hooks on every module of a model, for one thread and one `with` block: where is the pass, and what has it seen?"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from labkit.taps.shapes import sides_of
from labkit.taps.tap import Tap
from labkit.taps.values import first_tensor


class Watch:
    """Hooks on every module of a model, for this thread and the time of a `with` block: where are we, what was seen?

    here     the dotted name of the module that is running (its owner, for a bare Softmax or Dropout)
    sides    the (h, w) of all maps seen in this pass, latest first
    passes   how many forward passes have ended

    Without `leaves` only parts that have parts are watched: enough to know where we are, and cheaper.
    """

    def __init__(self, model: nn.Module, *, leaves: bool = True) -> None:
        self.parts = list(model.named_modules())
        self.leaves = leaves
        self.passes = 0
        self.sides: list[tuple[int, int]] = []
        self.image: tuple[int, int] | None = None
        self._stack: list[tuple[str, nn.Module, Tensor | None]] = []
        self._thread = threading.get_ident()
        self._hooks = ExitStack()

    def __enter__(self) -> Watch:
        for name, part in self.parts:
            if not self.leaves and name and not part._modules:
                continue
            before = part.register_forward_pre_hook(self._entering(name), with_kwargs=True)
            after = part.register_forward_hook(self._leaving(), always_call=True)
            self._hooks.callback(before.remove)
            self._hooks.callback(after.remove)
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.close()

    def on(
        self,
        part: nn.Module,
        *,
        after: Callable[[Any, list[tuple[int, int]]], None] | None = None,
        before: Callable[[Tensor | None, list[tuple[int, int]]], None] | None = None,
    ) -> None:
        """Call `before(first tensor given, sides so far)` and `after(output, sides so far)` when `part` runs here."""

        def entering(_module: nn.Module, args: tuple, kwargs: dict) -> None:
            if threading.get_ident() == self._thread:
                before(first_tensor(args, kwargs), list(self.sides))

        def leaving(_module: nn.Module, _args: tuple, output: Any) -> None:
            if threading.get_ident() == self._thread:
                after(output, list(self.sides))

        if before:
            self._hooks.callback(part.register_forward_pre_hook(entering, with_kwargs=True).remove)
        if after:
            self._hooks.callback(part.register_forward_hook(leaving).remove)

    def on_every(self, after: Callable[[Any], None]) -> None:
        """Call `after(output)` whenever any module has run in this thread."""
        for _, part in self.parts:
            self.on(part, after=lambda output, _: after(output))

    def taps(self, axes: str) -> dict[str, Tap]:
        """The model's own taps with these axes, by the name of the module that owns each."""
        taps = {name: part for name, part in self.parts if isinstance(part, Tap) and part.axes == axes}
        return {name.rpartition(".")[0] or name: tap for name, tap in taps.items()}

    @property
    def entered(self) -> list[Tensor]:
        """What went into the modules that are running now, innermost first."""
        return [value for _, _, value in reversed(self._stack) if value is not None]

    @property
    def here(self) -> str:
        for name, part, _ in reversed(self._stack):
            if any(part.children()) or len(self._stack) == 1:
                return name
        return self._stack[0][0] if self._stack else ""

    @property
    def innermost(self) -> str:
        """The dotted name of the innermost module that is running; "" outside, and in the model's own lines."""
        return self._stack[-1][0] if self._stack else ""

    def is_token_mixing(self, attn: Tensor) -> bool:
        """False for channel attention (XCiT, DaViT): its map is as large as a head has channels, not as the tokens."""
        if not self._stack:
            return False
        heads, q, k = attn.shape[-3:]
        entered = next((x for _, part, x in reversed(self._stack) if any(part.children()) and x is not None), None)
        _, tokens, channels = entered.shape if entered is not None and entered.ndim == 3 else (0, 0, 0)
        return not (q == k == channels // max(heads, 1) and k != tokens)

    def _entering(self, name: str) -> Callable:
        def hook(module: nn.Module, args: tuple, kwargs: dict) -> None:
            if threading.get_ident() != self._thread:
                return
            first = first_tensor(args, kwargs)
            shape = tuple(first.shape) if first is not None else ()
            if not self._stack:
                self.sides.clear()
                self.image = shape[-2:] if len(shape) == 4 else None
            self._stack.append((name, module, first))

        return hook

    def _leaving(self) -> Callable:
        def hook(_module: nn.Module, _args: tuple, output: Any) -> None:
            if threading.get_ident() != self._thread or not self._stack:
                return
            self._stack.pop()
            self.passes += not self._stack
            if isinstance(output, Tensor) and self.image:
                for side in sides_of(tuple(output.shape), self.image):
                    if side not in self.sides[:1]:
                        self.sides.insert(0, side)

        return hook
