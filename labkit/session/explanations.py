"""Two answers to "which pixels decided?" for one picture and class: maps, RISE as it converges, and films."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image
from torch import nn

from labkit.probes.explain import METHODS, explain
from labkit.probes.faithfulness import Curves, blur, curves
from labkit.probes.inputs import Refused
from labkit.probes.ranking import all_ranks
from labkit.probes.rise import Rise, rise
from labkit.probes.saliency import Saliency
from labkit.session.explained import Explained, Film, Likely, Pair, likeliest
from labkit.session.sitting import Sitting, halving

__all__ = ["METHODS", "Explained", "Film", "Likely", "Pair", "explain_pair", "likeliest", "pairs"]

EVERY, REDRAW_S = 32, 0.25
"""RISE may be stopped after so many masks; its map is shown again after so many seconds."""

SMALL, STEPS_SMALL, STEPS = 96, 64, 32
"""The steps of a film: pictures of up to SMALL pixels a side get more, because they are asked faster."""

_POINTS = 32  # of the curve of the error


Doing = tuple[float | None, str]
"""How far the work has come, 0..1 (None where nobody knows), and what is being done."""


def pairs(
    sitting: Sitting, methods: Sequence[str], *, target: int | None = None, masks: int = 1000, seed: int = 0
) -> Iterator[Doing | Pair]:
    """Ask the model by two methods, about one of its likeliest classes (`target`; None or another: the likeliest).

    A Pair comes as often as there is something new to show; what was found for a model and a picture stays known.
    Raises labkit.probes.inputs.Refused or labkit.taps.Unreadable where a method does not fit the model.
    """
    classes = likeliest(sitting)
    target = target if target in [one.index for one in classes] else classes[0].index
    stock = _film_stock(sitting)
    found: dict[str, Explained] = {}

    def pair() -> Pair:
        return Pair(sitting, classes, target, *stock, (found[methods[0]], found[methods[1]]))

    quick = [name for name in dict.fromkeys(methods) if name != "rise"]
    for name in quick:
        yield None, f"asking by {name}"
        found[name] = _asked(sitting, name, target)
    for now in _rising(sitting, classes, target, masks, seed) if "rise" in methods else ():
        found["rise"] = now
        yield pair()
        yield now.masks[0] / masks, f"RISE, {now.masks[0]} of {masks} masks"
    if "rise" not in methods:
        yield pair()
    for i, name in enumerate(found):
        yield i / len(found), f"{name}: deletion and insertion"
        found[name] = _filmed(sitting, found[name], target, (masks, seed))
    yield pair()


def explain_pair(sitting: Sitting, methods: Sequence[str], **options: int | None) -> Pair:
    """The same at once, with both films; options as of `pairs`."""
    *_, found = pairs(sitting, methods, **options)
    return found


# ---- each method


def _asked(sitting: Sitting, method: str, target: int) -> Explained:
    key = (_digest(sitting), method, target)
    if (known := _known(sitting, key)) is not None:
        return known
    with sitting.turn() as model:
        try:
            found = explain(model, sitting.images, methods=(method,), targets=target)[method]
        except ValueError as error:
            raise Refused(f"{method} does not fit {sitting.name}: {error}") from error
    return _keep(sitting, key, Explained(replace(found, raw=found.raw.detach().float().cpu())))


def _rising(sitting: Sitting, classes: tuple[Likely, ...], target: int, masks: int, seed: int) -> Iterator[Explained]:
    """The map after more and more masks; it goes on where it was stopped, and the masks serve all `classes`."""
    at_end = (_digest(sitting), "rise", target, masks, seed)
    if (known := _known(sitting, at_end)) is not None:
        yield known
        return
    key = (_digest(sitting), "rise", seed)
    state, trails = _known(sitting, key) or (None, {})
    if state is not None and state.n > masks:
        state, trails = None, {}
    every = -(-masks // (_POINTS * EVERY)) * EVERY  # masks from one point of the curve to the next

    def work() -> Iterator[Explained]:
        asked = torch.tensor([[one.index for one in classes]], device=sitting.images.device)
        if state is not None and state.n == masks:
            yield _snapshot(state, target, masks, trails)
            return
        shown = -REDRAW_S
        going = rise(
            sitting.opened.model, sitting.images, masks=masks, targets=asked, seed=seed, every=EVERY, state=state
        )
        for now in going:
            last = now.n == masks
            if now.n % every == 0 or last:
                for one in classes:
                    trails.setdefault(one.index, []).append((now.n, _noise(now, one.index)))
            _keep(sitting, key, (now, trails))
            if last or time.perf_counter() - shown >= REDRAW_S:
                shown = time.perf_counter()
                yield _snapshot(now, target, masks, trails)

    for one in sitting.in_turns(work()):
        if one.masks[0] == masks:
            _keep(sitting, at_end, one)
        yield one


def _snapshot(state: Rise, target: int, masks: int, trails: dict[int, list[tuple[int, float]]]) -> Explained:
    noise = _noise(state, target)
    note = f"Mean of {state.n} masks; its standard error is at most {noise:.0%} of its range."
    raw = state.map(target).float().cpu()
    saliency = Saliency(raw, "rise", torch.tensor([target]), note=note if noise < 1 else None)
    trail = [*trails.get(target, []), (state.n, noise)]
    trail = tuple(dict((n, share) for n, share in trail if np.isfinite(share)).items())
    return Explained(saliency, (state.n, masks), state.error(target)[0].float().cpu(), trail)


def _noise(state: Rise, target: int) -> float:
    """The largest standard error of a class's map, as a share of the map's range."""
    found = state.map(target)
    span = float(found.max() - found.min())
    return float(state.error(target).max()) / span if span > 0 else float("inf")


# ---- the film


def _filmed(sitting: Sitting, one: Explained, target: int, dice: tuple[int, int]) -> Explained:
    key = (_digest(sitting), "film", one.method, target, dice if one.masks else None)
    if (film := _known(sitting, key)) is None:
        height, width = sitting.images.shape[-2:]
        pixels = -(-height * width // (STEPS_SMALL if max(height, width) <= SMALL else STEPS))
        maps = {one.method: one.saliency.raw}
        with sitting.turn() as model:
            ask = partial(curves, model, sitting.images, maps, targets=target, pixels=pixels)
            found = halving(lambda batch: ask(batch=batch), 32).result[one.method]
        turn = all_ranks(maps, sitting.images, seed=0)[0, 0] // pixels
        kept = Curves(found.share.cpu(), found.deletion.cpu(), found.insertion.cpu())
        film = _keep(sitting, key, Film(turn.cpu(), kept))
    return replace(one, film=film)


def _film_stock(sitting: Sitting) -> tuple[Image.Image, tuple[int, int, int]]:
    """What the film is cut from, besides the picture: the blurred one, and the colour of what is gone."""
    mean, std = (
        torch.tensor(part).view(3, 1, 1) for part in (sitting.opened.transform.mean, sitting.opened.transform.std)
    )
    pixels = (blur(sitting.images)[0].float().cpu() * std + mean).clamp(0, 1)
    picture = Image.fromarray((255 * pixels).round().byte().permute(1, 2, 0).numpy())
    red, green, blue = (round(255 * part) for part in sitting.opened.transform.mean)
    return picture, (red, green, blue)


# ---- what is known of a model: forgotten with it

_shelves: WeakKeyDictionary[nn.Module, OrderedDict] = WeakKeyDictionary()
_shelves_lock = threading.Lock()
_MOST_KNOWN = 64


def _digest(sitting: Sitting) -> str:
    return hashlib.sha256(sitting.images.float().cpu().numpy().tobytes()).hexdigest()


def _known(sitting: Sitting, key: tuple) -> object:
    with _shelves_lock:
        return _shelves.setdefault(sitting.opened.model, OrderedDict()).get(key)


def _keep(sitting: Sitting, key: tuple, value: object) -> object:
    with _shelves_lock:
        shelf = _shelves.setdefault(sitting.opened.model, OrderedDict())
        shelf[key] = value
        shelf.move_to_end(key)
        while len(shelf) > _MOST_KNOWN:
            shelf.popitem(last=False)
        return value
