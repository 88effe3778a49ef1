"""Read named values out of one forward pass of any model, and leave nothing on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from labkit.taps.blocks import Blocks
from labkit.taps.errors import nothing_found, refuse_wrapped
from labkit.taps.explicit import ExplicitAttention
from labkit.taps.shapes import as_map, as_tokens
from labkit.taps.tap import AXES
from labkit.taps.watch import Watch


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
        if axes == "b heads q k":
            with attention_of(watch, lambda name, attn: keep(found, name, attn)):
                yield found
        elif taps := watch.taps(axes):
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
