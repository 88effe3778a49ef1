"""`labkit probe faithfulness`: does the model believe the map?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labkit.commands._objects import made_up, marked
from labkit.commands._output import BadInput, console
from labkit.commands._sanity import sanity
from labkit.commands._seeing import Answer, View, instrument

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure
    from rich.text import Text

    from labkit.probes.scorecard import Scores

COMPARED = ("deletion", "insertion", "road")
UNITS = {
    **dict.fromkeys(("deletion", "insertion", "road"), "probability"),
    **dict.fromkeys(("drop", "increase", "pointing", "energy"), "share"),
}


@instrument
@click.option(
    "--methods", default="gradcam,rise", show_default=True, help="Names, with commas between them; see the list below."
)
@click.option("--target", metavar="CLASS", help="A class by number or name.  [default: the highest of each picture]")
@click.option("--steps", default=32, show_default=True, type=click.IntRange(2), help="Of each curve; the paper: a row.")
@click.option("--masks", default=300, show_default=True, type=click.IntRange(2), help="Of RISE.")
@click.option("--seed", default=0, show_default=True, type=int, help="Of all dice.")
@click.option(
    "--mask",
    "objects",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A picture of the object, white on black, as large as its --image; one for each.",
)
@click.option(
    "--scenes", default=0, type=click.IntRange(0), help="So many made-up pictures, with their objects, instead."
)
@click.option("--randomise", is_flag=True, help="Instead: fill the model with noise, and see whether the maps change.")
def faithfulness(
    view: View,
    *,
    methods: str,
    target: str | None,
    steps: int,
    masks: int,
    seed: int,
    objects: tuple[Path, ...],
    scenes: int,
    randomise: bool,
) -> Answer:
    """Does the model believe the map? Scores of several methods, and of two maps that know nothing of the model.

    Methods are those of `labkit probe cam`, rise, gradient, smoothgrad, integrated-gradients, kernelshap, occlusion.
    Deletion, drop: lower is better. Insertion, road, increase, pointing, energy: higher is better. Low and high bound
    the mean over the pictures (95 %, bootstrap); over_random is what is gained on a random map, picture by picture.
    """
    from labkit.probes.explain import explain
    from labkit.probes.scorecard import scorecard

    images, known = made_up(view, scenes, seed) if scenes else (view.images, marked(view, objects))
    label = view.target(target)
    if randomise:
        return sanity(view, images, _named(methods), label, seed, masks)
    found = explain(
        view.model,
        images,
        methods=_named(methods),
        targets=label,
        masks=masks,
        seed=seed,
        telling=lambda name: view.say(f"Looking by {name} …"),
    )
    maps = {name: one.raw for name, one in found.items()}
    view.say("Taking pixels away …")
    pixels = -(-images.shape[-1] * images.shape[-2] // steps)
    cards = scorecard(view.model, images, maps, masks=known, targets=label, pixels=pixels, seed=seed)
    rows = [_row(name, card, cards) for name, card in cards.items()]
    title = f"{scenes} scenes through {view.name}" if scenes else view.title
    words = "Lower or higher is better. "
    if len(images) == 1:
        words += "One picture has no interval: give several, better 20 or more."
    else:
        words += "Below each mean its interval (95 %); * beats a random map on the same pictures, beyond chance."
    return Answer(rows, partial(_figures, cards, title), UNITS, words, table=lambda _: _table(rows, title))


def _named(methods: str) -> list[str]:
    named = list(dict.fromkeys(filter(None, map(str.strip, methods.split(",")))))
    if not named:
        raise BadInput("--methods names none: give at least one, for example gradcam.")
    return named


def _row(name: str, card: Scores, cards: Mapping[str, Scores]) -> dict[str, Any]:
    from labkit.probes.bootstrap import interval

    row: dict[str, Any] = {"method": name}
    for number, values in card.numbers().items():
        found = interval(values)
        row[number] = found.mean
        if number in COMPARED:
            row |= {f"{number}_low": found.low, f"{number}_high": found.high}
            gain = _gain(cards, name, "random", number)
            over = {"": gain.mean, "_low": gain.low, "_high": gain.high}
            row |= {f"{number}_over_random{end}": None if name == "random" else value for end, value in over.items()}
    return row


def _gain(cards: Mapping[str, Scores], name: str, baseline: str, number: str) -> Any:
    """The interval of what a method gains on a baseline: above 0 is better, whichever way the number is."""
    from labkit.probes.bootstrap import interval
    from labkit.probes.scorecard import BETTER

    own, other = (cards[one].numbers()[number] for one in (name, baseline))
    return interval(own, other) if BETTER[number] == "higher" else interval(other, own)


def _figures(cards: Mapping[str, Scores], title: str) -> dict[str, Figure]:
    from labkit.probes.bootstrap import band
    from labkit.probes.scorecard import BASELINES
    from labkit.viz.faithfulness import Gain, Line, curves, gains

    def line(share: torch.Tensor, values: torch.Tensor) -> Line:
        ends = band(values)
        numpy = None if ends is None else (ends[0].cpu().numpy(), ends[1].cpu().numpy())
        return Line(share.cpu().numpy(), values.mean(dim=0).cpu().numpy(), numpy)

    panels = {
        "deletion": {name: line(card.curves.share, card.curves.deletion) for name, card in cards.items()},
        "insertion": {name: line(card.curves.share, card.curves.insertion) for name, card in cards.items()},
        "ROAD, most relevant first": {
            name: line(card.road.share, card.road.most_first) for name, card in cards.items()
        },
        "ROAD, least relevant first": {
            name: line(card.road.share, card.road.least_first) for name, card in cards.items()
        },
    }
    good = dict(
        zip(panels, ("good: falls early", "good: rises early", "good: falls early", "good: stays up"), strict=True)
    )
    across = dict(zip(panels, ("taken away", "brought back", "filled in", "filled in"), strict=True))
    labels = {"deletion": "deletion, probability", "insertion": "insertion, probability", "road": "ROAD, probability"}
    names = [name for name in cards if name not in BASELINES]
    won = {
        number: {
            baseline: {name: Gain(*vars(_gain(cards, name, baseline, number)).values()) for name in names}
            for baseline in BASELINES
        }
        for number in COMPARED
    }
    return {
        "curves": curves(panels, notes=good, across=across, title=title),
        "gains": gains(won, labels=labels, title=f"{title}\nwhat is gained on maps that know nothing; right is better"),
    }


def _table(rows: list[dict[str, Any]], title: str) -> None:
    from rich import box
    from rich.table import Table

    from labkit.probes.scorecard import BETTER

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method\n")
    # What fits a terminal of 80 columns; the rest is in --json and --out.
    there = [number for number in BETTER if number in rows[0] and not (number == "increase" and "energy" in rows[0])]
    for number in there:
        table.add_column(f"{number}\n[dim]{BETTER[number]}[/]", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row["method"], *(_cell(row, number) for number in there))
    console().print(table)


def _cell(row: dict[str, Any], number: str) -> Text:
    """The mean, a star where it beats a random map beyond chance, and the interval below."""
    from rich.text import Text

    found = Text(f"{row[number]:.3f}")
    if (row.get(f"{number}_over_random_low") or 0) > 0:
        found.append(" *")
    if row.get(f"{number}_low") is not None:
        found.append(f"\n{row[f'{number}_low']:.2f} {row[f'{number}_high']:.2f}", style="dim")
    return found
