"""Focal modulation beside attention in one frame: who learns more, from how far, and which range each cell chooses."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import DIMS, SIDE, TELLS, scenes, seeded, shown, taught
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.focalnet import PAPER, FocalModulation
from labkit.models.mixers.plain import SelfAttention
from labkit.probes.cost import cost
from labkit.probes.mixing import mixing_map
from labkit.taps import Form, holding
from labkit.viz import experiments as draw

LIKE = 0.25
"""So near, as a part, counts as a like cost."""
GRID = (15, 15)


def experiment(
    *,
    levels: Annotated[int, Slider(1, 4), "ranges that are gathered"] = 2,
    window: Annotated[int, Slider(3, 7, 2), "kernel of the first range, in cells"] = 3,
    whole_map: Annotated[bool, "the mean of the whole map as one more range"] = True,
    steps: Annotated[int, Slider(50, 1000, 50), "how long both are taught"] = 300,
    seed: Annotated[int, Slider(0, 99), "of weights and scenes"] = 0,
) -> Readout:
    """Teach a small FocalNet and the same frame with attention; look at its ranges and gates."""
    book = scenes(seed=seed)

    def modulation(stage: int, dim: int) -> FocalModulation:
        return FocalModulation(dim, levels=levels, window=window, whole=whole_map)

    focal, ours = taught(modulation, book, steps=steps, seed=seed)
    attentive, theirs = taught(lambda stage, dim: SelfAttention(dim, heads=2), book, steps=steps, seed=seed)
    macs = cost(focal, (SIDE, SIDE)).macs / cost(attentive, (SIDE, SIDE)).macs

    with seeded(seed):
        alone = modulation(0, DIMS[0]).eval()
        row = reach_of(alone)
        alone.whole = False
        near = reach_of(alone)
    # 3, 7, 13 … cells: each kernel adds what is left and right of its middle.
    formula = 1 + sum(window + 2 * level - 1 for level in range(levels))

    place = "stages.0.1.mixer.gates"
    with torch.inference_mode(), holding(focal, [place]) as held:
        focal(book.asked[:64])
    gates = held[place]
    varies = (gates.flatten(1, 2).std(dim=1) / gates.flatten(1, 2).abs().mean(dim=1)).mean().item()
    ranges = [f"{1 + sum(window + 2 * i - 1 for i in range(level + 1))} cells" for level in range(levels)]
    names = [*ranges, "whole map"][: levels + whole_map]

    learned = book.learned(max(ours, theirs))
    better, like, content = learned and ours > theirs + TELLS, macs < 1 + LIKE, varies > 0.1
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(better, like, content),
        because=(
            f"After {steps} steps focal modulation tells {ours:.0%} of the shapes and attention {theirs:.0%}, at "
            f"{macs:.2f} times its multiplications; from cell to cell a gate varies by {varies:.0%} of its size."
        ),
        numbers={
            "accuracy": Number(ours, "0..1"),
            "accuracy with attention": Number(theirs, "0..1"),
            "MACs": Number(macs, "times those with attention"),
            "gates vary": Number(varies, "deviation over the cells / mean size"),
            "field of the levels": Number(side_of(near), f"cells a side, at most {GRID[1]}; by the formula {formula}"),
            "field with the whole map": Number(side_of(row), f"cells a side, at most {GRID[1]}"),
        },
        figures={
            "accuracy": draw.rivals(
                {"focal modulation": ours, "attention": theirs},
                label="share of 512 new scenes told right",
                chosen="focal modulation",
                line=(book.chance, "chance"),
                top=1.0,
                title=f"One frame, {steps} steps of learning",
            ),
            "gates": draw.maps(
                [gates[0, :, :, level].numpy() for level in range(len(names))],
                names=names,
                photo=shown(book.asked[0]),
                label="gate (of either sign)",
                signed=True,
                title="How much each cell takes from which range",
            ),
            "range": draw.maps(
                [near.sqrt().numpy(), row.sqrt().numpy()],
                names=["the levels alone", "with the whole map"],
                notes=[f"{side_of(one)} of {GRID[1]} cells a side" for one in (near, row)],
                label="√ of its own largest",
                alone=True,
                title="From where a fresh mixer makes the cell in the middle",
            ),
        },
    )


def reach_of(mixer: FocalModulation) -> Float[Tensor, "h w"]:
    """`h w`: the norm of the middle cell's Jacobian, estimated, on a grid of noise."""
    h, w = GRID
    x = torch.randn(1, h, w, mixer.dim)
    form = Form("b h w c", GRID, mixer.dim)
    found = mixing_map(mixer, x, before=form, after=form, probes=2)
    return found.norms[0, h // 2 * w + w // 2].view(h, w)


def side_of(row: Float[Tensor, "h w"]) -> int:
    """How many columns move the cell in the middle at all."""
    return int((row > 1e-6 * row.max()).any(dim=0).sum())
