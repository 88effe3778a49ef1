"""How any model is opened: ours by named identities, foreign ones by watching what they call. Nothing stays behind.

    with reading(model, "b heads q k") as found:
        model(images)
    found["blocks.3.attn"]         # attention after the softmax

A probe asks for axes, never for module names: `layouts(model, size)` says where on the picture attention lies, `sites`
and `blocks` where maps and tokens do. `holding`, `replacing`, `skipping`, `calls` and `Tail` act on one pass.
"""

from labkit.taps.errors import Unreadable, refuse_wrapped
from labkit.taps.layout import PADDING, Layout, layouts
from labkit.taps.passes import Call, calls, holding, replacing, skipping
from labkit.taps.reading import evaluating, reading
from labkit.taps.sites import Form, Site, blocks, site_of, sites
from labkit.taps.tail import Tail
from labkit.taps.tap import AXES, Tap
from labkit.taps.values import first, noise_for, with_first

__all__ = [
    "AXES",
    "PADDING",
    "Call",
    "Form",
    "Layout",
    "Site",
    "Tail",
    "Tap",
    "Unreadable",
    "blocks",
    "calls",
    "evaluating",
    "first",
    "holding",
    "layouts",
    "noise_for",
    "reading",
    "refuse_wrapped",
    "replacing",
    "site_of",
    "sites",
    "skipping",
    "with_first",
]
