"""Act on one forward pass: hold values and start the graph at them, replace them, remember a call. No trace is left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from labkit.taps.errors import Unreadable, refuse_wrapped
from labkit.taps.reading import evaluating
from labkit.taps.values import first, first_tensor, with_first


@contextmanager
def holding(model: nn.Module, names: Sequence[str], *, graph: bool = False) -> Iterator[dict[str, Tensor]]:
    """Collect the outputs of the modules with these dotted names, in their own axes, in eval mode.

    graph   False: the pass has no graph. True: the graph starts at the first of these modules, whose output becomes its
            leaf: what comes before it costs no memory, weights may be frozen or not, and the call may stand inside
            `inference_mode`. `torch.autograd.grad(score, list(held.values()))` then gives one gradient a layer; no
            `.grad` is written anywhere. In-place operations behind a module do not change what is held.

    A module that returns a tuple has its first value held; of a module that runs twice, the last run counts.
    Nothing but this thread's passes is touched.
    """
    held: dict[str, Tensor] = {}

    def hold(name: str, value: Any) -> Any:
        ours = first(value)
        if not graph:
            held[name] = ours.detach().clone()
            return None
        if not torch.is_grad_enabled():
            torch.set_grad_enabled(True)
            ours = ours.detach().requires_grad_()
        held[name] = ours
        # The rest of the pass goes on with a copy: what works in place on it (a ReLU, `x += y`) leaves ours alone.
        return with_first(value, ours.clone())

    edits = {name: (lambda value, name=name: hold(name, value)) for name in names}
    with torch.inference_mode(False), torch.no_grad(), evaluating(model), _after(model, edits):
        yield held


@contextmanager
def replacing(model: nn.Module, edits: dict[str, Callable[[Any], Any]]) -> Iterator[None]:
    """While this is on, the output of each named module is `edit(output)`; for this thread, in eval mode."""
    with evaluating(model), _after(model, edits):
        yield


@contextmanager
def skipping(model: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """While this is on, each named module hands on what it was given: a lesion. For this thread, in eval mode.

    Raises Unreadable in the pass where a module changes the shape, so that it cannot be left out.
    """
    entered: dict[str, Tensor] = {}

    def skip(name: str, value: Any) -> Any:
        given, made = entered[name], first(value)
        if given.shape != made.shape:
            raise Unreadable(
                f"{name} cannot be left out: it turns {tuple(given.shape)} into {tuple(made.shape)}. "
                "Choose a block that keeps the shape."
            )
        return with_first(value, given)

    thread = threading.get_ident()
    with ExitStack() as hooks:
        for name in names:

            def before(_module: nn.Module, args: tuple, kwargs: dict, name: str = name) -> None:
                if threading.get_ident() == thread:
                    # A copy: what the block does to its input in place must not be handed on.
                    entered[name] = first_tensor(args, kwargs).clone()

            hook = model.get_submodule(name).register_forward_pre_hook(before, with_kwargs=True)
            hooks.callback(hook.remove)
        with replacing(model, {name: (lambda value, name=name: skip(name, value)) for name in names}):
            yield


@dataclass(frozen=True)
class Call:
    """One call of a module as the pass made it: `call(x)` does it again with another first tensor.

    x        the first tensor it was given
    output   what it returned (the first value of a tuple)
    """

    module: nn.Module
    x: Tensor
    output: Tensor
    args: tuple = field(repr=False)
    kwargs: dict[str, Any] = field(repr=False)

    def __call__(self, x: Tensor) -> Tensor:
        """The module's output for `x` in place of its first tensor, everything else as it was in the pass."""
        args, kwargs, put = list(self.args), dict(self.kwargs), False
        for index, value in enumerate(args):
            if isinstance(value, Tensor) and not put:
                args[index], put = x, True
        for key, value in kwargs.items():
            if isinstance(value, Tensor) and not put:
                kwargs[key], put = x, True
        return first(self.module(*args, **kwargs))


def calls(model: nn.Module, names: Sequence[str], images: Tensor) -> dict[str, Call]:
    """One pass without a graph, in eval mode: the call of each named module, to be made again at will.

    A module that did not run is not in the answer; of a module that runs twice, the last run counts.
    """
    refuse_wrapped(model)
    made: dict[str, Call] = {}
    thread = threading.get_ident()
    with ExitStack() as hooks:
        for name in names:
            given: dict[str, tuple[tuple, dict]] = {}

            def before(_module: nn.Module, args: tuple, kwargs: dict, name: str = name, given: dict = given) -> None:
                if threading.get_ident() == thread:
                    given[name] = (tuple(map(_copy, args)), {key: _copy(value) for key, value in kwargs.items()})

            def after(module: nn.Module, _args: tuple, value: Any, name: str = name, given: dict = given) -> None:
                if threading.get_ident() == thread:
                    args, kwargs = given[name]
                    x = first_tensor(args, kwargs)
                    made[name] = Call(module, x, _copy(first(value)), args, kwargs)

            part = model.get_submodule(name)
            hooks.callback(part.register_forward_pre_hook(before, with_kwargs=True).remove)
            hooks.callback(part.register_forward_hook(after).remove)
        with torch.inference_mode(False), torch.no_grad(), evaluating(model):
            model(images)
    return made


def _copy(value: Any) -> Any:
    # Modules may work in place on what they are given or return.
    return value.detach().clone() if isinstance(value, Tensor) else value


@contextmanager
def _after(model: nn.Module, edits: dict[str, Callable[[Any], Any]]) -> Iterator[None]:
    refuse_wrapped(model)
    thread = threading.get_ident()
    with ExitStack() as hooks:
        for name, edit in edits.items():

            def hook(_module: nn.Module, _args: tuple, output: Any, edit: Callable = edit) -> Any:
                return edit(output) if threading.get_ident() == thread else None

            hooks.callback(model.get_submodule(name).register_forward_hook(hook).remove)
        yield
