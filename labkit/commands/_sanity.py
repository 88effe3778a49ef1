"""`labkit probe faithfulness --randomise`: does a map depend on what the model has learnt?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from labkit.commands._seeing import Answer, View

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from labkit.probes.sanity import Randomised


def sanity(
    view: View, images: torch.Tensor, methods: Sequence[str], label: int | None, seed: int, masks: int
) -> Answer:
    """Adebayo's check, cascading: a row a method and layer, from the output down.

    Without a class, each picture keeps the one that the untouched model says.
    """
    import torch

    from labkit.probes.explain import explain
    from labkit.probes.sanity import randomised
    from labkit.taps import evaluating

    with torch.no_grad(), evaluating(view.model):
        said = view.model(images).argmax(dim=1)
    asked = said if label is None else label
    found: dict[str, Randomised] = {}
    for name in methods:
        view.say(f"Filling the model with noise, looking by {name} …")

        def maps(model: torch.nn.Module, name: str = name) -> torch.Tensor:
            return explain(model, images, methods=(name,), targets=asked, masks=masks, seed=seed)[name].raw

        found[name] = randomised(view.model, maps, size=(images.shape[-2], images.shape[-1]), seed=seed)
    rows = [
        {
            "method": name,
            "randomised": layer,
            "likeness": float(likeness.mean()),
            "likeness_of_sizes": float(size.mean()),
        }
        for name, one in found.items()
        for layer, likeness, size in zip(one.layers, one.likeness, one.sizes, strict=True)
    ]
    words = (
        "Rank correlation with the map of the untouched model (1: the same), after the layer and all above it were "
        "filled with noise. A map of what was learnt falls to about 0."
    )
    units = {"randomised": "down to", "likeness": "-1..1", "likeness_of_sizes": "-1..1"}
    return Answer(rows, partial(_figures, found, view.title), units, words)


def _figures(found: dict[str, Randomised], title: str) -> dict[str, Figure]:
    from labkit.viz.faithfulness import likenesses

    lines = {name: one.likeness.mean(dim=1).cpu().numpy() for name, one in found.items()}
    layers = next(iter(found.values())).layers
    return {"randomised": likenesses(lines, layers, title=f"{title}\nis the map still the same?")}
