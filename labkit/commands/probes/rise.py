"""`labkit probe rise`: which places matter, from random masks alone, with a standard error."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from labkit.commands._seeing import Answer, View, instrument

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

SHOWN = 4
"""How many stages of the map the figure has."""


@instrument
@click.option("--masks", default=1000, show_default=True, type=click.IntRange(2), help="The paper takes 4000 to 8000.")
@click.option("--seed", default=0, show_default=True, type=int, help="Of the masks.")
@click.option("--target", metavar="CLASS", help="A class by number or name.  [default: the highest of each picture]")
@click.option(
    "--precision",
    type=click.FloatRange(0, min_open=True),
    help="Stop as soon as no standard error is above this share of the map's range, for example 0.1.",
)
@click.option("--batch", default=32, show_default=True, type=click.IntRange(1), help="Masked pictures in one pass.")
def rise(view: View, *, masks: int, seed: int, target: str | None, precision: float | None, batch: int) -> Answer:
    """Which places matter, from random masks alone: no gradient, no layer, any model (RISE).

    Row and column are those of the highest pixel. Highest, lowest and error are probabilities of the class where a
    pixel is kept; noise is the largest standard error as a share of the map's range: noise alone has about 0.3.
    """
    from labkit.probes.rise import rise as streamed

    stages: list[tuple[int, Tensor, Tensor]] = []
    stream = streamed(
        view.model,
        view.images,
        masks=masks,
        targets=view.target(target),
        seed=seed,
        precision=precision,
        every=max(masks // 20, 1),
        batch=batch,
        progress=lambda done, total: view.say(f"{done} of {total} masks …"),
    )
    for state in stream:
        stages.append((state.n, state.map(), state.error()))
    found, error, noise = state.map(), state.error(), state.noise()
    asked = [int(label) for label in state.saliency().targets]
    rows = [
        {
            "picture": title,
            "target": asked[i],
            "category": view.category(asked[i]),
            "masks": state.n,
            **_numbers(found[i], error[i]),
            "noise": float(noise[i]) if noise[i].isfinite() else None,
        }
        for i, title in enumerate(view.titles)
    ]
    units = {"row": "pixel", "column": "pixel", "noise": "of range"}
    units |= dict.fromkeys(("highest", "lowest", "error"), "probability")
    words = "Most of the error is common to all pixels: the pattern is surer than each value."
    # What fits a terminal of 80 columns; the rest is in --json and --out.
    shown = ("picture", "category", "row", "column", "highest", "lowest", "error", "noise")
    figures = partial(_figures, view, stages, rows)
    return Answer(rows, figures, units, f"{state.n} masks. {words}", shown)


def _numbers(found: Tensor, error: Tensor) -> dict[str, Any]:
    row, column = divmod(int(found.argmax()), found.shape[1])
    peaks = {"highest": float(found.max()), "lowest": float(found.min()), "error": float(error.max())}
    return {"row": row, "column": column, **peaks}


def _figures(view: View, stages: list[tuple[int, Tensor, Tensor]], rows: list[dict[str, Any]]) -> dict[str, Figure]:
    import numpy as np

    from labkit.viz.rise import running

    last = len(stages) - 1
    # Early stages change most: about 1/20, 1/8, 1/3 and all of the masks.
    chosen = sorted({round((last + 1) ** (step / (SHOWN - 1))) - 1 for step in range(SHOWN)})
    shown = [stages[at] for at in chosen]
    figures = {}
    for i, picture in enumerate(view.sharp):
        maps, errors = ([stage[which][i].cpu().numpy() for stage in shown] for which in (1, 2))
        title = f"{view.titles[i]} through {view.name}\nRISE: what speaks for {rows[i]['category']}"
        name = "rise" if len(rows) == 1 else f"rise-{i}"
        masks = [stage[0] for stage in shown]
        figures[name] = running(np.asarray(picture), maps, errors, masks=masks, title=title)
    return figures
