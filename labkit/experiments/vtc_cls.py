"""Patches chosen by a trained class token: how much of an object they hold, and what a reader can tell from them alone.

The reader is taught once, with all patches, to say which colour a thing in a made-up scene has; then it is given few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from labkit.data.scenes import CATEGORIES, SHAPES, scene
from labkit.data.transforms import Transform
from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import descend, seeded
from labkit.experiments._mixers import macs
from labkit.experiments._objects import normalised, objects, picture
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.methods.selection.vtc_cls import PAPER, Reader, importance, keep, prefill, watched, without_last
from labkit.models.backbones.vit import ViT
from labkit.pretrained import load
from labkit.probes.bootstrap import interval
from labkit.taps import reading
from labkit.viz import experiments as draw

FOUND, KNOWS, STAYS = 0.2, 0.1, 0.03
"""So much more of the object, and of the answers, than patches at random; so few answers fewer than with all (0..1)."""
LEARN, ASK, BATCH = 640, 256, 128
"""Scenes to learn from and to ask about, and pictures that are seen at once."""
STEPS, RATE, DIM = 250, 6e-3, 48
LARGEST = 0.35
"""The share of the photo that an object covers at most: what covers more can hardly be missed."""
LEVELS = (64, 32, 16, 8, 4)
"""Patches kept, of 64, for which the answers are counted; all of them first."""
EITHER = 1 / 4 + 3 / 4 / 2
"""The share of right answers of one who names the colour of either thing: a quarter of the pairs have but one."""
LLAVA = {"dim": 4096, "depth": 32, "mlp": 3 * 4096 * 11008}
"""The language model of LLaVA-1.5-7B: its width, its blocks, and the three maps of a gated MLP."""
PATCHES, TEXT = (64, 128, 192, 256, 384, 576), (32, 128, 512)
"""Patches that it is given, of 576; and tokens of text beside them."""
OURS, ASKED, NORMS, DICE, KNOWN = "class token", "question", "length", "random", "the thing asked for"


@dataclass(frozen=True)
class Seen:
    """Pictures as the encoder leaves them: patch tokens, and what its class token gives each patch in every block."""

    tokens: Float[Tensor, "n cells c"]
    looks: Float[Tensor, "blocks n cells"]

    def twice(self, some: slice) -> Seen:
        """Some of the pictures, each two times in a row: once for each question."""
        return Seen(self.tokens[some].repeat_interleave(2, dim=0), self.looks[:, some].repeat_interleave(2, dim=1))

    def scores(self, *, first: int, how: str, seed: int) -> dict[str, Float[Tensor, "n cells"]]:
        """How much each patch matters, by the class token in blocks together and in each, by length, and by dice."""
        with seeded(seed):
            dice = torch.rand_like(self.looks[0])
        alone = {f"block {i}": one for i, one in enumerate(self.looks, 1)}
        ours = importance(self.looks[first - 1 :], how=how)
        return {OURS: ours} | alone | {NORMS: self.tokens.norm(dim=2), DICE: dice}


@dataclass(frozen=True)
class Questions:
    """Scenes of two things, and for each of these in turn "which colour has the …?": two questions a scene.

    asked     which shape is named, an index into SHAPES; the thing that has it covers `covered` of each patch, 0..1
    answers   an index into the four colours
    """

    images: Float[Tensor, "scenes 3 h w"]
    asked: Int64[Tensor, "n"]
    answers: Int64[Tensor, "n"]
    covered: Float[Tensor, "n cells"]


def experiment(
    *,
    kept: Annotated[int, Slider(2, 64), "patches that go on, of 64"] = 16,
    first: Annotated[int, Slider(1, 5), "first block whose attention counts, of 5"] = 1,
    how: Annotated[Literal["sum", "max", "min"], "what is made of the blocks"] = "sum",
    pictures: Annotated[int, Slider(100, 700, 50), "photos in which the object is looked for"] = 300,
    seed: Annotated[int, Slider(0, 99), "of photos, scenes, the reader, and the patches at random"] = 0,
) -> Readout:
    """Keep what a trained class token looks at: how much of the object is in it, and what it tells a reader."""
    opened = load("lab/vit", device="cpu")
    encoder = without_last(opened.model)
    book = objects(opened, count=pictures, largest=LARGEST, seed=seed)
    photos = see(encoder, book.images)
    covered, chosen = book.cells(encoder.patch), photos.scores(first=first, how=how, seed=seed)
    found = {name: held(covered, score, kept=kept).mean().item() for name, score in chosen.items()}

    made = questions(opened.transform, patch=encoder.patch, seed=seed)
    scenes = see(encoder, made.images)
    learnt, left = scenes.twice(slice(LEARN)), scenes.twice(slice(LEARN, None))
    reader = taught(learnt.tokens, made.asked[: 2 * LEARN], made.answers[: 2 * LEARN], seed=seed)
    tokens = left.tokens
    asked, answers, things = (one[2 * LEARN :] for one in (made.asked, made.answers, made.covered))
    ways = left.scores(first=first, how=how, seed=seed)
    ways |= {ASKED: looked_at(reader, tokens, asked), KNOWN: things}

    @torch.inference_mode()
    def right(tokens: Tensor) -> Tensor:
        """For each scene the share of its two answers that is right."""
        return (reader(tokens, asked).argmax(dim=1) == answers).float().view(-1, 2).mean(dim=1)

    full = right(tokens).mean().item()
    told = {name: right(keep(tokens, score, kept=kept)) for name, score in ways.items()}
    share = {name: one.mean().item() for name, one in told.items()}
    last = f"block {len(encoder.blocks)}"
    lines = {
        name: [full, *(right(keep(tokens, ways[name], kept=k)).mean().item() for k in LEVELS[1:])]
        for name in (OURS, last, ASKED, NORMS, DICE, KNOWN)
    }
    on_thing = {name: held(things, score, kept=kept).mean().item() for name, score in ways.items()}
    blocks = [name for name in ways if name.startswith("block")]
    with torch.inference_mode():
        moved = (reader(keep(tokens, ways[OURS], kept=64), asked) - reader(tokens, asked)).abs().max().item()
    saved = 1 - macs(reader, tokens[:1, :kept]) / macs(reader, tokens[:1])
    costs = {text: [prefill(n + text, **LLAVA) / prefill(576 + text, **LLAVA) for n in PATCHES] for text in TEXT}

    finds, knows = found[OURS] >= found[DICE] + FOUND, share[OURS] >= share[DICE] + KNOWS
    stays = share[OURS] >= full - STAYS
    together, without = interval(told[OURS], told[last]), interval(told[OURS], told[ASKED])
    side = book.images.shape[-2] // encoder.patch
    best = max(blocks, key=share.__getitem__)
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(finds, knows, stays, together.above_zero, without.above_zero),
        because=(
            f"With {kept} of 64 patches the class token keeps {found[OURS]:.0%} of the object in {len(book.images)} "
            f"{'photos' if book.photos else 'made-up scenes'} (random: {found[DICE]:.0%}). Asked for the colour of one "
            f"of two things, the reader tells {share[OURS]:.1%} of {2 * ASK} right from such patches alone, "
            f"{full:.1%} from all, {share[DICE]:.1%} from random ones; from those of {last} alone {share[last]:.1%}, "
            f"of {best}, the best, {share[best]:.1%}; from the longest tokens {share[NORMS]:.1%}, from those that the "
            f"question looks at {share[ASKED]:.1%}, from the thing that is asked for {share[KNOWN]:.1%}."
        ),
        numbers={
            **{f"object kept, {name}": Number(value, "0..1, photos") for name, value in found.items()},
            **{f"thing kept, {name}": Number(value, "0..1, scenes") for name, value in on_thing.items()},
            "told right, all patches": Number(full, "0..1"),
            **{f"told right, {name}": Number(value, "0..1") for name, value in share.items()},
            f"ahead of {last}, at least": Number(together.low, "-1..1, end of the 95 % interval"),
            "ahead of the question, at least": Number(without.low, "-1..1, end of the 95 % interval"),
            "moved with all patches kept": Number(moved, "logits"),
            "saved of the reader": Number(saved, "0..1, of its multiply-adds"),
            **{
                f"LLaVA-1.5-7B with 64 patches, {text} tokens of text": Number(one[0], "0..1, of the whole prefill")
                for text, one in costs.items()
            },
        },
        figures={
            "chosen": draw.maps(
                [one[0].view(side, -1).numpy() for one in (covered, *chosen.values())],
                names=["object", *chosen],
                photo=picture(book.images[0], opened.transform),
                label="share of its own largest",
                alone=True,
                title="What the class token looks at, and what others would choose, in the first picture",
            ),
            "found": draw.rivals(
                found,
                label=f"share of the object in the {kept} patches kept, photos",
                chosen=OURS,
                line=(kept / 64, "share of the picture"),
                title="How much of the object goes on",
            ),
            "told": draw.curves(
                LEVELS,
                lines,
                across="patches that the reader is given",
                up=f"share of {2 * ASK} answers that is right",
                title="Which colour has the …? By who chooses the patches",
            ),
            "rivals": draw.rivals(
                share,
                label=f"share of the answers that is right, from {kept} patches",
                chosen=OURS,
                line=(EITHER, "either colour"),
                title="What the reader tells from the patches of each",
            ),
            "cost": draw.curves(
                PATCHES,
                {f"{text} tokens of text": one for text, one in costs.items()},
                across="patches given to the language model, of 576",
                up="multiply-adds, of those with all",
                title="What it costs LLaVA-1.5-7B to take them in",
            ),
        },
    )


def questions(transform: Transform, *, patch: int, seed: int) -> Questions:
    """LEARN scenes and, behind them, ASK others, with the questions about each."""
    count, size = LEARN + ASK, (transform.size,) * 2
    made = [scene(seed * count + i, size=size, others=1) for i in range(count)]
    # Where there was no room for another thing, the one that is there is asked for twice.
    things = [thing for one in made for thing in (one.things * 2)[:2]]
    masks = torch.stack([thing.mask for thing in things])
    return Questions(
        normalised(torch.stack([one.pixels for one in made]), transform),
        torch.tensor([list(SHAPES).index(thing.shape) for thing in things]),
        torch.tensor([CATEGORIES["colour"].index(thing.colour) for thing in things]),
        F.avg_pool2d(masks[:, None].float(), patch).flatten(1),
    )


@torch.no_grad()
def see(encoder: ViT, images: Float[Tensor, "n 3 h w"]) -> Seen:
    """All pictures, some at a time."""
    parts = [watched(encoder, some) for some in images.split(BATCH)]
    return Seen(torch.cat([tokens for tokens, _ in parts]), torch.cat([looks for _, looks in parts], dim=1))


def taught(
    tokens: Float[Tensor, "n cells c"], asked: Int64[Tensor, "n"], answers: Int64[Tensor, "n"], *, seed: int
) -> Reader:
    """A reader of one block that has learned to answer from all patches; nothing of the encoder moves."""
    with seeded(seed):
        reader = Reader(tokens.shape[2], dim=DIM, heads=4, depth=1, questions=len(SHAPES), answers=4)

        def drawn() -> Tensor:
            some = torch.randint(len(tokens), (32,))
            return F.cross_entropy(reader(tokens[some], asked[some]), answers[some])

        descend(reader, drawn, steps=STEPS, rate=RATE)
    return reader.eval()


@torch.no_grad()
def looked_at(
    reader: Reader, tokens: Float[Tensor, "n cells c"], asked: Int64[Tensor, "n"]
) -> Float[Tensor, "n cells"]:
    """How much the question looks at each patch in the reader's first block, when all are there: mean over heads."""
    with reading(reader.blocks, "b heads q k") as maps:
        reader(tokens, asked)
    return next(iter(maps.values())).mean(dim=1)[:, -1, :-1]


def held(covered: Float[Tensor, "n cells"], scores: Float[Tensor, "n cells"], *, kept: int) -> Float[Tensor, "n"]:
    """The share of each picture's object that lies in its highest patches, 0..1."""
    return covered.gather(1, scores.topk(kept, dim=1).indices).sum(dim=1) / covered.sum(dim=1)
