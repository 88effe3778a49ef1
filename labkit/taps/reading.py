"""Read named values out of one forward pass of any model, and leave nothing on it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from labkit.taps.blocks import Blocks
from labkit.taps.errors import nothing_found, refuse_wrapped
from labkit.taps.explicit import ExplicitAttention
from labkit.taps.shapes import as_map, as_tokens, sides_of
from labkit.taps.tap import AXES, Tap


@contextmanager
def reading(model: nn.Module, axes: str) -> Iterator[dict[str, Tensor]]:
    """Collect every value with these axes while the model runs; the dict is complete when the block ends.

        with reading(model, "b heads q k") as found:
            model(images)

    axes   "b heads q k"  attention after its softmax. Windowed models fold their windows into b, as they met them
           "b n c"        the tokens after each block, prefix tokens first; maps are flattened row by row
           "b c h w"      the map after each block, prefix tokens left out

    Keys are the dotted names of the modules the values come from, in forward order; a second value from the same
    module is called `name#2`. Values are the tensors of the pass itself: in the graph where there is one.

    Our own models show taps; foreign ones are watched: calls of fused attention are answered step by step for this
    thread, while the model keeps its setting. Raises Unreadable when a finished pass showed nothing of the kind.
    """
    if axes not in AXES:
        raise ValueError(f"reading(model, {axes!r}): expected one of {', '.join(map(repr, AXES))}.")
    refuse_wrapped(model)
    found: dict[str, Tensor] = {}
    with Watch(model, leaves=axes != "b heads q k") as watch:
        taps = watch.taps(axes)
        if axes == "b heads q k":
            with attention_of(watch, lambda name, attn: keep(found, name, attn)):
                yield found
        elif taps:
            for name, tap in taps.items():
                watch.on(tap, after=lambda value, _, name=name: keep(found, name, value))
            yield found
        else:
            blocks = Blocks(model, watch)
            yield found
            convert = as_tokens if axes == "b n c" else as_map
            for name, value, sides in blocks.results():
                found[name] = convert(value, sides)
    if not found and watch.passes:
        raise nothing_found(model, axes)


@contextmanager
def attention_of(
    watch: Watch,
    met: Callable[[str, Tensor], None],
    *,
    entered: Callable[[Tensor], None] | None = None,
) -> Iterator[None]:
    """Call `met(name, attention)` for each attention of the passes in this block, by taps where the model has them.

    entered   called with the input of every linear projection on the way
    """
    taps = watch.taps("b heads q k")
    for name, tap in taps.items():
        watch.on(tap, after=lambda attn, _, name=name: met(name, attn))

    def seen(attn: Tensor) -> None:
        if not taps and watch.is_token_mixing(attn):
            met(watch.here, attn)

    with ExplicitAttention(seen, entered=entered):
        yield


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

    def on(self, part: nn.Module, *, after: Callable[[Any, list[tuple[int, int]]], None]) -> None:
        """Call `after(output, sides so far)` whenever `part` has run in this thread."""

        def hook(_module: nn.Module, _args: tuple, output: Any) -> None:
            if threading.get_ident() == self._thread:
                after(output, list(self.sides))

        self._hooks.callback(part.register_forward_hook(hook).remove)

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
            first = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
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


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch the model to eval mode, and every part back to its own mode afterwards, also after an error."""
    training = [part for part in model.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def keep(found: dict[str, Any], name: str, value: Any) -> None:
    """Note a value under its name; a second one of the same name becomes `name#2`."""
    key, turn = name, 1
    while key in found:
        turn += 1
        key = f"{name}#{turn}"
    found[key] = value
