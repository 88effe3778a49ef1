"""A row of patches read twice: whom a patch hears by each way, what that costs as pictures grow, what it is worth."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import SIDE, TELLS, scenes, seeded, taught
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.vim import PAPER, BothWays
from labkit.models.mixers.plain import NoMixing, SelfAttention
from labkit.models.mixers.ssm import OnSequence
from labkit.probes.mixing import MixingMap, mixing_maps
from labkit.probes.speed import exponent
from labkit.viz import experiments as draw

TOKENS = (256, 1024, 4096)
WIDTH = 64
"""Channels of the two mixers whose times are compared."""
LINEAR = 1.25
"""A cost that grows with the tokens to at most this power is called linear: clocks are noisy."""
PLACE = "stages.0.0.mixer"


def experiment(
    *,
    ways: Annotated[Literal["both", "forth", "back"], "how the row is read"] = "both",
    states: Annotated[int, Slider(1, 16), "numbers of memory a channel"] = 8,
    lesson: Annotated[Literal["shape", "position", "texture", "colour"], "what the models are to tell"] = "shape",
    steps: Annotated[int, Slider(50, 1000, 50), "how long each model is taught"] = 200,
    seed: Annotated[int, Slider(0, 99), "of weights and scenes"] = 0,
) -> Readout:
    """Put the scan into the frame beside attention and nothing, teach all, and time both mixers on longer rows."""
    book = scenes(seed=seed, about=lesson)
    makers: dict[str, Callable[[int, int], nn.Module]] = {
        f"scan, {ways}": lambda stage, dim: OnSequence(BothWays(dim, states=states, ways=ways)),
        "attention": lambda stage, dim: SelfAttention(dim, heads=2),
        "nothing": lambda stage, dim: NoMixing(),
    }
    chosen, *_ = makers
    models, accuracy = {}, {}
    for name, maker in makers.items():
        models[name], accuracy[name] = taught(maker, book, steps=steps, seed=seed)
    read = {name: mixing_maps(models[name], book.asked[:4], layers=[PLACE])[0] for name in (chosen, "attention")}
    earlier, later = heard(read[chosen])
    with seeded(seed):
        times = timed({chosen: BothWays(WIDTH, states=states, ways=ways), "attention": OnRow(WIDTH)})
    powers = {name: exponent(TOKENS, found) for name, found in times.items()}

    learned = book.learned(accuracy["attention"])
    whole = min(earlier, later) > 0.01
    linear = powers[chosen] <= LINEAR
    better = learned and accuracy[chosen] >= accuracy["attention"] + TELLS
    compared = (
        f"{'better' if better else 'not better'} (by {TELLS:.0%})" if learned else "attention has learned nothing yet"
    )
    middle = SIDE // 8 * (SIDE // 4) + SIDE // 8
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(whole, linear, better),
        because=(
            f"A patch hears {earlier:.0%} of what it hears of others from those before it in the row and {later:.0%} "
            f"from those behind; from {TOKENS[0]} to {TOKENS[-1]:,} patches the time grows with their number to the "
            f"power of {powers[chosen]:.2f}, attention's with {powers['attention']:.2f}; after {steps} steps it tells "
            f"the {lesson} in {accuracy[chosen]:.0%} of new scenes and attention in {accuracy['attention']:.0%}: "
            f"{compared}."
        ),
        numbers={
            "heard from before": Number(earlier, "of what is heard of others"),
            "heard from behind": Number(later, "of what is heard of others"),
            "growth of its time": Number(powers[chosen], "power of the patches", clock=True),
            "growth of attention's time": Number(powers["attention"], "power of the patches", clock=True),
            f"time at {TOKENS[-1]} patches": Number(
                times[chosen][-1] / times["attention"][-1], "of attention's", clock=True
            ),
            "accuracy": Number(accuracy[chosen], "0..1"),
            "accuracy with attention": Number(accuracy["attention"], "0..1"),
            "accuracy with nothing": Number(accuracy["nothing"], "0..1"),
        },
        figures={
            "mixing": draw.maps(
                [one.shares[:, middle].mean(dim=0).view(one.key_grid).sqrt().numpy() for one in read.values()],
                names=list(read),
                label="√ share of the row",
                title="Of which cells the first block makes the one in the middle",
            ),
            "time": draw.curves(
                TOKENS,
                {name: [1000 * one for one in found] for name, found in times.items()},
                across="patches in the row",
                up="milliseconds a picture",
                logarithmic=True,
                title=f"One mixer of {WIDTH} channels on longer rows",
            ),
            "accuracy": draw.rivals(
                accuracy,
                label="share of 512 new scenes told right",
                chosen=chosen,
                line=(book.chance, "chance"),
                top=1.0,
                title=f"The {lesson}, learned for {steps} steps in one frame",
            ),
        },
    )


class OnRow(nn.Module):
    """Attention of a row `b l c`, as the scan takes it."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mixer = SelfAttention(dim, heads=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.mixer(x[:, None])[:, 0]


def heard(mixing: MixingMap) -> tuple[float, float]:
    """The shares of all that is heard of other cells that come from those before and behind in the row, 0..1."""
    shares = mixing.shares.mean(dim=0)
    before, behind = shares.tril(-1).sum().item(), shares.triu(1).sum().item()
    return before / (before + behind), behind / (before + behind)


@torch.inference_mode()
def timed(mixers: dict[str, nn.Module], *, rounds: int = 5) -> dict[str, list[float]]:
    """Seconds of each mixer for one row of each of TOKENS: the median of rounds in which they take turns."""
    found = {name: [[] for _ in TOKENS] for name in mixers}
    for i, count in enumerate(TOKENS):
        x = torch.randn(1, count, WIDTH)
        for turn in range(rounds + 1):  # the first one warms up
            for name, mixer in mixers.items():
                start = time.perf_counter()
                mixer(x)
                if turn:
                    found[name][i].append(time.perf_counter() - start)
    return {name: [statistics.median(times) for times in all_times] for name, all_times in found.items()}
