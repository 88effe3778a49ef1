"""The selective scan over the loop that it replaces, and over itself on a shorter sequence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from labkit.bench import Case, Work
from labkit.models.mixers.scan import recurrence, selective_scan

LENGTH, LONG = 4096, 65_536
Scan = Callable[..., Tensor]


def cases(device: str) -> list[Case]:
    """One sequence of 4,096 tokens, of 192 channels with 16 states and of 64 with 8; 16 pictures; 65,536 tokens.

    Floor: the equation token by token. Peer: the loop as it is often written, with all decays made beforehand. In the
    last line the floor is ours at 4,096 tokens, so that a ratio of 16 is growth in proportion.
    """
    torch.manual_seed(0)
    wide, narrow, long = made(LENGTH, 192, 16, device), made(LENGTH, 64, 8, device), made(LONG, 192, 16, device)
    pictures = made(196, 192, 16, device, sequences=16)
    usual = "a loop, decays made before"
    return [
        Case("scan, 192 x 16", 0.05, *_three(_forward, wide, usual)),
        Case("scan and its gradient, 192 x 16", 0.05, *_three(_both, wide, usual)),
        Case("scan, 64 x 8", 0.05, *_three(_forward, narrow, usual)),
        Case("scan and its gradient, 64 x 8", 0.05, *_three(_both, narrow, usual)),
        Case("scan and its gradient, 16 pictures of 196 tokens", 0.5, *_three(_both, pictures, usual)),
        Case(
            "scan, 16 times as long",
            17.6,
            partial(_forward, selective_scan, wide),
            partial(_forward, selective_scan, long),
        ),
    ]


def made(length: int, channels: int, states: int, device: str, *, sequences: int = 1) -> dict[str, Tensor]:
    """All that a scan takes, steps and rates as at Mamba's start."""
    given = {
        "x": torch.randn(sequences, length, channels),
        "step": 0.001 + 0.1 * torch.rand(sequences, length, channels),
        "rate": -torch.arange(1.0, states + 1).repeat(channels, 1),
        "write": torch.randn(sequences, length, states),
        "read": torch.randn(sequences, length, states),
    }
    return {name: value.to(device).requires_grad_() for name, value in given.items()}


def _three(
    way: Callable[[Scan, dict[str, Tensor]], Tensor], given: dict[str, Tensor], usual: str
) -> tuple[Work, Work, str, Work]:
    floor, ours, peer = (partial(way, scan, given) for scan in (recurrence, selective_scan, beforehand))
    return floor, ours, usual, peer


@torch.inference_mode()
def _forward(scan: Scan, given: dict[str, Tensor]) -> Tensor:
    return scan(**given)


def _both(scan: Scan, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(scan(**given).sum(), list(given.values()))


def beforehand(x: Tensor, step: Tensor, rate: Tensor, write: Tensor, read: Tensor) -> Tensor:
    """The loop with all decays, and all that is written, made at once before it."""
    decays = (step[..., None] * rate).exp()
    taken = (step * x)[..., None] * write[:, :, None]
    state, outputs = torch.zeros_like(taken[:, 0]), []
    for decay_t, taken_t, read_t in zip(decays.unbind(1), taken.unbind(1), read.unbind(1), strict=True):
        state = decay_t * state + taken_t
        outputs.append((state @ read_t[..., None])[..., 0])
    return torch.stack(outputs, dim=1)
