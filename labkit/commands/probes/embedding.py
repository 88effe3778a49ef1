"""`labkit probe embedding`: which tokens, or which pictures, a model holds for neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import click

from labkit.commands._output import BadInput
from labkit.commands._seeing import Answer, Rows, View, instrument
from labkit.commands._tables import short

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from torch import Tensor

    from labkit.probes.embedding import Projection
    from labkit.probes.layers import Layer

SHOWN = 5
"""How many neighbours the figure shows."""

LINES = 20
"""How many lines the table shows."""


@instrument
@click.option(
    "--of",
    "what",
    type=click.Choice(["tokens", "pictures"]),
    help="What the points are.  [default: pictures from 3 --image on, else tokens]",
)
@click.option("--layer", help="A block, by its number from 0 or its name.  [default: the last]")
@click.option("--umap", "with_umap", is_flag=True, help="UMAP too: about 15 seconds more the first time.")
@click.option("--seed", default=0, show_default=True, help="UMAP's dice.")
@click.option(
    "--foreground", "only", is_flag=True, help="Colour only the side of the first component that keeps off the border."
)
def embedding(view: View, *, what: str | None, layer: str | None, with_umap: bool, seed: int, only: bool) -> Answer:
    """Where tokens or pictures lie among each other: principal components, UMAP, nearest neighbours, token colours."""
    from labkit.probes.embedding import nearest, pca, pooled
    from labkit.probes.layers import layers

    found = layers(view.model, view.images)
    chosen = found[_which(layer, found, view.name)]
    what = what or ("pictures" if len(view.sources) >= 3 else "tokens")
    b, n = chosen.tokens.shape[:2]
    vectors = pooled(chosen.tokens) if what == "pictures" else chosen.tokens.flatten(0, 1)
    projection = pca(vectors)
    points = None
    if with_umap:
        from labkit.probes.umap import embed

        view.say("UMAP is being compiled and fitted …")
        points = embed(vectors, seed=seed).umap.result()
    near = nearest(vectors, 1)
    width = chosen.grid[1]
    places = [(i, None) for i in range(b)] if what == "pictures" else [(i, j) for i in range(b) for j in range(n)]
    rows = [
        {
            "picture": view.titles[picture],
            "row": None if cell is None else cell // width,
            "column": None if cell is None else cell % width,
            "x": x,
            "y": y,
            "umap_x": None if points is None else float(points[i, 0]),
            "umap_y": None if points is None else float(points[i, 1]),
            "nearest": index,
            "cosine": cosine,
        }
        for i, ((picture, cell), (x, y), index, cosine) in enumerate(
            zip(places, projection.points.tolist(), near.index[:, 0].tolist(), near.cosine[:, 0].tolist(), strict=True)
        )
    ]
    share = projection.share.tolist()
    words = (
        f"{len(rows)} {what} of {chosen.name}; two components hold {sum(share):.0%} of their variance. "
        "nearest: a line of this list, from 0."
    )
    return Answer(
        rows,
        partial(_figures, view, found, chosen, what, vectors, projection, points, only),
        words=words,
        table=partial(_table, rows),
    )


def _which(asked: str | None, found: Sequence[Layer], name: str) -> int:
    names = [one.name for one in found]
    if asked is None:
        return len(found) - 1
    if asked in names:
        return names.index(asked)
    if asked.isdigit() and int(asked) < len(found):
        return int(asked)
    raise BadInput(f"--layer {asked}: {name} has layers 0 to {len(found) - 1}, from {names[0]} to {names[-1]}.")


def _figures(
    view: View,
    found: Sequence[Layer],
    chosen: Layer,
    what: str,
    vectors: Tensor,
    projection: Projection,
    points: Tensor | None,
    only: bool,
) -> Mapping[str, Figure]:
    from labkit.probes.embedding import colours, facing, foreground, nearest
    from labkit.viz import embedding as draw

    photos = [_sharp(view, picture) for picture in range(len(view.sources))]
    painted: list[Tensor] = []
    for layer in found:
        keep = foreground(layer.tokens, layer.grid) if only else None
        rgb = colours(layer.tokens, keep=keep if keep is not None and int(keep.sum()) >= 3 else None)
        rgb = rgb.unflatten(1, layer.grid)
        painted.append(facing(rgb, painted[-1]) if painted else rgb)
    title = f"{what} of {chosen.name}, {view.title}"
    thumbs = photos if what == "pictures" else [cut for photo in photos for cut in cells(photo, chosen.grid)]
    figures = {
        "tokens": draw.token_pictures(
            photos, [one.cpu().numpy() for one in painted], names=[layer.name for layer in found], title=view.title
        ),
        "pca": draw.scatter(projection.points.cpu().numpy(), thumbs, share=projection.share.cpu().numpy(), title=title),
    }
    if points is not None:
        figures["umap"] = draw.scatter(points.numpy(), thumbs, kind="UMAP", title=title)
    queries = _spread(len(vectors), 6)
    near = nearest(vectors, min(SHOWN, len(vectors) - 1))
    figures["neighbours"] = draw.neighbours(
        thumbs, near.index[queries].cpu().numpy(), near.cosine[queries].cpu().numpy(), queries=queries, title=title
    )
    return figures


def _sharp(view: View, picture: int) -> np.ndarray:
    """What the model sees of the picture, in more pixels than the model gets."""
    from dataclasses import replace

    import numpy as np

    transform, opened = view.opened.transform, view.pictures[picture]
    return np.asarray(replace(transform, size=max(transform.size, min(384, *opened.size))).view(opened))


def cells(photo: np.ndarray, grid: tuple[int, int]) -> list[np.ndarray]:
    """What each cell of the grid sees of the photo `h w 3`, row by row."""
    rows, columns = (
        [round(i * side / count) for i in range(count + 1)] for side, count in zip(photo.shape[:2], grid, strict=True)
    )
    return [
        photo[top : max(bottom, top + 1), left : max(right, left + 1)]
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]


def _spread(count: int, most: int) -> list[int]:
    """Up to `most` numbers below `count`, spread evenly, none at the very edge."""
    shown = min(most, count)
    return [int((i + 0.5) * count / shown) for i in range(shown)]


def _table(rows: Rows, title: str) -> None:
    """The first lines: hundreds of tokens are for `--json` and `--out`."""
    columns = ("picture", "row", "column", "x", "y", "umap_x", "umap_y", "nearest", "cosine")
    short(rows[:LINES], {name: name.replace("_", " ") for name in columns})(title)
    if len(rows) > LINES:
        click.echo(f"… and {len(rows) - LINES} more; --json and --out have them all.")
