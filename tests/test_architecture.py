"""The import rings of docs/architecture.md, read from the source: lazy imports in functions count like any other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "labkit").rglob("*.py"))

# Room -> the rooms it may import. A room is a module or a package of labkit; its own modules may meet each other.
RINGS: dict[str, set[str]] = {
    "taps": set(),
    "paper": set(),
    "models": {"paper", "taps"},
    "probes": {"paper", "taps"},
    "data": set(),
    "viz": set(),
    "methods": {"paper", "taps", "models"},
    "training": {"models", "methods", "probes", "data"},
    "pretrained": {"models", "training", "data"},
    "session": {"pretrained", "probes", "data", "taps"},
    "experiments": {"paper", "taps", "models", "methods", "probes", "data", "viz", "pretrained"},
    "widgets": {"session", "viz", "experiments"},
    "bench": {"models", "probes", "taps"},
}
ANYTHING = {"cli", "commands"}
# Inside models, from the bottom up: a floor may use the floors below it.
FLOORS = ["layers", "mixers", "scaffold", "backbones"]
DRAWING = {"numpy", "matplotlib", "plotly"}
WINDOWS = {"apps", "notebooks", "tests"}


def imports(source: str, module: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that `source` imports, as the module called `module`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def offences(source: str, module: str) -> list[str]:
    """What `source`, as the labkit module called `module`, may not import: one sentence each."""
    found = []
    room, *inner = module.split(".")[1:] or ["__init__"]
    for line, name in imports(source, module):
        top, *rest = name.split(".")
        reason = None
        if top in WINDOWS:
            reason = f"{top} is a window: nobody imports it"
        elif room == "viz" and top not in DRAWING | {"labkit", "__future__"} | set(_standard_library()):
            reason = "viz draws with numpy, matplotlib and plotly alone"
        elif top == "labkit" and rest and room not in ANYTHING:
            if rest[0] != room and rest[0] not in RINGS.get(room, set()):
                reason = f"{room} may import {', '.join(sorted(RINGS.get(room, set()))) or 'nothing of ours'}"
            elif room == rest[0] == "models" and inner and _floor(rest[1:]) > _floor(inner):
                reason = f"models/{inner[0]} lies below models/{rest[1]}"
        if reason:
            found.append(f"{module}, line {line}, imports {name}: {reason}")
    return found


def _floor(path: list[str]) -> int:
    return FLOORS.index(path[0]) if path and path[0] in FLOORS else len(FLOORS)


def _standard_library() -> frozenset[str]:
    import sys

    return sys.stdlib_module_names


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _source_name(path: Path) -> str:
    # For a package, relative imports start in the package itself.
    dotted = _dotted(path)
    return f"{dotted}.__init__" if path.name == "__init__.py" else dotted


@pytest.mark.parametrize("path", MODULES, ids=_dotted)
def test_a_module_imports_inner_rings_only(path):
    found = offences(path.read_text(), _source_name(path))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("labkit.probes.attention", "from labkit.models.backbones.vit import ViT"),
        ("labkit.probes.attention", "def lazy():\n    import labkit.pretrained"),
        ("labkit.probes.attention", "from ..models import layers"),
        ("labkit.probes.__init__", "from ..data import images"),
        ("labkit.probes.attention", "from labkit import session"),
        ("labkit.data.images", "import importlib\nimportlib.import_module('labkit.viz')"),
        ("labkit.taps", "from labkit.models import layers"),
        ("labkit.models.layers", "from labkit.models.backbones.vit import ViT"),
        ("labkit.models.layers", "from .backbones import vit"),
        ("labkit.viz.strips", "import torch"),
        ("labkit.viz.strips", "from labkit.probes import attention"),
        ("labkit.commands.serve", "import apps"),
        ("labkit.session", "from notebooks import checks"),
        ("labkit.__init__", "from labkit.session import look"),
        ("labkit.newroom", "from labkit import taps"),
    ],
)
def test_an_offender_is_found(module, source):
    assert len(offences(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("labkit.models.backbones.vit", "from labkit.models.layers import Block\nfrom labkit.taps import Tap"),
        ("labkit.models.backbones.vit", "from ..layers import Block"),
        ("labkit.probes.attention", "from labkit.probes import rollout\nimport torch, timm"),
        ("labkit.viz.strips", "import math\nfrom matplotlib.figure import Figure"),
        ("labkit.cli", "def up():\n    from labkit.session import look"),
        ("labkit.session", "from . import probes, taps"),
    ],
)
def test_a_good_neighbour_is_left_alone(module, source):
    assert offences(source, module) == []


def test_the_page_and_the_check_name_the_same_rooms():
    page = (ROOT / "docs/architecture.md").read_text()
    rows = re.findall(r"^\| (`.*?) \|", page, flags=re.MULTILINE)
    rooms = {name for row in rows for name in re.findall(r"`labkit/([a-z_]+)(?:\.py|/)`", row)}
    assert rooms == set(RINGS) | ANYTHING


@pytest.mark.parametrize("path", MODULES, ids=_dotted)
def test_a_module_holds_one_idea(path):
    lines = len(path.read_text().splitlines())
    assert lines <= 250, f"{_dotted(path)} has {lines} lines: look for the second idea in it (STYLE 1)"


TRIVIAL = 8  # lines: up to here, a name and its types may say it all
EQUATION = 25  # lines: up to here, a module of `__init__` and `forward` alone may speak for itself (STYLE 4)


def undocumented(source: str) -> list[str]:
    """What is public and more than trivial and has no docstring; the class speaks for its `forward`."""
    found = []

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if node.name.startswith("_") or node.name == "forward":
                continue
            parts = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            is_equation = isinstance(node, ast.ClassDef) and parts == {"__init__", "forward"}
            enough = EQUATION if is_equation else TRIVIAL
            if node.end_lineno - node.lineno + 1 > enough and not ast.get_docstring(node):
                found.append(f"{prefix}{node.name} (line {node.lineno})")
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{node.name}.")

    visit(ast.parse(source).body, "")
    return found


@pytest.mark.parametrize("path", MODULES, ids=_dotted)
def test_what_is_public_says_what_it_is(path):
    source = path.read_text()
    found = undocumented(source)
    assert not found, f"{_dotted(path)}: no docstring at " + ", ".join(found)
    assert not source.strip() or ast.get_docstring(ast.parse(source)), f"{_dotted(path)} does not say what it holds"


def test_a_silent_function_is_found():
    long = "\n".join(f"    x{i} = {i}" for i in range(TRIVIAL))
    assert undocumented(f"def speak():\n{long}") == ["speak (line 1)"]
    assert undocumented(f'def speak():\n    """Say it."""\n{long}') == []
    assert undocumented(f"def _aside():\n{long}") == []
    assert undocumented("def short():\n    return 1") == []


def test_the_guide_to_the_probes_names_each_of_them():
    guide = ast.get_docstring(ast.parse((ROOT / "labkit/probes/__init__.py").read_text()))
    there = {path.stem for path in (ROOT / "labkit/probes").glob("*.py")} - {"__init__"}
    lines = [line[24:] for line in guide.splitlines() if line.startswith("  ")]
    named = {word for line in lines for word in re.findall(r"[a-z_]+", line)} - {"what", "they", "answer", "is", "a"}
    assert named == there
