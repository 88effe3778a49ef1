"""`labkit probe`: the instruments, in the terminal."""

from __future__ import annotations

import importlib
import pkgutil

import click

from labkit.cli import Nearest
from labkit.commands import probes


class Instruments(Nearest):
    """The modules of `labkit.commands.probes`, each imported when it is called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        found = (module.name for module in pkgutil.iter_modules(probes.__path__))
        return sorted(name.replace("_", "-") for name in found if not name.startswith("_"))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        module = name.replace("-", "_")
        return getattr(importlib.import_module(f"{probes.__name__}.{module}"), module)


@click.command(cls=Instruments)
def probe() -> None:
    """Look into a model with one of the instruments."""
