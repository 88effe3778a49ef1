"""The part of a network behind one layer, as a function of that layer's output; the rest runs once."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from labkit.taps.errors import Unreadable, refuse_wrapped
from labkit.taps.passes import replacing
from labkit.taps.reading import evaluating
from labkit.taps.values import first


class Tail:
    """What a model does after one of its layers, for given images.

        tail = Tail(model, "layer4", images)             # one pass through the whole model
        logits = tail(tail.value[rows] * mask, rows)     # only what lies behind layer4; `rows` says whose image it is

    value    the layer's output for the images, in its own axes, detached; of a layer that runs twice, the last one
    output   what the model returned for the images
    whole    True when the tail could not be told apart and the whole model runs each time: right, but slow

    How: every module that had finished before the layer did answers with what it returned then, repeated for `rows`,
    so that only the steps behind the layer are computed; skip connections and shared modules come out right. A first
    call with nothing changed is compared with the model's own output. While a call runs, modules of the head answer
    this thread from memory; afterwards the model is as it was.
    """

    def __init__(self, model: nn.Module, name: str, images: Tensor) -> None:
        refuse_wrapped(model)
        self.model, self.name, self.images = model, name, images
        self.whole = self._copies = False
        self._target = model.get_submodule(name)
        around = {model, *(model.get_submodule(name[:at]) for at, sign in enumerate(name) if sign == ".")}
        with torch.inference_mode(False), torch.no_grad(), evaluating(model), _noted(model, around) as events:
            self.output = model(images)
        turns = [turn for turn, (part, _, _) in enumerate(events) if part is self._target]
        if not turns:
            raise Unreadable(f"layer {name!r} ({type(self._target).__name__}) did not run in this pass.")
        _, value, self._run = events[turns[-1]]
        self._beside = value[1:] if isinstance(value, tuple) else None
        self.value = first(value)
        self._turn = len(turns) - 1
        self._answers: dict[nn.Module, list[Any]] = defaultdict(list)
        for part, output, _ in events[: turns[-1]]:
            self._answers[part].append(output)
        self._verify()

    @property
    def rest(self) -> tuple[nn.Module, ...]:
        """The modules that answer from memory: what a call saves."""
        return tuple(self._answers)

    def __call__(self, value: Tensor, rows: Tensor) -> Any:
        """The model's output where the layer gave `value` (n of them, its own axes); `rows` `n`: whose image each is.

        Gradients flow to `value` when they are enabled.
        """
        if len(value) != len(rows):
            raise ValueError(f"Tail: {len(value)} values need as many rows, got {len(rows)}.")
        onward = value.clone()  # the model may work in place on it
        given = onward if self._beside is None else (onward, *self._repeated(self._beside, rows))
        images = self._repeated(self.images, rows)
        with evaluating(self.model), ExitStack() as stack:
            if self.whole:
                turns = count()
                only_last = {self.name: lambda own: given if next(turns) == self._run else own}
                stack.enter_context(replacing(self.model, only_last))
            else:
                stack.enter_context(self._answering(given, rows))
            return self.model(images)

    def _verify(self) -> None:
        """Memory as views, then as copies (where the model works in place on what it remembers), then not at all."""
        for self._copies in (False, True):
            if self._same_again():
                return
        self.whole = True
        self._answers.clear()

    def _same_again(self) -> bool:
        rows = torch.tensor([0, len(self.images) - 1], device=self.value.device)
        with torch.inference_mode(False), torch.no_grad():
            try:
                again = self(self.value[rows], rows)
            except Exception:  # whatever the model says, it does not run from memory
                return False
        if not isinstance(again, Tensor) or again.shape[1:] != self.output.shape[1:]:
            return False
        expected = self.output[rows]
        return torch.allclose(again, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))

    @contextmanager
    def _answering(self, given: Any, rows: Tensor) -> Iterator[None]:
        thread = threading.get_ident()
        turns: dict[nn.Module, int] = defaultdict(int)

        def answer(part: nn.Module, own: Callable, told: list[Any]) -> Callable:
            def forward(*args: Any, **kwargs: Any) -> Any:
                if threading.get_ident() != thread:
                    return own(*args, **kwargs)
                turn = turns[part]
                turns[part] += 1
                if part is self._target and turn == self._turn:
                    return given
                return self._repeated(told[turn], rows) if turn < len(told) else own(*args, **kwargs)

            return forward

        with ExitStack() as undo:
            for part in {*self._answers, self._target}:
                told = self._answers.get(part, [])
                own_attribute = part.__dict__.get("forward")
                part.forward = answer(part, part.forward, told)
                undo.callback(_restore, part, own_attribute)
            yield

    def _repeated(self, value: Any, rows: Tensor) -> Any:
        if isinstance(value, tuple):
            return tuple(self._repeated(one, rows) for one in value)
        if not isinstance(value, Tensor) or value.ndim == 0:
            return value
        b = len(self.images)
        if len(value) == b == 1:
            view = value.expand(len(rows), *value.shape[1:])
            return view.clone() if self._copies else view
        if len(value) % b == 0 and len(value):  # several to an image: windows, folded into the batch
            return value.view(b, -1, *value.shape[1:])[rows].flatten(0, 1)
        return value


def _restore(part: nn.Module, own: Callable | None) -> None:
    if own is None:
        part.__dict__.pop("forward", None)
    else:
        part.forward = own


def _copy(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_copy, value))
    # What follows may work in place on it.
    return value.detach().clone() if isinstance(value, Tensor) else value


@contextmanager
def _noted(model: nn.Module, around: set[nn.Module]) -> Iterator[list[tuple[nn.Module, Any, int]]]:
    """Collect the runs of the modules called by one of `around`, in the order in which they ended.

    Each is (module, output, run): the module's runs are counted from 0, wherever it was called.
    """
    thread = threading.get_ident()
    running: list[nn.Module] = []
    events: list[tuple[nn.Module, Any, int]] = []
    runs: Counter[nn.Module] = Counter()

    def before(module: nn.Module, _args: tuple) -> None:
        if threading.get_ident() == thread:
            running.append(module)

    def after(module: nn.Module, _args: tuple, output: Any) -> None:
        if threading.get_ident() == thread:
            running.pop()
            if running and running[-1] in around and module not in around:
                events.append((module, _copy(output), runs[module]))
            runs[module] += 1

    with ExitStack() as hooks:
        for part in model.modules():
            hooks.callback(part.register_forward_pre_hook(before).remove)
            hooks.callback(part.register_forward_hook(after).remove)
        yield events
