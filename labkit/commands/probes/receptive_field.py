"""`labkit probe receptive-field`: how far units can see, and how far they do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from labkit.commands._output import BadInput
from labkit.commands._seeing import Answer, View, instrument, spread_over

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from labkit.probes.receptive_field import EffectiveField, FieldMeasures
    from labkit.probes.receptive_theory import TheoreticalField

    Field = tuple[TheoreticalField, EffectiveField, FieldMeasures]

MOST = 6

_LAYER = f"A layer by name, several times if wanted, or `all` blocks.  [default: {MOST} blocks spread over the depth]"
_LOCAL = "Hold averages over the whole picture (squeeze-and-excitation) constant: the path that keeps its place."


@instrument
@click.option("--layer", "layers", multiple=True, metavar="NAME", help=_LAYER)
@click.option("--unit", metavar="ROW,COLUMN", help="On the layer's own grid.  [default: the middle]")
@click.option("--how", type=click.Choice(["relu", "abs", "square"]), default="relu", show_default=True)
@click.option("--local", is_flag=True, help=_LOCAL)
def receptive_field(view: View, *, layers: tuple[str, ...], unit: str | None, how: str, local: bool) -> Answer:
    """How far units can see (size, jump, start) and how far they do (the part of the picture that moves them)."""
    from labkit.probes.receptive_field import effective_fields
    from labkit.probes.receptive_theory import theoretical_fields
    from labkit.taps import blocks

    size = tuple(view.images.shape[-2:])
    names = list(layers)
    if not layers or layers == ("all",):
        names = [site.name for site in blocks(view.model, size)]
        names = names if layers else spread_over(names, MOST)
    at = _place(unit)
    view.say("What the units can see …")
    theory = theoretical_fields(view.model, size, layers=names, unit=at, local=local)
    view.say("What they do see …")
    effective = effective_fields(view.model, view.images, layers=names, unit=at, how=how)
    found = [(can, does, _measured(can, does)) for can, does in zip(theory, effective, strict=True)]
    units = dict.fromkeys(("size", "jump", "start", "side50", "side99", "width"), "pixels")
    units |= dict.fromkeys(("area20", "area30", "area50", "area99"), "of picture")
    rows = [_row(*one) for one in found]
    shown = [key for key in rows[0] if not key.startswith(("area", "unit"))]
    return Answer(rows, partial(_figures, view, found), units, _words(theory), shown)


def _place(unit: str | None) -> tuple[int, int] | None:
    if unit is None:
        return None
    parts = unit.split(",")
    if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):
        raise BadInput(f"--unit {unit}: expected two whole numbers, row and column, as in 3,4.")
    return int(parts[0]), int(parts[1])


def _measured(can: TheoreticalField, does: EffectiveField) -> FieldMeasures:
    from labkit.probes.receptive_field import measure_field

    # Strides shift fields off the middle of their cell; where theory knows by how much, squares are drawn around that.
    inside = can.centre and all(0 <= at < side for at, side in zip(can.centre, does.mean.shape, strict=True))
    centre = tuple(map(int, can.centre)) if inside else does.centre
    return measure_field(does.mean, centre=centre)


def _row(can: TheoreticalField, does: EffectiveField, measures: FieldMeasures) -> dict:
    def pair(values) -> str | None:
        return None if values is None else f"{values[0]:g}" if values[0] == values[1] else "{:g}, {:g}".format(*values)

    row = {"layer": can.layer, "unit": pair_of(can.unit)}
    row |= {
        "size": pair(can.size) or ("whole" if can.whole else "cut"),
        "jump": pair(can.jump),
        "start": pair(can.start),
    }
    row |= {
        f"side{round(100 * part)}": int(side)
        for part, side in zip(measures.parts, measures.side, strict=True)
        if part >= 0.5
    }
    for part, area in zip(measures.parts, measures.square, strict=True):
        row[f"area{round(100 * part)}"] = None if area.isnan() else area.item()
    width = measures.width.mean().item()
    return row | {"width": None if width != width else width}


def pair_of(unit: tuple[int, int]) -> str:
    return "{},{}".format(*unit)


def _words(theory: tuple[TheoreticalField, ...]) -> str:
    squeezes = {name: None for one in theory for name in one.squeezes}
    if squeezes:
        return f"Held constant, because they average over the whole picture: {', '.join(squeezes)}."
    words = []
    if any(one.whole for one in theory):
        words.append("whole: every pixel counts. --local leaves out averages over the whole picture, not attention.")
    if any(one.size is None and not one.whole for one in theory):
        words.append(
            "cut: the field goes beyond the picture, and how far was not found (the model takes no other size)."
        )
    return "\n".join(words)


def _figures(view: View, found: list[Field]) -> dict[str, Figure]:
    import numpy as np

    from labkit.viz import receptive_field as draw

    theory, effective, measures = zip(*found, strict=True)
    names = [one.layer for one in theory]
    sizes = [None if one.size is None else max(one.size) for one in theory]
    return {
        "fields": draw.fields_over_photo(
            np.asarray(view.seen[0]),
            [one.mean.cpu().numpy() for one in effective],
            [one.pixels.cpu().numpy() for one in theory],
            names=names,
            notes=[_note(one, other) for one, other in zip(theory, measures, strict=True)],
            title=f"{view.title}\nwhat the unit in the middle can see (framed), and does see (heat)",
        ),
        "growth": draw.growth(
            sizes,
            np.array([one.side.tolist() for one in measures]).T.tolist(),
            parts=measures[0].parts,
            names=names,
            picture=max(view.images.shape[-2:]),
            title=f"{view.title}\nhow fields grow",
        ),
    }


def _note(can: TheoreticalField, measures: FieldMeasures) -> str:
    most = "whole picture" if can.whole else "cut" if can.size is None else f"{max(can.size)} px"
    return f"{most}; half in {int(measures.side[measures.parts.index(0.5)])} px"
