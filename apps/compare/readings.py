"""What one instrument finds in one model, for a cell of the wall: a small picture and a few numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from labkit.probes.attention import Bands, attention_maps, measure
from labkit.probes.cost import cost
from labkit.probes.explain import explain
from labkit.probes.extent import area
from labkit.probes.frequency import spectra
from labkit.probes.mixing import mixing_maps
from labkit.probes.mixing_measures import measure_mixing
from labkit.probes.receptive_field import effective_fields, measure_field
from labkit.probes.similarity import smoothness
from labkit.probes.speed import speed
from labkit.session import Sitting
from labkit.taps import blocks
from labkit.viz import cells
from labkit.viz.mixing import FLOOR
from labkit.viz.theme import percent

BANDS = Bands().hybrid
MASKS = 400
"""Of RISE: enough to see where, in seconds; its own room throws thousands."""


class Knobs(Protocol):
    """What may be turned: the method of the explanation, the depth of the block (percent) and the seed."""

    method: str
    depth: int
    seed: int


@dataclass(frozen=True, eq=False)
class Found:
    """What one instrument found in one model.

    numbers   name -> (value, unit)
    said      the most telling of them in words; `note` a sentence that whoever looks should know
    pixels    `h w 3`: the picture, where it is one
    series    what is drawn as lines or marks, where it is not
    """

    numbers: dict[str, tuple[float, str]]
    said: str
    pixels: np.ndarray | None = None
    series: dict[str, Any] = field(default_factory=dict)
    note: str = ""


def decided(sitting: Sitting, model: nn.Module, knobs: Knobs) -> Found:
    """Where the heat lies of what speaks for the model's own first answer."""
    method = knobs.method
    saliency = explain(model, sitting.images, methods=[method], masks=MASKS, seed=knobs.seed)[method]
    heat = saliency.display((cells.SIDE, cells.SIDE))[0].cpu()
    named = "" if saliency.targets is None else f"{_category(sitting, int(saliency.targets[0]))}: "
    pixels = cells.heated(_photo(sitting), heat.numpy())
    if not heat.any():
        return Found({}, f"{named}nothing speaks for it", pixels, note=saliency.note or "")
    half = area(heat.flatten(), 0.5).item()
    said = f"{named}half of the heat on {percent(half)} of the picture"
    return Found({"half of the heat": (half, "share of the picture")}, said, pixels, note=saliency.note or "")


def patterns(sitting: Sitting, model: nn.Module, knobs: Knobs) -> Found:
    """The NMI of every head, and how many are local, hybrid and global."""
    measures = [measure(one) for one in attention_maps(model, sitting.images)]
    nmi = tuple(_array(one.nmi[0]) for one in measures)
    names = [name for one in measures for name in one.patterns()]
    count = {name: names.count(name) for name in ("local", "hybrid", "global")}
    said = f"{len(nmi)} layers: " + ", ".join(f"{many} {name}" for name, many in count.items())
    numbers = {name: (many, "heads") for name, many in count.items()}
    return Found({**numbers, "NMI, mean": (float(np.nanmean(np.concatenate(nmi))), "0..1")}, said, series={"nmi": nmi})


def likeness(sitting: Sitting, model: nn.Module, knobs: Knobs) -> Found:
    """How alike two tokens are after each block."""
    found = smoothness(model, sitting.images)
    mean, quantiles = (_array(torch.cat([getattr(one.raw, what) for one in found])) for what in ("mean", "quantiles"))
    rank = found[-1].effective_rank.item()
    numbers = {
        "cosine, first block": (float(mean[0]), "-1..1"),
        "cosine, last block": (float(mean[-1]), "-1..1"),
        "effective rank, last block": (rank, "directions"),
    }
    said = f"cosine {mean[0]:.2f} after the first block, {mean[-1]:.2f} after the last"
    return Found(numbers, said, series={"mean": mean, "quantiles": quantiles})


def frequencies(sitting: Sitting, model: nn.Module, knobs: Knobs) -> Found:
    """The spectrum after each block."""
    found = spectra(model, sitting.images)
    radial = tuple(_array(one.radial[0] - one.radial[0, 0]) for one in found)
    first, last = (float(found[i].high[0]) for i in (0, -1))
    numbers = {
        "fine part, first block": (first, "share of the variance"),
        "fine part, last block": (last, "share of the variance"),
        "high less low, last block": (float(found[-1].slope[0]), "nats"),
    }
    said = f"{percent(first)} of the variance is fine after the first block, {percent(last)} after the last"
    return Found(numbers, said, series={"radial": radial, "grids": tuple(one.grid for one in found)})


