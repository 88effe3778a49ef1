"""`labkit sweep`: many models, many pictures, many instruments; and nothing is asked twice."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labkit.commands._output import BadInput, as_json, console, note

if TYPE_CHECKING:
    from labkit.commands._sweep_ledger import Ledger
    from labkit.commands._sweep_tasks import Task


@click.command()
@click.option(
    "--models", required=True, multiple=True, metavar="NAMES", help="As in `labkit models`; lab/* is all of ours."
)
@click.option("--probes", required=True, multiple=True, metavar="NAMES", help="Instruments, as in `labkit probe`.")
@click.option(
    "--images", multiple=True, metavar="NAMES", help="Photos, files, or folders of them.  [default: chelsea, coffee]"
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PROBE.OPTION=VALUE",
    help="An option of an instrument, as rise.masks=200; without =VALUE for one that is only said, as mixing.held.",
)
@click.option("--weights", default="default", show_default=True, help="default, or none (random).")
@click.option("--device", help="cpu, cuda, …  [default: CUDA where there is one]")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="The sweep's folder.")
@click.option(
    "--workers", type=click.IntRange(0), help="Processes on this machine; 0 is this one.  [default: one a core]"
)
@click.option("--scheduler", metavar="ADDRESS", help="A dask cluster, as tcp://10.0.0.1:8786, instead of processes.")
@click.option("--retries", type=click.IntRange(0), default=2, show_default=True, help="When an instrument breaks.")
@click.option("--json", "machine", is_flag=True, help="The sweep's rows on stdout, without the instruments' rows.")
def sweep(
    *,
    models: Sequence[str],
    probes: Sequence[str],
    images: Sequence[str],
    settings: Sequence[str],
    weights: str,
    device: str | None,
    out: Path,
    workers: int | None,
    scheduler: str | None,
    retries: int,
    machine: bool,
) -> int:
    """Ask many models about many pictures with many instruments; go on where a stopped sweep was.

    Lists are separated by commas, or by giving an option again. Every answer is kept at once, in DIR/cells, under a
    name made of model, weights, picture, instrument, its options and the version of labkit: what is there is not asked
    again. At the end DIR holds sweep.parquet, with a row a question, and a table an instrument, which pandas reads.

    Exit code 1 when an instrument broke (its row says how; the same command asks again), 0 otherwise.
    """
    from labkit.commands._device import checked
    from labkit.commands._sweep_ledger import Ledger
    from labkit.commands._sweep_tasks import tasks

    asked = tasks(
        _models(_split(models)),
        _split(probes),
        _pictures(_split(images) or ["chelsea", "coffee"]),
        weights=None if weights.lower() == "none" else weights,
        device=checked(device),
        words=_words(settings, _split(probes)),
    )
    ledger = Ledger(out)
    rows = {task.key: known for task in asked if (known := ledger.known(task))}
    if rows:
        note(f"{len(rows)} of {len(asked)} answers are there already, in {ledger.cells}.")
    try:
        _ask(
            asked,
            rows,
            ledger,
            workers=os.cpu_count() if workers is None else workers,
            scheduler=scheduler,
            retries=retries,
        )
    except KeyboardInterrupt:
        note(f"\nlabkit: stopped; {len(rows)} of {len(asked)} answers are kept, and the same command goes on.")
        raise click.exceptions.Exit(130) from None
    found = [rows[key] for key in dict.fromkeys(task.key for task in asked)]
    names = ledger.write_tables(found)
    note(f"Wrote {', '.join(names)} to {out}.")
    if machine:
        click.echo(as_json([{**row, "rows": len(row["rows"])} for row in found]))
    else:
        _show(found)
    return int(any(row["status"] == "failed" for row in found))


def _ask(
    asked: Sequence[Task],
    rows: dict[str, dict[str, Any]],
    ledger: Ledger,
    *,
    workers: int,
    scheduler: str | None,
    retries: int,
) -> None:
    """Ask what is not answered yet, and put each answer into `rows`, and into the ledger unless it broke."""
    from labkit.commands._sweep_crew import answers, crew
    from labkit.commands._sweep_tasks import FAILED

    todo = [task for task in {task.key: task for task in asked}.values() if task.key not in rows]
    if not todo:
        return
    with crew(workers=min(workers, len(todo)), scheduler=scheduler) as client, _progress(len(todo)) as report:
        for row in answers(todo, client, retries=retries):
            if row["status"] != FAILED:
                ledger.keep(row)
            rows[row["key"]] = row
            report(row)


def _split(given: Sequence[str]) -> list[str]:
    """The names in lists with commas between, each once, in order."""
    return list(dict.fromkeys(name.strip() for text in given for name in text.split(",") if name.strip()))


def _models(names: Sequence[str]) -> list[str]:
    """The names, with patterns (lab/*) replaced by all they match. Raises BadInput for one that matches none."""
    from fnmatch import fnmatchcase

    from labkit.pretrained import lab_names

    ours, found = [f"lab/{name}" for name in lab_names()], []
    for name in names:
        there = [one for one in ours if fnmatchcase(one, name)] if "*" in name else [name]
        if not there:
            raise BadInput(f"--models {name}: no model of ours is called so; there are {', '.join(ours)}.")
        found += there
    return list(dict.fromkeys(found))


def _pictures(names: Sequence[str]) -> list[str]:
    """The names, with folders replaced by the pictures in them. Raises BadInput for a folder without any."""
    from labkit.data.images import ENDINGS, photo_names

    found = []
    for name in names:
        if name in photo_names() or not Path(name).is_dir():
            found.append(name)
            continue
        there = sorted(str(path) for path in Path(name).iterdir() if path.suffix.lower() in ENDINGS)
        if not there:
            raise BadInput(f"--images {name}: no pictures in this folder ({', '.join(ENDINGS)}).")
        found += there
    return list(dict.fromkeys(found))


def _words(settings: Sequence[str], probes: Sequence[str]) -> dict[str, list[str]]:
    """`--set rise.masks=200` as the words `--masks 200`, by instrument. Raises BadInput."""
    words = defaultdict(list)
    for setting in settings:
        place, _, value = setting.partition("=")
        probe, dot, option = place.partition(".")
        if not dot or not option or probe not in probes:
            raise BadInput(f"--set {setting}: expected PROBE.OPTION=VALUE, with one of {', '.join(probes)} as PROBE.")
        words[probe] += [f"--{option}={value}"] if "=" in setting else [f"--{option}"]
    return words


@contextmanager
def _progress(count: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A bar in a terminal, else a line for every tenth of the questions."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    screen, done = console(stderr=True), 0

    def line(row: dict[str, Any]) -> None:
        nonlocal done
        done += 1
        if done * 10 // count > (done - 1) * 10 // count:
            note(f"{done} of {count}: {row['probe']} of {row['image']} through {row['model']} {row['status']}")

    if not screen.is_terminal:
        yield line
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen) as bar:
        asking = bar.add_task("asking", total=count)
        yield lambda row: bar.update(asking, advance=1, description=f"{row['probe']} of {row['model']}")


def _show(rows: Sequence[dict[str, Any]]) -> None:
    """A line for each model and instrument: how many pictures, what became of them, how long one took."""
    import statistics

    from labkit.commands._tables import show

    by = defaultdict(list)
    for row in rows:
        by[row["model"], row["probe"]].append(row)
    lines = []
    for (model, probe), cells in by.items():
        states = [cell["status"] for cell in cells]
        lines.append(
            {
                "model": model,
                "instrument": probe,
                "pictures": len(cells),
                **{state: states.count(state) for state in ("done", "refused", "failed")},
                "rows": sum(len(cell["rows"]) for cell in cells),
                "median s": round(statistics.median(cell["seconds"] for cell in cells), 2),
            }
        )
    show(lines, (), {}, "")
    for why in dict.fromkeys(f"{row['model']}, {row['probe']}: {row['why']}" for row in rows if row["why"]):
        console().print(why, soft_wrap=True, style="dim")
