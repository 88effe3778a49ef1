"""What every instrument asks of its input, and the sentence it says when that is not so."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.taps import refuse_wrapped


class Refused(ValueError):
    """What was asked cannot be done; the message says what was expected, what came, and what to do."""


def check_images(images: Tensor) -> None:
    """Raise Refused unless `images` is a non-empty, finite, floating `b 3 height width`."""
    shape = tuple(images.shape)
    if images.ndim != 4 or shape[1] != 3 or 0 in shape:
        hint = " Add the batch axis: images[None]." if images.ndim == 3 else ""
        raise Refused(f"expected images of shape (batch, 3, height, width) with none of them 0, got {shape}.{hint}")
    if not images.is_floating_point():
        raise Refused(f"expected normalised float images, got {images.dtype}: apply the model's transform first.")
    if not torch.isfinite(images.sum(dtype=torch.float32)):  # one pass; infinities of both signs make a NaN
        raise Refused("the images hold NaN or infinity: check the file and the transform.")


def check_call(model: nn.Module, images: Tensor) -> None:
    """Raise Refused (or Unreadable, for wrapped models) unless these images can go into this model.

    Besides `check_images`: the model is not compiled, scripted or data-parallel; its weights have the images' dtype and
    device; it is not in float16 on a CPU, where normalisation and gradients overflow.
    """
    check_images(images)
    refuse_wrapped(model)
    like = next((p for p in model.parameters() if p.is_floating_point()), None)
    if like is None:
        return
    if like.dtype == torch.float16 and like.device.type == "cpu":
        raise Refused(
            "the model is in float16 on the CPU, where its sums overflow: use model.float() with images.float(), "
            "or move both to a GPU."
        )
    if like.dtype != images.dtype:
        raise Refused(f"the model is in {like.dtype} and the images in {images.dtype}: use images.to({like.dtype}).")
    if like.device != images.device:
        raise Refused(
            f"the model is on {like.device} and the images on {images.device}: use images.to('{like.device}')."
        )


def check_mask(mask: Tensor, images: Float[Tensor, "b 3 height width"]) -> None:
    """Raise Refused unless `mask` is a boolean `b height width` of the images' size with both kinds of pixels."""
    expected = (len(images), *images.shape[-2:])
    if tuple(mask.shape) != expected:
        raise Refused(
            f"expected a mask of shape {expected}, as the model sees the images, got {tuple(mask.shape)}: put the mask "
            "through the same crop and resizing (nearest) as the picture."
        )
    if mask.dtype != torch.bool:
        raise Refused(f"expected a boolean mask, got {mask.dtype}: use mask > 0.5.")
    empty = [i for i, one in enumerate(mask) if one.all() or not one.any()]
    if empty:
        raise Refused(
            f"mask {empty[0]} marks {'all' if mask[empty[0]].all() else 'none'} of the pixels: nothing to tell apart."
        )
