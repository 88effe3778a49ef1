"""`labkit bench`: what each instrument costs over its floor, and what people pay today."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command()
@click.option("--pairs", default=9, show_default=True, type=click.IntRange(1, 1000), help="How often each is timed.")
@click.option("--device", default=None, help="cpu or cuda; by default CUDA where there is one.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="Torch's threads on a CPU.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list, and nothing else, on stdout.")
def bench(pairs: int, device: str | None, threads: int, as_json: bool) -> None:
    """Time each instrument against the plain forward pass it stands on.

    Floor, ours and the peer take turns in one process; the numbers that count are the ratios (CPU time on a CPU,
    event time on a GPU), because seconds differ from machine to machine.
    """
    import torch

    from labkit import bench as benches

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(threads)
    lines = [benches.run(case, pairs=pairs, device=device) for case in benches.attention_cases(device)]
    if as_json:
        click.echo(json.dumps([asdict(line) for line in lines], indent=2))
        return

    from rich.console import Console
    from rich.table import Table

    table = Table("instrument", "floor ms", "ours ms", "ratio", "goal", "peer", "peer ratio", title=f"on {device}")
    for line in lines:
        colour = "green" if line.ratio <= line.goal else "red"
        ratio = f"[{colour}]{line.ratio:.2f}[/]"
        times = (f"{1000 * line.floor_s:.1f}", f"{1000 * line.ours_s:.1f}")
        table.add_row(line.name, *times, ratio, f"≤ {line.goal:.2f}", line.peer, f"{line.peer_ratio:.2f}")
    Console().print(table)
