"""A few large kernels see further than small ones everywhere; and what is no picture becomes one for the same net.

Paper    Ding et al., "Scaling Up Your Kernels: Large Kernel Design in ConvNets towards Universal Representations", 2024
Adds     to UniRepLKNet, whose blocks these are: how large the kernels are in each stage as the question, with the field
         and the shape bias that follow; and other senses through the same net, each laid out as a map first
Reads    sound   b length          log(1 + |STFT|)                    b 3 frequency time
         video   b t 3 h w         its pictures, row by row           b 3 (rows h) (columns w)
         series  b length nodes    as it is, less its mean            b 3 nodes length
Costs    k² of k² + 8 dim multiplications a cell and channel, folded: a fifth at k = 13 and 80 channels
Departs  the blocks of unireplknet, with torch's defaults as starting weights; a map of one channel is repeated for the
         three of the stem, where the code has one there; no clouds of points, whose way onto a picture is learned, and
         no decoder behind series: they are told apart here, not foretold
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from labkit.models.backbones.unireplknet import BRANCHES, Branches, unireplknet
from labkit.models.scaffold import Scaffold
from labkit.paper import Paper

PAPER = Paper(
    number=11,
    id="unireplknet_universal",
    title="Scaling Up Your Kernels: Large Kernel Design in ConvNets towards Universal Representations",
    year=2024,
    arxiv="2410.08049",
    claim="Large kernels give a net a wider effective field than small ones everywhere, and a stronger leaning to "
    "shape against texture; and the same net learns from sounds and series as from pictures.",
)


def sound_as_picture(wave: Float[Tensor, "b length"], *, window: int, hop: int) -> Float[Tensor, "b 3 frequency time"]:
    """How loud each frequency is, over time: log(1 + |STFT|), low frequencies first.

    window   samples that are looked at together, which gives window / 2 + 1 frequencies; `hop` samples between looks
    """
    if wave.shape[-1] <= window // 2:
        raise ValueError(
            f"sound_as_picture(window={window}): {wave.shape[-1]} samples are too few; give a longer wave."
        )
    shape = torch.hann_window(window, device=wave.device, dtype=wave.dtype)
    loud = torch.stft(wave, window, hop, window=shape, return_complex=True).abs()
    return repeat(loud.log1p(), "b f t -> b 3 f t")


def video_as_picture(frames: Float[Tensor, "b t 3 h w"], *, columns: int) -> Float[Tensor, "b 3 height width"]:
    """The pictures of a film in one, as a page is read: `columns` of them in a row."""
    if frames.shape[1] % columns:
        raise ValueError(
            f"video_as_picture(columns={columns}): {frames.shape[1]} pictures do not fill rows of {columns}."
        )
    return rearrange(frames, "b (row column) c h w -> b c (row h) (column w)", column=columns)


def series_as_picture(series: Float[Tensor, "b length nodes"]) -> Float[Tensor, "b 3 nodes length"]:
    """One row a node (a station, a sensor), one column a moment, each node less its mean over time."""
    return repeat(series - series.mean(dim=1, keepdim=True), "b length nodes -> b 3 nodes length")


def unireplknet_universal(
    *,
    dims: Sequence[int] = (40, 80, 160, 320),
    depths: Sequence[int] = (2, 2, 6, 2),
    kernels: Sequence[int] = (3, 13, 13, 13),
    branches: Mapping[int, Branches] = BRANCHES,
    folded: bool = True,
    scale: float = 1e-6,
    drop_path: float = 0.0,
    classes: int = 1000,
) -> Scaffold:
    """UniRepLKNet-A, with `kernels` of so many cells a side in each stage; the rest as for unireplknet."""
    return unireplknet(
        dims=dims,
        depths=depths,
        kernels=[(side,) for side in kernels],
        branches=branches,
        folded=folded,
        scale=scale,
        drop_path=drop_path,
        classes=classes,
    )


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: a small kernel, a large one, and two sounds of an odd length."""
    model = unireplknet_universal(dims=(8, 16), depths=(1, 1), kernels=(3, 7), folded=False, classes=5)
    return model, sound_as_picture(torch.randn(2, 601), window=64, hop=24)
