"""A checkpoint of ours is two files: float16 safetensors, and a card that says how it came about and how good it is."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from labkit.data.tiny_imagenet import TinyImages
from labkit.training.loop import predict, top1
from labkit.training.recipes import RECIPES, Recipe


class MissingWeights(ValueError):
    """The weights are not here, cannot be fetched, are damaged or fit another model; the message says what to do."""


def write(
    model: nn.Module,
    recipe: Recipe,
    *,
    file: Path,
    train: TinyImages,
    val: TinyImages,
    archive: str,
    command: str,
    seed: int,
    device: str,
    minutes: float | None,
) -> dict[str, Any]:
    """Store the weights as float16 in `file`, measure what was stored on `val`, write and return the card beside it.

    archive   the name of the data file
    command   what to type to make this checkpoint again
    minutes   wall time of the training; None when it was not made in one go

    Both files appear whole or not at all. Raises OSError when the folder cannot be written.
    """
    state = {name: x.detach().cpu().contiguous() for name, x in model.state_dict().items()}
    data = save({name: x.half() if x.is_floating_point() else x for name, x in state.items()})
    stored = _build(recipe, len(val.categories), data)
    logits = predict(stored, val.images, size=recipe.size)
    card = {
        "name": file.stem,
        "recipe": recipe.name,
        "settings": {
            field.name: getattr(recipe, field.name)
            for field in dataclasses.fields(recipe)
            if field.name not in ("name", "build", "stages")
        },
        "stages": [dataclasses.asdict(stage) for stage in recipe.stages],
        "size": recipe.size,
        "command": command,
        "seed": seed,
        "data": {"archive": archive, "classes": len(train.categories), "train": len(train), "val": len(val)},
        "epochs": recipe.epochs,
        "top1": round(top1(logits, val.labels), 4),
        **_confusion(logits.argmax(1), val.labels, val.categories),
        "params": sum(parameter.numel() for parameter in stored.parameters()),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "torch": torch.__version__,
        "device": device,
        "minutes": None if minutes is None else round(minutes, 1),
        "categories": list(val.categories),
    }
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    _write_whole({file: data, file.with_suffix(".json"): text.encode()})
    return card


def read(file: Path) -> dict[str, Any]:
    """The card beside a checkpoint, after a look whether the two belong together (sha256); else MissingWeights."""
    card_file = file.with_suffix(".json")
    for wanted in (file, card_file):
        if not wanted.is_file():
            raise MissingWeights(
                f"{wanted} is not there: restore it (git checkout), or train it with `labkit train {file.stem}`."
            )
    try:
        card = json.loads(card_file.read_text(encoding="utf-8"))
        expected, known = str(card["sha256"]), card["recipe"] in RECIPES
        whole = bool(card["categories"]) and int(card["size"]) > 0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingWeights(f"the card {card_file} is damaged: restore it (git checkout) or train again.") from error
    if not known or not whole:
        raise MissingWeights(f"the card {card_file} names no recipe that this labkit has: train again.")
    try:
        measured = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise MissingWeights(f"{file} cannot be read ({error.strerror}).") from error
    if measured != expected:
        raise MissingWeights(
            f"{file} is not the file its card was written for (sha256 {measured[:8]}…, the card says {expected[:8]}…): "
            "it is damaged or was replaced; restore it (git checkout) or train again."
        )
    return card


def restore(file: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The model of a checkpoint, float32 and in eval mode, and its card; MissingWeights when they are not right."""
    card = read(file)
    recipe = RECIPES[card["recipe"]]
    try:
        return _build(recipe, len(card["categories"]), file.read_bytes()), card
    except (SafetensorError, RuntimeError) as error:
        raise MissingWeights(
            f"{file} does not fit the recipe {recipe.name!r} that its card names: train again."
        ) from error


def _build(recipe: Recipe, classes: int, data: bytes) -> nn.Module:
    model = recipe.build(classes)
    # float16 to be small on disk, float32 to compute.
    model.load_state_dict({name: x.float() if x.is_floating_point() else x for name, x in load(data).items()})
    return model.eval()


def _confusion(predicted: Tensor, labels: Tensor, categories: tuple[str, ...]) -> dict[str, Any]:
    """The five classes with the lowest accuracy, and the ten most frequent mistakes (label, answer, times)."""
    n = len(categories)
    counts = torch.bincount(labels * n + predicted, minlength=n * n).view(n, n)
    accuracy = counts.diagonal() / counts.sum(dim=1).clamp(min=1)
    worst = accuracy.argsort(stable=True)[:5].tolist()
    mistakes = counts - counts.diagonal().diag()
    pairs = mistakes.flatten().argsort(descending=True, stable=True)[:10].tolist()
    return {
        "worst": [{"category": categories[i], "accuracy": round(accuracy[i].item(), 3)} for i in worst],
        "mistakes": [
            {"label": categories[i // n], "answer": categories[i % n], "times": int(mistakes[i // n, i % n])}
            for i in pairs
            if mistakes[i // n, i % n] > 0
        ],
    }


def _write_whole(contents: dict[Path, bytes]) -> None:
    partial = {path: path.with_name(path.name + ".part") for path in contents}
    try:
        for path, data in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial[path].write_bytes(data)
        for path in contents:
            partial[path].replace(path)
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)
