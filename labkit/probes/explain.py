"""Every way of asking what mattered, behind one call: by a layer, by attention, by gradients, by masks.

    maps = explain(model, images, methods=("gradcam", "relevance", "rise", "integrated-gradients"), targets=281)
    maps["rise"].display((224, 224))

Each method, its settings and its source are in the room it comes from: `cam`, `relevance`, `rise`, `attribution`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor, nn

from labkit.probes import attribution, cam, relevance
from labkit.probes.inputs import Refused
from labkit.probes.rise import rise
from labkit.probes.saliency import Saliency
from labkit.probes.targets import Targets

OF_ATTENTION = {"relevance": relevance.relevance, "legrad": relevance.legrad}
METHODS = (*cam.METHODS, *OF_ATTENTION, "rise", *attribution.METHODS)


def explain(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    *,
    methods: Sequence[str],
    targets: Targets = None,
    layer: str | nn.Module | None = None,
    masks: int = 1000,
    seed: int = 0,
    telling: Callable[[str], None] | None = None,
) -> dict[str, Saliency]:
    """One Saliency by each of METHODS that is named, in the order of the names.

    targets   as everywhere; of "eigencam" no class is asked
    layer     for the methods that read one; None: the last block whose patches a gradient reaches
    masks     of "rise" (its paper takes 4000 to 8000), thrown with `seed`
    telling   called with the name of each method before it starts; the class activation maps share one pass

    The units of `raw` differ from method to method (docs/instruments.md): compare maps by `display`, or by how the
    model takes them (labkit.probes.faithfulness). Raises Refused for a name that is not there, and what each method
    raises.
    """
    for name in methods:
        if name not in METHODS:
            near = difflib.get_close_matches(name, METHODS, n=1, cutoff=0.6)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise Refused(f"there is no method {name!r}, there are {', '.join(METHODS)}.{hint}")
    tell = telling or (lambda name: None)
    found: dict[str, Saliency] = {}
    if of_a_layer := [name for name in methods if name in cam.METHODS]:
        tell(", ".join(of_a_layer))
        found |= cam.cams(model, images, methods=of_a_layer, targets=targets, layer=layer)
    for name in methods:
        if name in found:
            continue
        tell(name)
        if name == "rise":
            *_, state = rise(model, images, masks=masks, targets=targets, seed=seed)
            found[name] = state.saliency()
        elif name in OF_ATTENTION:
            found[name] = OF_ATTENTION[name](model, images, targets=targets)
        else:
            found[name] = attribution.attribute(model, images, method=name, targets=targets)
    return {name: replace(found[name], method=name) for name in methods}
