"""What is asked of every edited picture: how much the model still says the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.probes.inputs import Refused, check_call
from labkit.probes.targets import Targets, check_logits, classes, scores
from labkit.taps import evaluating

Unit = Literal["probability", "logit"]


class Question:
    """The probability (or the logit) of k classes, chosen once on the images as they are, or a function's score.

        ask = Question(model, images)                      # None: each image's highest class
        left = ask(images[rows] * masks, rows)             # `n 1`; `rows` says whose edited picture each one is

    targets   as everywhere, or "all" classes, or whole numbers `b k`
    classes   `b k`; None where a function was the target: its score is taken as it is, whatever `unit` says
    answers   `b k` for the images as they are, 0..1 for probabilities

    Asked in eval mode and without a graph; probabilities and what is summed of them are float32 for every model.
    Raises Refused for images that the model cannot take and for targets that are not there.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Float[Tensor, "b 3 height width"],
        targets: Targets | Literal["all"] = None,
        *,
        unit: Unit = "probability",
    ) -> None:
        check_call(model, images)
        self.model, self.unit = model, unit
        self.function: Callable[[Tensor], Tensor] | None = targets if callable(targets) else None
        self.classes: Int64[Tensor, "b k"] | None = None
        logits = self._run(images)
        if not self.function:
            self.classes = _chosen(logits, targets)
        self.answers: Float[Tensor, "b k"] = self._read(logits, torch.arange(len(images), device=images.device))

    def __call__(
        self, pictures: Float[Tensor, "n 3 height width"], rows: Int64[Tensor, "n"] | int
    ) -> Float[Tensor, "n k"]:
        """The answers for edited pictures; `rows`: whose each is, or one number when all are of the same image."""
        return self._read(self._run(pictures), rows)

    def _run(self, pictures: Tensor) -> Tensor:
        with torch.no_grad(), evaluating(self.model):
            logits = self.model(pictures)
        if not self.function:
            check_logits(logits)
        return logits

    def _read(self, logits: Tensor, rows: Tensor | int) -> Tensor:
        if self.classes is None:
            with torch.no_grad():
                return scores(logits, self.function)[:, None].float()
        values = logits.float()
        values = values.softmax(dim=1) if self.unit == "probability" else values
        asked = self.classes[rows]
        return values.gather(1, asked.expand(len(values), -1))


def _chosen(logits: Tensor, targets: Targets | Literal["all"]) -> Int64[Tensor, "b k"]:
    b, count = logits.shape
    if isinstance(targets, str):
        if targets != "all":
            raise Refused(f"targets={targets!r}: expected a class's number, one an image, a function, None or 'all'.")
        return torch.arange(count, device=logits.device).expand(b, -1)
    if isinstance(targets, Tensor) and targets.ndim == 2:
        if len(targets) != b or not targets.numel():
            raise Refused(f"targets of shape {tuple(targets.shape)} for {b} images: expected `b k`, one row an image.")
        return torch.stack([classes(logits, column) for column in targets.unbind(dim=1)], dim=1)
    return classes(logits, targets)[:, None]
