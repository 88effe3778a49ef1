"""How any model is opened: ours by named identities, foreign ones by watching what they call. Nothing stays behind.

    with reading(model, "b heads q k") as found:
        model(images)
    found["blocks.3.attn"]         # attention after the softmax

A probe asks for axes, never for module names; `layouts(model, size)` says where on the picture the tokens lie.
"""

from labkit.taps.errors import Unreadable
from labkit.taps.layout import PADDING, Layout, layouts
from labkit.taps.reading import evaluating, reading
from labkit.taps.tap import AXES, Tap

__all__ = ["AXES", "PADDING", "Layout", "Tap", "Unreadable", "evaluating", "layouts", "reading"]
