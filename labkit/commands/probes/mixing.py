"""`labkit probe mixing`: from which tokens each block makes its tokens, whatever the block is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from labkit.commands._output import BadInput
from labkit.commands._seeing import Answer, View, instrument, number, spread_over

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from labkit.probes.mixing import MixingMap
    from labkit.probes.mixing_measures import MixingMeasures

    Read = list[tuple[MixingMap, MixingMeasures]]

MOST = 6

_LAYER = f"A block by name, several times if wanted, or `all`.  [default: {MOST} spread over the depth]"
_HELD = "Attention layers in two parts: with their attention held fixed, and what comes through the softmax."
_SIDE = "Cells along a side: larger grids are seen in squares of tokens."


@instrument
@click.option("--layer", "layers", multiple=True, metavar="NAME", help=_LAYER)
@click.option(
    "--beside", multiple=True, metavar="MODEL", help="Another model for the chart; may be given several times."
)
@click.option("--branch", is_flag=True, help="Of the block minus its input: what it adds to the residual path.")
@click.option("--held", is_flag=True, help=_HELD)
@click.option("--probes", default=2, show_default=True, help="Random probes a query; 0 is exact, and slow.")
@click.option("--seed", default=0, show_default=True, help="Of the probes.")
@click.option("--side", default=16, show_default=True, help=_SIDE)
def mixing(
    view: View,
    *,
    layers: tuple[str, ...],
    beside: tuple[str, ...],
    branch: bool,
    held: bool,
    probes: int,
    seed: int,
    side: int,
) -> Answer:
    """From which tokens each block makes its tokens: NMI, distance, reach, entropy and pattern of any token mixer."""
    if held and (branch or beside):
        raise BadInput("--held takes an attention layer of one model apart: leave out --branch and --beside.")
    how = {"probes": probes, "seed": seed, "side": side}
    if held:
        found = {view.name: _parts(view, layers, how)}
    else:
        views = [view, *(View(name, view.weights, view.device, view.sources, view.status) for name in beside)]
        found = {one.name: _blocks(one, layers if one is view else (), branch, how) for one in views}
    rows = [_row(name, *pair, several=bool(beside)) for name, read in found.items() for pair in read]
    units = {"distance": "cells", "entropy": "nats"} | dict.fromkeys(("nmi", "reach", "own", "area", "high"), "0..1")
    what = "whole blocks, the residual path included; --branch leaves it out"
    what = "the branch alone" if branch else "attention layers and their two parts" if held else what
    left_out = {"grid", "area", "high", "error"} | ({"distance", "entropy"} if beside else set())
    shown = [key for key in rows[0] if key not in left_out]
    draw, words = partial(_figures, view, found, held), f"Measured: {what}."
    return Answer(rows, draw, units, words, shown)


def _blocks(view: View, layers: tuple[str, ...], branch: bool, how: dict) -> Read:
    from labkit.probes.mixing import mixing_maps
    from labkit.probes.mixing_measures import measure_mixing
    from labkit.taps import blocks

    there = [site for site in blocks(view.model, view.images.shape[-2:]) if site.before]
    if branch:
        there = [
            one for one in there if one.before.grid == one.after.grid and one.before.channels == one.after.channels
        ]
    read = []
    for name in _chosen(layers, [site.name for site in there], f"{view.name} has no block that keeps its shape"):
        view.say(f"Mixing map of {name} in {view.name} …")
        (found,) = mixing_maps(view.model, view.images, layers=[name], identity=not branch, **how)
        read.append((found, measure_mixing(found)))
    return read


def _parts(view: View, layers: tuple[str, ...], how: dict) -> Read:
    from labkit.probes.mixing_held import attention_parts
    from labkit.probes.mixing_measures import measure_mixing
    from labkit.taps import layouts, sites

    size = view.images.shape[-2:]
    there = [name for name in layouts(view.model, size) if name in sites(view.model, size)]
    nothing = f"{view.name} has no attention layer that stands by itself: name a block with attention by --layer"
    read = []
    for name in _chosen(layers, there, nothing):
        view.say(f"Attention of {name}, live and held …")
        parts = attention_parts(view.model, view.images, name, **how)
        for part in ("live", "held", "softmax"):
            found = replace(getattr(parts, part), name=f"{name} {part}")
            read.append((found, measure_mixing(found)))
    return read


def _chosen(layers: tuple[str, ...], there: list[str], nothing: str) -> list[str]:
    if layers and layers != ("all",):
        return list(layers)
    if not there:
        raise BadInput(f"{nothing}.")
    return there if layers else spread_over(there, MOST)


def _row(model: str, mixing: MixingMap, measures: MixingMeasures, *, several: bool) -> dict:
    from labkit.probes.filters import attention_response

    row = {"model": model} if several else {}
    row |= {"block": mixing.name, "grid": "{}x{}".format(*mixing.grid)}
    row |= {name: number(getattr(measures, name)) for name in ("nmi", "distance", "reach", "entropy", "own", "area")}
    response = attention_response(mixing.attention())
    row["high"] = number(response.radial[0, response.frequencies > 0.25])
    row["error"] = number(mixing.error.sum() / mixing.squared.sum())
    return row | {"pattern": measures.pattern()}


def _figures(view: View, found: dict[str, Read], held: bool) -> dict[str, Figure]:
    import numpy as np

    from labkit.probes.filters import attention_response
    from labkit.viz import mixing as draw

    read = found[view.name]
    layers = len(read) // 3
    if held:  # one row a part, one column a layer; a single layer has its parts side by side
        read = [pair for part in range(3) for pair in read[part::3]]
    maps, measures = zip(*read, strict=True)
    names, grids = [one.name for one in maps], [one.grid for one in maps]
    h, w = grids[0]
    middle = h // 2 * w + w // 2
    places = [draw.same_spot(middle, grids[0], grid) for grid in grids]
    rows = [one.shares[0, place].view(one.key_grid).cpu().numpy() for one, place in zip(maps, places, strict=True)]
    series = (
        found if not held else {part: read[i * layers :][:layers] for i, part in enumerate(("live", "held", "softmax"))}
    )
    chart = {
        name: draw.Series(*(np.array([getattr(m, what).mean().item() for _, m in read]) for what in ("nmi", "reach")))
        for name, read in series.items()
    }
    responses = [attention_response(one.attention()) for one in maps]
    whose = f"{view.title}\n" if len(found) == 1 else ""
    return {
        "mixing": draw.mixing_over_photo(
            np.asarray(view.sharp[0]),
            rows,
            query=middle,
            grids=grids,
            names=names,
            notes=[f"NMI {one.nmi[0]:.2f}, reach {one.reach[0]:.2f}" for one in measures],
            across=max(layers, 3 // layers) if held else 6,
            title=f"{view.title}\nwhat the token in the middle is made of",
        ),
        "chart": draw.mixing_chart(chart, title=f"{whose}how far each block reaches, and for whom"),
        "response": draw.response_by_block(
            [one.frequencies.cpu().numpy() for one in responses],
            [one.radial[0].cpu().numpy() for one in responses],
            names=names,
            title=f"{view.title}\nthe rows seen as filters",
        ),
    }
