"""Which patches a transformer's answer came from, told by its attention and the gradient there: one map a picture.

Sources
  relevance   Chefer, Gur & Wolf, "Generic Attention-model Explainability", ICCV 2021, equations 5-6
  legrad      Bousselham et al., "LeGrad: An Explainability Method for Vision Transformers via Feature Formation
              Sensitivity", ICCV 2025, section 3.2
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from labkit.probes.attention import placed
from labkit.probes.cam_layers import reach
from labkit.probes.inputs import check_call
from labkit.probes.rollout import gradient_rollout
from labkit.probes.saliency import Saliency
from labkit.probes.targets import Targets, named, scores, settled
from labkit.taps import Tail, Unreadable, blocks, evaluating, first, layouts, reading, replacing, with_first


def relevance(model: nn.Module, images: Float[Tensor, "b 3 height width"], *, targets: Targets = None) -> Saliency:
    """The gradient rollout R as a map: what the tokens that the head reads have from each patch.

    raw = the mean over the read tokens of (R - I), prefix tokens left out; >= 0. In a model with a class token that is
    its row, as in the paper; where the head reads the mean of the patches, it is the mean of their rows. Which tokens
    are read is found by a dry run. Raises Unreadable for models whose layers do not all look from all tokens to all.
    """
    asked = targets

    def score(logits: Tensor) -> Tensor:
        nonlocal asked
        asked = settled(logits, targets)
        return scores(logits, asked)

    rolled = gradient_rollout(model, images, targets=score)
    size = images.shape[-2], images.shape[-1]
    h, w = next(iter(layouts(model, size).values())).grid
    gained = rolled - torch.eye(rolled.shape[-1], device=rolled.device)
    rows = gained[:, reach(model, size).read.to(rolled.device)].mean(dim=1)
    return Saliency(rearrange(rows[:, -h * w :], "b (h w) -> b h w", h=h), "relevance", named(asked))


def legrad(model: nn.Module, images: Float[Tensor, "b 3 height width"], *, targets: Targets = None) -> Saliency:
    """The mean over layers l, heads and queries of relu(∂s_l/∂A_l) at each key, with s_l the score of layer l's tokens.

    s_l is what the model itself makes of the tokens behind block l when it takes them for those of the last block; the
    gradient stays within the block. The class is that of the whole model. raw >= 0, score per unit of attention.

    Departs: the paper's CLIP models average all tokens before the head; here the model's own way of reading (class
    token, mean, attention pooling) is kept, because its classifier was trained for that alone. All layers count, as in
    the paper (its released code takes the last ones). Raises Unreadable unless the model is one stack of such blocks.
    """
    check_call(model, images)
    size = images.shape[-2], images.shape[-1]
    there = _one_stack(model, size)
    behind: list[Tensor] = []

    def leave(value: Any) -> Any:
        """Keep the block's tokens, and let the next block start a graph of its own."""
        tokens = first(value)
        behind.append(tokens)
        return with_first(value, tokens.detach().requires_grad_())

    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        x = images.clone().requires_grad_()  # a frozen model has no graph of its own
        with replacing(model, dict.fromkeys(there, leave)), reading(model, "b heads q k") as found:
            output = model(x)
        asked = settled(output, targets)
        head = Tail(model, there[-1], x.detach())
        rows = torch.arange(len(images), device=images.device).repeat(len(there))
        layers = head(torch.cat(behind), rows).split(len(images))
        score = sum(scores(logits, asked).sum() for logits in layers)
        inner = {name: attn for name, attn in found.items() if name.startswith(tuple(f"{block}." for block in there))}
        gradients = torch.autograd.grad(score, list(inner.values()), allow_unused=True)
    found = {
        name: torch.zeros_like(attn) if gradient is None else gradient.clamp_min(0)
        for (name, attn), gradient in zip(inner.items(), gradients, strict=True)
    }
    maps = placed(found, layouts(model, size), batch=len(images))
    seen = torch.stack([attention.dense().mean(dim=(1, 2)) for attention in maps]).mean(dim=0)
    h, w = maps[-1].key_grid
    return Saliency(rearrange(seen[:, -h * w :], "b (h w) -> b h w", h=h), "legrad", named(asked))


def _one_stack(model: nn.Module, size: tuple[int, int]) -> list[str]:
    """The names of the blocks, if all hand on tokens of one form, each from one attention over all of them."""
    there = blocks(model, size)
    grids = {(layout.grid, layout.key_grid) for layout in layouts(model, size).values()}
    if len({site.after for site in there}) > 1 or grids != {(there[0].after.grid,) * 2}:
        raise Unreadable(
            "legrad reads every layer with the head of the last one, so it needs one stack of transformer blocks on "
            "one grid; this model's grid or keys change on the way. Use gradcam or layercam, which need no attention."
        )
    return [site.name for site in there]
