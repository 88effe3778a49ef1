"""Lessons that small models learn in seconds, on made-up scenes, so that mixers can be compared.

The label is one property of one object on a noisy ground, beside another object that tells nothing of it: its shape,
its texture, its colour, or the quarter of the picture that it lies in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from labkit.data.scenes import Carrier, Scene, scene
from labkit.models.backbones.metaformer import metaformer
from labkit.models.scaffold import Scaffold

LEARNED, TELLS = 0.1, 0.02
"""So much above chance (0..1) has learned something; a smaller difference than this 512 asked pictures do not tell."""

SIDE, DIMS = 32, (24, 48)
"""The pictures' side in pixels (8 x 8 cells behind the stem), and the channels of the frame's two stages."""


@dataclass(frozen=True)
class Lesson:
    """Pictures (about -2..2) with their labels, to learn from and to be asked about."""

    images: Float[Tensor, "n 3 h w"]
    labels: Int64[Tensor, "n"]
    asked: Float[Tensor, "m 3 h w"]
    answers: Int64[Tensor, "m"]
    classes: int

    @property
    def chance(self) -> float:
        """The accuracy of a guess, 0..1."""
        return 1 / self.classes

    def learned(self, accuracy: float) -> bool:
        """Whether so accurate a model knows anything: rivals that only guess cannot be compared."""
        return accuracy > self.chance + LEARNED


@lru_cache(maxsize=4)
def scenes(*, seed: int, about: Carrier = "shape", size: int = SIDE, learn: int = 4096, ask: int = 512) -> Lesson:
    """So many scenes to learn from and to ask about, of `size` pixels a side; no scene is in both."""
    first = seed * (learn + ask)
    made = [scene(first + i, size=(size, size), others=1, carrier=about) for i in range(learn + ask)]
    images = pixels_of(made)
    labels = torch.tensor([one.label for one in made])
    return Lesson(images[:learn], labels[:learn], images[learn:], labels[learn:], len(made[0].categories))


def pixels_of(made: Sequence[Scene]) -> Float[Tensor, "n 3 h w"]:
    """Scenes as the models take them, about -2..2."""
    return (torch.stack([one.pixels for one in made]).float() / 255 - 0.5) * 4


def shown(image: Float[Tensor, "3 h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """The picture that `pixels_of` was given."""
    return ((image / 4 + 0.5) * 255).round().byte().movedim(0, -1).numpy()


def learn(
    model: nn.Module,
    lesson: Lesson,
    *,
    steps: int,
    batch: int = 64,
    rate: float = 6e-3,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> float:
    """Teach the model with AdamW, the rate rising and falling once; returns its accuracy on the asked pictures, 0..1.

    loss   what it is taught by, of pictures and their labels; None: the cross-entropy of its answers

    Pictures are drawn by the dice of the surrounding `seeded` block.
    """

    def told(images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(model(images), labels)

    def drawn() -> Tensor:
        chosen = torch.randint(len(lesson.images), (batch,))
        return (loss or told)(lesson.images[chosen], lesson.labels[chosen])

    descend(model, drawn, steps=steps, rate=rate)
    model.eval()
    with torch.inference_mode():
        return (model(lesson.asked).argmax(dim=1) == lesson.answers).float().mean().item()


def descend(model: nn.Module, loss: Callable[[], Tensor], *, steps: int, rate: float) -> list[float]:
    """Change the model for a smaller loss, with AdamW, the rate rising and falling once; returns each step's loss.

    loss   what the model is asked in one step, on pictures that it draws itself, and how wrong it is

    The model is left in train mode.
    """
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.2)
    losses = []
    for _ in range(steps):
        value = loss()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
        losses.append(value.item())
    return losses


def taught(mixer: Callable[[int, int], nn.Module], book: Lesson, *, steps: int, seed: int) -> tuple[Scaffold, float]:
    """The small frame in which mixers are compared (`mixer(stage, dim)` makes one), taught; with its accuracy, 0..1."""
    with seeded(seed):
        model = metaformer(dims=DIMS, depths=(2, 2), mixer=mixer, scale=0.1, classes=book.classes)
        return model, learn(model, book, steps=steps)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Throw torch's dice from `seed` inside, and give them back as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
