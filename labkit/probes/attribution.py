"""Which pixels mattered, by methods that captum does well and by our own Occlusion, behind one call.

Sources
  gradient              Simonyan, Vedaldi & Zisserman, "Deep Inside Convolutional Networks", ICLR 2014, section 3
  smoothgrad            Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017
  integrated-gradients  Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks", ICML 2017
  kernelshap            Lundberg & Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.probes.inputs import Refused
from labkit.probes.occlusion import occlusion
from labkit.probes.question import Question
from labkit.probes.saliency import Saliency
from labkit.probes.targets import Targets, scores
from labkit.taps import evaluating


@dataclass(frozen=True)
class Gradient:
    """max over colours of |∂score/∂pixel|: how much a pixel moves the score, up or down; >= 0."""


@dataclass(frozen=True)
class SmoothGrad:
    """The gradient averaged over noisy copies of the picture, then max over colours of its size, as `Gradient`; >= 0.

    samples   noisy copies; `noise` the standard deviation, as a share of each picture's range (paper: 0.1 to 0.2)
    """

    samples: int = 25
    noise: float = 0.15
    seed: int = 0


@dataclass(frozen=True)
class IntegratedGradients:
    """(x - x₀) · mean gradient on the way from x₀ to x, summed over colours; signed; adds up to score(x) - score(x₀).

    baseline   x₀, in normalised values: 0 is the mean colour
    steps      points on the way (Gauss-Legendre)
    """

    steps: int = 50
    baseline: float = 0.0


@dataclass(frozen=True)
class KernelShap:
    """Shapley values of the cells of a grid, from a weighted regression; signed; adds up to score(x) - score(baseline).

    grid      (rows, columns) of cells; `samples` coalitions, more of them than cells
    baseline  what a cell that does not take part shows, in normalised values

    A pixel has the value of its cell, divided by the cell's pixels, so that the map adds up too.
    """

    grid: tuple[int, int] = (7, 7)
    samples: int = 500
    baseline: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Occlusion:
    """The mean fall of the score over the windows that cover a pixel; signed; see `labkit.probes.occlusion`."""

    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    baseline: float = 0.0


Method = Gradient | SmoothGrad | IntegratedGradients | KernelShap | Occlusion

METHODS: dict[str, type[Method]] = {
    "gradient": Gradient,
    "smoothgrad": SmoothGrad,
    "integrated-gradients": IntegratedGradients,
    "kernelshap": KernelShap,
    "occlusion": Occlusion,
}


def attribute(
    model: nn.Module,
    images: Float[Tensor, "b 3 height width"],
    *,
    method: str | Method,
    targets: Targets = None,
    batch: int = 32,
) -> Saliency:
    """One map an image at the picture's own pixels, in units of the logit (or of the target function's score).

    method    a name of METHODS, with its paper's settings, or the method itself: `IntegratedGradients(steps=200)`
    batch     pictures in one pass

    Works on frozen models and inside `inference_mode`; no `.grad` is left behind; noise and coalitions are thrown with
    their own seed. Raises Refused for images that the model cannot take, targets out of range, settings out of range.
    """
    how = _settings(method)
    if isinstance(how, Occlusion):
        covers = {"window": how.window, "stride": how.stride, "baseline": how.baseline}
        return occlusion(model, images, **covers, targets=targets, batch=batch)
    chosen = Question(model, images, targets, unit="logit").classes
    chosen = None if chosen is None else chosen[:, 0]

    def score(pictures: Tensor, *classes: Tensor) -> Tensor:
        return scores(model(pictures), classes[0] if classes else targets)

    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        # A clone: what was made inside `inference_mode` can carry no gradient.
        x = images.detach().clone()
        asked = None if chosen is None else chosen.clone()
        raw = _WAYS[type(how)](how, score, x, asked, batch)
    return Saliency(raw.detach().float(), type(how).__name__, chosen)


Score = Callable[..., Tensor]


def _gradient(how: Gradient, score: Score, x: Tensor, classes: Int64[Tensor, "b"] | None, batch: int) -> Tensor:
    from captum.attr import Saliency as Gradients

    found = [
        Gradients(score).attribute(x[rows].requires_grad_(), additional_forward_args=_of(classes, rows))
        for rows in torch.arange(len(x), device=x.device).split(batch)
    ]
    return torch.cat(found).amax(dim=1)


def _smoothgrad(how: SmoothGrad, score: Score, x: Tensor, classes: Int64[Tensor, "b"] | None, batch: int) -> Tensor:
    from captum.attr import NoiseTunnel
    from captum.attr import Saliency as Gradients

    tunnel, maps = NoiseTunnel(Gradients(score)), []
    for row, span in enumerate((x.amax(dim=(1, 2, 3)) - x.amin(dim=(1, 2, 3))).tolist()):  # captum wants a float
        rows = torch.tensor([row], device=x.device)
        with _own_dice(how.seed):
            smooth = tunnel.attribute(
                x[rows].requires_grad_(),
                nt_samples=how.samples,
                nt_samples_batch_size=min(batch, how.samples),
                stdevs=how.noise * span,
                abs=False,
                additional_forward_args=_of(classes, rows),
            )
        maps.append(smooth.abs().amax(dim=1))
    return torch.cat(maps)


def _integrated(
    how: IntegratedGradients, score: Score, x: Tensor, classes: Int64[Tensor, "b"] | None, batch: int
) -> Tensor:
    from captum.attr import IntegratedGradients as Integrated

    found = [
        Integrated(score).attribute(
            x[rows].requires_grad_(),
            baselines=how.baseline,
            n_steps=how.steps,
            internal_batch_size=batch,
            additional_forward_args=_of(classes, rows),
        )
        for rows in torch.arange(len(x), device=x.device).split(batch)
    ]
    return torch.cat(found).sum(dim=1)


def _kernelshap(how: KernelShap, score: Score, x: Tensor, classes: Int64[Tensor, "b"] | None, batch: int) -> Tensor:
    from captum.attr import KernelShap as Shap

    cells = _cells(how.grid, x)
    pixels = cells.flatten().bincount()[cells]
    shap, maps = Shap(score), []
    for rows in torch.arange(len(x), device=x.device).split(1):
        with torch.no_grad(), _own_dice(how.seed):
            values = shap.attribute(
                x[rows],
                baselines=how.baseline,
                feature_mask=cells.expand(1, 3, -1, -1),
                n_samples=how.samples,
                perturbations_per_eval=batch,
                additional_forward_args=_of(classes, rows),
            )
        maps.append(values[:, 0] / pixels)
    return torch.cat(maps)


_WAYS: dict[type, Callable[..., Tensor]] = {
    Gradient: _gradient,
    SmoothGrad: _smoothgrad,
    IntegratedGradients: _integrated,
    KernelShap: _kernelshap,
}


def _settings(method: str | Method) -> Method:
    if isinstance(method, str):
        if method not in METHODS:
            raise Refused(f"method={method!r}: expected one of {', '.join(METHODS)}.")
        return METHODS[method]()
    least = min((getattr(method, name, 1) for name in ("samples", "steps")), default=1)
    if least < 1 or min(getattr(method, "grid", (1, 1))) < 1 or getattr(method, "noise", 0) < 0:
        raise Refused(f"{method}: expected counts of at least 1 and noise of at least 0.")
    return method


def _of(classes: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if classes is None else classes[rows]


def _cells(grid: tuple[int, int], x: Tensor) -> Int64[Tensor, "height width"]:
    """Which cell each pixel belongs to, row by row; a grid finer than the picture has one cell a pixel."""
    (rows, columns), (height, width) = grid, x.shape[-2:]
    rows, columns = min(rows, height), min(columns, width)
    row = torch.arange(height, device=x.device) * rows // height
    column = torch.arange(width, device=x.device) * columns // width
    return row[:, None] * columns + column


@contextmanager
def _own_dice(seed: int) -> Iterator[None]:
    """captum throws torch's global dice: the same for every image, and put back on every device."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
