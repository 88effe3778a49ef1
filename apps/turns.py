"""The turns of a visitor: how a long visit is stopped, and how the next one need not wait until it has ended.

A visit can only be left between two of its steps, so one that was stopped lives on for a while, and the visitor's next
may be at work beside it. Hence each visit carries the number of its turn, as the page counted when it was asked for:
Stop ends the visits of all turns so far, and only the end of the latest turn calms the page. (Gradio's own `cancels`
wait for the step to end, and then end what has been asked for meanwhile as well.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any

from apps.frame import gr

QUIET = {"api_visibility": "private", "show_progress": "hidden"}
"""Of an event that is nobody's business but the page's."""

_BUSY, _CALM = (
    f"document.querySelectorAll('.lk-host').forEach((host) => host.view?.busy({on}))" for on in ("true", "false")
)
_TURN_ENDED = f"(ended, now) => {{ if (ended >= now) {_CALM}; }}"
_NEXT_TURN = f"(now) => {{ {_CALM}; return now + 1; }}"


@dataclass
class Halt:
    """What one visitor has stopped: every visit of a turn before `before`."""

    before: int = 0


class Turns:
    """The turns of the visitors of one page; make it where components may be made."""

    def __init__(self) -> None:
        self.halt = gr.State(Halt())  # one object for all events of a visitor: a visit at work sees it change
        self.now = gr.Number(0, precision=0, visible=False)
        self.ended = gr.Number(-1, precision=0, visible=False)

    def hang(
        self, trigger: Any, take: Callable[..., Iterator[dict]], inputs: list[Any], outputs: list[Any], progress: Any
    ) -> Any:
        """When `trigger` fires, run `take(*inputs)` and show what it yields, until it is stopped.

        The place in the queue is shown on `progress`. Gives the event that follows a visit's end.
        """
        trigger(None, None, None, js=f"() => {_BUSY}")
        event = trigger(
            self.served(take),
            [self.halt, self.now, *inputs],
            [*outputs, self.ended],
            trigger_mode="always_last",
            api_visibility="private",
            show_progress="minimal",
            show_progress_on=progress,
            concurrency_id="visits",
        )
        event.failure(None, None, None, js=f"() => {_CALM}")
        return event.success(None, [self.ended, self.now], None, js=_TURN_ENDED)

    def served(self, take: Callable[..., Iterator[dict]]) -> Callable[..., Iterator[dict]]:
        """`take` as a visit of a turn: it is asked with (halt, turn, *what take is asked with)."""

        @wraps(take)
        def serve(halt: Halt, turn: int, *values: Any) -> Iterator[dict]:
            for shown in take(*values):
                if turn < halt.before:
                    break
                yield shown
            yield {self.ended: turn}

        # Gradio reads from the signature which arguments are the event's own.
        own = signature(take)
        first = [Parameter(name, Parameter.POSITIONAL_ONLY) for name in ("halt", "turn")]
        serve.__signature__ = own.replace(parameters=[*first, *own.parameters.values()])
        return serve

    def stop(self, button: Any, back: Callable[..., dict], inputs: list[Any], outputs: list[Any]) -> None:
        """The button ends every visit of the turns so far; `back(*inputs)` says what stands on the page then."""

        def halted(halt: Halt, now: int, *values: Any) -> dict:
            halt.before = now
            return back(*values)

        # The page counts on before Python hears of it: what is asked for from now on is not stopped.
        counted = button.click(None, self.now, self.now, js=_NEXT_TURN)
        counted.then(halted, [self.halt, self.now, *inputs], outputs, queue=False, **QUIET)
