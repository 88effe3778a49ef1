"""How much an instrument costs beyond the plain computation it stands on: ratios, measured in turn in one process."""

from __future__ import annotations

import importlib
import pkgutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

Work = Callable[[], object]


@dataclass(frozen=True)
class Line:
    """One line of `labkit bench`.

    floor_s, ours_s    median seconds: process CPU time on a CPU, event time on a GPU
    ratio              median of ours / floor, pair by pair; 1 = the instrument is free
    goal               the ratio we promise
    peer, peer_ratio   what people do today, measured in the same turns, over the same floor; None without one
    """

    name: str
    floor_s: float
    ours_s: float
    ratio: float
    goal: float
    peer: str | None
    peer_ratio: float | None
    device: str


@dataclass(frozen=True)
class Case:
    """What is timed: the floor, ours, and a peer where one is installed (`peer=None` otherwise)."""

    name: str
    goal: float
    floor: Work
    ours: Work
    peer_name: str | None = None
    peer: Work | None = None


def suites() -> tuple[str, ...]:
    """The names of the suites: the modules beside this one, each with `cases(device) -> list[Case]`."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def cases(suite: str, device: str) -> list[Case]:
    """The cases of one suite, ready to run on this device."""
    return importlib.import_module(f"{__name__}.{suite}").cases(device)


def run(case: Case, *, pairs: int, device: str) -> Line:
    """Floor, ours and peer in turn, `pairs` times after one warm-up each."""
    clock = _event_seconds if device.startswith("cuda") else _cpu_seconds
    works = [work for work in (case.floor, case.ours, case.peer) if work]
    for work in works:
        work()
    turns = [[clock(work) for work in works] for _ in range(pairs)]
    floor, ours = (statistics.median(turn[which] for turn in turns) for which in (0, 1))
    return Line(
        name=case.name,
        floor_s=floor,
        ours_s=ours,
        ratio=statistics.median(turn[1] / turn[0] for turn in turns),
        goal=case.goal,
        peer=case.peer_name if case.peer else None,
        peer_ratio=statistics.median(turn[2] / turn[0] for turn in turns) if case.peer else None,
        device=device,
    )


def _cpu_seconds(work: Work) -> float:
    # CPU time, not wall time: other programs on the machine do not count.
    started = time.process_time()
    work()
    return time.process_time() - started


def _event_seconds(work: Work) -> float:
    started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    started.record()
    work()
    ended.record()
    torch.cuda.synchronize()
    return started.elapsed_time(ended) / 1000
