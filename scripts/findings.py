"""Measure what docs/findings.md shows, and write its tables anew; the words around them are written by hand.

python scripts/findings.py              all tables (some minutes on two cores; needs LABKIT_DATA)
python scripts/findings.py patterns     one of them
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from labkit.data.street_pairs import street_pairs
from labkit.experiments._apart import by_depth
from labkit.experiments._explained import DICE, KINDS, METHODS, UNITS, difference
from labkit.experiments._explained import table as explained
from labkit.experiments._objects import made_up, normalised, objects
from labkit.experiments._upbringings import alike_in_place, found, grey, layers_of, profile, smooth
from labkit.experiments.robust_explain import tells, told_by_most
from labkit.methods.objectives.unip import HYBRID, hybrid_layer
from labkit.pretrained import TRAININGS, UPBRINGINGS, Pretrained, load
from labkit.probes.attention import Bands
from labkit.probes.bootstrap import interval

PAGE = Path(__file__).resolve().parents[1] / "docs/findings.md"
PICTURES, SCENES, OTHERS, STREETS = 500, 1000, 2, 221
"""Photos; made-up scenes and the things in each beside the first; pairs of streets: all there are."""
LARGEST, DRAWN, EXPLAINED, MASKS = 0.5, 400, 60, 400
"""What an object covers of a photo at most (0..1); photos asked about, those explained, and RISE's masks for each."""


def with_interval(values: Tensor, minus: Tensor | None = None, *, signed: bool = False) -> str:
    """The mean of one value a picture and its 95 % interval, as text."""
    one = interval(values, minus)
    sign = "+" if signed else ""
    return f"{one.mean:{sign}.3f} [{one.low:{sign}.3f}, {one.high:{sign}.3f}]"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; numbers to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def upbringings() -> dict[str, tuple[Pretrained, Tensor]]:
    """Each upbringing's model, and one that has learned nothing, with the photos as all of them take them."""
    opened = {what: load(f"lab/{name}", device="cpu") for what, name in UPBRINGINGS.items()}
    photos = objects(opened["labels"], count=PICTURES, seed=0).images
    opened["untrained"] = load("lab/vit-supervised", weights=None, device="cpu")
    return {what: (one, photos) for what, one in opened.items()}


def patterns() -> str:
    """The NMI of each layer of each upbringing, and what it is called."""
    rows = []
    for what, (opened, photos) in upbringings().items():
        each = profile(opened.model, photos)
        means = each.mean(dim=1).tolist()
        names = [f"{with_interval(one)} {Bands().name(mean)}" for one, mean in zip(each, means, strict=True)]
        rows.append([what, *names, str(hybrid_layer(means) + 1)])
    return table(["taught by", *(f"layer {i + 1}" for i in range(len(means))), f"nearest {HYBRID}"], rows)


def layers_find() -> str:
    """Where the layers of each upbringing find objects, in scenes as they are and without colour and texture."""
    rows = []
    for what, (opened, photos) in upbringings().items():
        seen = made_up(opened, count=SCENES, seed=0, others=OTHERS)
        truth = seen.cells(opened.model.patch) > 0.5
        hybrid = hybrid_layer(profile(opened.model, photos).mean(dim=1).tolist())
        for kind, images in (("as they are", seen.images), ("grey, no texture", smooth(grey(seen.images)))):
            layers = [found(one, one, truth) for one in layers_of(opened.model, images)]
            gains = [
                with_interval(layers[hybrid], one, signed=True) if one is not layers[hybrid] else "the same"
                for one in (layers[0], layers[-1])
            ]
            rows.append([f"{what}, {kind}", *map(with_interval, layers), str(hybrid + 1), *gains])
    numbered = (f"layer {i + 1}" for i in range(len(layers)))
    return table(["taught by, scenes", *numbered, "hybrid", "it less the first", "it less the last"], rows)


