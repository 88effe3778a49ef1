"""RISE: which places matter, from random masks alone; in a stream, with its own standard error.

Source   Petsiuk, Das & Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018

A map is S(x) = 1 / (N p) · Σ score(image · mask) · mask(x), and each mask is U g Vᵀ: a grid g of coin throws, made
large by bilinear matrices U and V that depend on the shift of the mask alone. So no picture is summed mask by mask: the
scores are collected in a table with one place for each shift and cell, about as many as pixels, and U and V are applied
when a map is read. All classes cost what one costs, and memory does not grow with N.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.probes.inputs import Refused
from labkit.probes.question import Question
from labkit.probes.rise_masks import Masks
from labkit.probes.saliency import Saliency
from labkit.probes.targets import Targets

TABLES = 5
"""One of score · cell, four of score² with a cell and its neighbours: what the mean and its error are made of."""


class Rise:
    """What is known after `n` masks: the same object after every step, filled further; what it returns is new.

    n         masks so far
    classes   `b k`, the classes whose scores are kept; None where a function was the target
    watched   `b`, the column of `classes` that is read by default: the first, or the highest class where all are kept

    Its size is 5 · b · k · height · width numbers of 4 bytes: 1 MB for an image of 224 pixels and one class, 1 GB for
    all 1000 of ImageNet's, however many masks.
    """

    def __init__(self, masks: Masks, classes: Tensor | None, watched: Tensor) -> None:
        self.masks, self.classes, self.watched, self.n = masks, classes, watched, 0
        b, k = (len(watched), 1) if classes is None else classes.shape
        self._sums = torch.zeros(TABLES, b, masks.places, k, device=watched.device)

    def map(self, targets: int | None = None) -> Float[Tensor, "b h w"]:
        """S: the score to be expected where this pixel is kept, in the score's unit (probabilities: 0..1)."""
        total = self.masks.spread(self._tables(targets)[0])
        return total / (max(self.n, 1) * self.masks.keep)

    def error(self, targets: int | None = None) -> Float[Tensor, "b h w"]:
        """The standard error of `map`, in its unit: over other seeds the map varies so much; infinite below two masks.

        Most of it is shared by all pixels (a map that is a little brighter or darker as a whole): what it says of the
        difference between two pixels is on the safe side.
        """
        first, *pairs = self._tables(targets)
        if self.n < 2:
            return torch.full_like(self.masks.spread(first), torch.inf)
        mean, square = self.masks.spread(first) / self.n, self.masks.spread_squares(pairs) / self.n
        return ((square - mean**2).clamp_min(0) / (self.n - 1)).sqrt() / self.masks.keep

    def noise(self) -> Float[Tensor, "b"]:
        """The largest standard error, as a share of the map's range; infinite for a map without one."""
        map, error = self.map(), self.error()
        span = map.amax(dim=(1, 2)) - map.amin(dim=(1, 2))
        return torch.where(span > 0, error.amax(dim=(1, 2)) / span.clamp_min(torch.finfo(span.dtype).tiny), torch.inf)

    def saliency(self) -> Saliency:
        """The watched map of each image, in the form in which all methods answer."""
        chosen = None if self.classes is None else self.classes.gather(1, self.watched[:, None])[:, 0]
        noise = float(self.noise().max())
        says = (
            f"its standard error is at most {noise:.0%} of its range" if noise < 1 else "as yet its noise is its range"
        )
        return Saliency(self.map(), "RISE", chosen, note=f"Mean of {self.n} masks; {says}.")

    def tensors(self) -> dict[str, Tensor]:
        """All of it as tensors, to be saved; `Rise.resumed` makes it again."""
        numbers = torch.tensor([self.n, *self.masks.size, self.masks.grid], dtype=torch.int64)
        found = {"numbers": numbers, "keep": torch.tensor(self.masks.keep), "dice": self.masks.dice()}
        found |= {"sums": self._sums.clone(), "watched": self.watched.clone()}
        return found if self.classes is None else found | {"classes": self.classes.contiguous()}

    @classmethod
    def resumed(cls, tensors: dict[str, Tensor], *, device: torch.device | str = "cpu") -> Rise:
        """The state that `tensors` were taken from; its next mask is the one that would have come."""
        n, height, width, grid = tensors["numbers"].tolist()
        masks = Masks((height, width), grid=grid, keep=float(tensors["keep"]), seed=0, device=device)
        masks.set_dice(tensors["dice"])
        classes = tensors["classes"].to(device) if "classes" in tensors else None
        state = cls(masks, classes, tensors["watched"].to(device))
        state.n, state._sums = n, tensors["sums"].to(device, copy=True)
        return state

    def step(self, ask: Question, images: Float[Tensor, "b 3 height width"], count: int) -> None:
        """Ask about `count` new masks, the same for all images: one pass of the model an image."""
        cells, shifts = self.masks.draw(count)
        masks = self.masks.paint(cells, shifts).to(images.dtype)[:, None]
        places, products = self.masks.collected(cells, shifts)
        with torch.no_grad():
            for image, picture in enumerate(images):
                answers = ask(picture * masks, image)
                for table, product in enumerate(products):
                    weight = answers if table == 0 else answers**2
                    entries = product.flatten(1)[:, :, None] * weight[:, None]
                    self._sums[table, image].index_add_(0, places.flatten(), entries.flatten(0, 1))
        self.n += count

    def _tables(self, targets: int | None) -> list[Tensor]:
        """The five tables `b places` of one class an image."""
        column = self.watched
        if targets is not None:
            there = self.classes == targets if self.classes is not None else torch.zeros(1, 1, dtype=torch.bool)
            if not there.any(dim=1).all():
                raise Refused(f"class {targets} was not kept for every image: run rise(…, targets='all').")
            column = there.long().argmax(dim=1)
        index = column.view(1, -1, 1, 1).expand(TABLES, -1, self._sums.shape[2], 1)
        return list(self._sums.gather(3, index)[..., 0])


