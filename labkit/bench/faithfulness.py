"""Deletion, insertion and ROAD over the same number of plain forward passes."""

from __future__ import annotations

import importlib.util

import torch

from labkit.bench import Case

IMAGES, STEPS, BATCH = 8, 4, 32
"""Few steps, so that a case takes seconds: what is set up once weighs more here than with the paper's 224."""


def cases(device: str) -> list[Case]:
    """torchvision's resnet18 with random weights, pictures of 224 pixels; maps of 7 x 7 cells, as a CAM gives them.

    Floor: as many plain forward passes as the score is asked for, 32 at a time in `inference_mode`: for 8 images both
    curves of 4 steps and the three ends; for ROAD 2 images at 20, 40, 60 and 80 %, both ways, and as they are.
    Peer: pytorch-grad-cam's ROADCombined, one image at a time.
    """
    from torchvision.models import resnet18

    from labkit.probes.faithfulness import curves
    from labkit.probes.road import road

    torch.manual_seed(0)
    model = resnet18().eval().to(device)
    images = torch.randn(IMAGES, 3, 224, 224, device=device)
    heat = torch.rand(IMAGES, 7, 7, device=device)
    pictures = torch.randn(BATCH, 3, 224, 224, device=device)
    shares = (0.2, 0.4, 0.6, 0.8)

    def forwards(count: int) -> None:
        with torch.inference_mode():
            for start in range(0, count, BATCH):
                model(pictures[: min(BATCH, count - start)])

    def both_curves() -> object:
        found = curves(model, images, {"map": heat}, targets=3, pixels=224 * 224 // STEPS, batch=BATCH)["map"]
        return found.deletion_area, found.insertion_area

    def filled() -> object:
        return road(model, images[:2], {"map": heat[:2]}, targets=3, shares=shares, batch=BATCH)["map"].combined

    def theirs() -> object:
        from pytorch_grad_cam.metrics.road import ROADCombined
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget

        large = torch.nn.functional.interpolate(heat[:2, None], size=(224, 224), mode="bilinear")[:, 0].cpu().numpy()
        metric, target = ROADCombined(percentiles=[20, 40, 60, 80]), [ClassifierOutputSoftmaxTarget(3)]
        return [metric(images[i : i + 1].cpu(), large[i : i + 1], target, model) for i in range(2)]

    # The peer works on the CPU alone.
    peer = theirs if importlib.util.find_spec("pytorch_grad_cam") and not device.startswith("cuda") else None
    asked = 2 * IMAGES * (STEPS - 1) + 3 * IMAGES
    return [
        Case("deletion + insertion, 8 images", 1.05, lambda: forwards(asked), both_curves),
        Case("ROAD, 2 images", 2.0, lambda: forwards(2 + 2 * 2 * len(shares)), filled, "pytorch-grad-cam", peer),
    ]
