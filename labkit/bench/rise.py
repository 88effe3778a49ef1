"""RISE and Occlusion over the same number of plain forward passes in large batches."""

from __future__ import annotations

import importlib.util

import torch

from labkit.bench import Case

MASKS, BATCH = 64, 32
"""Few, so that a case takes seconds: what is set up once weighs more here than with the paper's 8000."""


def cases(device: str) -> list[Case]:
    """torchvision's resnet18 at random, one image of 224 pixels; RISE with 64 masks, Occlusion with 49 windows.

    Floor: as many plain forward passes, 32 at a time in `inference_mode`, of pictures that are there already.
    Peer: captum's Occlusion, 32 windows a pass.
    """
    from torchvision.models import resnet18

    from labkit.probes.occlusion import occlusion
    from labkit.probes.rise import rise

    torch.manual_seed(0)
    model = resnet18().eval().to(device)
    image = torch.randn(1, 3, 224, 224, device=device)
    pictures = torch.randn(BATCH, 3, 224, 224, device=device)

    def forwards(count: int) -> None:
        with torch.inference_mode():
            for start in range(0, count, BATCH):
                model(pictures[: min(BATCH, count - start)])

    def masked() -> object:
        *_, last = rise(model, image, masks=MASKS, targets=3, batch=BATCH)
        return last.map(), last.error()

    # All classes of a model need a table of 1 GB. Making it costs what it costs once; here the stream goes on.
    *_, going = rise(model, image, masks=1, targets="all")

    def all_classes() -> object:
        *_, last = rise(model, image, masks=going.n + MASKS, batch=BATCH, state=going)
        return last.map(), last.error()

    def windows() -> object:
        return occlusion(model, image, window=(32, 32), stride=(32, 32), targets=3, batch=BATCH)

    def captums() -> object:
        from captum.attr import Occlusion

        with torch.no_grad():
            return Occlusion(model).attribute(
                image, (3, 32, 32), (3, 32, 32), baselines=0, target=3, perturbations_per_eval=BATCH
            )

    peer = captums if importlib.util.find_spec("captum") else None
    # Both ask about the whole picture too, once: it is part of the work.
    return [
        Case("RISE, one class", 1.05, lambda: forwards(MASKS + 1), masked),
        Case("RISE, all 1000 classes, going on", 1.05, lambda: forwards(MASKS + 1), all_classes),
        Case("Occlusion", 1.05, lambda: forwards(50), windows, "captum, 32 windows a pass", peer),
    ]
