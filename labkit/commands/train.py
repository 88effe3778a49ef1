"""`labkit train`: make a checkpoint by its recipe."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labkit.commands._output import BadInput, console, note

if TYPE_CHECKING:
    from torch import nn

    from labkit.data.tiny_imagenet import TinyImages
    from labkit.training.loop import Progress
    from labkit.training.recipes import Recipe


@click.command()
@click.argument("name", required=False)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides every random number.")
@click.option("--device", help="cpu, cuda, …  [default: CUDA where there is one]")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="The checkpoint.  [default: runs/NAME.safetensors]"
)
@click.option("--state", type=click.Path(path_type=Path), metavar="FILE", help="Where a stopped run is kept.")
@click.option(
    "--epochs-scale", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="A shorter run, for a first try."
)
@click.option("--teacher", metavar="NAME", help="Another model to distil from than the recipe's.")
def train(
    *,
    name: str | None,
    seed: int,
    device: str | None,
    out: Path | None,
    state: Path | None,
    epochs_scale: float,
    teacher: str | None,
) -> None:
    """Train a checkpoint by a recipe; or list the recipes.

    The recipe NAME is run on Tiny-ImageNet; the checkpoint and its card are written at the end. A run that was stopped
    goes on where it was, at its last whole epoch, when the same command is given again.
    """
    from labkit.training.recipes import RECIPES

    if name is None:
        return _list(RECIPES.values())
    recipe = _shorter(_recipe(name, RECIPES), epochs_scale)
    from labkit.commands._device import checked

    where = checked(device)
    file = (out or Path("runs") / f"{name}.safetensors").with_suffix(".safetensors")
    state = state or _state_file(recipe, seed)
    _try_to_write(file)
    images, val, archive = _images()
    loaded = _teacher(teacher or recipe.teacher, images, where)
    command = _command(name, seed, epochs_scale, teacher, device, file)
    _run(recipe, images, val, archive, loaded, seed=seed, device=where, file=file, state=state, command=command)


def _run(
    recipe: Recipe,
    images: TinyImages,
    val: TinyImages,
    archive: str,
    teacher: nn.Module | None,
    *,
    seed: int,
    device: str,
    file: Path,
    state: Path,
    command: str,
) -> None:
    from labkit.training import cards, loop

    resumed, started = state.exists(), time.monotonic()
    if resumed:
        note(f"Going on with the run in {state}.")
    try:
        with _progress(recipe) as report:
            model = loop.train(
                recipe, images, seed=seed, device=device, teacher=teacher, state_file=state, report=report
            )
    except KeyboardInterrupt:
        kept = f"its last whole epoch is kept in {state}" if state.exists() else "before its first epoch was whole"
        note(f"\nlabkit: stopped, {kept}; `{command}` goes on.")
        raise click.exceptions.Exit(130) from None
    except (OSError, RuntimeError) as error:
        if not isinstance(error, OSError) and "PytorchStreamWriter" not in str(error):
            raise
        raise BadInput(f"the state of the run could not be written to {state}: {error}") from error
    minutes = None if resumed else (time.monotonic() - started) / 60
    how = {"archive": archive, "command": command, "seed": seed, "device": device, "minutes": minutes}
    try:
        card = cards.write(model, recipe, file=file, train=images, val=val, **how)
    except OSError as error:
        raise BadInput(f"{file} could not be written ({error.strerror}); the run is kept in {state}.") from error
    state.unlink(missing_ok=True)
    note(f"Wrote {file} and its card: top-1 {card['top1']:.1%} on {len(val):,} images it has not seen.")


def _list(recipes: object) -> None:
    from rich import box
    from rich.table import Table

    table = Table("recipe", "epochs (pixels)", "teacher", box=box.SIMPLE_HEAD, pad_edge=False)
    for recipe in recipes:
        stages = ", ".join(f"{stage.epochs} ({stage.size})" for stage in recipe.stages)
        table.add_row(recipe.name, stages, recipe.teacher or "")
    console().print(table)
    note("`labkit train NAME` makes a checkpoint.")


def _recipe(name: str, recipes: dict[str, Recipe]) -> Recipe:
    import difflib

    if name in recipes:
        return recipes[name]
    near = difflib.get_close_matches(name, recipes, n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(recipes)}."
    raise BadInput(f"there is no recipe '{name}'; {hint}")


def _shorter(recipe: Recipe, scale: float) -> Recipe:
    """The recipe with its epochs and its warm-up scaled, at least one epoch a stage."""
    if scale == 1:
        return recipe
    stages = tuple(dataclasses.replace(stage, epochs=max(1, round(stage.epochs * scale))) for stage in recipe.stages)
    return dataclasses.replace(recipe, stages=stages, warmup=recipe.warmup * scale)


def _state_file(recipe: Recipe, seed: int) -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("labkit") / "train" / f"{recipe.name}-{recipe.epochs}epochs-seed{seed}.pt"


def _try_to_write(file: Path) -> None:
    """Find out before the training, not after it, whether the checkpoint can be stored."""
    probe = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {(error.strerror or str(error)).lower()}.") from error


def _images() -> tuple[TinyImages, TinyImages, str]:
    from labkit.data.tiny_imagenet import find_archive, tiny_imagenet

    try:
        archive = find_archive()
        with console(stderr=True).status(f"Reading {archive.name} …"):
            return tiny_imagenet("train"), tiny_imagenet("val"), archive.name
    except (OSError, ValueError) as error:
        raise BadInput(str(error)) from error


def _teacher(name: str | None, images: TinyImages, device: str) -> nn.Module | None:
    if name is None:
        return None
    from labkit.pretrained import load

    found = load(name, device=device)
    if found.categories != images.categories:
        raise BadInput(f"the teacher {name} knows other classes than the data; train one on this data first.")
    return found.model


def _command(name: str, seed: int, scale: float, teacher: str | None, device: str | None, file: Path) -> str:
    words = ["labkit", "train", name, "--seed", str(seed)]
    for option, value in (("--teacher", teacher), ("--device", device)):
        words += [option, value] if value else []
    words += ["--epochs-scale", str(scale)] if scale != 1 else []
    return " ".join([*words, "--out", str(file)])


@contextmanager
def _progress(recipe: Recipe) -> Iterator[Callable[[Progress], None]]:
    """A bar in a terminal, else a line an epoch."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    screen = console(stderr=True)

    def line(now: Progress) -> str:
        size = recipe.size_at(now.epoch)
        numbers = f"loss {now.loss:.3f}, accuracy {now.accuracy:.1%}"
        return f"epoch {now.epoch + 1}/{now.epochs} at {size} pixels: {numbers}"

    if not screen.is_terminal:
        yield lambda now: note(line(now)) if now.step == now.steps else None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen) as bar:
        task = bar.add_task(recipe.name, total=None)
        yield lambda now: bar.update(
            task, description=line(now), completed=now.epoch * now.steps + now.step, total=now.epochs * now.steps
        )
