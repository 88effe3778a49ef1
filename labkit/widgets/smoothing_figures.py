"""What was read of over-smoothing as printed figures: from its tensors to the arrays that `labkit.viz` draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labkit.session import Sitting
from labkit.viz import similarity as draw


def by_depth(sitting: Sitting, found: Any) -> Figure:
    """Cosines, rank and high frequencies of a `Smoothing`, layer by layer."""
    measures = [layer.measures for layer in found.shown.layers]
    prefixed = all(one.prefix.shape[1] for one in measures)
    return draw.by_depth(
        _cosines([one.raw for one in measures]),
        _cosines([one.centred for one in measures]),
        _curve([one.effective_rank for one in measures]),
        [layer.most for layer in found.shown.layers],
        _curve([one.high_frequency for one in measures]),
        grids=[one.grid for one in measures],
        cls=_curve([one.prefix[:, 0] for one in measures]) if prefixed else None,
        title=title(sitting, found),
    )


def matrices(sitting: Sitting, found: Any, *, centred: bool = False) -> Figure:
    """The cosines of the tokens shown, one matrix a layer; `centred`: with the mean of all tokens taken away."""
    layers = found.shown.layers
    cosines = [(layer.centred if centred else layer.raw)[0].cpu().numpy() for layer in layers]
    words = title(sitting, found) + (", the mean token taken away" if centred else "")
    return draw.matrices(cosines, names=[layer.measures.name for layer in layers], title=words)


def title(sitting: Sitting, found: Any) -> str:
    """ "lab/vit", "lab/vit without blocks 1, 3"."""
    if not found.skipped:
        return sitting.name
    return f"{sitting.name} without block{'s' * (len(found.skipped) > 1)} {', '.join(map(str, found.skipped))}"


def _cosines(parts: list[Any]) -> draw.Cosines:
    return draw.Cosines(_curve([part.mean for part in parts]), np.stack([part.quantiles[0].cpu() for part in parts]))


def _curve(values: list[Any]) -> NDArray[np.floating]:
    return np.array([float(value[0]) for value in values])
