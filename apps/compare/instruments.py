"""The rows of the compare room's wall: what each instrument asks of a model, and how its cells are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from apps.compare import readings
from labkit.session import Sitting


@dataclass(frozen=True)
class Instrument:
    """One row of the wall.

    asks    its question, in one sentence; `reads` what is drawn how, and whether the cells of the row can be compared
    room    where to go on; `knobs` those that change what it finds
    read    asks the model (in its turn) and answers; raises ValueError with one sentence where it does not fit
    """

    title: str
    asks: str
    reads: str
    room: str
    read: Callable[[Sitting, nn.Module, readings.Knobs], readings.Found]
    knobs: tuple[str, ...] = ()


_OF_THE_BLOCK = "of the block at the chosen depth"
INSTRUMENTS: dict[str, Instrument] = {
    "explain": Instrument(
        "What decided",
        "Where is what speaks for the model's own first answer?",
        "Brightness is the share of each map's largest value: compare places, not brightness.",
        "explain",
        readings.decided,
        ("method", "seed"),
    ),
    "attention": Instrument(
        "Attention patterns",
        "Does a head look around itself, or do all queries look at the same places?",
        "Layers from left to right, heads down; the same bands of NMI everywhere (made for grids of about 14 × 14).",
        "attention",
        readings.patterns,
    ),
    "similarity": Instrument(
        "Do the tokens become alike?",
        "The cosine of two tokens after each block.",
        "From the first block to the last: the mean, and the band of 5 to 95 % of the pairs. One axis for all.",
        "smoothing",
        readings.likeness,
    ),
    "frequency": Instrument(
        "Which frequencies live here?",
        "The spectrum after each block.",
        "Blocks from left to right; frequency upwards, from the mean to the corner (0.71 cycles per cell of the "
        "model's own grid). One colour scale for the row: ln amplitude, less that of the mean.",
        "frequency",
        readings.frequencies,
    ),
    "field": Instrument(
        "How far does a unit see?",
        f"Which pixels move the middle unit {_OF_THE_BLOCK}?",
        "Brightness is the root of the share of each map's largest gradient. The frames can be compared: "
        "the central square that holds half.",
        "field",
        readings.reach,
        ("depth",),
    ),
    "mixing": Instrument(
        "What is a token made of?",
        f"From which tokens the framed one is made, {_OF_THE_BLOCK}.",
        "One logarithmic scale for the row. A coarse grid has fewer tokens, so each has a larger share.",
        "mixing",
        readings.mixture,
        ("depth", "seed"),
    ),
}
"""The rows that may be chosen; what it costs and what it says stand below them always."""

ALWAYS: dict[str, Instrument] = {
    "cost": Instrument(
        "What does it cost?",
        "One forward pass with the picture at the model's own size.",
        "The time is measured here and now: other work on the machine adds to it.",
        "",
        readings.price,
    ),
    "answer": Instrument(
        "What does it say?",
        "The three likeliest.",
        "Probabilities among the classes that each model knows: 50 are easier to tell apart than 1,000.",
        "",
        readings.answer,
    ),
}
