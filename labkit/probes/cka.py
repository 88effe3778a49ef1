"""Whether two layers know the same: linear centred kernel alignment, between layers and between models, in float64.

Sources
  linear CKA         Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019
  unbiased HSIC      Song et al., "Feature Selection via Dependence Maximization", JMLR 2012, equation 5, as the inner
                     product of U-centred matrices (Székely & Rizzo 2014)
  over minibatches   Nguyen, Raghu & Kornblith, "Do Wide and Deep Networks Learn the Same Things?", ICLR 2021

1 = the same up to rotation and scale, 0 = nothing in common. A layer that is the same for every sample agrees with
nothing: 0. With few samples and many features the exact form tends to 1 for any two layers; the unbiased one does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.probes.inputs import Refused
from labkit.probes.layers import Layer, layers

Samples = Literal["pictures", "tokens"]
"""What is compared: whole pictures (channels and places are features), or single places (channels are features)."""


@dataclass(frozen=True)
class Agreement:
    """CKA of each layer of one model (rows) with each layer of another, or of the same (columns).

    cka   `rows columns`: 0..1 in its exact form; the unbiased one may fall a little below 0
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cka: Float64[Tensor, "rows columns"]


def agreement(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    *,
    other: nn.Module | None = None,
    other_images: Float[Tensor, "_ 3 _ _"] | None = None,
    samples: Samples = "pictures",
) -> Agreement:
    """The exact CKA of all layers of a model, with each other or with another model's.

    other_images   the same pictures as the other model wants them; by default they are the first model's
    samples        "pictures" needs many of them; "tokens" works from one picture on: maps are averaged down to the
                   coarsest grid among the layers

    Raises Refused for fewer than 3 samples or unlike numbers of pictures.
    """
    found = layers(model, images)
    theirs = found if other is None else layers(other, images if other_images is None else other_images)
    grid = min((layer.grid for layer in (*found, *theirs)), key=lambda grid: grid[0] * grid[1])
    a = [features(layer, samples, grid) for layer in found]
    b = a if other is None else [features(layer, samples, grid) for layer in theirs]
    return Agreement(*_names(found, theirs), cka(a, b))


def streamed_agreement(
    model: nn.Module,
    batches: Iterable[Tensor | tuple[Tensor, Tensor]],
    *,
    other: nn.Module | None = None,
) -> Agreement:
    """The unbiased CKA of all layers over minibatches of pictures; memory does not grow with their number.

    batches   images `b 3 height width` with b of at least 4, or pairs (images for `model`, the same for `other`)
    """
    running, names = MinibatchCKA(), ((), ())
    for batch in batches:
        images, other_images = batch if isinstance(batch, tuple) else (batch, batch)
        found = layers(model, images)
        theirs = found if other is None else layers(other, other_images)
        names = _names(found, theirs)
        a = [features(layer, "pictures") for layer in found]
        running.add(a, a if other is None else [features(layer, "pictures") for layer in theirs])
    return Agreement(*names, running.cka())


def features(layer: Layer, samples: Samples, grid: tuple[int, int] | None = None) -> Float[Tensor, "samples features"]:
    """One row a picture (its whole map), or one a place (its channels, after averaging down to `grid`)."""
    if samples == "pictures":
        return layer.tokens.flatten(1)
    return F.adaptive_avg_pool2d(layer.map, grid or layer.grid).movedim(1, -1).flatten(0, 2)


@torch.no_grad()
def cka(x: Sequence[Float[Tensor, "_ _"]], y: Sequence[Float[Tensor, "_ _"]]) -> Float64[Tensor, "x y"]:
    """Exact linear CKA of every x with every y (`samples features` each).

    |YᵀX|² / (|XᵀX| |YᵀY|), Frobenius norms, columns centred, in float64. Raises Refused for fewer than 3 samples.
    """
    _check(x, y, least=3)
    ours, theirs = (_flat([_gram(one) for one in many]) for many in (x, y))
    return _cosine(ours @ theirs.T, ours.square().sum(dim=1), theirs.square().sum(dim=1))


class MinibatchCKA:
    """Linear CKA from Song's unbiased HSIC, averaged over minibatches; add as many as there are, then read `cka()`."""

    def __init__(self) -> None:
        self.batches = 0
        self._cross: Tensor | float = 0.0
        self._own: Tensor | float = 0.0
        self._their: Tensor | float = 0.0

    @torch.no_grad()
    def add(self, x: Sequence[Float[Tensor, "_ _"]], y: Sequence[Float[Tensor, "_ _"]]) -> None:
        """Take in the features of one minibatch, one `n features` a layer. Raises Refused for n below 4."""
        _check(x, y, least=4)
        n = len(x[0])
        ours, theirs = (_flat([_u_centred(_gram(one)) for one in many]) for many in (x, y))
        pairs = n * (n - 3)
        self._cross = self._cross + ours @ theirs.T / pairs
        self._own = self._own + ours.square().sum(dim=1) / pairs
        self._their = self._their + theirs.square().sum(dim=1) / pairs
        self.batches += 1

    def cka(self) -> Float64[Tensor, "x y"]:
        """The estimate so far. Raises Refused before the first minibatch."""
        if not self.batches:
            raise Refused("no minibatch has come yet: expected at least one of 4 pictures or more.")
        return _cosine(self._cross, self._own, self._their)


def _gram(x: Tensor) -> Float64[Tensor, "n n"]:
    # Centred first, and in double precision from the start: large features lose their differences in float32.
    x = x.double()
    x = x - x.mean(dim=0)
    return x @ x.T


def _u_centred(gram: Float64[Tensor, "n n"]) -> Float64[Tensor, "n n"]:
    # ⟨K̃, L̃⟩ / (n (n - 3)) is Song's estimator term by term, but a plain inner product: all pairs of layers at once.
    n = len(gram)
    apart = gram - torch.diag(gram.diagonal())
    rows = apart.sum(dim=1)
    out = apart - (rows[:, None] + rows[None, :]) / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
    return out - torch.diag(out.diagonal())


def _flat(grams: list[Tensor]) -> Float64[Tensor, "layers pairs"]:
    return torch.stack([gram.flatten() for gram in grams])


def _cosine(cross: Tensor, own: Tensor, their: Tensor) -> Float64[Tensor, "x y"]:
    scale = (own[:, None] * their[None, :]).sqrt()
    return torch.where(scale > 0, cross / torch.where(scale > 0, scale, 1), 0)


def _names(found: Sequence[Layer], theirs: Sequence[Layer]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(layer.name for layer in found), tuple(layer.name for layer in theirs)


def _check(x: Sequence[Tensor], y: Sequence[Tensor], *, least: int) -> None:
    counts = {len(one) for one in (*x, *y)}
    if len(counts) != 1:
        raise Refused(f"expected as many samples in every layer of both models, got {sorted(counts)}.")
    if min(counts) < least:
        raise Refused(
            f"CKA needs at least {least} samples, got {min(counts)}: give more pictures, or compare tokens "
            "(samples='tokens')."
        )
