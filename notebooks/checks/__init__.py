"""The check cells, one file a lesson: each compares your function with labkit's own and says what is likely wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape

import torch
from torch import Tensor


@dataclass(frozen=True)
class Verdict:
    """What a check found; a notebook shows it in colour."""

    right: bool
    text: str

    def _repr_html_(self) -> str:
        colour = "var(--jp-success-color1, #0a8262)" if self.right else "var(--jp-warn-color1, #c2500a)"
        word = "Right." if self.right else "Not yet."
        return (
            f'<div role="status" style="border-left: 4px solid {colour}; padding: 2px 12px; margin: 4px 0">'
            f"<b>{word}</b> {escape(self.text)}</div>"
        )


def compare(
    answer: Callable[[], object], expected: Tensor, mistakes: Mapping[str, Tensor], *, praise: str, otherwise: str
) -> Verdict:
    """Whether `answer()` gives the tensor `expected`.

    mistakes    what to say -> what comes out of it: a mistake that many make, made
    praise      said when it is right; `otherwise` when it is wrong in a way nobody foresaw
    """
    try:
        got = answer()
    except Exception as error:
        # Whatever a learner's code raises is news for the learner, not the end of the notebook.
        if "NoneType" in str(error):
            return Verdict(False, "Your function returns nothing so far: replace the … by your lines.")
        return Verdict(False, f"Your function raised {type(error).__name__}: {error}")
    if got is None or got is Ellipsis:
        return Verdict(False, "Your function returns nothing so far: replace the … by your lines.")
    if not isinstance(got, Tensor):
        return Verdict(False, f"Expected a tensor, got {type(got).__name__}.")
    if _same(got, expected):
        return Verdict(True, praise)
    for text, mistaken in mistakes.items():
        if _same(got, mistaken):
            return Verdict(False, text)
    if got.shape != expected.shape:
        return Verdict(False, f"Expected the shape {tuple(expected.shape)}, got {tuple(got.shape)}. {otherwise}")
    if not torch.isfinite(got).all():
        return Verdict(False, f"There is NaN or infinity in your answer. {otherwise}")
    return Verdict(False, otherwise)


def _same(got: Tensor, expected: Tensor) -> bool:
    return got.shape == expected.shape and torch.allclose(got.double(), expected.double(), atol=1e-5)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers of a shape, the same every time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
