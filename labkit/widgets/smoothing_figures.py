"""What was read of over-smoothing as printed figures: from its tensors to the arrays that `labkit.viz` draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labkit.session.smoothings import Smoothed
from labkit.viz import similarity as draw


def by_depth(seen: Smoothed) -> Figure:
    """Cosines, rank and high frequencies layer by layer."""
    measures = [layer.measures for layer in seen.found.shown.layers]
    prefixed = all(one.prefix.shape[1] for one in measures)
    return draw.by_depth(
        _cosines([one.raw for one in measures]),
        _cosines([one.centred for one in measures]),
        _curve([one.effective_rank for one in measures]),
        [layer.most for layer in seen.found.shown.layers],
        _curve([one.high_frequency for one in measures]),
        grids=[one.grid for one in measures],
        cls=_curve([one.prefix[:, 0] for one in measures]) if prefixed else None,
        title=seen.title,
    )


def matrices(seen: Smoothed, *, centred: bool = False) -> Figure:
    """The cosines of the tokens shown, one matrix a layer; `centred`: with the mean of all tokens taken away."""
    layers = seen.found.shown.layers
    cosines = [(layer.centred if centred else layer.raw)[0].cpu().numpy() for layer in layers]
    words = seen.title + (", the mean token taken away" if centred else "")
    return draw.matrices(cosines, names=[layer.measures.name for layer in layers], title=words)


def _cosines(parts: list[Any]) -> draw.Cosines:
    return draw.Cosines(_curve([part.mean for part in parts]), np.stack([part.quantiles[0].cpu() for part in parts]))


def _curve(values: list[Any]) -> NDArray[np.floating]:
    return np.array([float(value[0]) for value in values])