def streets() -> str:
    """The NMI of each layer on the same streets by light and by heat, and how alike one place's two tokens are."""
    rows = []
    for what, name in UPBRINGINGS.items():
        opened = load(f"lab/{name}", device="cpu")
        pairs = street_pairs(count=STREETS, side=opened.transform.size, seed=0)
        light, heat = (normalised(one, opened.transform) for one in (pairs.visible, pairs.thermal))
        nmi = [profile(opened.model, one) for one in (light, heat)]
        rows.append([f"{what}: NMI by light", *(with_interval(one) for one in nmi[0])])
        rows.append(
            [f"{what}: heat less light", *(with_interval(b, a, signed=True) for a, b in zip(*nmi, strict=True))]
        )
        tokens = [layers_of(opened.model, one) for one in (light, heat)]
        alike = [alike_in_place(*both) for both in zip(*tokens, strict=True)]
        rows.append([f"{what}: alike at one place", *(with_interval(one, signed=True) for one in alike)])
    return table(["taught by", *(f"layer {i + 1}" for i in range(len(alike)))], rows)


def apart() -> str:
    """The cosine of two tokens on the object (in its box) or beside it less that of one on and one beside it."""
    gaps = {}
    for what in ("labels", "token contrast"):
        opened = load(f"lab/{UPBRINGINGS[what]}", device="cpu")
        seen = objects(opened, count=PICTURES, seed=0, largest=LARGEST)
        cells = seen.cells(opened.model.patch) > 0.5
        both = cells.any(dim=1) & ~cells.all(dim=1)  # else there is no such pair
        gaps[what] = by_depth(opened.model, seen.images[both], seen.masks[both])
    pairs = zip(gaps["token contrast"].gap, gaps["labels"].gap, strict=True)
    rows = [
        *([what, *map(with_interval, one.gap)] for what, one in gaps.items()),
        ["the second less the first", *(with_interval(*pair, signed=True) for pair in pairs)],
        *([f"{what}: all pairs", *map(with_interval, one.mean)] for what, one in gaps.items()),
    ]
    return table(["taught by", *(f"block {i + 1}" for i in range(len(rows[0]) - 2)), "behind the norm"], rows)


def explanations() -> str:
    """What each method's map is worth on each training, then what the attacked training adds to it."""
    opened = {what: load(f"lab/{name}", device="cpu") for what, name in TRAININGS.items()}
    drawn = objects(next(iter(opened.values())), count=DRAWN, seed=0, largest=LARGEST)
    right = [tells(one.model, drawn) for one in opened.values()]
    seen = told_by_most(drawn, torch.stack(right), count=EXPLAINED)
    found = explained({what: one.model for what, one in opened.items()}, seen, masks=MASKS)
    told = [[what, with_interval(is_right.float())] for what, is_right in zip(opened, right, strict=True)]
    parts = [table(["trained on pictures", f"told right, of {DRAWN}"], told)]
    for number, unit in UNITS.items():
        rows = [
            [method, *(with_interval(one.scores[method][number]) for one in found.values())]
            for method in (*METHODS, DICE)
        ]
        parts.append(table([f"{number} ({unit})", *found], rows))
    gained = {
        f"{kind}: {', '.join(methods)}": [difference(found, "attacked", "as they are", n, methods) for n in UNITS]
        for kind, methods in KINDS.items()
    }
    rows = [[kind, *(with_interval(one, signed=True) for one in each)] for kind, each in gained.items()]
    return "\n\n".join([*parts, table(["attacked less as they are", *UNITS], rows)])


TABLES: dict[str, Callable[[], str]] = {
    "patterns": patterns,
    "objects": layers_find,
    "streets": streets,
    "apart": apart,
    "explanations": explanations,
}


def with_table(page: str, name: str, made: str) -> str:
    """The page with what stands between `<!-- name:` and the next `<!-- end -->` made anew."""
    start = page.index(f"<!-- {name}:")
    end = page.index("<!-- end -->", start)
    command = f"`python scripts/findings.py {name}`"
    return f"{page[:start]}<!-- {name}: -->\n\n{made}\n\n{command}\n\n{page[end:]}"


def main() -> int:
    asked = sys.argv[1:] or list(TABLES)
    unknown = [name for name in asked if name not in TABLES]
    if unknown:
        print(f"There is no table {unknown[0]!r}; there are {', '.join(TABLES)}.", file=sys.stderr)
        return 2
    for name in asked:
        PAGE.write_text(with_table(PAGE.read_text(), name, TABLES[name]()))
        print(f"{name}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
