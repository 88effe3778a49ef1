"""A model that sits before a picture: the last few stay loaded, and each serves one visitor at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, TypeVar

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor, nn

from labkit import pretrained
from labkit.data.images import open_image
from labkit.pretrained import Pretrained

MOST_MODELS = 4
T = TypeVar("T")


@dataclass(frozen=True)
class Sitting:
    """A model that sits before a picture, ready to be asked.

    opened     the model in eval mode, its transform and its categories; it is shared: ask it only within `turn()`
    images     the picture as the model takes it, `1 c h w`, on the model's device
    picture    the square that the model sees, sharp enough for a screen (RGB, up to 512 pixels a side)
    seen       the same square in the pixels that the model really gets
    """

    name: str
    opened: Pretrained
    images: Float[Tensor, "1 c h w"]
    picture: Image
    seen: Image
    lock: threading.Lock = field(repr=False)

    @contextmanager
    def turn(self) -> Iterator[nn.Module]:
        """The model, for one visitor at a time: hooks of two of them at once would mix their answers."""
        with self.lock:
            yield self.opened.model

    def in_turns(self, work: Iterator[T]) -> Iterator[T]:
        """What `work` yields; each of its steps is one turn, so that others are served in between."""
        while True:
            with self.lock:
                try:
                    step = next(work)
                except StopIteration:
                    return
            yield step

    def top(self, logits: object, *, most: int = 5) -> tuple[tuple[str, float], ...]:
        """The likeliest (category, probability 0..1) for logits `1 classes`; empty for a model without a classifier."""
        return _top(logits, self.opened.categories, most)


def sit(
    name: str,
    image: str | Path | bytes | BinaryIO | Image,
    *,
    weights: str | None = "default",
    device: str | None = None,
) -> Sitting:
    """Open a model (the last few stay loaded) and put a picture before it.

    name     as in `labkit.pretrained.load`
    image    a photo's name, a path, bytes, an open file or a picture
    device   "cpu", "cuda", …; by default CUDA where there is one

    Raises BadImage, UnknownModel or MissingWeights, each with one sentence fit for a screen.
    """
    picture = open_image(image)
    opened, lock = _loaded(name, weights, device)
    where = next(opened.model.parameters())
    images = opened.transform(picture)[None].to(where.device, where.dtype)
    sharp = replace(opened.transform, size=max(opened.transform.size, min(512, *picture.size)))
    return Sitting(name, opened, images, sharp.view(picture), opened.transform.view(picture), lock)


@dataclass(frozen=True)
class Fitted:
    """What `halving` gave: the result, the batch that fitted, and a sentence where it had to be made smaller."""

    result: object
    batch: int
    note: str = ""


def halving(work: Callable[[int], T], batch: int) -> Fitted:
    """`work(batch)`; while the GPU runs out of memory, again with half of it, and the note says so.

    Raises torch.OutOfMemoryError when even one image at a time does not fit.
    """
    asked = batch
    while True:
        try:
            result = work(batch)
        except torch.OutOfMemoryError:
            if batch <= 1:
                raise
        else:
            note = f"The GPU is short of memory: {batch} images at a time, not {asked}." if batch < asked else ""
            return Fitted(result, batch, note)
        batch //= 2  # outside the handler: the error holds on to the tensors that did not fit
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _top(logits: object, categories: tuple[str, ...], most: int) -> tuple[tuple[str, float], ...]:
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or logits.shape[1] != len(categories):
        return ()
    chances, labels = logits[0].float().softmax(dim=0).topk(min(most, len(categories)))
    return tuple((categories[label], chance) for label, chance in zip(labels.tolist(), chances.tolist(), strict=True))


_models: OrderedDict[tuple, tuple[Pretrained, threading.Lock]] = OrderedDict()
_models_lock = threading.Lock()


def _loaded(name: str, weights: str | None, device: str | None) -> tuple[Pretrained, threading.Lock]:
    key = (name, weights, device)
    with _models_lock:  # one visitor loads, the others wait for it rather than load it again
        if key not in _models:
            _models[key] = (pretrained.load(name, weights=weights, device=device), threading.Lock())
        _models.move_to_end(key)
        while len(_models) > MOST_MODELS:
            _models.popitem(last=False)
        return _models[key]
