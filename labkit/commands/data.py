"""`labkit data`: which pictures are there, and the one archive that is fetched on request."""

from __future__ import annotations

import click

from labkit.commands._output import as_json, console, note


@click.command()
@click.option("--download", is_flag=True, help="Fetch Tiny-ImageNet (237 MB) into your cache, and check it.")
@click.option("--json", "machine", is_flag=True, help="One object on stdout: photos, tiny_imagenet.")
def data(*, download: bool, machine: bool) -> None:
    """Show what pictures are there; fetch Tiny-ImageNet."""
    from labkit.data.images import photo_names
    from labkit.data.tiny_imagenet import find_archive

    if download:
        _download()
    try:
        archive = str(find_archive())
        advice = ""
    except FileNotFoundError as error:
        archive, advice = None, str(error)
    if machine:
        click.echo(as_json({"photos": photo_names(), "tiny_imagenet": archive}))
        return
    out = console()
    out.print(f"[bold]photos[/]         {', '.join(photo_names())}", soft_wrap=True)
    out.print(f"[bold]Tiny-ImageNet[/]  {archive or 'not found'}", soft_wrap=True)
    if advice:
        note(f"{advice[0].upper()}{advice[1:]}")


def _download() -> None:
    import urllib.error

    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from labkit.data.tiny_imagenet import URL, download_tiny_imagenet

    columns = (TextColumn("Tiny-ImageNet"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console(stderr=True)) as bar:
            task = bar.add_task("", total=None)
            path = download_tiny_imagenet(
                progress=lambda done, total: bar.update(task, completed=done, total=total or None)
            )
    except (urllib.error.URLError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        raise click.ClickException(
            f"{URL} could not be fetched ({reason}); try again, or fetch it by other means and set LABKIT_DATA to it."
        ) from error
    except ValueError as error:
        raise click.ClickException(f"{error} Nothing was kept; try again.") from error
    except OSError as error:
        raise click.ClickException(f"the archive could not be stored: {error.strerror or error}.") from error
    note(f"Fetched and checked: {path}")
