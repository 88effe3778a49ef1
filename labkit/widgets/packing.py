"""A reading of attention as bytes: small enough to travel to a browser once, exact enough to be read off there."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from labkit.viz.theme import PATTERNS, colour_table

if TYPE_CHECKING:
    from labkit.session.looks import AttentionMap, HeadMeasures, Look

PADDING = -1000
"""A place outside the picture, in Python (labkit.taps) and on the way to the browser alike."""

TOTAL_BYTES = 16_000_000
"""Above this the layers travel one by one, each when it is asked for."""

LAYER_BYTES = 64_000_000
"""Above this a layer does not travel at all."""


class TooLarge(ValueError):
    """The maps of one layer are too large for a browser."""


@dataclass(frozen=True)
class Packed:
    """`head` is plain data (JSON); `layers` holds each layer's bytes, None where they stay behind until asked for."""

    head: dict[str, Any]
    layers: tuple[bytes | None, ...]


def pack(look: Look, *, chosen: int = 0, limit: int = TOTAL_BYTES) -> Packed:
    """All layers of a look, or only the `chosen` one if together they exceed `limit` bytes.

    Raises TooLarge when one layer alone exceeds `LAYER_BYTES`.
    """
    sizes = [_size(layer) for layer in look.maps]
    for layer, size in zip(look.maps, sizes, strict=True):
        if size > LAYER_BYTES:
            raise TooLarge(
                f"the maps of {layer.name} are {size / 1e6:.0f} MB, more than the {LAYER_BYTES / 1e6:.0f} MB that "
                "a browser takes in; give the model a smaller picture or larger patches."
            )
    everything = sum(sizes) <= limit
    head = {
        "model": look.model,
        "picture": data_url(look.picture),
        "layers": [_describe(layer, measures) for layer, measures in zip(look.maps, look.measures, strict=True)],
        "colours": base64.b64encode(colour_table().tobytes()).decode(),
        "patterns": {name: {"light": p.light, "dark": p.dark, "meaning": p.meaning} for name, p in PATTERNS.items()},
    }
    bodies = (pack_layer(m) if everything or i == chosen else None for i, m in enumerate(look.maps))
    return Packed(head, tuple(bodies))


def pack_layer(layer: AttentionMap) -> bytes:
    """One layer of the first picture as bytes, little-endian, these one after the other:

    queries  int32    windows q
    keys     int32    windows k
    peaks    float32  windows heads q           the largest share that a row gives to a cell
    extras   float32  windows heads q prefix    what it gives to each prefix token, and to padding
    levels   uint8    windows heads q k         share of a cell = peak * (level / 255)²

    The square keeps small shares apart; the extras stand alone so that a greedy class token cannot blur the cells.
    """
    weights = _array(layer.weights[0]).astype(np.float32, copy=False)
    queries, keys = _array(layer.queries).astype("<i4"), _array(layer.keys).astype("<i4")
    windows, heads, q, _ = weights.shape
    prefix = _prefix(keys)
    extras = np.zeros((windows, heads, q, len(prefix)), dtype="<f4")
    for column, token in enumerate(prefix):
        extras[..., column] = (weights * (keys == token)[:, None, None, :]).sum(-1)
    cells = weights * (keys >= 0)[:, None, None, :]
    peaks = cells.max(-1).astype("<f4")
    levels = np.sqrt(cells / np.maximum(peaks, np.finfo(np.float32).tiny)[..., None])
    levels = np.rint(255 * levels).astype(np.uint8)
    return b"".join(part.tobytes() for part in (queries, keys, peaks, extras, levels))


def _describe(layer: AttentionMap, measures: HeadMeasures) -> dict[str, Any]:
    _, windows, heads, q, k = layer.weights.shape
    return {
        "name": layer.name,
        "windows": windows,
        "heads": heads,
        "q": q,
        "k": k,
        "grid": list(layer.grid),
        "keyGrid": list(layer.key_grid),
        "prefix": _prefix(_array(layer.keys)),
        "asking": sorted(
            {int(token) for token in np.unique(_array(layer.queries)) if PADDING < token < 0}, reverse=True
        ),
        "nmi": _row(measures.nmi),
        "distance": _row(measures.distance),
        "entropy": _row(measures.entropy),
    }


def _prefix(tokens: np.ndarray) -> list[int]:
    """The tokens that are no cell: the class token (-1) first, padding last."""
    return sorted((int(token) for token in np.unique(tokens) if token < 0), reverse=True)


def _row(values: Any) -> list[float | None]:
    """Numbers that JSON can carry: None where the measure is not defined."""
    return [None if np.isnan(value) else round(float(value), 5) for value in _array(values[0])]


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.detach().cpu())


def _size(layer: AttentionMap) -> int:
    return int(np.prod(layer.weights.shape[1:]))


def data_url(picture: Image.Image, *, lossless: bool | None = None) -> str:
    """A picture as the address of itself: PNG when `lossless` (by default up to 256 pixels a side), else JPEG."""
    lossless = max(picture.size) <= 256 if lossless is None else lossless
    kind, options = ("png", {}) if lossless else ("jpeg", {"quality": 92})
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
