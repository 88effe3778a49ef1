"""A gate around the Mixer's fixed mixing: does it make the mixing the picture's own, and is it worth its price?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import SIDE, TELLS, Lesson, learn, scenes, seeded
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.ninformer import PAPER, Gating, mixer_block, ninformer
from labkit.models.mixers.plain import SelfAttention
from labkit.probes.mixing import mixing_maps
from labkit.viz import experiments as draw

DIM, DEPTH, HEADS = 48, 2, 4
GRID = (SIDE // 4, SIDE // 4)
PLACE = "stages.0.0.mixer"
RATE = 3e-3
PAPERS_DIM, PAPERS_HIDDEN, PAPERS_CELLS = 256, 512, 64
"""Of the model for CIFAR-10: sheet and paper."""
CELLS = (64, 196, 576, 1024, 4096)


def experiment(
    *,
    lesson: Annotated[Literal["shape", "position", "texture", "colour"], "what the models are to tell"] = "shape",
    hidden: Annotated[int, Slider(16, 128, 16), "hidden numbers in each MLP of the gate"] = 64,
    steps: Annotated[int, Slider(50, 600, 50), "how long each model is taught"] = 150,
    seed: Annotated[int, Slider(0, 99), "of weights and scenes"] = 0,
) -> Readout:
    """Teach one frame with the gate, with the Mixer's block that makes it, and with attention; see what moves."""
    book = scenes(seed=seed, about=lesson)

    def block() -> nn.Module:
        return mixer_block(DIM, grid=GRID, hidden=hidden)

    makers: dict[str, Callable[[int], nn.Module]] = {
        "gate": lambda dim: Gating(dim, inner=block()),
        "Mixer": lambda dim: block(),
        "attention": lambda dim: SelfAttention(dim, heads=HEADS),
    }
    models, accuracy = {}, {}
    for name, maker in makers.items():
        models[name], accuracy[name] = taught(maker, book, hidden=hidden, steps=steps, seed=seed)
    with seeded(seed):
        moves = {name: moving(model, book.asked[:32]) for name, model in models.items()}
    shown = mixing_maps(models["gate"], book.asked[:3], layers=[PLACE])[0].shares.sqrt()

    price = gate_macs(PAPERS_CELLS) / attention_macs(PAPERS_CELLS)
    cheaper, own = price < 1, moves["gate"] > moves["Mixer"]
    learned = book.learned(accuracy["gate"])
    better = learned and accuracy["gate"] >= max(accuracy["Mixer"], accuracy["attention"]) + TELLS
    judged = "better than both" if better else "not better than both" if learned else "nothing is learned yet"
    middle = GRID[0] // 2 * GRID[1] + GRID[1] // 2
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(own, better, cheaper),
        because=(
            f"{moves['gate']:.0%} of what the gated mixer does changes from picture to picture (Mixer alone "
            f"{moves['Mixer']:.0%}, attention {moves['attention']:.0%}). After {steps} steps it tells the {lesson} in "
            f"{accuracy['gate']:.0%} of new scenes, the Mixer in {accuracy['Mixer']:.0%}, attention in "
            f"{accuracy['attention']:.0%}: {judged}. At the paper's size it costs {price:.2f} times attention."
        ),
        numbers={
            **{f"moves, {name}": Number(value, "share of the Jacobian, squared") for name, value in moves.items()},
            **{f"accuracy, {name}": Number(value, "0..1") for name, value in accuracy.items()},
            "cost": Number(price, "MACs, attention = 1, at the paper's 64 cells"),
            "cheaper from": Number(cheaper_from(), "cells, with the paper's widths"),
        },
        figures={
            "moves": draw.rivals(
                moves,
                label="share of the Jacobian that changes from picture to picture",
                chosen="gate",
                top=1.0,
                title="How much of the first mixer is the picture's own",
            ),
            "accuracy": draw.rivals(
                accuracy,
                label="share of 512 new scenes told right",
                chosen="gate",
                line=(book.chance, "chance"),
                top=1.0,
                title=f"The {lesson}, learned for {steps} steps in one frame",
            ),
            "mixing": draw.maps(
                [row.view(GRID).numpy() for row in shown[:, middle]],
                names=[f"scene {i}" for i in range(len(shown))],
                label="√ share of the row",
                title="Of which cells the first gated mixer makes the one in the middle",
            ),
            "cost": draw.curves(
                CELLS,
                {
                    "gate": [gate_macs(n) / 1e6 for n in CELLS],
                    "attention": [attention_macs(n) / 1e6 for n in CELLS],
                },
                across="cells of the grid",
                up="million MACs of one mixer",
                logarithmic=True,
                title=f"The price at the paper's widths: the gate is the cheaper from {cheaper_from():.0f} cells",
            ),
        },
    )


def taught(
    maker: Callable[[int], nn.Module], book: Lesson, *, hidden: int, steps: int, seed: int
) -> tuple[nn.Module, float]:
    """The frame with this mixer, taught; with its accuracy, 0..1."""
    with seeded(seed):
        model = ninformer(dim=DIM, depth=DEPTH, hidden=hidden, grid=GRID, mixer=maker, classes=book.classes)
        return model, learn(model, book, steps=steps, rate=RATE)


def moving(model: nn.Module, images: Float[Tensor, "b 3 h w"], *, directions: int = 16) -> float:
    """The share of the first mixer's Jacobian that changes from picture to picture, 0..1, in squares.

    E ‖(J - mean J)ᵀ v‖² / E ‖Jᵀ v‖² over random directions v, the same for all pictures: a ratio of Frobenius norms.
    """
    block = model.stages[0][0]
    with torch.no_grad():
        x = block.norm(model.stem(images.movedim(1, -1)))
    x.requires_grad_()
    y = block.mixer(x)
    changes = whole = 0.0
    for _ in range(directions):
        v = torch.randn_like(y[:1]).expand_as(y)
        (pulled,) = torch.autograd.grad(y, x, v, retain_graph=True)
        changes += pulled.var(dim=0).sum().item()
        whole += pulled.pow(2).mean(dim=0).sum().item()
    return changes / whole


def gate_macs(cells: int) -> int:
    """Multiply-adds of one gated mixer, with the paper's widths."""
    return cells * (PAPERS_DIM**2 + 4 * PAPERS_HIDDEN * PAPERS_DIM)


def attention_macs(cells: int) -> int:
    """Multiply-adds of self-attention of that width, scores and values included."""
    return cells * (4 * PAPERS_DIM**2 + 2 * cells * PAPERS_DIM)


def cheaper_from() -> float:
    """Cells from which the gate costs less: dim² + 4 hidden dim = 4 dim² + 2 n dim."""
    return 2 * PAPERS_HIDDEN - 1.5 * PAPERS_DIM
