"""The checks of lesson 2."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from labkit.probes.cam_methods import gradcam as labkit_gradcam
from labkit.probes.faithfulness import curves

from . import Verdict, compare, numbers


def gradcam(yours: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Exercise 1: GradCAM from a layer's activations and gradients."""
    a, g = numbers(6, 4, 5), numbers(6, 4, 5, seed=1) + 0.3
    signed = labkit_gradcam(a[None], g[None])[0]
    weights = g.mean(dim=(1, 2), keepdim=True)
    mistakes = {
        "The ReLU is missing: what speaks against the class should become 0.": signed,
        "You took the magnitude. The ReLU drops what speaks against the class; |·| would count it as evidence for it.": (
            signed.abs()
        ),
        "The ReLU came too early. First add the channels up: one may speak against what another speaks for.": (
            (weights * a).relu().sum(dim=0)
        ),
        "You dropped the negative weights. A channel may speak against the class; the ReLU is for the sum.": (
            (weights.relu() * a).sum(dim=0).relu()
        ),
        "You dropped the negative gradients. The weight is the mean over all cells, whatever their sign.": (
            (g.relu().mean(dim=(1, 2), keepdim=True) * a).sum(dim=0).relu()
        ),
        "The weights are the *mean* of the gradient over the cells; you took its sum.": 20 * signed.relu(),
        "You multiplied cell by cell: this is HiResCAM. GradCAM has one weight for a whole channel, the mean.": (
            (g * a).sum(dim=0).relu()
        ),
        "This is the mean over the channels; GradCAM adds them up.": signed.relu() / 6,
        "You took the mean over the channels. The weight of a channel is the mean over its cells, `dim=(1, 2)`.": (
            (g.mean(dim=0) * a).sum(dim=0).relu()
        ),
        "Activations and gradients are exchanged: weigh the activations by the mean of the gradients.": (
            (a.mean(dim=(1, 2), keepdim=True) * g).sum(dim=0).relu()
        ),
        "The channels are not added up yet: `sum(dim=0)`.": (weights * a).relu(),
        "You divided by the largest value. That is for the picture; the map itself is in units of the score.": (
            signed.relu() / signed.max()
        ),
    }
    return compare(
        lambda: yours(a.clone(), g.clone()),
        signed.relu(),
        mistakes,
        praise="This is the left side of the divider. labkit keeps what is below 0 too, and leaves the ReLU to the picture.",
        otherwise="One weight a channel, the mean of its gradient; weigh the channels, add them up, and the ReLU last.",
    )


def rise(yours: Callable[[Tensor, Tensor, float], Tensor]) -> Verdict:
    """Exercise 2: RISE's map and its standard error from masks and scores."""
    masks, scores, keep, n = numbers(9, 5, 7).sigmoid(), numbers(9, seed=1).sigmoid(), 0.4, 9
    each = scores[:, None, None] * masks / keep
    found, error = each.mean(dim=0), each.std(dim=0) / n**0.5
    covered = scores[:, None, None] * (1 - masks) / keep
    off = scores[:, None, None] * masks

    def both(first: Tensor, second: Tensor) -> Tensor:
        return torch.stack([first, second])

    mistakes = {
        "Divide by p: a pixel is kept in a share p of the masks only.": both(keep * found, keep * error),
        "The map is right. Its standard error has to be divided by p as well: it has the same unit.": (
            both(found, keep * error)
        ),
        "The map is right. You gave the standard deviation of one mask's numbers; of their mean it is that / √n.": (
            both(found, each.std(dim=0))
        ),
        "The map is right. This is the variance of the mean; the standard error is its root.": both(found, error**2),
        "The map is right. You divided the standard deviation by n; the error of a mean falls with √n.": (
            both(found, each.std(dim=0) / n)
        ),
        "The map is right. For the standard deviation divide by n - 1: you took the mean from the same numbers.": (
            both(found, each.std(dim=0, correction=0) / n**0.5)
        ),
        "The map is right. The error is that of scores times masks, pixel by pixel; this one forgets the masks.": (
            both(found, (scores.std() / n**0.5).expand_as(found) / keep)
        ),
        "You took the sum over the masks; divide by their number.": both(n * found, error),
        "You divided by the sum of the scores. RISE divides by n p: then the map is a probability.": (
            both(off.sum(dim=0) / scores.sum(), error)
        ),
        "You divided by how often this pixel was kept. In the limit it is the same; RISE divides by n p.": (
            both(off.sum(dim=0) / masks.sum(dim=0), error)
        ),
        "This is the map of what was covered. A mask is 1 where a pixel was kept.": (
            both(covered.mean(dim=0), covered.std(dim=0) / n**0.5)
        ),
        "This is the map alone; give its standard error too: torch.stack([map, error]).": found,
        "This is the standard error alone; the map comes first: torch.stack([map, error]).": error,
        "The two are exchanged: first the map, then its error.": both(error, found),
        "They lie along the last axis; stack them along the first, `2 h w`.": torch.stack([found, error], dim=-1),
    }
    return compare(
        lambda: yours(masks.clone(), scores.clone(), keep),
        both(found, error),
        mistakes,
        praise="The right side of the divider, with its ±. labkit does it without keeping a single mask.",
        otherwise="Make the n numbers f M(x) / p of every pixel first. The map is their mean, its error their std() / √n.",
    )


