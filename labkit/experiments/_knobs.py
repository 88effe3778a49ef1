"""Knobs: what a visitor may turn, read from the signature of an experiment."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Slider:
    """The range of a number, ends included: `Annotated[float, Slider(0, 1, 0.05), "what it turns"]`."""

    low: float
    high: float
    step: float = 1


@dataclass(frozen=True)
class Knob:
    """One knob: a number in a range, one of a few choices, or yes and no.

    kind      float, int, str or bool
    choices   for a str; `low`, `high` and `step` are those of a number
    says      what it turns, in a few words
    """

    name: str
    kind: type
    default: Any
    says: str = ""
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.name.replace("_", " ")

    @property
    def range(self) -> str:
        """What it can be, in a few characters."""
        if self.kind is bool:
            return "yes|no"
        return "|".join(self.choices) if self.choices else f"{self.low:g}..{self.high:g}"

    def check(self, value: Any) -> Any:
        """The value in the knob's own type. Raises BadKnob with the range, the choices, or the nearest of them."""
        if self.kind is bool:
            if isinstance(value, bool):
                return value
            raise BadKnob(f"{self.name} is yes or no, got {value!r}.")
        if self.kind is str:
            if value in self.choices:
                return value
            near = difflib.get_close_matches(str(value), self.choices, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"it is one of {', '.join(self.choices)}."
            raise BadKnob(f"{self.name} cannot be '{value}'; {hint}")
        number = self._number(value)
        if not self.low <= number <= self.high:
            raise BadKnob(f"{self.name} goes from {self.low:g} to {self.high:g}, got {number:g}.")
        if self.kind is int and (number - self.low) % self.step:
            raise BadKnob(
                f"{self.name} goes from {self.low:g} to {self.high:g} in steps of {self.step:g}, got {number:g}."
            )
        return number

    def _number(self, value: Any) -> float | int:
        what = "a whole number" if self.kind is int else "a number"
        try:
            number = float(value)
            if isinstance(value, bool) or (self.kind is int and not number.is_integer()):
                raise ValueError
        except (TypeError, ValueError):
            raise BadKnob(f"{self.name} is {what} from {self.low:g} to {self.high:g}, got {value!r}.") from None
        return self.kind(number)


class BadKnob(ValueError):
    """A knob that is not there, or a value that it cannot take; the message names the nearest, or the range."""


def knobs_of(experiment: Callable[..., Any]) -> tuple[Knob, ...]:
    """The knobs of an experiment, in the order of its arguments. Raises TypeError for an argument that is no knob."""
    hints = get_type_hints(experiment, include_extras=True)
    parameters = inspect.signature(experiment).parameters.values()
    return tuple(_knob(one, hints.get(one.name)) for one in parameters)


def check(experiment: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """All knobs of the experiment: these values in their own types, the rest at their defaults. Raises BadKnob."""
    there = {knob.name: knob for knob in knobs_of(experiment)}
    for name in values:
        if name not in there:
            raise BadKnob(f"there is no knob '{name}'; {nearest(name, list(there))}")
    return {name: knob.check(values.get(name, knob.default)) for name, knob in there.items()}


def nearest(name: str, there: Sequence[str]) -> str:
    """ "did you mean …?", or the whole choice."""
    near = difflib.get_close_matches(name, there, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(there)}."


def _knob(parameter: inspect.Parameter, hint: Any) -> Knob:
    name, default = parameter.name, parameter.default
    if parameter.kind is not parameter.KEYWORD_ONLY or default is parameter.empty:
        raise TypeError(f"{name} is no knob: knobs are keyword arguments (after the *) with a default.")
    hint, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    says = next((note for note in notes if isinstance(note, str)), "")
    slider = next((note for note in notes if isinstance(note, Slider)), None)
    if get_origin(hint) is Literal:
        return Knob(name, str, default, says, choices=get_args(hint))
    if hint is bool:
        return Knob(name, bool, default, says)
    if hint in (int, float) and slider:
        return Knob(name, hint, default, says, slider.low, slider.high, slider.step)
    raise TypeError(
        f"{name} is no knob: expected Annotated[int or float, Slider(low, high, step)], Literal['a', 'b'] or bool, "
        f"got {hint}."
    )
