"""One frame, ten mixers: the models in which the shipped checkpoints compare what mixing is worth.

All else is the same: a stem of two halvings, two blocks on 16 x 16 cells, a halving, two blocks on 8 x 8 (for pictures
of 64 pixels), and in every block an MLP. Nobody is told where a cell lies; the convolutions of the stem and of the
halving let it be felt at the border.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from labkit.models.backbones.affnet import FrequencyFilter
from labkit.models.backbones.focalnet import FocalModulation
from labkit.models.backbones.mambaout import GatedConv
from labkit.models.backbones.metaformer import Pooling
from labkit.models.backbones.metaformer_baselines import SepConv
from labkit.models.backbones.van import LkaMixer
from labkit.models.backbones.vim import BothWays
from labkit.models.layers import ConvStem, Mlp, OnMap
from labkit.models.mixers.plain import NoMixing, SelfAttention
from labkit.models.mixers.ssm import OnSequence
from labkit.models.mixers.tokens import TokenMlp
from labkit.models.scaffold import Block, Head, Patches, Scaffold, small_weights

PIXELS = 64
"""The side of the pictures that the checkpoints are trained on."""

MIXERS: dict[str, Callable[[int, int], nn.Module]] = {
    "identity": lambda dim, side: NoMixing(),
    "pooling": lambda dim, side: Pooling(),
    "sepconv": lambda dim, side: SepConv(dim),
    "gatedconv": lambda dim, side: GatedConv(dim),
    "largekernel": lambda dim, side: LkaMixer(dim),
    "focal": lambda dim, side: FocalModulation(dim),
    "frequency": lambda dim, side: FrequencyFilter(dim),
    "tokenmlp": lambda dim, side: TokenMlp(grid=(side, side)),
    "scan": lambda dim, side: OnSequence(BothWays(dim, states=8)),
    "attention": lambda dim, side: SelfAttention(dim, heads=dim // 16),
}
"""(channels, cells a side) -> a mixer, `b h w c -> b h w c`; from one that sees nothing to one that sees all."""


def rival(mixer: str, *, classes: int, dims: tuple[int, int] = (32, 64), depths: tuple[int, int] = (2, 2)) -> Scaffold:
    """The frame with this mixer. Raises ValueError for a name that is none."""
    if mixer not in MIXERS:
        raise ValueError(f"no rival mixes by {mixer!r}: expected {', '.join(MIXERS)}.")
    model = Scaffold(
        depths=depths,
        stem=OnMap(ConvStem(dims[0], patch=4)),
        down=lambda stage: Patches(dims[stage - 1], dims[stage], kernel=3, stride=2, padding=1),
        block=lambda stage, rate: Block(
            dims[stage], mixer=MIXERS[mixer](dims[stage], PIXELS >> (2 + stage)), mlp=Mlp(dims[stage]), drop_path=rate
        ),
        head=Head(dims[-1], classes),
    )
    return model.apply(small_weights)
