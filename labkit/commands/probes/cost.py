"""`labkit probe cost`: parameters, multiplications, memory and time, and how they grow with the picture."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from labkit.commands._output import BadInput
from labkit.commands._seeing import Answer, View, instrument

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from labkit.probes.speed import Growth

MEGA = 1e6


@instrument
@click.option(
    "--size",
    "sizes",
    multiple=True,
    type=int,
    metavar="PIXELS",
    help="A side of square pictures, several times if wanted.  [default: the model's own, and four around it]",
)
@click.option("--batch", default=1, show_default=True, help="Pictures a pass, for the time.")
@click.option("--repeats", default=5, show_default=True, help="Timed passes a size; their median counts.")
@click.option("--by-layer", is_flag=True, help="The blocks at the model's own size, in place of the sizes.")
def cost(view: View, *, sizes: tuple[int, ...], batch: int, repeats: int, by_layer: bool) -> Answer:
    """Parameters, MACs, memory, latency, and how they grow with the number of tokens."""
    import torch

    from labkit.probes.speed import growth

    if batch < 1 or repeats < 1 or any(side < 1 for side in sizes):
        raise BadInput("--size, --batch and --repeats: expected whole numbers from 1 up.")
    own = view.images.shape[-1]
    unit = 32 if own >= 128 else 8
    around = sorted({max(unit, round(own * part / unit) * unit) for part in (0.5, 0.75, 1, 1.5, 2)} | {own})
    chosen = sorted(set(sizes)) or ([own] if by_layer else around)
    view.say(f"Timing {view.name} at {', '.join(map(str, chosen))} pixels …")
    found = growth(view.model, chosen, batch=batch, repeats=repeats)
    rows = _layers(found) if by_layer else _sizes(found)
    units = dict.fromkeys(("parameters", "macs"), "millions") | dict.fromkeys(("output", "saved", "peak"), "MB")
    units |= {"ms": "median", "images": "a second", "tokens_s": "a second", "side": "pixels"}
    words = [f"{side} pixels are skipped: {reason}" for side, reason in found.skipped.items()]
    if not by_layer and len(found.speeds) > 1:
        words.append(
            f"Time grows with tokens to the power of {found.time_exponent:.2f}, MACs of {found.macs_exponent:.2f}."
        )
    where = f"torch threads: {torch.get_num_threads()}" if view.device == "cpu" else "events"
    words.append(f"Timed on {view.device} ({where}), batch {batch}.")
    left_out = {"tokens_s", "kind", "output"} | ({"peak"} if view.device == "cpu" else set())
    shown = [key for row in rows[:1] for key in row if key not in left_out]
    draw = partial(_figures, view, found)
    return Answer(rows, draw, units, "\n".join(words), shown)


def _sizes(found: Growth) -> list[dict]:
    return [
        {
            "side": one.size[0],
            "tokens": speed.tokens,
            "parameters": one.parameters / MEGA,
            "macs": one.macs / MEGA,
            "saved": one.saved / MEGA,
            "peak": None if speed.peak is None else speed.peak / MEGA,
            "ms": 1000 * speed.seconds,
            "images": speed.images_per_s,
            "tokens_s": speed.tokens_per_s,
        }
        for one, speed in zip(found.costs, found.speeds, strict=True)
    ]


def _layers(found: Growth) -> list[dict]:
    return [
        {
            "block": layer.name,
            "kind": layer.kind,
            "grid": "{}x{}".format(*layer.grid),
            "parameters": layer.parameters / MEGA,
            "macs": layer.macs / MEGA,
            "output": layer.output / MEGA,
            "saved": layer.saved / MEGA,
        }
        for layer in found.costs[-1].layers
    ]


def _figures(view: View, found: Growth) -> dict[str, Figure]:
    from labkit.viz import cost as draw

    own = view.images.shape[-1]
    at = next((one for one in found.costs if one.size[0] == own), found.costs[-1])
    random = view.name + (" (random weights)" if view.weights is None else "")
    columns = {
        "parameters (millions)": [layer.parameters / MEGA for layer in at.layers],
        "MACs (millions)": [layer.macs / MEGA for layer in at.layers],
        "kept for training (MB)": [layer.saved / MEGA for layer in at.layers],
    }
    curves = {
        "milliseconds a pass": ([1000 * one.seconds for one in found.speeds], found.time_exponent),
        "MACs (millions)": ([one.macs / MEGA for one in found.costs], found.macs_exponent),
    }
    return {
        "layers": draw.cost_by_layer(
            [layer.name for layer in at.layers], columns, title=f"{random}, one picture of {at.size[0]} pixels"
        ),
        "growth": draw.cost_growth(
            [one.tokens for one in found.speeds],
            curves,
            sides=[one.size[0] for one in found.speeds],
            title=f"{random}: how cost grows with the picture",
        ),
    }
