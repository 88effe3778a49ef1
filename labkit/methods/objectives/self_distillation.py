"""Self-distillation: a student must say of a small view what its own slow average says of a large one, without labels.

    loss = mean over pairs of different views of H(softmax((t - centre) / 0.04), softmax(s / 0.1))
    teacher ← m teacher + (1 - m) student          centre ← 0.9 centre + 0.1 mean(t)

The sharp teacher keeps the answers from being all alike, its centre from being always one.

Source: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers" (DINO), ICCV 2021, section 3.1.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.backbones.vit import ViT


class Prototypes(nn.Module):
    """Features to answers: an MLP, a point on the sphere, its likeness to `count` directions: `b c -> b count`."""

    def __init__(self, dim: int, *, hidden: int = 256, bottleneck: int = 64, count: int = 512) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck)
        )
        self.directions = nn.Parameter(torch.randn(count, bottleneck))

    def forward(self, x: Float[Tensor, "b c"]) -> Float[Tensor, "b count"]:
        return F.normalize(self.mlp(x), dim=-1) @ F.normalize(self.directions, dim=-1).T


class SelfDistillation(nn.Module):
    """A ViT as the student, and its average as the teacher.

    momentum   of the teacher's average at the start; it rises to 1 by half a cosine
    """

    def __init__(self, vit: ViT, *, momentum: float = 0.99, sharp: float = 0.04, soft: float = 0.1) -> None:
        super().__init__()
        self.vit = vit
        dim = vit.norm.normalized_shape[0]
        self.head = Prototypes(dim)
        self.slow_vit, self.slow_head = (copy.deepcopy(part).requires_grad_(False) for part in (vit, self.head))
        self.register_buffer("centre", torch.zeros(1, len(self.head.directions)))
        self.momentum, self.sharp, self.soft = momentum, sharp, soft

    def forward(
        self, large: Sequence[Float[Tensor, "b 3 h w"]], small: Sequence[Float[Tensor, "b 3 h2 w2"]]
    ) -> Float[Tensor, ""]:
        """The loss of two large views and any number of small ones; moves the centre."""
        with torch.no_grad():
            told = self.slow_head(summary(self.slow_vit, torch.cat(list(large))))
            teacher = ((told - self.centre) / self.sharp).softmax(dim=-1).chunk(len(large))
            self.centre.lerp_(told.float().mean(dim=0, keepdim=True), 0.1)
        heard = self.head(summary(self.vit, torch.cat(list(large)))).chunk(len(large))
        if small:
            heard += self.head(summary(self.vit, torch.cat(list(small)))).chunk(len(small))
        pairs = [
            -(target * (answer.float() / self.soft).log_softmax(dim=-1)).sum(dim=-1).mean()
            for i, target in enumerate(teacher)
            for j, answer in enumerate(heard)
            if i != j  # the same view says the same
        ]
        return torch.stack(pairs).mean()

    @torch.no_grad()
    def follow(self, done: float) -> None:
        """Move the teacher a step towards the student; `done` is the share of the training so far, 0..1."""
        away = (1 - self.momentum) * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * done)).item())
        for slow, fast in ((self.slow_vit, self.vit), (self.slow_head, self.head)):
            torch._foreach_lerp_(list(slow.parameters()), list(fast.parameters()), away)


def summary(vit: ViT, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c"]:
    """The class token behind the last norm."""
    return vit.norm(vit.blocks(vit.embed(images)))[:, 0]
