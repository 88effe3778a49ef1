"""The rooms of the lab, in the order in which the hub shows them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

TITLES = {
    "attention": "Attention",
    "explain": "Explain",
    "smoothing": "Over-smoothing",
    "frequency": "Frequency",
    "field": "Receptive field",
    "mixing": "Mixing",
    "compare": "Compare",
    "papers": "Papers",
}
"""Each room is a package `apps/<name>/` that offers TITLE, SUBTITLE, CSS, `build()` and `poster()`."""


def rooms() -> dict[str, ModuleType]:
    """All rooms, opened."""
    return {name: import_module(f"apps.{name}") for name in TITLES}
