"""One live experiment a paper: knobs in, a readout out, in seconds on two cores.

    found = experiment_of("metaformer")(mixer="pooling", seed=1)
    found.numbers["accuracy"].value, found.verdict, found.because

An experiment is a function `experiment(*, knobs…) -> Readout` in the module of its paper's name. Its keyword arguments
are the knobs: `knobs_of` reads them; a notebook's panel, an app's panel and the options of `labkit run` follow.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from labkit.experiments._knobs import BadKnob, Knob, Slider, check, knobs_of
from labkit.experiments._readout import Number, Readout, verdict_of

__all__ = [
    "BadKnob",
    "Knob",
    "Number",
    "Readout",
    "Slider",
    "check",
    "experiment_of",
    "knobs_of",
    "run",
    "verdict_of",
]


def experiment_of(name: str) -> Callable[..., Readout]:
    """The experiment of a paper, by the paper's id."""
    return importlib.import_module(f"{__name__}.{name}").experiment


def run(experiment: Callable[..., Readout], knobs: dict[str, Any]) -> Readout:
    """Run an experiment with these knobs, the others at their defaults, and time it. Raises BadKnob first."""
    knobs = check(experiment, knobs)
    start = time.perf_counter()
    found = experiment(**knobs)
    return replace(found, knobs=knobs, seconds=time.perf_counter() - start)
