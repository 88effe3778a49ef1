"""What a block is for: leave it out, and see what the model says and what its last tokens look like without it.

Sources: Veit et al., "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", NeurIPS 2016;
Park & Kim, "How Do Vision Transformers Work?", ICLR 2022, for transformers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.probes.effect import changed, divergence, probability, turned
from labkit.probes.layers import run, sites_of
from labkit.probes.similarity import likeness
from labkit.probes.targets import Targets, classes
from labkit.taps import holding, skipping


@dataclass(frozen=True)
class Lesion:
    """What leaving one block out does; one number an image.

    name         the block; None in every field below where it changes the shape and cannot be left out
    drop         probability of the original class before, less that after: -1..1, above 0 = the block was needed
    kl           KL(before ‖ after) of the class distributions, in nats
    turned       mean cosine of the last block's tokens with and without, -1..1: 1 = none has turned
    changed      relative change of those tokens, 0 = none
    similarity   mean pairwise cosine of the last block's tokens without it, -1..1
    """

    name: str
    drop: Float[Tensor, "b"] | None
    kl: Float[Tensor, "b"] | None
    turned: Float[Tensor, "b"] | None
    changed: Float[Tensor, "b"] | None
    similarity: Float[Tensor, "b"] | None


@torch.no_grad()
def lesions(
    model: nn.Module, images: Float[Tensor, "b 3 height width"], *, targets: Targets = None
) -> tuple[Lesion, ...]:
    """Leave out one block after another, in forward order: one pass a block, and one with all of them.

    targets   the class whose probability is followed: one for all images, one each, or None for the model's own answer

    Raises Refused for images or targets that the model cannot take.
    """
    there = sites_of(model, images)
    output, found = run(model, images)
    label, last = classes(output, targets), found[-1]
    before, sure = last.tokens, probability(output, label)
    answers = []
    for site in there:
        if site.before != site.after:
            answers.append(Lesion(site.name, None, None, None, None, None))
            continue
        with skipping(model, [site.name]), holding(model, [last.name]) as held:
            without = model(images)
        after = last.form.to_tokens(held[last.name]).to(before.dtype)
        answers.append(
            Lesion(
                name=site.name,
                drop=sure - probability(without, label),
                kl=divergence(output, without),
                turned=turned(before, after),
                changed=changed(before, after),
                similarity=likeness(after).mean,
            )
        )
    return tuple(answers)
