"""What an experiment answers: numbers with units, figures, and whether the paper's claim held in this run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Verdict = Literal["held", "partly", "not"]


@dataclass(frozen=True)
class Number:
    """A measured value; `unit` is "" for a pure number (a count, a ratio), "0..1" for a share.

    clock   it was read off a clock, so that the same seed does not give it again
    """

    value: float
    unit: str = ""
    clock: bool = False


@dataclass(frozen=True)
class Readout:
    """One run of one experiment.

    numbers   by name, in the order in which they are read
    figures   drawn by labkit.viz, by name
    claim     the paper's; `verdict` says whether it held in this run, `because` why: one sentence with numbers
    knobs     with which it ran, and the `seconds` it took: filled in by `labkit.experiments.run`
    """

    claim: str
    verdict: Verdict
    because: str
    numbers: dict[str, Number]
    figures: dict[str, Figure]
    knobs: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def as_dict(self, id: str) -> dict[str, Any]:
        """What `labkit run --json` prints; a number that is not defined (NaN) is None."""
        return {
            "id": id,
            "knobs": self.knobs,
            "numbers": {
                name: {"value": None if one.value != one.value else one.value, "unit": one.unit}
                for name, one in self.numbers.items()
            },
            "claim": self.claim,
            "verdict": self.verdict,
            "because": self.because,
            "seconds": round(self.seconds, 3),
        }


def verdict_of(*held: bool) -> Verdict:
    """All of a claim's parts held, some of them, or none."""
    return "held" if all(held) else "partly" if any(held) else "not"
