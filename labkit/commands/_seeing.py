"""What all instruments share in the terminal: which model, which pictures, and where the answer goes."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labkit.commands._output import BadInput, as_json, console, note, write_all
from labkit.commands._tables import Rows, show

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure
    from PIL.Image import Image
    from rich.status import Status
    from torch import nn

    from labkit.pretrained import Pretrained


@dataclass(frozen=True)
class View:
    """What an instrument looks at: one model and one or more pictures, as the options named them.

    name, weights, device   the model's name; weights as `labkit.pretrained.load` takes them; the device's name
    sources                 the pictures, as given
    status                  the line that `say` writes; None where nobody reads it
    """

    name: str
    weights: str | None
    device: str
    sources: tuple[str, ...]
    status: Status | None = field(default=None, repr=False)

    @cached_property
    def opened(self) -> Pretrained:
        """The model with its transform and categories."""
        from labkit.pretrained import load

        return load(self.name, weights=self.weights, device=self.device)

    @property
    def model(self) -> nn.Module:
        return self.opened.model

    @cached_property
    def pictures(self) -> tuple[Image, ...]:
        """The pictures as they were opened (RGB)."""
        from labkit.data.images import open_image

        return tuple(map(open_image, self.sources))

    @cached_property
    def seen(self) -> tuple[Image, ...]:
        """The square of each picture that the model sees, in its pixels."""
        return tuple(map(self.opened.transform.view, self.pictures))

    @cached_property
    def sharp(self) -> tuple[Image, ...]:
        """The same squares as sharp as the pictures are, up to 512 pixels a side: what figures lay their maps over."""
        from dataclasses import replace

        transform = self.opened.transform
        sizes = (max(transform.size, min(512, *picture.size)) for picture in self.pictures)
        return tuple(replace(transform, size=size).view(one) for size, one in zip(sizes, self.pictures, strict=True))

    @cached_property
    def images(self) -> torch.Tensor:
        """`b 3 height width`, on the model's device."""
        import torch

        return torch.stack([self.opened.transform(picture) for picture in self.pictures]).to(self.device)

    @property
    def titles(self) -> tuple[str, ...]:
        """A name for each picture."""
        return tuple(Path(source).name for source in self.sources)

    @property
    def title(self) -> str:
        """One line for figures and tables: pictures and model."""
        several = self.titles[0] if len(self.titles) == 1 else f"{len(self.titles)} pictures"
        return f"{several} through {self.name}" + (" (random weights)" if self.weights is None else "")

    def one(self) -> None:
        """Raise BadInput when more than one picture was given."""
        if len(self.sources) > 1:
            raise BadInput(f"{len(self.sources)} pictures: this instrument looks at one at a time; give one --image.")

    def category(self, label: int) -> str:
        """The name of a class, or "class 7"."""
        names = self.opened.categories
        return names[label] if label < len(names) else f"class {label}"

    def target(self, asked: str | None) -> int | None:
        """The class that `--target` names, by number or by its category; None for none. Raises BadInput."""
        if asked is None or asked.isdigit():
            return None if asked is None else int(asked)
        names = [name.lower() for name in self.opened.categories]
        if asked.lower() in names:
            return names.index(asked.lower())
        import difflib

        near = difflib.get_close_matches(asked.lower(), names, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "give its number instead."
        raise BadInput(f"--target {asked}: {self.name} has no such class; {hint}")

    def say(self, text: str) -> None:
        """Tell the person at the terminal what is being done now."""
        if self.status:
            self.status.update(text)


@dataclass(frozen=True)
class Answer:
    """What an instrument found.

    rows      what `--json` prints and the table shows; each has the same keys; None is "not defined"
    figures   draws the figures, by name; called for `--out` alone
    units     the unit of each column, for the table's head
    words     a sentence or two below the table
    columns   which of them the table shows, in their order; all when empty. `--json` and `--out` have the rest
    table     prints the table instead of the plain one, given the title
    """

    rows: Rows
    figures: Callable[[], Mapping[str, Figure]]
    units: Mapping[str, str] = field(default_factory=dict)
    words: str = ""
    columns: Sequence[str] = ()
    table: Callable[[str], None] | None = None


_SHARED = (
    click.option("--model", "name", default="lab/vit", show_default=True, help="As in `labkit models`; or timm/<any>."),
    click.option(
        "--image",
        "sources",
        default=["chelsea"],
        multiple=True,
        help="A photo's name or a picture file; may be given several times.  [default: chelsea]",
    ),
    click.option(
        "--weights", default="default", show_default=True, help="default, none (random), or a safetensors file."
    ),
    click.option("--device", help="cpu, cuda, …  [default: CUDA where there is one]"),
    click.option("--json", "machine", is_flag=True, help="The rows on stdout, and nothing else."),
    click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Write numbers and figures there."),
)


class Instrument(click.Command):
    """A command that looks: `function(view, **options) -> Answer` is the same without a terminal."""

    function: Callable[..., Answer]

    def own(self, words: Sequence[str]) -> dict[str, Any]:
        """The instrument's own options, as these words of a command line and its defaults have them.

        Raises click.UsageError for what is no such option, or not in its range.
        """
        given = self.make_context(self.name, list(words)).params
        mine = signature(self.function).parameters
        return {name: value for name, value in given.items() if name in mine}


def instrument(function: Callable[..., Answer]) -> Instrument:
    """Make `function(view, *, options…) -> Answer` a command with the options that all instruments share.

    Its own options stand below this decorator, as `@click.option`s; its docstring is the help. The command is called
    as the function is, with dashes.
    """
    name = function.__name__.replace("_", "-")

    def command(
        *,
        name: str,
        sources: Sequence[str],
        weights: str,
        device: str | None,
        machine: bool,
        out: Path | None,
        **own: Any,
    ) -> None:
        from labkit.commands._device import checked

        if out:
            write_all(out, {})  # to find out now, not after the work, whether the folder can be there
        with console(stderr=True).status(f"Looking through {name} …") as status:
            chosen = None if weights.lower() == "none" else weights
            view = View(name, chosen, checked(device), tuple(sources), status)
            answer = function(view, **own)
            if out:
                status.update("Drawing …")
                files = numbers(function.__name__, answer.rows) | drawn(answer.figures())
                write_all(out, files)
        if out:
            note(f"Wrote {len(files)} files to {out}: {', '.join(sorted(files))}.")
        if machine:
            click.echo(as_json(answer.rows))
        elif not out:
            (answer.table or partial(show, answer.rows, answer.columns, answer.units))(view.title)
            if answer.words:
                console().print(answer.words, soft_wrap=True)

    command.__click_params__ = list(getattr(function, "__click_params__", []))
    for option in reversed(_SHARED):
        command = option(command)
    made = click.command(name, cls=Instrument, help=function.__doc__)(command)
    made.function = function
    return made


def spread_over(names: Sequence[str], most: int) -> list[str]:
    """At most so many of the names, evenly over the depth, the first and the last among them."""
    few = min(len(names), most)
    return [names[round(i * (len(names) - 1) / max(few - 1, 1))] for i in range(few)]


def number(values: torch.Tensor | None) -> float | None:
    """The mean of the values (over the pictures) for a row; None where it is not defined."""
    mean = None if values is None else float(values.mean())
    return None if mean is None or mean != mean else mean


def numbers(name: str, rows: Rows) -> dict[str, bytes]:
    """`<name>.json` and `<name>.csv`; what is not defined is null, or empty."""
    from labkit.session import as_csv

    return {f"{name}.json": (as_json(rows) + "\n").encode(), f"{name}.csv": as_csv(rows).encode()}


def drawn(figures: Mapping[str, Figure]) -> dict[str, bytes]:
    """Each figure as PNG and as SVG, by file name."""
    files = {}
    for name, figure in figures.items():
        for kind in ("png", "svg"):
            file = io.BytesIO()
            figure.savefig(file, format=kind)
            files[f"{name}.{kind}"] = file.getvalue()
    return files
