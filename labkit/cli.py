"""The command line. Data goes to stdout, messages to stderr; exit codes: 0 answered, 1 a check failed, 2 bad input."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

import click

# A name stands here with its module, so that a command imports its own module and no other.
COMMANDS = {
    "up": "serve",
    "lab": "serve",
    "app": "serve",
    "doctor": "doctor",
    "models": "models",
    "papers": "papers",
    "run": "run",
    "data": "data",
    "probe": "probe",
    "sweep": "sweep",
    "train": "train",
    "bench": "bench",
}


class Nearest(click.Group):
    """A group that answers an unknown command with the nearest one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=2, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(self.list_commands(ctx))}."
            raise click.UsageError(f"{ctx.command_path} has no command '{args[0]}'; {hint}", ctx)
        return super().resolve_command(ctx, args)


class Lazy(Nearest):
    """A group whose commands are imported when they are called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return getattr(importlib.import_module(f"labkit.commands.{COMMANDS[name]}"), name)


@click.command(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="labkit", message="%(prog)s %(version)s")
def labkit() -> None:
    """Put a photo through any vision model, and see how it mixes what it sees."""


def main(args: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit code; what the visitor did wrong is one sentence, never a traceback."""
    sys.exit(run(args))


def run(args: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    try:
        code = labkit.main(args, prog_name="labkit", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.Abort:
        print("labkit: stopped.", file=sys.stderr)
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.ctx.get_help(), file=sys.stderr)
        return 2
    except click.ClickException as error:
        return _say(error.format_message(), error.exit_code)
    except (BrokenPipeError, SystemExit):  # click leaves by SystemExit for a broken pipe, and for nothing else here
        # The reader has seen enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
        return 0
    except (ValueError, FileNotFoundError) as error:
        # Errors that labkit defines are sentences for people; anything else is a bug and keeps its traceback.
        if not type(error).__module__.startswith("labkit."):
            raise
        return _say(str(error), 2)


def _say(text: str, code: int) -> int:
    print(f"labkit: {' '.join(text.split())}", file=sys.stderr)
    return code
