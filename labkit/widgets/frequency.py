"""The live view of frequencies, `frequency.js`: filter the photo by hand, and see what the model makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from labkit.session import Sitting
from labkit.session.tunings import Tuned, crossings, heard
from labkit.viz.theme import colour_table
from labkit.widgets.view import View, numbers, text_of

SHARPEST = 256
"""Pixels a side of the photo that the browser filters while a ring is dragged; larger ones are shown at this size."""

WHOLE = 0.7072
"""The upper cutoff that cuts nothing away, in cycles per pixel: just beyond the checkerboard's √½."""


FAINTEST = 0.01
"""The least gain that a plane tells from nothing, as a share of the filter's largest."""


class FrequencyView(View, view="frequency"):
    """Drag the rings on the spectrum, and the photo follows; when the hand rests, Python is asked what the model says.

    In `state`: `low` and `high` (cycles per pixel), `mean` (whether the mean passes), `layer`, `head` (the number of a
    filter among those shown for the layer; -1: none) and `sweep` (whether all cutoffs have been asked for).
    """

    def look(self, seen: Tuned, *, weights: str | None = "default", **state: Any) -> None:
        """Show a model before its photo, and answer for each band from now on; `state` as above."""
        self.on_ask(lambda band: self._hear(seen, weights, **band))
        start = {"low": 0.0, "high": WHOLE, "mean": True, **self.state, **state}
        band = {name: start[name] for name in ("low", "high", "mean")}
        self._hear(seen, weights, **band, state={**band, **state})

    def _hear(
        self,
        seen: Tuned,
        weights: str | None,
        *,
        low: float,
        high: float,
        mean: bool,
        sweep: bool = False,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """An answer moves nobody: the hand may be further by now. Only what is new before it starts from a `state`."""
        if sweep and mean not in seen.crossings:
            *_, (_, seen.crossings[mean]) = crossings(seen.sitting, mean=mean)
        head, bodies = frequency_data(
            seen.sitting,
            seen.tuning,
            heard(seen.sitting, low, high, mean=mean),
            low=low,
            high=high,
            mean=mean,
            crossing=seen.crossings.get(mean) if sweep else None,
            weights=weights,
        )
        self.show(head, bodies, **{"sweep": sweep, **(state or {})})


def frequency_data(
    sitting: Sitting,
    tuning: Any,
    passed: Any,
    *,
    low: float,
    high: float,
    mean: bool,
    crossing: Any = None,
    weights: str | None = "default",
) -> tuple[dict[str, Any], list[bytes]]:
    """What the view is shown: its head, and as bytes the photo, spectra, the filtered photo's spectra, gains.

    tuning     a `labkit.probes.tuning.Tuning` of the sitting's picture
    passed     its `Passed`, for the band `low`, `high`, `mean`
    crossing   a `labkit.probes.crossover.Crossover`, if it was asked for
    """
    transform, side = sitting.opened.transform, sitting.images.shape[-1]
    shown = min(side, SHARPEST)
    seen = sitting.seen if shown == side else sitting.seen.resize((shown, shown), Image.Resampling.BOX)
    pixels = np.asarray(seen.convert("RGB"))
    layers = [
        {"name": one.name, "grid": list(one.grid), "rings": len(one.frequencies), "high": round(float(one.high[0]), 5)}
        for one in tuning.spectra
    ]
    head = {
        "model": sitting.name,
        "untrained": weights is None,
        "side": shown,
        "modelSide": side,
        "ground": [255 * value for value in transform.mean],
        "spread": list(transform.std),
        "colours": text_of(colour_table().tobytes()),
        "depths": depth_colours(len(layers)),
        "layers": layers,
        "filters": [
            _filter(one, layer) for one, layer in zip(tuning.filters, beside(tuning.filters, len(layers)), strict=True)
        ],
        "top": _top(sitting, tuning.output),
        "answer": {
            "low": low,
            "high": high,
            "mean": mean,
            "top": _top(sitting, passed.output),
            **_followed(sitting, tuning, passed),
        },
        "crossing": None if crossing is None else _crossing(crossing, mean),
    }
    bodies = [
        pixels.tobytes(),
        *(numbers(np.concatenate([_relative(one) for one in some])) for some in (tuning.spectra, passed.spectra)),
        b"".join(_levels(one.gain) for one in tuning.filters),
        b"".join(numbers(one.radial) for one in tuning.filters),
    ]
    return head, bodies


def beside(filters: Sequence[Any], layers: int) -> list[int]:
    """With which layer each filter is shown: its block, else that of the next filter of its kind, else of the last."""
    found = []
    for i, one in enumerate(filters):
        kin = [other.block for other in filters[i:] if other.kind == one.kind and other.block is not None]
        before = [other.block for other in filters[:i] if other.kind == one.kind and other.block is not None]
        found.append(kin[0] if kin else before[-1] if before else 0)
    return [min(layer, layers - 1) for layer in found]


def depth_colours(count: int) -> dict[str, list[str]]:
    """One colour a layer, from the first to the last, for light and for dark ground."""
    table = colour_table("viridis")
    ends = {"light": (0.0, 0.82), "dark": (0.28, 1.0)}
    return {
        ground: ["#{:02x}{:02x}{:02x}".format(*table[round(255 * at)]) for at in np.linspace(*end, max(count, 1))]
        for ground, end in ends.items()
    }


def _filter(one: Any, layer: int) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "layer": layer,
        "inside": one.block is not None,
        "shown": list(one.shown),
        "of": one.of,
        "grid": list(one.gain.shape[-2:]),
        "rings": len(one.frequencies),
        "peaks": [round(float(value), 6) for value in one.gain.amax(dim=(1, 2))],
    }


def _relative(one: Any) -> np.ndarray:
    """Ln amplitude of the first picture ring by ring, less that of the mean (nats)."""
    radial = one.radial[0].cpu().numpy()
    return radial - radial[0]


def _levels(gain: Any) -> bytes:
    """`k h w` as uint8, the mean in the middle: a hundredth (0) to all (255) of a filter's largest gain, by its log."""
    plane = np.fft.fftshift(gain.cpu().double().numpy(), axes=(-2, -1))
    peak = np.maximum(plane.max(axis=(1, 2), keepdims=True), 1e-30)
    return np.rint(255 * (1 + np.log10(np.clip(plane / peak, FAINTEST, 1)) / 2)).astype(np.uint8).tobytes()


def _top(sitting: Sitting, output: Any) -> list[list[Any]]:
    return [[category, round(chance, 5)] for category, chance in sitting.top(output)]


def _followed(sitting: Sitting, tuning: Any, passed: Any) -> dict[str, Any]:
    """The whole photo's answer, before and after."""
    top = sitting.top(tuning.output, most=1)
    if not top:
        return {"label": None, "chance": None}
    at = int(tuning.output[0].argmax())
    return {"label": top[0][0], "chance": round(float(passed.output[0].float().softmax(dim=0)[at]), 5)}


def _crossing(found: Any, mean: bool) -> dict[str, Any]:
    where = found.where
    return {
        "mean": mean,
        "cutoffs": list(found.cutoffs),
        "photos": len(found.label),
        "coarse": [round(float(value), 5) for value in found.coarse_stays],
        "fine": [round(float(value), 5) for value in found.fine_stays],
        "where": None if where != where else where,
    }
