"""`labkit bench`: what each instrument costs over its floor, and what people pay today."""

from __future__ import annotations

import difflib
from dataclasses import asdict
from typing import Any

import click

from labkit.commands._output import BadInput, as_json, console, note


@click.command()
@click.argument("names", nargs=-1, metavar="[INSTRUMENT]...")
@click.option("--pairs", default=9, show_default=True, type=click.IntRange(1, 1000), help="How often each is timed.")
@click.option("--device", default=None, help="cpu or cuda; by default CUDA where there is one.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="Torch's threads on a CPU.")
@click.option("--json", "machine", is_flag=True, help="Print one JSON list, and nothing else, on stdout.")
def bench(names: tuple[str, ...], pairs: int, device: str | None, threads: int, machine: bool) -> None:
    """Time each INSTRUMENT (all of them by default) against the plain computation it stands on.

    Floor, ours and the peer take turns in one process; the numbers that count are the ratios (CPU time on a CPU,
    event time on a GPU), because seconds differ from machine to machine.
    """
    import torch

    from labkit import bench as benches
    from labkit.commands._device import checked

    there = benches.suites()
    for name in names:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1, cutoff=0.5) or there
            raise BadInput(f"there is no bench of {name!r}; did you mean {' or '.join(near)}?")
    device = checked(device)
    torch.set_num_threads(threads)
    lines = []
    for suite in names or there:
        for case in benches.cases(suite, device):
            note(f"timing {suite}: {case.name}")
            lines.append(benches.run(case, pairs=pairs, device=device))
    if machine:
        click.echo(as_json([asdict(line) for line in lines]))
    else:
        _table(lines, device)


def _table(lines: list[Any], device: str) -> None:
    from rich.table import Table

    table = Table("instrument", "floor ms", "ours ms", "ratio", "goal", "peer", "peer ratio", title=f"on {device}")
    for line in lines:
        colour = "green" if line.ratio <= line.goal else "red"
        times = (f"{1000 * line.floor_s:.1f}", f"{1000 * line.ours_s:.1f}")
        peer = (line.peer or "–", f"{line.peer_ratio:.2f}" if line.peer_ratio else "–")
        table.add_row(line.name, *times, f"[{colour}]{line.ratio:.2f}[/]", f"≤ {line.goal:.2f}", *peer)
    console().print(table)
