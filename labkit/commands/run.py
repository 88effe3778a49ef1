"""`labkit run`: the experiment of a paper, its knobs as options."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import click

from labkit.commands._output import BadInput, as_json, console, note, write_all
from labkit.paper import exhibit


class Experiments(click.Group):
    """A group with one command a paper, made when it is called for, from the experiment's signature."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from labkit.paper import catalogue

        return [one.id for one in catalogue() if one.has_experiment]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return command(exhibit(name).id)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The papers by their titles: their experiments are not imported for it."""
        with formatter.section("Papers"):
            formatter.write_dl([(name, exhibit(name).paper.title) for name in self.list_commands(ctx)])


@click.group(cls=Experiments, subcommand_metavar="ID [--KNOB VALUE]...")
def run() -> None:
    """Run the experiment of a paper, and say whether the paper's claim held in this run.

    `labkit run ID --help` shows the knobs; `labkit papers` the papers.
    """


def command(name: str) -> click.Command:
    """The command of one experiment. Raises BadInput for a paper that has none yet."""
    if not exhibit(name).has_experiment:
        raise BadInput(f"{name} hangs here without an experiment; `labkit papers` shows the others.")
    from labkit.experiments import experiment_of, knobs_of

    experiment = experiment_of(name)
    knobs = {knob.name.replace("_", "-"): knob for knob in knobs_of(experiment)}

    def answer(*, machine: bool, out: Path | None, **values: Any) -> None:
        _answer(name, values, machine=machine, out=out)

    # Values go through as they were typed: the experiment's own check names the range, or the nearest choice.
    options = [
        click.Option(
            [f"--{flag}/--no-{flag}" if knob.kind is bool else f"--{flag}", knob.name],
            default=knob.default,
            show_default=True,
            type=bool if knob.kind is bool else str,
            metavar=None if knob.kind is bool else knob.range,
            help=f"{knob.says[:1].upper()}{knob.says[1:]}.",
        )
        for flag, knob in knobs.items()
    ]
    options += [
        click.Option(["--json", "machine"], is_flag=True, help="The answer on stdout as one object, and nothing else."),
        click.Option(
            ["--out"], type=click.Path(path_type=Path), metavar="DIR", help="Write numbers and figures there."
        ),
    ]
    return Knobs(name, params=options, callback=answer, help=experiment.__doc__)


class Knobs(click.Command):
    """A command that answers an unknown option with the nearest knob."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            there = [max(option.opts, key=len) for option in self.params]
            near = difflib.get_close_matches(error.option_name, there, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(there)}."
            raise BadInput(f"{self.name} has no knob {error.option_name}; {hint}") from error


def _answer(name: str, values: dict[str, Any], *, machine: bool, out: Path | None) -> None:
    from labkit.commands._seeing import drawn
    from labkit.experiments import check, experiment_of, run

    experiment = experiment_of(name)
    values = check(experiment, values)  # before a folder is made for the answer
    if out:
        write_all(out, {})  # to find out now, not after the work, whether the folder can be there
    with console(stderr=True).status(f"Running the experiment of {name} …"):
        found = run(experiment, values)
        told = found.as_dict(name)
        if out:
            files = {f"{name}.json": (as_json(told) + "\n").encode()} | drawn(found.figures)
            write_all(out, files)
    if out:
        note(f"Wrote {len(files)} files to {out}: {', '.join(sorted(files))}.")
    if machine:
        click.echo(as_json(told))
    elif not out:
        _table(told)


def _table(told: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    knobs = ", ".join(f"{name} {json.dumps(value).strip(chr(34))}" for name, value in told["knobs"].items())
    table = Table(title=f"{told['id']}: {knobs}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("measured")
    table.add_column("value", justify="right")
    table.add_column("unit", style="dim")
    for name, number in told["numbers"].items():
        value = number["value"]
        shown = "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
        table.add_row(name, shown, number["unit"])
    out = console()
    out.print(table)
    out.print(f"[bold]The claim[/]: {told['claim']}", soft_wrap=True)
    out.print(f"[bold]{VERDICTS[told['verdict']]}[/] {told['because']}", soft_wrap=True)


VERDICTS = {"held": "It held.", "partly": "It held in part.", "not": "It did not hold."}
