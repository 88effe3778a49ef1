"""What an opened model comes with, and how it is refused."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from labkit.data.transforms import Transform

Weights = Literal["default"] | str | os.PathLike[str] | None
"""`"default"`, random (None), or the path of a safetensors file."""


class UnknownModel(ValueError):
    """No model has this name; the message names the nearest."""


@dataclass(frozen=True)
class Pretrained:
    """A model in eval mode, and what belongs to it.

    transform    picture -> tensor, as in training
    categories   the name of each output, in order; "class 0", … when nothing is known; empty without a head
    card         how the weights were made, as `labkit train` wrote it; empty for weights that are not ours
    """

    name: str
    model: nn.Module
    transform: Transform
    categories: tuple[str, ...]
    card: dict[str, Any] = field(default_factory=dict)
