"""`labkit probe similarity`: how alike the tokens become with depth, and what each block is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labkit.commands._objects import marked
from labkit.commands._seeing import Answer, View, instrument, number
from labkit.commands._tables import short

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from labkit.probes.cka import Agreement
    from labkit.probes.lesion import Lesion
    from labkit.probes.similarity import Smoothness

MANY = 8
"""From so many pictures on, CKA compares pictures; with fewer it compares their tokens."""

SIDE = 16
"""The most cells a side of which a similarity matrix is drawn: its lines are to be seen."""


_COLUMNS = {
    "layer": "layer",
    "name": "name",
    "grid": "grid",
    "similarity": "cosine",
    "spread_centred": "spread",
    "effective_rank": "rank",
    "high_frequency": "high f",
    "cls": "class",
    "same": "same",
    "different": "other",
    "lesion_drop": "lost",
}
_UNITS = {
    "spread": "centred",
    "high f": "share",
    "class": "token",
    "same": "object",
    "other": "object",
    "lost": "prob.",
}


@instrument
@click.option("--target", help="The class whose probability the lesions follow.  [default: the model's own answer]")
@click.option("--mask", type=click.Path(path_type=Path), help="A black and white picture: the object in --image.")
@click.option("--against", help="Instead, CKA of each layer with each layer of this model (or of the same).")
def similarity(view: View, *, target: str | None, mask: Path | None, against: str | None) -> Answer:
    """How alike the tokens become with depth (cosine, rank, high frequencies), and what is lost without each block."""
    if against is not None:
        return _agreement(view, against)
    from labkit.probes.lesion import lesions
    from labkit.probes.similarity import smoothness

    found = smoothness(view.model, view.images, mask=_object(view, mask))
    view.say("Leaving out one block after another …")
    lost = lesions(view.model, view.images, targets=view.target(target))
    rows = [
        {
            "layer": layer,
            "name": one.name,
            "grid": "{}x{}".format(*one.grid),
            "similarity": number(one.raw.mean),
            "similarity_centred": number(one.centred.mean),
            "spread_centred": number(one.centred.spread),
            "effective_rank": number(one.effective_rank),
            "high_frequency": number(one.high_frequency),
            "cls": number(one.prefix[:, 0]) if one.prefix.shape[1] else None,
            "same": number(one.objects.same) if one.objects else None,
            "different": number(one.objects.different) if one.objects else None,
            "lesion_drop": number(without.drop),
        }
        for layer, (one, without) in enumerate(zip(found, lost, strict=True))
    ]
    units = {"effective_rank": "directions", "high_frequency": "share", "lesion_drop": "probability"}
    cosines = dict.fromkeys(("similarity", "similarity_centred", "cls", "same", "different"), "cosine")
    draw, table = partial(_figures, view, found, lost), short(rows, _COLUMNS, units=_UNITS)
    return Answer(rows, draw, units | cosines, words=_words(found, lost), table=table)


def _words(found: Sequence[Smoothness], lost: Sequence[Lesion]) -> str:
    drops = {one.name: number(one.drop) for one in lost if one.drop is not None}
    most = max(drops, key=lambda name: drops[name]) if drops else None
    needed = f" The model misses {most} most: {drops[most]:+.2f} of probability." if most and drops[most] > 0.01 else ""
    first, last = number(found[0].raw.mean), number(found[-1].raw.mean)
    return f"Two tokens have a cosine of {first:.2f} behind the first block and {last:.2f} behind the last.{needed}"


def _figures(view: View, found: Sequence[Smoothness], lost: Sequence[Lesion]) -> Mapping[str, Figure]:
    import numpy as np

    from labkit.probes.layers import layers
    from labkit.probes.similarity import cosines
    from labkit.viz import similarity as draw

    grids = [one.grid for one in found]
    kept = layers(view.model, view.images[:1])
    most = [min(one.tokens.shape[1:]) for one in kept]

    def curve(values: Sequence[Tensor]) -> np.ndarray:
        return np.array([float(value.mean()) for value in values])

    def spread(which: str) -> draw.Cosines:
        parts = [getattr(one, which) for one in found]
        quantiles = np.stack([part.quantiles.mean(dim=0).cpu().numpy() for part in parts])
        return draw.Cosines(curve([part.mean for part in parts]), quantiles)

    has_prefix, has_mask = all(one.prefix.shape[1] for one in found), found[0].objects is not None
    figures = {
        "depth": draw.by_depth(
            spread("raw"),
            spread("centred"),
            curve([one.effective_rank for one in found]),
            most,
            curve([one.high_frequency for one in found]),
            grids=grids,
            cls=curve([one.prefix[:, 0] for one in found]) if has_prefix else None,
            same=curve([one.objects.same for one in found]) if has_mask else None,
            different=curve([one.objects.different for one in found]) if has_mask else None,
            title=view.title,
        ),
        "matrices": draw.matrices(
            [cosines(_coarse(one.map).flatten(2).mT)[0].cpu().numpy() for one in kept],
            names=[one.name for one in kept],
            title=f"{view.titles[0]} through {view.name}"
            + (f", averaged down to {SIDE}×{SIDE} cells" if max(grids[0]) > SIDE else ""),
        ),
        "lesions": draw.lesions(
            [number(one.drop) for one in lost],
            [number(one.turned) for one in lost],
            grids=grids,
            title=view.title,
        ),
    }
    return figures | _cka_figure(view, _compare(view, None), view.name, view.name)


def _agreement(view: View, against: str) -> Answer:
    from labkit.pretrained import load

    other = None
    if against != view.name:
        other = load(against, weights=None if view.weights is None else "default", device=view.device)
    found = _compare(view, other)
    rows = [
        {"layer": i, "name": name, "other_layer": j, "other_name": theirs, "cka": float(found.cka[i, j])}
        for i, name in enumerate(found.rows)
        for j, theirs in enumerate(found.columns)
    ]
    return Answer(rows, partial(_cka_figure, view, found, view.name, against), {"cka": "0..1"})


def _compare(view: View, other: object) -> Agreement:
    import torch

    from labkit.probes.cka import agreement

    images = view.images
    theirs = images
    if other is not None:
        theirs = torch.stack([other.transform(picture) for picture in view.pictures]).to(view.device)
    samples = "pictures" if len(images) >= MANY else "tokens"
    return agreement(view.model, images, other=other and other.model, other_images=theirs, samples=samples)


def _cka_figure(view: View, found: Agreement, down: str, across: str) -> dict[str, Figure]:
    from labkit.viz.similarity import agreement

    what = "pictures" if len(view.sources) >= MANY else "tokens"
    figure = agreement(
        found.cka.cpu().numpy(),
        rows=found.rows,
        columns=found.columns,
        horizontal=across,
        vertical=down,
        title=f"agreement of layers over the {what} of {', '.join(view.titles[:3])}{' …' * (len(view.titles) > 3)}",
    )
    return {"cka": figure}


def _coarse(maps: Tensor) -> Tensor:
    """Maps of at most SIDE cells a side."""
    from torch.nn.functional import adaptive_avg_pool2d

    return adaptive_avg_pool2d(maps, tuple(min(side, SIDE) for side in maps.shape[-2:]))


def _object(view: View, mask: Path | None) -> Tensor | None:
    if mask is None:
        return None
    view.one()
    return marked(view, (mask,))
