"""Class activation maps as functions of tensors: a layer's activations, and the gradient of a score there, to one map.

Sources
  gradcam      Selvaraju et al., "Grad-CAM", ICCV 2017, equations 1-2
  gradcam++    Chattopadhay et al., "Grad-CAM++", WACV 2018, equations 10 and 19
  xgradcam     Fu et al., "Axiom-based Grad-CAM", BMVC 2020, equation 9
  layercam     Jiang et al., "LayerCAM", IEEE TIP 2021, equations 5-6
  hirescam     Draelos & Carin, "Use HiResCAM instead of Grad-CAM", 2020, equation 3
  eigencam     Muhammad & Yeasin, "Eigen-CAM", IJCNN 2020, equation 2

Departs: the ReLU at the end of each paper is left to `Saliency.display`, so that the map keeps what speaks against.
Half precision is computed in single.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

Maps = Float[Tensor, "b c h w"]
Map = Float[Tensor, "b h w"]


def gradcam(activations: Maps, gradients: Maps) -> Map:
    """L = Σ_k w_k A_k with w_k the mean of ∂y/∂A_k over the cells; in units of the score."""
    activations, gradients = wide(activations), wide(gradients)
    return weighted(activations, gradients.mean(dim=(2, 3)))


def gradcam_plus_plus(activations: Maps, gradients: Maps) -> Map:
    """L = Σ_k w_k A_k with w_k = Σ_ij α relu(G), α = G² / (2 G² + G³ Σ_ab A); in units of the score.

    The score is read as the logarithm of the paper's Y = exp(y), whose higher derivatives are powers of G = ∂y/∂A; the
    factor Y itself, the same for all cells and channels, is left out.
    """
    activations, gradients = wide(activations), wide(gradients)
    # α divided through by G²: tiny gradients lose nothing. relu(G) drops the cells where that was not allowed (G = 0).
    below = 2 + gradients * activations.sum(dim=(2, 3), keepdim=True)
    alpha = torch.where(below != 0, 1 / torch.where(below != 0, below, 1), 0)
    return weighted(activations, (alpha * gradients.clamp_min(0)).sum(dim=(2, 3)))


def xgradcam(activations: Maps, gradients: Maps) -> Map:
    """L = Σ_k w_k A_k with w_k the mean of ∂y/∂A_k over the cells, weighted by A_k; in units of the score.

    Made for activations without negative values: where Σ A_k comes near zero the weight has no bounds; 0 gives 0.
    """
    activations, gradients = wide(activations), wide(gradients)
    total = activations.sum(dim=(2, 3))
    product = (activations * gradients).sum(dim=(2, 3))
    return weighted(activations, torch.where(total != 0, product / torch.where(total != 0, total, 1), 0))


def layercam(activations: Maps, gradients: Maps) -> Map:
    """L = Σ_k relu(∂y/∂A_k) A_k, cell by cell; in units of the score."""
    return (wide(gradients).clamp_min(0) * wide(activations)).sum(dim=1)


def hirescam(activations: Maps, gradients: Maps) -> Map:
    """L = Σ_k ∂y/∂A_k A_k, cell by cell; in units of the score.

    Where everything behind the layer is linear, the cells add up to the score without its bias: nothing is smeared.
    """
    return (wide(gradients) * wide(activations)).sum(dim=1)


def cancels(activations: Maps, gradients: Maps) -> bool:
    """Whether the products of `hirescam` cancel in every cell down to rounding, so that its map is zero in truth.

    So they do where only a normalisation of each cell follows (the last blocks of Swin and of class-token
    transformers): its gradient is at right angles to what it normalises.
    """
    products = wide(gradients) * wide(activations)
    return bool((products.sum(dim=1).abs() <= 1e-3 * products.abs().sum(dim=1)).all())


def eigencam(activations: Maps) -> Map:
    """L = O v with O the `(h w) c` activations and v their first right singular vector; in units of the activation.

    No class is asked: it shows what the layer answers to most. The sign of v is free; here the value that is furthest
    from zero is positive, so that activations without negative values (after a ReLU) give a map without them.
    Released code often takes the mean of each channel off first: eigencam(a - a.mean((2, 3), keepdim=True)).
    """
    rows = rearrange(wide(activations), "b c h w -> b (h w) c")
    scale = rows.abs().amax(dim=(1, 2), keepdim=True)
    rows = rows / torch.where(scale > 0, scale, 1)  # what is squared below must neither overflow nor vanish
    # The first vector of the smaller of the two Gram matrices stands for that of O, all images at once.
    if rows.shape[1] <= rows.shape[2]:
        values, vectors = torch.linalg.eigh(rows @ rows.mT)
        along = vectors[..., -1] * values[..., -1:].clamp_min(0).sqrt()
    else:
        along = (rows @ torch.linalg.eigh(rows.mT @ rows).eigenvectors[..., -1:])[..., 0]
    furthest = along.gather(1, along.abs().argmax(dim=1, keepdim=True))
    along = along * torch.where(furthest < 0, -1, 1) * scale[:, 0]
    return rearrange(along, "b (h w) -> b h w", h=activations.shape[2])


def weighted(activations: Maps, weights: Float[Tensor, "b c"]) -> Map:
    """Σ_k w_k A_k: the form that all methods share that weigh whole channels."""
    return torch.einsum("bchw,bc->bhw", wide(activations), wide(weights))


def wide(values: Tensor) -> Tensor:
    """Half precision in single; single and double as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


OF_GRADIENTS: Mapping[str, Callable[[Maps, Maps], Map]] = MappingProxyType(
    {
        "gradcam": gradcam,
        "gradcam++": gradcam_plus_plus,
        "xgradcam": xgradcam,
        "layercam": layercam,
        "hirescam": hirescam,
    }
)
"""The methods that are told by activations and gradients at one layer: all of them from one backward pass."""