def reach(sitting: Sitting, model: nn.Module, knobs: Knobs) -> Found:
    """Which pixels move the middle unit of the block at the chosen depth."""
    name, where = _block(sitting, model, knobs)
    (found,) = effective_fields(model, sitting.images, layers=[name])
    heat = found.mean.cpu()
    height, width = heat.shape
    pixels = cells.glowing(_photo(sitting), (heat / heat.max().clamp_min(1e-30)).sqrt().numpy())
    if not heat.any():
        return Found({}, f"{where}: no pixel moves the unit", pixels)
    held = measure_field(heat, centre=found.centre, parts=(0.5,))
    half, (row, column) = int(held.side[0]) // 2, found.centre
    box = (row - half) / height, (column - half) / width, (row + half + 1) / height, (column + half + 1) / width
    numbers = {
        "square with half of the field": (int(held.side[0]), "pixels a side"),
        "the same, of the picture": (float(held.square[0]), "share of the picture"),
    }
    said = f"{where}: half of its field within {int(held.side[0])} of {height} pixels"
    return Found(numbers, said, cells.framed(pixels, box))


def mixture(sitting: Sitting, model: nn.Module, knobs: Knobs) -> Found:
    """From which tokens the middle one is made in the block at the chosen depth."""
    name, where = _block(sitting, model, knobs)
    (found,) = mixing_maps(model, sitting.images, layers=[name], probes=2, seed=knobs.seed)
    held = measure_mixing(found)
    (h, w), (down, across) = found.grid, found.key_grid
    row, column = h // 2, w // 2
    shares = _array(found.shares[0, row * w + column]).reshape(down, across)
    level = np.log(np.clip(np.nan_to_num(shares), FLOOR, 1) / FLOOR) / np.log(1 / FLOOR)
    box = row / h, column / w, (row + 1) / h, (column + 1) / w
    pixels = cells.framed(cells.glowing(_photo(sitting), level), box)
    numbers = {
        "from its own place": (held.own.item(), "share"),
        "reach": (held.reach.item(), "0 = itself, 1 = everywhere"),
        "NMI": (held.nmi.item(), "0..1"),
    }
    said = f"{where}: {percent(held.own.item())} from its own place, reach {held.reach.item():.2f}"
    return Found(numbers, said, pixels)


def price(sitting: Sitting, model: nn.Module, knobs: Knobs) -> Found:
    """Parameters, multiply-adds, memory and measured time of one forward pass with this picture."""
    counted = cost(model, tuple(sitting.images.shape[-2:]))
    timed = speed(model, sitting.images)
    weights = sum(one.numel() * one.element_size() for one in (*model.parameters(), *model.buffers()))
    numbers = {
        "parameters": (counted.parameters, ""),
        "multiply-adds": (counted.macs, "a picture"),
        "time": (1000 * timed.seconds, "ms a picture"),
        "time, lower quartile": (1000 * timed.spread[0], "ms a picture"),
        "time, upper quartile": (1000 * timed.spread[1], "ms a picture"),
        "weights": (weights, "bytes"),
        "kept for training": (counted.saved, "bytes a picture"),
    }
    if timed.peak is not None:
        numbers["at most on the GPU"] = (timed.peak, "bytes")
    where = timed.device if timed.peak is not None else f"{timed.threads} thread{'s' * (timed.threads > 1)} of the CPU"
    return Found(numbers, f"time on {where}: median of 10 runs")


def answer(sitting: Sitting, model: nn.Module, knobs: Knobs) -> Found:
    """What the model takes the picture for: the three likeliest."""
    with torch.inference_mode():
        top = sitting.top(model(sitting.images), most=3)
    numbers = {name: (chance, "probability") for name, chance in top}
    many = len(sitting.opened.categories)
    said = f"of {many:,} classes that it knows" if top else "This model names no categories."
    return Found(numbers, said, series={"top": top})


def _block(sitting: Sitting, model: nn.Module, knobs: Knobs) -> tuple[str, str]:
    """The name of the block at the chosen depth, and "block 5 of 8"."""
    there = blocks(model, tuple(sitting.images.shape[-2:]))
    index = round(knobs.depth / 100 * (len(there) - 1))
    return there[index].name, f"block {index + 1} of {len(there)}"


def _photo(sitting: Sitting) -> np.ndarray:
    return np.asarray(sitting.picture.convert("RGB").resize((cells.SIDE, cells.SIDE)))


def _category(sitting: Sitting, index: int) -> str:
    names = sitting.opened.categories
    return names[index] if index < len(names) else f"class {index}"


def _array(values: Tensor) -> np.ndarray:
    return values.detach().float().cpu().numpy()
