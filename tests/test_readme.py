"""What the README and docs say is there."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from labkit.commands.probe import probe

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)", page.read_text())
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing


def test_the_readme_lists_each_instrument_once():
    rows = re.findall(r"^\| `([a-z-]+)` \| [a-z].*\? \|", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert sorted(rows) == probe.list_commands(click.Context(probe))


def test_every_room_that_the_instruments_page_names_is_there():
    named = set(re.findall(r"labkit\.probes\.([a-z_]+)", (ROOT / "docs/instruments.md").read_text()))
    there = {path.stem for path in (ROOT / "labkit/probes").glob("*.py")}
    assert named <= there
    assert {"attention", "cam", "rise", "faithfulness", "similarity", "frequency", "receptive_field"} <= named
    assert {"mixing", "embedding", "cost"} <= named
