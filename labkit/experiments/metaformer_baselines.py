"""The frame's floor and its ceiling: teach it with nothing, with a matrix of chance, and with two old mixers."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import nn

from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import DIMS, SIDE, TELLS, Lesson, learn, scenes, seeded
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.metaformer_baselines import PAPER, Mixer, StarReLU, metaformer_baselines
from labkit.models.scaffold import Scaffold
from labkit.probes.mixing import EXACT, MixingMap, mixing_map
from labkit.taps import Form, calls
from labkit.viz import experiments as draw

PLACE = "stages.1.1.mixer"
FLOOR = 0.5
"""So large a share of what the best rival gains over chance is a floor to stand on."""
PAPERS: dict[str, tuple[Mixer, Mixer]] = {
    "nothing": ("identity", "identity"),
    "nothing, random": ("identity", "random"),
    "conv": ("conv", "conv"),
    "conv, attention": ("conv", "attention"),
}
"""The paper's four in a frame of two stages: Identity-, Rand-, Conv- and CAFormer."""


def experiment(
    *,
    below: Annotated[
        Literal["identity", "random", "pooling", "conv", "attention"], "your mixer in the first stage"
    ] = "pooling",
    above: Annotated[
        Literal["identity", "random", "pooling", "conv", "attention"], "your mixer in the second stage"
    ] = "pooling",
    lesson: Annotated[Literal["shape", "position", "texture", "colour"], "what the models are to tell"] = "texture",
    steps: Annotated[int, Slider(50, 1000, 50), "how long each model is taught"] = 300,
    seed: Annotated[int, Slider(0, 99), "of weights and scenes"] = 0,
) -> Readout:
    """Teach the paper's four models, and a fifth with mixers of your choice, in one small frame of two stages."""
    book = scenes(seed=seed, about=lesson)
    yours = f"yours: {below}" if below == above else f"yours: {below}, {above}"
    models, accuracy = {}, {}
    for name, mixers in {**PAPERS, yours: (below, above)}.items():
        models[name], accuracy[name] = taught(mixers, book, steps=steps, seed=seed)
    read = {name: matrix_of(model, book) for name, model in models.items()}
    varies = {name: varying(one) for name, one in read.items()}

    floor, best = accuracy["nothing"], max(accuracy, key=accuracy.__getitem__)
    gain = (floor - book.chance) / max(accuracy[best] - book.chance, 1 / len(book.asked))
    stands = book.learned(floor) and gain >= FLOOR
    any_helps = accuracy["nothing, random"] > floor + TELLS
    old_best = max(accuracy["conv"], accuracy["conv, attention"]) > max(floor, accuracy["nothing, random"]) + TELLS
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(stands, any_helps, old_best),
        because=(
            f"After {steps} steps the frame tells the {lesson} in {floor:.0%} of new scenes with nothing as its mixer "
            f"(chance is {book.chance:.0%}), which is {gain:.0%} of what the best, {best}, gains; with a random "
            f"matrix above {accuracy['nothing, random']:.0%}: that {'helps' if any_helps else 'does not help'}; with "
            f"convolutions {accuracy['conv']:.0%}, with attention above them {accuracy['conv, attention']:.0%}: the "
            f"old mixers {'are' if old_best else 'are not'} ahead of both."
        ),
        numbers={
            **{f"accuracy with {name}": Number(accuracy[name], "0..1") for name in PAPERS},
            "accuracy of yours": Number(accuracy[yours], "0..1"),
            "share the frame earns alone": Number(gain, "of the best rival's gain over chance"),
            "random matrix varies": Number(varies["nothing, random"], "deviation over pictures / size"),
            "attention varies": Number(varies["conv, attention"], "deviation over pictures / size"),
            "learned factor of StarReLU": Number(stars(models["conv"])[0], "mean of the blocks; 1 at first"),
            "learned offset of StarReLU": Number(stars(models["conv"])[1], "mean of the blocks; 0 at first"),
        },
        figures={
            "accuracy": draw.rivals(
                accuracy,
                label="share of 512 new scenes told right",
                chosen=yours,
                line=(book.chance, "chance"),
                top=1.0,
                title=f"The {lesson}, learned for {steps} steps in one frame",
            ),
            "matrices": draw.maps(
                [one.shares.mean(dim=0).sqrt().numpy() for one in read.values()],
                names=list(read),
                notes=[f"varies {varies[name]:.0%}" for name in read],
                label="√ share of the row",
                title="Who mixes whom in the second stage: a row a cell, the columns are what it is made of",
            ),
            "StarReLU": activation(stars(models["conv"])),
        },
    )


def taught(mixers: tuple[Mixer, Mixer], book: Lesson, *, steps: int, seed: int) -> tuple[Scaffold, float]:
    """A frame of two stages of one block each, taught; with its accuracy, 0..1."""
    with seeded(seed):
        model = metaformer_baselines(
            mixers=mixers, dims=DIMS, depths=(1, 1), head_dim=12, picture=(SIDE, SIDE), classes=book.classes
        )
        # The paper's deviation of 0.02 is meant for widths of hundreds: here the square of what it lets through is 0.
        model.apply(wide_weights)
        return model, learn(model, book, steps=steps)


def wide_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)


def matrix_of(model: Scaffold, book: Lesson) -> MixingMap:
    """The mixer of the second stage, as the matrix that it is at four pictures; exact."""
    call = calls(model, [PLACE], book.asked[:4])[PLACE]
    form = Form("b h w c", tuple(call.x.shape[1:3]), call.x.shape[3])
    return mixing_map(call.module, call.x, before=form, after=form, probes=EXACT)


def varying(found: MixingMap) -> float:
    """How far a picture's matrix is from their mean, over the size of the mean (root mean squares); 0: all alike."""
    shares = found.shares
    return ((shares - shares.mean(dim=0)).square().mean().sqrt() / shares.mean(dim=0).square().mean().sqrt()).item()


def stars(model: Scaffold) -> tuple[float, float]:
    """The factor and the offset of the model's StarReLUs, mean over them."""
    found = [part for part in model.modules() if isinstance(part, StarReLU)]
    factors, offsets = ([getattr(one, name).item() for one in found] for name in ("scale", "offset"))
    return sum(factors) / len(found), sum(offsets) / len(found)


def activation(learned: tuple[float, float]) -> Figure:
    """GELU beside StarReLU as it starts, as it has been learned, and with the two numbers that keep a normal value."""
    u = torch.linspace(-2, 2, 81)
    shapes = {
        "GELU": F.gelu(u),
        "StarReLU at first": u.relu().square(),
        f"learned: s {learned[0]:.2f}, b {learned[1]:.2f}": learned[0] * u.relu().square() + learned[1],
        "s 0.89, b -0.45: mean 0, variance 1": (2 * u.relu().square() - 1) / 5**0.5,
    }
    return draw.curves(
        u.tolist(),
        {name: y.tolist() for name, y in shapes.items()},
        across="value given",
        up="value made of it",
        title="StarReLU: half a parabola, and two learned numbers",
    )
