"""Three layers of three heads, one of them without an NMI, on grids of two sizes."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

GRIDS = [(3, 5), (3, 5), (2, 2)]
BANDS = (0.06, 0.12)
NMI = [np.array([0.3, 0.09, 0.01]), np.array([0.13, 0.06, 0.12]), np.array([0.059, np.nan, 0.121])]
DISTANCE = [np.array([0.5, 1.5, 2.5])] * 3
ENTROPY = [np.array([0.7, 1.7, 2.7])] * 3


def labels_of(figure: Figure) -> set[str]:
    """The words on the axes and in the legends."""
    found = {text for axes in figure.get_axes() for text in (axes.get_xlabel(), axes.get_ylabel())}
    return found | {text.get_text() for legend in figure.legends for text in legend.get_texts()}
