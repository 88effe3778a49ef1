"""How long a model takes, and how its cost grows with the picture."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.probes.cost import Cost, cost
from labkit.probes.inputs import Refused, check_call
from labkit.taps import blocks, evaluating, noise_for, refuse_wrapped, sites


@dataclass(frozen=True)
class Speed:
    """How long one forward pass takes, in inference mode.

    seconds   median of the runs: wall time on a CPU, event time on a GPU; `spread` their quartiles
    images_per_s, tokens_per_s   of the median; tokens are the cells of the first block's output, the finest grid
    peak      bytes on a GPU at the most, weights included; None on a CPU, where torch does not count
    threads   that torch used on a CPU
    """

    size: tuple[int, int]
    batch: int
    tokens: int
    seconds: float
    spread: tuple[float, float]
    peak: int | None
    threads: int
    device: str

    @property
    def images_per_s(self) -> float:
        return self.batch / self.seconds

    @property
    def tokens_per_s(self) -> float:
        return self.batch * self.tokens / self.seconds


@dataclass(frozen=True)
class Growth:
    """The cost at several sizes; `skipped`: the sizes the model refused, and what it said.

    time_exponent, macs_exponent   e in cost ∝ tokensᵉ, fitted to all sizes: 1 for convolutions, towards 2 where
                                   attention over all tokens dominates; NaN with fewer than two sizes
    """

    speeds: tuple[Speed, ...]
    costs: tuple[Cost, ...]
    skipped: dict[int, str]
    time_exponent: float
    macs_exponent: float


def speed(model: nn.Module, images: Float[Tensor, "b 3 height width"], *, repeats: int = 10, warm_up: int = 2) -> Speed:
    """The median time of a forward pass in eval and inference mode; see Speed. Raises Refused as every instrument."""
    check_call(model, images)
    if repeats < 1 or warm_up < 0:
        raise Refused(f"speed(repeats={repeats}, warm_up={warm_up}): expected at least one run and no fewer than none.")
    size = tuple(images.shape[-2:])
    cuda = images.device.type == "cuda"
    with torch.inference_mode(), evaluating(model):
        for _ in range(warm_up):
            model(images)
        if cuda:
            torch.cuda.reset_peak_memory_stats(images.device)
        times = (_event_times if cuda else _wall_times)(model, images, repeats)
    low, _, high = statistics.quantiles(times, n=4) if len(times) > 1 else (times[0],) * 3
    return Speed(
        size,
        len(images),
        tokens(model, size),
        statistics.median(times),
        (low, high),
        torch.cuda.max_memory_allocated(images.device) if cuda else None,
        torch.get_num_threads(),
        str(images.device),
    )


def growth(model: nn.Module, sides: Sequence[int], *, batch: int = 1, repeats: int = 5, warm_up: int = 1) -> Growth:
    """Cost and speed for square pictures of these sides, and the exponents of their growth with the tokens.

    Sides that the model does not take (no multiple of its patch, or one size only) are skipped, and the model's own
    words are kept. Raises Refused when none is left.
    """
    refuse_wrapped(model)
    speeds, costs, skipped = [], [], {}
    for side in sides:
        size = (side, side)
        try:
            costs.append(cost(model, size))
        except (AssertionError, RuntimeError, ValueError, TypeError) as error:
            skipped[side] = (str(error).splitlines() or [type(error).__name__])[0]
            continue
        speeds.append(speed(model, noise_for(model, size, batch=batch), repeats=repeats, warm_up=warm_up))
    if not speeds:
        raise Refused(f"the model takes none of the sizes {', '.join(map(str, sides))}: {skipped[sides[0]]}")
    count = [one.tokens for one in speeds]
    return Growth(
        tuple(speeds),
        tuple(costs),
        skipped,
        exponent(count, [one.seconds for one in speeds]),
        exponent(count, [one.macs for one in costs]),
    )


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """e of the power law y ∝ xᵉ that fits best, by least squares of the logarithms; NaN with fewer than two places."""
    if len(set(x)) < 2:
        return math.nan
    across, up = [math.log(value) for value in x], [math.log(value) for value in y]
    return statistics.linear_regression(across, up).slope


def tokens(model: nn.Module, size: tuple[int, int]) -> int:
    """Cells of the first block's output; where there are no blocks, of the first map there is."""
    listed = blocks(model, size) or list(sites(model, size).values())
    return math.prod(listed[0].after.grid)


def _wall_times(model: nn.Module, images: Tensor, repeats: int) -> list[float]:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        model(images)
        times.append(time.perf_counter() - started)
    return times


def _event_times(model: nn.Module, images: Tensor, repeats: int) -> list[float]:
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for started, ended in events:
        started.record()
        model(images)
        ended.record()
    torch.cuda.synchronize(images.device)  # once: the queue stays full, as in use
    return [started.elapsed_time(ended) / 1000 for started, ended in events]
