"""Where in a layer lies what speaks for a class: class activation maps of any model, several methods from one pass.

    maps = cams(model, images, methods=("gradcam", "layercam"), targets=281)
    maps["gradcam"].raw                      # signed, on the grid of the layer
    maps["gradcam"].display((224, 224))      # 0..1

The methods as functions of tensors, and their sources, are in `cam_methods` and `cam_channels`; the first of all is

  cam   Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016, equation 2
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.probes.cam_channels import ablationcam, scorecam
from labkit.probes.cam_layers import Seen, last_map, look, look_at, where
from labkit.probes.cam_methods import OF_GRADIENTS, cancels, eigencam, weighted
from labkit.probes.inputs import Refused, check_call
from labkit.probes.saliency import Saliency
from labkit.probes.targets import Targets, scores
from labkit.taps import Site, Tail, site_of, sites

METHODS = ("cam", *OF_GRADIENTS, "eigencam", "scorecam", "ablationcam")


def cam(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    *,
    method: str = "gradcam",
    targets: Targets = None,
    layer: str | nn.Module | None = None,
    chunk: int = 64,
) -> Saliency:
    """One class activation map an image, by one method; see `cams`."""
    return cams(model, images, methods=(method,), targets=targets, layer=layer, chunk=chunk)[method]


def cams(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    *,
    methods: Sequence[str],
    targets: Targets = None,
    layer: str | nn.Module | None = None,
    chunk: int = 64,
) -> dict[str, Saliency]:
    """Class activation maps by several of METHODS, in their order; those that need gradients share one pass.

    targets   a class for all images, one for each, a function of the logits that gives one score an image, or None for
              the highest logit
    layer     dotted name or module, in any axes (prefix tokens are left out of the map). None: the last block whose
              patches a gradient reaches, and `note` says so when that is not the last; for "cam", what the head pools
    chunk     how many pictures go through at once, for "scorecam" (the whole model, once a channel) and "ablationcam"
              (what lies behind the layer, once a channel)

    `raw` is in units of the score; of "eigencam", "scorecam" and "ablationcam" in units of the activation. Works on
    frozen models and inside `inference_mode`; no `.grad` is left behind. Raises Refused for what cannot be answered
    (no gradient at the named layer, "cam" without a linear head, a class out of range), Unreadable for models or layers
    that show nothing on the picture.
    """
    check_call(model, images)
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods:
        raise Refused(f"methods={tuple(methods)!r}: expected one or more of {', '.join(METHODS)}.")
    site, note = where(model, (images.shape[-2], images.shape[-1]), layer)
    seen = None
    if not {"cam", "ablationcam"}.issuperset(methods):
        gradients = any(name in OF_GRADIENTS for name in methods)
        seen = look(model, images, layer=layer, targets=targets, gradients=gradients)
        site, note = seen.site, seen.note

    def one(name: str) -> Saliency:
        if name == "cam":
            return _linear(model, images, targets, layer)
        asked, more = None, None
        if name in OF_GRADIENTS:
            raw, asked = OF_GRADIENTS[name](seen.activations, seen.gradients), seen.classes
            if name == "hirescam" and cancels(seen.activations, seen.gradients):
                # What is left is rounding, and a display map would blow it up to a picture.
                raw, more = torch.zeros_like(raw), _normed(model, images, site)
        elif name == "eigencam":
            raw = eigencam(seen.activations)
        elif name == "scorecam":
            raw, asked = scorecam(model, images, seen.activations, targets=targets, chunk=chunk)
        else:
            raw, asked = ablationcam(model, images, site, targets=targets, chunk=chunk)
        return Saliency(raw, name, asked, site.name, " ".join(filter(None, (note, more))) or None)

    return {name: one(name) for name in methods}


def _normed(model: nn.Module, images: Tensor, site: Site) -> str:
    there = list(sites(model, (images.shape[-2], images.shape[-1])).values())
    norm = next((other.name for other in there[there.index(site) + 1 :] if "norm" in other.kind.lower()), "behind it")
    return (
        f"At {site.name} HiResCAM is zero in every cell: what follows reads each cell through a norm, which does not "
        f"see its length. Name that norm ({norm}) as the layer."
    )


def _linear(model: nn.Module, images: Tensor, targets: Targets, layer: str | nn.Module | None) -> Saliency:
    """L = Σ_k w_k A_k where the score is Σ_k w_k mean(A_k) + bias: the mean of L over the cells is the score less bias.

    That it is so is tried, not read off the module's type: the gradient is the same in all cells, and it foretells the
    score of other activations.
    """
    size = images.shape[-2], images.shape[-1]
    site = last_map(model, size) if layer is None else site_of(model, layer, size)
    seen = look_at(model, images, site, targets=targets)
    activations, gradients = seen.activations, seen.gradients
    mean = gradients.mean(dim=(2, 3), keepdim=True)
    if not gradients.any():
        reason = "no gradient of the score reaches its patches"
    elif (gradients - mean).abs().max() > 1e-3 * mean.abs().max():
        reason = "its cells do not all count alike"
    elif not _foretells(model, images, targets, seen):
        reason = "the score is not linear in their mean"
    else:
        weights = gradients.sum(dim=(2, 3))
        return Saliency(weighted(activations, weights), "cam", seen.classes, site.name)
    raise Refused(
        f"cam needs scores that are a linear head of a pooled map; behind layer {site.name!r} {reason}. Name the layer "
        "that is pooled, or use gradcam or hirescam, which need no such head."
    )


def _foretells(model: nn.Module, images: Tensor, targets: Targets, seen: Seen) -> bool:
    """Whether score(B) = score(A) + <gradient, B - A> for activations B whose channels are each scaled differently.

    One factor for all would not do: it passes a LayerNorm.
    """
    form, asked = seen.site.after, targets if seen.classes is None else seen.classes
    factors = torch.linspace(0.5, 1.5, form.channels, device=images.device, dtype=images.dtype)[:, None, None]
    tail = Tail(model, seen.site.name, images)
    with torch.inference_mode(False), torch.no_grad():
        other = form.with_map(tail.value, form.to_map(tail.value) * factors)
        rows = torch.arange(len(images), device=images.device)
        moved = scores(tail(other, rows), asked) - scores(tail.output, asked)
    step = (seen.gradients * seen.activations * (factors - 1)).flatten(1)
    return bool(((moved - step.sum(dim=1)).abs() <= 1e-3 * step.abs().sum(dim=1)).all())