def rise(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    *,
    masks: int = 4000,
    targets: Targets | Literal["all"] = None,
    seed: int = 0,
    grid: int = 8,
    keep: float = 0.5,
    precision: float | None = None,
    every: int = 200,
    batch: int = 32,
    progress: Callable[[int, int], None] | None = None,
    state: Rise | None = None,
) -> Iterator[Rise]:
    """Stream the state after every `every` masks and at the end: `*_, last = rise(model, images)`.

    masks      how many in all, those of a resumed state counted; the paper takes 4000 (VGG) and 8000 (ResNet)
    targets    a class, one an image, a function of the logits, None for the highest; "all" or `b k` keeps several
    seed       of the masks: the same on every device and for every `batch`; no other dice are touched
    grid       cells a side; `keep` the chance p that a cell is kept; what is not kept is 0, the mean colour
    precision  stop when `noise()` is at most this for every image: a map of noise alone has about 0.3, and 0.1 is clear
    batch      masked pictures in one pass: what decides how much memory is needed
    progress   called with (done, masks) after each pass
    state      goes on where it stopped, with its own masks, classes and settings; its object is filled further

    Raises Refused for bad input, at once. Between steps the model is as it was before.
    """
    if not 0 < keep < 1 or min(grid, masks, every, batch) < 1:
        raise Refused(
            f"rise(masks={masks}, grid={grid}, keep={keep}, every={every}, batch={batch}): expected keep between 0 and "
            "1, and whole numbers of at least 1 for the others."
        )
    size = tuple(images.shape[-2:])
    if state is not None:
        if state.masks.size != size or len(state.watched) != len(images):
            raise Refused(
                f"the state is of {len(state.watched)} images of {state.masks.size} pixels, these are {len(images)} of "
                f"{size}: go on with the images it began with."
            )
        again = targets if callable(targets) else state.classes
        return _stream(state, Question(model, images, again), images, masks, every, batch, precision, progress)
    ask = Question(model, images, targets)
    watched = ask.answers.argmax(dim=1) if targets == "all" else torch.zeros_like(ask.answers[:, 0], dtype=torch.int64)
    state = Rise(Masks(size, grid=grid, keep=keep, seed=seed, device=images.device), ask.classes, watched)
    return _stream(state, ask, images, masks, every, batch, precision, progress)


def _stream(
    state: Rise,
    ask: Question,
    images: Tensor,
    masks: int,
    every: int,
    batch: int,
    precision: float | None,
    progress: Callable[[int, int], None] | None,
) -> Iterator[Rise]:
    while state.n < masks:
        stop = min(state.n + every, masks)
        while state.n < stop:
            state.step(ask, images, min(batch, stop - state.n))
            if progress:
                progress(state.n, masks)
        yield state
        if precision is not None and bool((state.noise() <= precision).all()):
            return
