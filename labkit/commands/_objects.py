"""Where the object is: from pictures that mark it, or from scenes of which everything is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.commands._output import BadInput

if TYPE_CHECKING:
    import torch

    from labkit.commands._seeing import View


def marked(view: View, files: tuple[Path, ...]) -> torch.Tensor | None:
    """The objects' pixels as the model sees the pictures, boolean `b height width`; None when none were given."""
    if not files:
        return None
    if len(files) != len(view.sources):
        raise BadInput(f"{len(files)} --mask for {len(view.sources)} --image: give one for each, in the same order.")
    from labkit.data.images import open_image

    return _seen(view, [open_image(file) for file in files], [picture.size for picture in view.pictures])


def made_up(view: View, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """So many scenes as the model sees them, `b 3 height width`, and the pixels of their targets, as in `marked`."""
    import torch
    from PIL import Image

    from labkit.data.scenes import scene

    made = [scene(seed + i) for i in range(count)]
    images = torch.stack([view.opened.transform(one.image) for one in made]).to(view.device)
    masks = [Image.fromarray(one.mask.numpy()).convert("RGB") for one in made]
    return images, _seen(view, masks, [one.image.size for one in made])


def _seen(view: View, masks: list[Any], sizes: list[tuple[int, int]]) -> torch.Tensor:
    """Masks through the crop and resizing that the pictures went through, to the nearest pixel."""
    import numpy as np
    import torch
    from PIL import Image

    transform, found = view.opened.transform, []
    for mask, size in zip(masks, sizes, strict=True):
        if mask.size != size:
            drawn, taken = (f"{width} x {height}" for width, height in (mask.size, size))
            raise BadInput(f"--mask: it has {drawn} pixels, the picture {taken}; make them alike.")
        top, left, bottom, right = transform.box(*size)
        side = (transform.size, transform.size)
        cut = mask.convert("L").resize(side, Image.Resampling.NEAREST, box=(left, top, right, bottom))
        found.append(torch.from_numpy(np.array(cut) > 127))
    return torch.stack(found).to(view.device)
