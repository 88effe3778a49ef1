"""The checks of lesson 0."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from . import Verdict, compare, numbers

MEAN, STD = (0.5, 0.25, 0.4), (0.25, 0.2, 0.3)


def tensor(yours: Callable[[Tensor, tuple[float, ...], tuple[float, ...]], Tensor]) -> Verdict:
    """Exercise 1: pixels 0..255, `h w 3`, to normalised `3 h w`."""
    pixels = torch.randint(0, 256, (4, 6, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    mean, std = (torch.tensor(some).view(3, 1, 1) for some in (MEAN, STD))
    first = pixels.permute(2, 0, 1).float()
    expected = (first / 255 - mean) / std
    mistakes = {
        "The channels must come first: permute(2, 0, 1) turns `h w 3` into `3 h w`.": expected.permute(1, 2, 0),
        "You turned height and width as well: permute(2, 0, 1), not permute(2, 1, 0) or .T.": expected.transpose(1, 2),
        "That is `3 h w` in shape alone: reshape deals the same numbers out anew. To move an axis, permute.": (
            pixels.reshape(3, 4, 6).float() / 255 - mean
        )
        / std,
        "The mean is a share of 1: divide the pixels by 255 before you take it away.": (first - mean) / std,
        "Take the mean away, then divide by the spread; you did it the other way round.": first / 255 / std - mean,
        "The spread is missing: divide by it after the mean is gone.": first / 255 - mean,
        "The pixels are scaled, but neither mean nor spread was used.": first / 255,
        "You multiplied by the spread; divide by it.": (first / 255 - mean) * std,
    }
    return compare(
        lambda: yours(pixels, MEAN, STD),
        expected,
        mistakes,
        praise="This is what the model is handed. A pixel of the mean colour is 0: so a cover of zeros looks plain.",
        otherwise="Three steps: the channels first, 0..255 to 0..1, then (x - mean) / std for each channel.",
    )


def top(yours: Callable[[Tensor, int], Tensor]) -> Verdict:
    """Exercise 2: the likeliest classes with their chances."""
    z, most = 3 * numbers(9), 4
    order = z.argsort(descending=True)
    chances = z.softmax(dim=0)

    def rows(picked: Tensor, shares: Tensor) -> Tensor:
        return torch.stack([picked.double(), shares.double()], dim=1)

    expected = rows(order[:most], chances[order[:most]])
    rising = z.argsort()
    mistakes = {
        "These are logits. Make chances of them: softmax over all the classes.": rows(order[:most], z[order[:most]]),
        "The softmax must run over all classes, before you pick the best: these sum to one among themselves.": rows(
            order[:most], z[order[:most]].softmax(dim=0)
        ),
        "You divided by the sum. Logits may be negative: the softmax takes e to their power first.": rows(
            order[:most], (z / z.sum())[order[:most]]
        ),
        "Each is e to its power, but they do not sum to one: divide by the sum over all classes.": rows(
            order[:most], z.exp()[order[:most]]
        ),
        "A sigmoid asks of each class by itself, yes or no; the classes here shut each other out: softmax.": rows(
            order[:most], F.sigmoid(z)[order[:most]]
        ),
        "These are the least likely: sort from the largest down (descending=True, or topk).": rows(
            rising[:most], chances[rising[:most]]
        ),
        "The likeliest comes first; yours comes last.": expected.flip(0),
        "The rows are (class, chance); yours are the other way round.": expected.flip(1),
        "Shape `most 2`: stack along dim=1, one row a class.": expected.T,
    }
    return compare(
        lambda: yours(z.clone(), most),
        expected,
        mistakes,
        praise="The bars beside the photo, all of them.",
        otherwise="Softmax over all classes, then the largest with topk, then the rows (class, chance).",
    )


def patches(yours: Callable[[Tensor, int], Tensor]) -> Verdict:
    """Exercise 3: `3 h w` to `n (3 p p)`."""
    p = 2
    x = numbers(3, 4, 6)
    expected = F.unfold(x[None], p, stride=p)[0].T
    cut = x.reshape(3, 2, p, 3, p)  # channel, row of patches, row in it, column of patches, column in it
    mistakes = {
        "Right numbers, turned: one row a patch, so `n (3 p p)` and not `(3 p p) n`.": expected.T,
        "The patches run column by column; read row by row, left to right, then down.": cut.permute(
            3, 1, 0, 2, 4
        ).reshape(6, -1),
        "Within a patch the colours alternate pixel by pixel; first all red, then green, then blue.": cut.permute(
            1, 3, 2, 4, 0
        ).reshape(6, -1),
        "Within a patch the pixels run down the columns; row by row, please.": cut.permute(1, 3, 0, 4, 2).reshape(
            6, -1
        ),
        "That is a reshape of the whole picture: its numbers lie row by row of the *picture*, not of a patch. "
        "Split h into (rows, p) and w into (columns, p), permute, then join.": x.reshape(6, -1),
        "Your patches overlap: take steps of p (unfold(…, p, p)), not of one pixel.": F.unfold(x[None], p)[0].T,
    }
    return compare(
        lambda: yours(x.clone(), p),
        expected,
        mistakes,
        praise="Multiply each row with one matrix, and you have the model's tokens: that is all a patch embedding is.",
        otherwise="x.reshape(3, h // p, p, w // p, p), then the axes in the order (row, column, colour, p, p), then join.",
    )
