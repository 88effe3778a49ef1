"""One readable training loop: images in memory, AdamW, a cosine, averaged weights, and a checkpoint every epoch."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from labkit.data.tiny_imagenet import TinyImages
from labkit.training.heads import fit_head
from labkit.training.recipes import Recipe
from labkit.training.tasks import MEAN, STD, TASKS, Task, normalise

__all__ = ["MEAN", "STD", "Progress", "normalise", "predict", "top1", "train"]


@dataclass(frozen=True)
class Progress:
    """Where a run stands; `loss` (nats) and `accuracy` (0..1, of batches that were not mixed): means of the epoch."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float


def train(
    recipe: Recipe,
    images: TinyImages,
    *,
    seed: int = 0,
    device: str = "cpu",
    teacher: nn.Module | None = None,
    state_file: Path | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> nn.Module:
    """Run the recipe and return the averaged model, in eval mode.

    state_file   written after every epoch and picked up again when it is there: a stopped run goes on where it was
    report       called after every step

    Raises ValueError when the state file belongs to other settings or another seed, or when the images fill no batch.
    """
    if len(images) < recipe.batch:
        raise ValueError(f"{len(images)} images do not fill one batch of {recipe.batch}: use more, or a smaller batch.")
    torch.manual_seed(seed)
    model = recipe.build(len(images.categories)).to(device, memory_format=torch.channels_last)
    averaged = copy.deepcopy(model).eval().requires_grad_(False)
    task = _task(recipe, model, len(images.categories), teacher).to(device)
    optimiser = torch.optim.AdamW(_groups(task, recipe.weight_decay), lr=recipe.lr, fused=True)
    first_epoch = _resume(state_file, recipe, seed, task, averaged, optimiser)

    pixels, labels = images.images.to(device), images.labels.to(device)
    steps = len(labels) // recipe.batch
    for epoch in range(first_epoch, recipe.epochs):
        # Every epoch has its own stream, so that a resumed run sees what an unbroken one would have seen.
        rng = torch.Generator().manual_seed(seed * 100_003 + epoch)
        torch.manual_seed(seed * 100_003 + epoch)
        order = torch.randperm(len(labels), generator=rng)
        loss_sum = right = asked = 0.0
        task.train()
        for step in range(steps):
            t = epoch * steps + step
            for group in optimiser.param_groups:
                group["lr"] = recipe.lr * _schedule(t / steps, recipe)
            batch = order[step * recipe.batch : (step + 1) * recipe.batch].to(device)
            with _autocast(device, recipe):
                answer = task.ask(pixels[batch], labels[batch], epoch, rng)
            optimiser.zero_grad(set_to_none=True)
            answer.loss.backward()
            nn.utils.clip_grad_norm_(task.parameters(), 1.0)
            optimiser.step()
            task.after((t + 1) / (steps * recipe.epochs))
            _average(averaged, model, min(recipe.ema, (1 + t) / (10 + t)))

            loss_sum += answer.loss.item()
            right, asked = right + answer.right, asked + answer.asked
            report(Progress(epoch, recipe.epochs, step + 1, steps, loss_sum / (step + 1), right / max(asked, 1)))
        if state_file:
            _save(state_file, recipe, seed, epoch + 1, task, averaged, optimiser)
    if not task.labelled:
        fit_head(averaged, images, size=recipe.size)
    return averaged


@torch.inference_mode()
def predict(
    model: nn.Module, images: UInt8[Tensor, "n 3 h w"], *, size: int, device: str = "cpu", batch: int = 250
) -> Float[Tensor, "n classes"]:
    """Logits of a model for raw images, resized to `size` when they have another."""
    rows = []
    for chunk in images.split(batch):
        x = chunk.to(device).float() / 255
        if x.shape[-1] != size:
            x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        rows.append(model(normalise(x)).float().cpu())
    return torch.cat(rows)


def top1(logits: Float[Tensor, "n classes"], labels: Int64[Tensor, "n"]) -> float:
    """The share of images whose highest logit is their label, 0..1."""
    return (logits.argmax(1) == labels).float().mean().item()


def _schedule(epochs_done: float, recipe: Recipe) -> float:
    if epochs_done < recipe.warmup:
        return (epochs_done + 1e-3) / recipe.warmup
    falling = max(recipe.epochs - recipe.warmup, 1e-9)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (epochs_done - recipe.warmup) / falling)))


def _groups(model: nn.Module, weight_decay: float) -> list[dict]:
    # Matrices and kernels decay; biases, norms, tokens and positions do not.
    learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    decayed = [p for name, p in learning if p.ndim >= 2 and "position" not in name and "cls" not in name]
    chosen = {id(p) for p in decayed}
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": [p for _, p in learning if id(p) not in chosen], "weight_decay": 0.0},
    ]


def _task(recipe: Recipe, model: nn.Module, classes: int, teacher: nn.Module | None) -> Task:
    # Only labels can be learned from a teacher that knows them.
    taught = {"teacher": teacher} if recipe.task == "labels" else {}
    return TASKS[recipe.task](model, recipe, classes=classes, **taught)


def _autocast(device: str, recipe: Recipe) -> contextlib.AbstractContextManager:
    where = device.split(":")[0]
    return torch.autocast(where, torch.bfloat16, enabled=where == "cuda" or recipe.bfloat16)


@torch.no_grad()
def _average(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(averaged.parameters()), [p.detach() for p in model.parameters()], 1 - decay)
    for ours, theirs in zip(averaged.buffers(), model.buffers(), strict=True):
        ours.copy_(theirs)


def _save(
    file: Path,
    recipe: Recipe,
    seed: int,
    epoch: int,
    task: Task,
    averaged: nn.Module,
    optimiser: torch.optim.Optimizer,
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "run": _identity(recipe, seed),
        "epoch": epoch,
        "task": task.state_dict(),
        "averaged": averaged.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    partial = file.with_suffix(".part")
    torch.save(state, partial)
    partial.replace(file)


def _resume(
    file: Path | None,
    recipe: Recipe,
    seed: int,
    task: Task,
    averaged: nn.Module,
    optimiser: torch.optim.Optimizer,
) -> int:
    if file is None or not file.exists():
        return 0
    state = torch.load(file, weights_only=True)
    asked, kept = _identity(recipe, seed), state.get("run", {})
    if changed := [f"{name} {kept.get(name)}, not {value}" for name, value in asked.items() if kept.get(name) != value]:
        raise ValueError(f"{file} holds another run ({'; '.join(changed)}): remove it, or name another state file.")
    task.load_state_dict(state["task"])
    averaged.load_state_dict(state["averaged"])
    optimiser.load_state_dict(state["optimiser"])
    return state["epoch"]


def _identity(recipe: Recipe, seed: int) -> dict[str, str]:
    """All that decides a run, as text: a state file of other settings must not be continued."""
    names = [field.name for field in dataclasses.fields(recipe) if field.name != "build"]
    return {"seed": str(seed)} | {name: str(getattr(recipe, name)) for name in names}
