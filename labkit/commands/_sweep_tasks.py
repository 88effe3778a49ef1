"""One question of a sweep: an instrument, a model, a picture. What is asked, its name for ever, and its answer."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labkit.commands._seeing import Instrument, View

if TYPE_CHECKING:
    from PIL.Image import Image

    from labkit.pretrained import Pretrained

DONE, REFUSED, FAILED = "done", "refused", "failed"
"""It answered; it said why this model or picture cannot be asked that; it broke, also when tried again."""


@dataclass(frozen=True)
class Task:
    """What one worker is given: nothing of it lies in a file that only we can see, but for weights of one's own.

    model, weights   as `labkit.pretrained.load` takes them
    made             a digest of the weights' file; "" where they are random, or nobody's here
    image, picture   the picture's name, and the bytes of its file
    probe, words     the instrument and its own options, as on a command line
    """

    model: str
    weights: str | None
    made: str
    image: str
    picture: bytes
    probe: str
    words: tuple[str, ...]
    device: str

    @cached_property
    def parameters(self) -> str:
        """All options of the instrument with their values, as JSON."""
        return json.dumps(instrument(self.probe).own(self.words), sort_keys=True, default=str)

    @cached_property
    def key(self) -> str:
        """The same for the same model, picture, instrument, options and version of labkit, on every machine."""
        asked = (
            self.model,
            self.weights and "given",
            self.made,
            hashlib.sha256(self.picture).hexdigest(),
            self.probe,
            self.parameters,
            version("labkit"),
        )
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]

    def row(self, status: str, *, why: str = "", rows: Sequence[Mapping[str, Any]] = (), seconds: float = 0.0) -> dict:
        """One row of the sweep; `rows` are the instrument's own."""
        return {
            "key": self.key,
            "model": self.model,
            "weights": self.weights or "none",
            "image": self.image,
            "probe": self.probe,
            "parameters": self.parameters,
            "version": version("labkit"),
            "device": self.device,
            "status": status,
            "why": why,
            "seconds": seconds,
            "rows": list(rows),
        }


def answer(task: Task) -> dict:
    """Ask the question: the sweep's row, with the instrument's. The same here, in another process, or on a cluster.

    What an instrument refuses is an answer too (its sentence is the row's `why`); what breaks is raised.
    """
    import torch

    if task.device == "cpu":
        torch.set_num_threads(1)  # workers share the cores better so, and one thread always adds in the same order
    start = time.perf_counter()
    command = instrument(task.probe)
    view = Given(task.model, task.weights, task.device, (task.image,), picture=task.picture)
    try:
        found = command.function(view, **command.own(task.words))
    except (click.ClickException, ValueError, FileNotFoundError) as error:
        if not (isinstance(error, click.ClickException) or type(error).__module__.startswith("labkit.")):
            raise
        return task.row(REFUSED, why=str(error), seconds=time.perf_counter() - start)
    return task.row(DONE, rows=found.rows, seconds=time.perf_counter() - start)


@dataclass(frozen=True)
class Given(View):
    """A view of a picture that came along as bytes, through a model that may be open already."""

    picture: bytes = b""

    @cached_property
    def opened(self) -> Pretrained:
        """The model; the last two stay open."""
        return _opened(self.name, self.weights, self.device)

    @cached_property
    def pictures(self) -> tuple[Image, ...]:
        """The one picture."""
        from labkit.data.images import open_image

        return (open_image(self.picture),)


@lru_cache(maxsize=2)
def _opened(name: str, weights: str | None, device: str) -> Pretrained:
    from labkit.pretrained import load

    return load(name, weights=weights, device=device)


def instrument(name: str) -> Instrument:
    """The instrument of `labkit probe`, by its name. Raises click.UsageError, which names the nearest."""
    from labkit.commands.probe import probe

    _, command, _ = probe.resolve_command(click.Context(probe, info_name="labkit probe"), [name])
    return command


def tasks(
    models: Sequence[str],
    probes: Sequence[str],
    images: Sequence[str],
    *,
    weights: str | None,
    device: str,
    words: Mapping[str, Sequence[str]],
) -> list[Task]:
    """All questions, model by model, so that each is opened once. `words` are the instruments' options, by name.

    Everything is checked before the first question is asked: raises UnknownModel, BadImage, click.UsageError.
    """
    for name in probes:
        instrument(name).own(words.get(name, ()))
    pictures = {source: _png(source) for source in images}
    return [
        Task(model, weights, made, title, picture, probe, tuple(words.get(probe, ())), device)
        for model, made in {model: _made(model, weights) for model in models}.items()
        for probe in probes
        for title, picture in pictures.items()
    ]


def _png(source: str) -> bytes:
    from labkit.data.images import open_image

    file = io.BytesIO()
    open_image(source).save(file, "PNG")
    return file.getvalue()


def _made(model: str, weights: str | None) -> str:
    """The digest of the weights' file, where there is one. Raises UnknownModel."""
    from labkit.pretrained import check_name, weights_folder

    check_name(model)
    ours = weights_folder() / f"{model.removeprefix('lab/')}.safetensors"
    file = ours if weights == "default" else Path(weights or "")
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
