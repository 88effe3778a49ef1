"""How much an instrument costs beyond the plain computation it stands on: ratios, measured in turn in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

Work = Callable[[], object]


@dataclass(frozen=True)
class Line:
    """One line of `labkit bench`.

    floor_s, ours_s    median seconds: process CPU time on a CPU, event time on a GPU
    ratio              median of ours / floor, pair by pair; 1 = the instrument is free
    goal               the ratio we promise
    peer, peer_ratio   what people do today, measured in the same turns, over the same floor
    """

    name: str
    floor_s: float
    ours_s: float
    ratio: float
    goal: float
    peer: str
    peer_ratio: float
    device: str


@dataclass(frozen=True)
class Case:
    name: str
    goal: float
    floor: Work
    ours: Work
    peer_name: str
    peer: Work


def attention_cases(device: str) -> list[Case]:
    """All attention maps of timm's vit_tiny_patch16_224 (batch 8, 224 pixels), and with every measure on top.

    Floor: the plain fused forward pass. Peer: the usual way by hand, fused attention switched off in every block and a
    hook on each `attn_drop`; it gives the maps and no measures.
    """
    import timm

    from labkit.probes.attention import attention_maps, measure

    torch.manual_seed(0)
    fused, unfused = (timm.create_model("vit_tiny_patch16_224").eval().to(device) for _ in range(2))
    images = torch.randn(8, 3, 224, 224, device=device)
    kept: list[torch.Tensor] = []
    for part in unfused.modules():
        if hasattr(part, "fused_attn"):
            part.fused_attn = False
            part.attn_drop.register_forward_hook(lambda module, args, out: kept.append(out))

    def plain(model: nn.Module) -> torch.Tensor:
        with torch.inference_mode():
            return model(images)

    def by_hand() -> None:
        kept.clear()
        plain(unfused)

    def maps() -> object:
        return attention_maps(fused, images)

    def measures() -> object:
        return [measure(attention) for attention in attention_maps(fused, images)]

    return [
        Case("attention maps", 1.2, lambda: plain(fused), maps, "timm unfused with hooks", by_hand),
        Case("attention measures", 1.5, lambda: plain(fused), measures, "timm unfused with hooks, maps only", by_hand),
    ]


def run(case: Case, *, pairs: int, device: str) -> Line:
    """Floor, ours and peer in turn, `pairs` times after one warm-up each."""
    clock = _event_seconds if device.startswith("cuda") else _cpu_seconds
    for work in (case.floor, case.ours, case.peer):
        work()
    turns = [[clock(work) for work in (case.floor, case.ours, case.peer)] for _ in range(pairs)]
    floor, ours, _ = (statistics.median(column) for column in zip(*turns, strict=True))
    return Line(
        name=case.name,
        floor_s=floor,
        ours_s=ours,
        ratio=statistics.median(turn[1] / turn[0] for turn in turns),
        goal=case.goal,
        peer=case.peer_name,
        peer_ratio=statistics.median(turn[2] / turn[0] for turn in turns),
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
