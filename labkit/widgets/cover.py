"""Cover a part of a photo and see what the model says then, `cover.js`, in JupyterLab."""

from __future__ import annotations

from typing import Any

import numpy as np

from labkit.session import Covered
from labkit.widgets.packing import data_url
from labkit.widgets.view import View, numbers

KEPT = 40
"""Classes whose answers travel: those that are likeliest anywhere."""


class CoverView(View, view="cover"):
    """The photo with a cover under the pointer, and the answers beside it; no word goes to Python for it.

    `state` holds `query` (the cell under the cover, row by row), `pinned` and `size` (which cover).
    """

    @classmethod
    def of(cls, covered: Covered, **state: Any) -> CoverView:
        """A view of one photo."""
        view = cls()
        view.show(*cover_data(covered), **state)
        return view


def cover_data(covered: Covered) -> tuple[dict[str, Any], list[bytes]]:
    """What the view is shown: the head and one body a cover, with the classes that are likeliest somewhere."""
    everywhere = np.concatenate([covered.whole[None], *covered.answers]).max(axis=0)
    kept = np.argsort(-everywhere)[:KEPT]
    sitting = covered.sitting
    mean = sitting.opened.transform.mean
    head = {
        "model": sitting.name,
        "picture": data_url(sitting.picture),
        "grid": list(covered.grid),
        "side": list(sitting.images.shape[-2:]),
        "windows": [list(window) for window in covered.windows],
        "colour": f"rgb({', '.join(str(round(255 * channel)) for channel in mean)})",
        "names": [sitting.opened.categories[c] for c in kept],
        "whole": [round(float(chance), 5) for chance in covered.whole[kept]],
    }
    return head, [numbers(answers[:, kept]) for answers in covered.answers]
