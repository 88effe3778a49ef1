"""What a model is asked in training. A task makes views of a batch, asks, and says how wrong the answer was.

It holds the model and whatever is thrown away afterwards: decoder, projector, slow teacher, other heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor, nn

from labkit.methods.objectives.adversarial import attacked
from labkit.methods.objectives.cutmix import cutmix, mixup
from labkit.methods.objectives.masked import MaskedAutoencoder
from labkit.methods.objectives.rotnet import TURNS, Rotation
from labkit.methods.objectives.self_distillation import SelfDistillation
from labkit.methods.objectives.toco import TokenContrast
from labkit.training.augment import random_view, recolour
from labkit.training.recipes import Recipe

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Asked:
    """The loss of a batch (nats, or squares for a picture), and how many of the `asked` answers were right."""

    loss: Float[Tensor, ""]
    right: int = 0
    asked: int = 0


class Task(nn.Module):
    """A model and a question. `labelled` says whether its head learns here, or has to be fitted afterwards."""

    labelled = True

    def __init__(self, model: nn.Module, recipe: Recipe, *, classes: int) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe
        self.classes = classes

    def ask(self, pixels: UInt8[Tensor, "b 3 h w"], labels: Int64[Tensor, "b"], epoch: int, rng: Generator) -> Asked:
        """Views of these pictures, a question about them, and how wrong the answers were."""
        raise NotImplementedError

    def after(self, done: float) -> None:
        """Called behind each step; `done` is the share of the training so far, 0..1."""

    def view(
        self, pixels: UInt8[Tensor, "b 3 h w"], epoch: int, rng: Generator, *, size: int | None = None, **areas: float
    ) -> Float[Tensor, "b 3 size size"]:
        """A random crop in other light, RGB, at the size of this epoch."""
        areas = {"min_area": self.recipe.min_area} | areas
        return random_view(pixels, size=size or self.recipe.size_at(epoch), rng=rng, **areas)


class Labels(Task):
    """Name the class, of mixed pictures where the recipe mixes, and of attacked ones where it attacks."""

    def __init__(self, model: nn.Module, recipe: Recipe, *, classes: int, teacher: nn.Module | None = None) -> None:
        super().__init__(model, recipe, classes=classes)
        self.teacher = (teacher,)  # in a tuple: it is no part of what is trained and kept

    def ask(self, pixels: Tensor, labels: Tensor, epoch: int, rng: Generator) -> Asked:
        """One view a picture; the loss is cross-entropy, half of it the teacher's where there is one."""
        recipe = self.recipe
        x, targets, mixed = self._mix(
            normalise(self.view(pixels, epoch, rng)), F.one_hot(labels, self.classes).float(), rng
        )
        x = x.contiguous(memory_format=torch.channels_last)
        if recipe.attack:
            scale = 1 / torch.tensor(STD, device=x.device).view(1, 3, 1, 1)
            x = attacked(self.model, x, targets, radius=recipe.attack, steps=recipe.attack_steps, scale=scale, rng=rng)
        logits = self.model(x)
        loss = self._loss(logits.float(), targets, x)
        if mixed:
            return Asked(loss)
        return Asked(loss, int((logits.argmax(1) == labels).sum()), len(labels))

    def _mix(self, x: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor, bool]:
        recipe = self.recipe
        ways = [(way, alpha) for way, alpha in ((mixup, recipe.mixup), (cutmix, recipe.cutmix)) if alpha > 0]
        if not ways or torch.rand((), generator=rng) >= recipe.mix_share:
            return x, targets, False
        way, alpha = ways[int(torch.randint(len(ways), (), generator=rng))]
        return *way(x, targets, alpha=alpha, rng=rng), True

    def _loss(self, logits: Tensor, targets: Tensor, x: Tensor) -> Tensor:
        (teacher,) = self.teacher
        loss = F.cross_entropy(logits, targets, label_smoothing=self.recipe.smoothing)
        if teacher is None:
            return loss
        with torch.inference_mode():
            soft = teacher(x).softmax(dim=1)
        return 0.5 * loss + 0.5 * F.kl_div(logits.log_softmax(dim=1), soft.clone(), reduction="batchmean")


class Masked(Task):
    """Paint the patches that are hidden."""

    labelled = False

    def __init__(self, model: nn.Module, recipe: Recipe, *, classes: int) -> None:
        super().__init__(model, recipe, classes=classes)
        self.objective = MaskedAutoencoder(model)

    def ask(self, pixels: Tensor, labels: Tensor, epoch: int, rng: Generator) -> Asked:
        return Asked(self.objective(normalise(self.view(pixels, epoch, rng))).float())


class Turns(Task):
    """Say by how much the picture was turned; a quarter of the batch, in all four ways."""

    labelled = False

    def __init__(self, model: nn.Module, recipe: Recipe, *, classes: int) -> None:
        super().__init__(model, recipe, classes=classes)
        self.objective = Rotation(model)

    def ask(self, pixels: Tensor, labels: Tensor, epoch: int, rng: Generator) -> Asked:
        some = pixels[: max(1, len(pixels) // TURNS)]
        loss, right = self.objective.loss(normalise(self.view(some, epoch, rng)))
        return Asked(loss, int(right.sum()), len(right))


class Selves(Task):
    """Agree with your slow average about other views: two large ones, and four small ones of half the side."""

    labelled = False

    def __init__(self, model: nn.Module, recipe: Recipe, *, classes: int) -> None:
        super().__init__(model, recipe, classes=classes)
        self.objective = SelfDistillation(model)

    def ask(self, pixels: Tensor, labels: Tensor, epoch: int, rng: Generator) -> Asked:
        def views(count: int, size: int, low: float, high: float) -> list[Tensor]:
            made = (self.view(pixels, epoch, rng, size=size, min_area=low, max_area=high) for _ in range(count))
            return [normalise(recolour(x, rng=rng)) for x in made]

        size = self.recipe.size_at(epoch)
        return Asked(self.objective(views(2, size, 0.4, 1.0), views(4, size // 2, 0.1, 0.4)))

    def after(self, done: float) -> None:
        self.objective.follow(done)


class Contrast(Task):
    """Name the class with the class token and the strongest patch tokens; from half the way on, PTC too."""

    def __init__(self, model: nn.Module, recipe: Recipe, *, classes: int) -> None:
        super().__init__(model, recipe, classes=classes)
        self.objective = TokenContrast(model)

    def ask(self, pixels: Tensor, labels: Tensor, epoch: int, rng: Generator) -> Asked:
        """Cross-entropy of all three answers, and from half the way on the contrast of the last tokens."""
        logits, last, maps = self.objective.look(normalise(self.view(pixels, epoch, rng)))
        answers = logits.float().transpose(0, 1)
        loss = F.cross_entropy(
            answers.flatten(0, 1), labels.repeat(len(answers)), label_smoothing=self.recipe.smoothing
        )
        if self.recipe.contrast and epoch >= self.recipe.epochs // 2:  # poor early maps would pull all together
            loss = loss + self.recipe.contrast * self.objective.contrast(last.float(), maps, labels)
        return Asked(loss, int((answers[0].argmax(1) == labels).sum()), len(labels))


TASKS = {"labels": Labels, "masked": Masked, "turns": Turns, "selves": Selves, "contrast": Contrast}


def normalise(x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """RGB in 0..1 to zero mean and unit variance by the ImageNet statistics."""
    mean, std = (torch.tensor(values, device=x.device).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (x - mean) / std