class _Toy(nn.Module):
    """A picture to three logits; every pixel and colour counts."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(numbers(3, 3 * height * width, seed=2) / 6, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(2 * x).flatten(1) @ self.weight.T


H, W, STEPS = 12, 15, 10


def deletion(yours: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, int], Tensor]) -> Verdict:
    """Exercise 3: the curve of deletion, by a ranking."""
    model, image, heat = _Toy(H, W), numbers(3, H, W, seed=3), numbers(H, W, seed=4)
    portion = H * W // STEPS

    def score(pictures: Tensor) -> Tensor:
        return model(pictures).softmax(dim=1)[:, 1]

    def taken(order: Tensor, *, per: int = portion, to: Tensor | float = 0.0, fresh: bool = False) -> Tensor:
        """The curve when pixels go in this order, `per` a step."""
        turn = torch.empty(H * W, dtype=torch.int64)
        turn[order] = torch.arange(H * W)
        turn = turn.view(H, W) // per
        gone = [(turn == t - 1) if fresh else (turn < t) for t in range(STEPS + 1)]
        return score(torch.stack([torch.where(one, torch.as_tensor(to, dtype=image.dtype), image) for one in gone]))

    order = heat.flatten().argsort(descending=True)
    expected = curves(model, image[None], {"": heat[None]}, targets=1, pixels=portion)[""].deletion[0]
    back = taken(order.flip(0))
    stays = torch.ones(H * W, dtype=image.dtype)
    red = [score(image[None])]
    for part in order.split(portion):
        stays[part] = 0
        red.append(score(torch.cat([image[:1] * stays.view(1, H, W), image[1:]])[None]))
    columns = heat.T.flatten().argsort(descending=True)
    mistakes = {
        "The *least* important pixels go first: sort with descending=True.": back,
        "You sorted by |heat|. What speaks strongly against the class is not important for it.": (
            taken(heat.abs().flatten().argsort(descending=True))
        ),
        "This is insertion into grey: it begins with nothing. Begin with the whole photo and take away.": back.flip(0),
        "In each step you took this step's pixels alone. What is gone stays gone.": taken(order, fresh=True),
        "argsort says which pixel comes k-th, not in which turn a pixel goes. Use it as an index, or sort twice.": (
            taken(order.argsort())
        ),
        "The first of the steps + 1 is the whole photo, before anything is taken.": expected[1:],
        "The last one is missing: when all portions are gone.": expected[:-1],
        "You took away one pixel a step; a portion is h w / steps of them.": taken(order, per=1),
        "You took away one colour only; a pixel is all three.": torch.cat(red),
        "You put the photo's own mean colour there. Zero is asked for: the mean colour of all photos.": (
            taken(order, to=image.mean(dim=(1, 2), keepdim=True))
        ),
        "You number the pixels column by column; flatten() goes row by row.": taken(columns),
        "This is the area. Give back the curve; its area comes after.": torch.trapezoid(expected) / STEPS,
        "This is how much was lost. Give back what is left, the probability itself.": expected[0] - expected,
    }
    return compare(
        lambda: yours(score, image.clone(), heat.clone(), STEPS),
        expected,
        mistakes,
        praise="This is the film beside the photo, and its curve.",
        otherwise="Sort the pixels by heat, highest first. For t = 0 … steps, put 0 where the first t portions lie, in all three "
        "colours, and ask for the score.",
    )
