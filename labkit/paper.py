"""The papers that hang in labkit. An exhibit is a module with a `PAPER`: the file system is the registry.

`catalogue()` reads the source of `models`, `methods` and `probes` without importing it: labels, papers and sizes are
literals, so the whole list is there in a moment, and a broken exhibit says so by name.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

HERE = Path(__file__).parent
ROOMS = ("models", "methods", "probes")
PARTS = ("Paper", "Adds", "Reads", "Costs", "Departs")
Verdict = Literal["held", "partly", "not", "unmeasured"]


@dataclass(frozen=True)
class Paper:
    """What an exhibit shows.

    number   of the paper, 1 to 92; `id` is the name of the exhibit's file
    arxiv    its number there, "" where it has none
    claim    what the paper says of its idea, in our words: the sentence that the experiment asks about
    """

    number: int
    id: str
    title: str
    year: int
    arxiv: str
    claim: str


@dataclass(frozen=True)
class Size:
    """One published size, with 1,000 classes unless `build` says otherwise.

    build        the arguments that make it
    parameters   exactly; `macs` of one picture of `pixels` a side, to within 1 %
    top1         ImageNet-1K top-1 as published, in percent; None where none was
    """

    build: dict[str, Any]
    parameters: int
    macs: float
    pixels: int = 224
    top1: float | None = None


@dataclass(frozen=True)
class Label:
    """The label on the wall: one sentence, then what the paper adds, its equation with shapes, cost, and departures."""

    sentence: str
    paper: str
    adds: str
    reads: str
    costs: str
    departs: str


@dataclass(frozen=True)
class Exhibit:
    """One paper on the wall.

    room, file   where it hangs ("models/backbones"), and its source, from the root of the package
    sizes        by name, in the paper's order; empty where the paper has no model of its own
    """

    paper: Paper
    label: Label
    sizes: dict[str, Size] = field(hash=False)
    file: str

    @property
    def id(self) -> str:
        return self.paper.id

    @property
    def room(self) -> str:
        return self.file.rpartition("/")[0]

    @property
    def has_experiment(self) -> bool:
        return (HERE / "experiments" / f"{self.id}.py").exists()

    @property
    def measured(self) -> dict[str, Any] | None:
        """What its experiment found when it was last measured over seeds (see scripts/catalogue.py); None if never."""
        stored = HERE / "experiments" / f"{self.id}.json"
        return json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else None

    @property
    def verdict(self) -> Verdict:
        return (self.measured or {}).get("verdict", "unmeasured")

    def load(self) -> ModuleType:
        """The exhibit itself; only now it is imported."""
        return importlib.import_module("labkit." + self.file.removesuffix(".py").replace("/", "."))

    def build(self, size: str, **other: Any) -> Any:
        """The model of a published size (with random weights): the exhibit's function of its own name makes it."""
        return getattr(self.load(), self.id)(**(self.sizes[size].build | other))


class UnknownPaper(ValueError):
    """No exhibit has this name; the message names the nearest."""


class BadExhibit(ValueError):
    """An exhibit whose label, paper or sizes cannot be read; the message names the file and what is missing."""


@cache
def catalogue() -> tuple[Exhibit, ...]:
    """All exhibits, by their number. Raises BadExhibit for one that cannot be read, or two of one number or name."""
    files = (path for room in ROOMS for path in sorted((HERE / room).rglob("*.py")))
    found = [exhibit for path in files if (exhibit := read(path.read_text("utf-8"), str(path.relative_to(HERE))))]
    for key in ("number", "id"):
        met: dict[Any, Exhibit] = {}
        for one in found:
            other = met.setdefault(getattr(one.paper, key), one)
            if other is not one:
                raise BadExhibit(f"{one.file} and {other.file} both have the {key} {getattr(one.paper, key)!r}.")
    return tuple(sorted(found, key=lambda exhibit: exhibit.paper.number))


def exhibit(name: str) -> Exhibit:
    """The exhibit with this id, or number ("29"). Raises UnknownPaper with the nearest ones."""
    there = {one.id: one for one in catalogue()} | {str(one.paper.number): one for one in catalogue()}
    if name in there:
        return there[name]
    ids = [one.id for one in catalogue()]
    near = difflib.get_close_matches(name.lower(), ids, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(ids)}."
    raise UnknownPaper(f"no paper here is called '{name}'; {hint}")


def search(word: str) -> tuple[Exhibit, ...]:
    """The exhibits whose id, title, claim, year, room or label holds every one of these words, in any case."""
    words = word.lower().split()

    def text(one: Exhibit) -> str:
        paper = one.paper
        said = (paper.id, paper.title, paper.claim, str(paper.year), one.room, one.label.sentence, one.label.adds)
        return " ".join(said).lower()

    return tuple(one for one in catalogue() if all(part in text(one) for part in words))


def read(source: str, file: str) -> Exhibit | None:
    """The exhibit in this source, None where there is no `PAPER`. Raises BadExhibit when it cannot be read."""
    if "PAPER" not in source:
        return None
    tree = ast.parse(source)
    named = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    if "PAPER" not in named:
        return None
    try:
        paper = _value(named["PAPER"])
        sizes = _value(named["SIZES"]) if "SIZES" in named else {}
    except (ValueError, TypeError) as error:
        raise BadExhibit(f"{file}: PAPER and SIZES are written with literals only, but {error}.") from error
    if paper.id != Path(file).stem:
        raise BadExhibit(f"{file}: PAPER.id is {paper.id!r}, but an exhibit has the name of its file.")
    return Exhibit(paper, label(ast.get_docstring(tree) or "", file), sizes, file)


def label(docstring: str, file: str = "") -> Label:
    """The label in a module's docstring. Raises BadExhibit when a part of it is missing."""
    head, *rest = re.split(rf"^({'|'.join(PARTS)})(?=\s)", docstring, flags=re.MULTILINE)
    parts = dict(zip(rest[::2], rest[1::2], strict=True))
    missing = [part for part in PARTS if not parts.get(part, "").strip()]
    if missing or not head.strip():
        raise BadExhibit(f"{file}: the label on the wall lacks {', '.join(missing) or 'its sentence'}.")
    said = {part.lower(): " ".join(text.split()) for part, text in parts.items() if part != "Reads"}
    return Label(" ".join(head.split()), reads=_lines(parts["Reads"]), **said)


def _lines(text: str) -> str:
    """The lines of an equation as they stand, without the margin that they share."""
    lines = (" " * len("Reads") + text).rstrip().splitlines()
    margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return "\n".join(line[margin:].rstrip() for line in lines)


def _value(node: ast.expr) -> Any:
    """The value of a literal, of Paper(…) or Size(…) with literal arguments, or of a dict of these."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Paper", "Size"):
        arguments = {keyword.arg: _value(keyword.value) for keyword in node.keywords}
        return {"Paper": Paper, "Size": Size}[node.func.id](*map(_value, node.args), **arguments)
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True)}
    return ast.literal_eval(node)
