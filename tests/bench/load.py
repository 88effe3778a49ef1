"""Many visitors at once, as programs: do they get their own answers, how long do they wait, what does it cost?

    python -m tests.bench.load --clients 20 --each 3

Every visitor asks several rooms about places of its own; each answer is compared with the one that the same server gave
to a single visitor before. Latencies are from the question to the answer, the wait in the queue included.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gradio_client import Client

from labkit.commands import _servers

PLACES = (
    ("attention", "model=lab/vit&image=astronaut"),
    ("attention", "model=lab/vit&image=coffee"),
    ("attention", "model=lab/vit&image=rocket&weights=none"),
    ("smoothing", "model=lab/vit&image=coffee"),
    ("smoothing", "model=lab/resnet&image=rocket"),
    ("field", "model=lab/vit&image=chelsea"),
    ("frequency", "model=lab/resnet&image=motorcycle"),
    ("frequency", "model=lab/vit&image=camera"),
    ("explain", "model=lab/resnet&image=coffee&right=occlusion"),
    ("explain", "model=lab/vit&image=astronaut&masks=200"),
)
TIMED = ("seconds", "took", "ms", "milliseconds")
"""Parts of an answer that may differ from run to run: how long it took."""


@dataclass
class Report:
    """What a crowd met with. Seconds a question, megabytes of the server before, at most, and after."""

    clients: int
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """A table for a page."""
        worst, middle = max(self.seconds), statistics.median(self.seconds)
        yield "| visitors | questions | errors | mixed up | median s | worst s | memory before, at most, after (MB) |"
        yield "| --- | --- | --- | --- | --- | --- | --- |"
        memory = f"{self.memory[0]:.0f}, {max(self.memory):.0f}, {self.memory[-1]:.0f}"
        counts = (self.clients, len(self.seconds) + len(self.errors), len(self.errors), len(self.mixed))
        yield f"| {' | '.join(map(str, counts))} | {middle:.2f} | {worst:.2f} | {memory} |"


def crowd(address: str, process: int, *, clients: int, each: int, places: Sequence[tuple[str, str]] = PLACES) -> Report:
    """Send `clients` visitors at once, each with `each` questions, to the hub at `address`."""
    alone = {place: plain(ask(Client(address + place[0], verbose=False), place[1])) for place in dict.fromkeys(places)}
    report = Report(clients, memory=[resident(process)])
    visitors = [list(islice(cycle(places), start, start + each)) for start in range(clients)]
    doors = [{room: Client(address + room, verbose=False) for room, _ in asked} for asked in visitors]
    begin = threading.Barrier(clients)

    def visit(asked: list[tuple[str, str]], door: dict[str, Client]) -> None:
        begin.wait()
        for room, where in asked:
            started = time.perf_counter()
            try:
                answer = plain(ask(door[room], where))
            except Exception as error:  # whatever a client meets with is what we count
                report.errors.append(f"{room}?{where}: {error}")
                continue
            report.seconds.append(time.perf_counter() - started)
            if answer != alone[room, where]:
                report.mixed.append(f"{room}?{where}")

    threads = [threading.Thread(target=visit, args=pair) for pair in zip(visitors, doors, strict=True)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        report.memory.append(resident(process))
        time.sleep(0.2)
    time.sleep(1.0)
    report.memory.append(resident(process))
    return report


def ask(client: Client, where: str) -> Any:
    """The numbers of a place."""
    return client.predict(where, api_name="/read")


def plain(answer: Any) -> Any:
    """An answer without how long it took, with numbers as far as two runs of a model agree."""
    if isinstance(answer, dict):
        return {key: plain(value) for key, value in answer.items() if key not in TIMED}
    if isinstance(answer, list):
        return [plain(value) for value in answer]
    return float(f"{answer:.3g}") if isinstance(answer, float) else answer


def resident(process: int) -> float:
    """Megabytes of memory that a process holds now."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {process} says nothing of its memory.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--each", type=int, default=3)
    asked = parser.parse_args()
    with TemporaryDirectory() as logs:
        server = _servers.launch_hub(_servers.free_port(7580), logs=Path(logs))
        try:
            _servers.await_all([server])
            report = crowd(server.url, server.process.pid, clients=asked.clients, each=asked.each)
        finally:
            _servers.end_all([server])
    print("\n".join([*report.lines(), *report.errors, *report.mixed]))


if __name__ == "__main__":
    main()
