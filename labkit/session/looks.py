"""All attention of a model that looks at a picture."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from PIL.Image import Image

from labkit.probes.attention import AttentionMap, Bands, HeadMeasures, attend, measure
from labkit.session.sitting import sit

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
    seconds    how long it took from tensor to measures, the loading of the model left out
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
    sitting = sit(name, image, weights=weights, device=device)
    started = time.perf_counter()
    with sitting.turn() as model:
        logits, maps = attend(model, sitting.images)
    maps = tuple(replace(attention, weights=attention.weights.float().cpu()) for attention in maps)
    measures = tuple(measure(attention, bands=bands) for attention in maps)
    seconds = time.perf_counter() - started
    return Look(name, sitting.picture, sitting.seen, maps, measures, sitting.top(logits), seconds)
