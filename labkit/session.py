"""A photo and a model, read once: what every window on the lab (notebook, app, terminal) shows."""

from __future__ import annotations

import csv
import io
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import torch
from PIL.Image import Image

from labkit import pretrained
from labkit.data.images import open_image
from labkit.pretrained import Pretrained
from labkit.probes.attention import AttentionMap, Bands, HeadMeasures, attend, measure

MOST_MODELS = 4
DEFAULT_BANDS = Bands()


@dataclass(frozen=True)
class Look:
    """One model's look at one picture.

    model      the model's name, as given
    picture    the square that the model saw, sharp enough for a screen (RGB, up to 512 pixels a side)
    seen       the same square in the pixels that the model really got
    maps       one AttentionMap a layer, batch of one, in forward order
    measures   one HeadMeasures a layer
    top        the five most likely (category, probability 0..1); empty for a model without a classifier
    seconds    how long it took from picture to measures, the loading of the model left out
    """

    model: str
    picture: Image
    seen: Image
    maps: tuple[AttentionMap, ...]
    measures: tuple[HeadMeasures, ...]
    top: tuple[tuple[str, float], ...]
    seconds: float

    def with_bands(self, bands: Bands) -> Look:
        """The same look with the patterns named by other bands; nothing is computed again."""
        return replace(self, measures=tuple(replace(measures, bands=bands) for measures in self.measures))

    def rows(self) -> list[dict[str, object]]:
        """One row a layer and head: layer and head (from 0), nmi, distance, entropy, pattern; None where undefined."""
        return [
            {
                "layer": layer,
                "head": head,
                **{
                    name: None if (value := getattr(measures, name)[0, head].item()) != value else value
                    for name in ("nmi", "distance", "entropy")
                },
                "pattern": measures.patterns()[head],
            }
            for layer, measures in enumerate(self.measures)
            for head in range(measures.nmi.shape[1])
        ]


def as_csv(rows: Sequence[dict[str, object]]) -> str:
    """Rows that share their keys, as comma-separated text with a header; what is not defined is empty."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def look(
    name: str,
    image: str | Path | bytes | BinaryIO | Image,
    *,
    weights: str | None = "default",
    device: str | None = None,
    bands: Bands = DEFAULT_BANDS,
) -> Look:
    """Put a picture through a model and read all its attention.

    name     as in `labkit.pretrained.load`; the last few models stay loaded
    image    a photo's name, a path, bytes, an open file or a picture
    device   "cpu", "cuda", …; by default CUDA where there is one

    Raises BadImage, UnknownModel, MissingWeights or Unreadable, each with one sentence fit for a screen.
    """
    picture = open_image(image)
    loaded, lock = _loaded(name, weights, device)
    started = time.perf_counter()
    where = next(loaded.model.parameters())
    x = loaded.transform(picture)[None].to(where.device, where.dtype)
    with lock:
        logits, maps = attend(loaded.model, x)
    maps = tuple(replace(attention, weights=attention.weights.float().cpu()) for attention in maps)
    measures = tuple(measure(attention, bands=bands) for attention in maps)
    seconds = time.perf_counter() - started
    sharp = replace(loaded.transform, size=max(loaded.transform.size, min(512, *picture.size)))
    top = _top(logits, loaded.categories)
    return Look(name, sharp.view(picture), loaded.transform.view(picture), maps, measures, top, seconds)


def _top(logits: object, categories: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or logits.shape[1] != len(categories):
        return ()
    chances, labels = logits[0].float().softmax(dim=0).topk(min(5, len(categories)))
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
