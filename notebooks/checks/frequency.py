"""The checks of lesson 4."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from labkit.probes.filters import kernel_response
from labkit.probes.passband import filtered, low_pass
from labkit.probes.rings import ring_means

from . import Verdict, compare, numbers

SIZE, CUTOFF = (15, 22), 0.21
"""One odd side and one even one, not alike: what is mistaken shows."""
GRID = (14, 9)


def _axes(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    return torch.fft.fftfreq(size[0]).double()[:, None], torch.fft.fftfreq(size[1]).double()[None]


def _from_middle(size: tuple[int, int], row: float, column: float) -> Tensor:
    """How far each cell lies from (row, column), in cycles per pixel where that is zero frequency."""
    h, w = size
    return torch.hypot((torch.arange(h).double()[:, None] - row) / h, (torch.arange(w).double()[None] - column) / w)


def _plain(got: object) -> object:
    """Complex numbers as pairs of real ones, so that they can be compared."""
    return torch.view_as_real(got.resolve_conj()) if isinstance(got, Tensor) and got.is_complex() else got


def lowpass(yours: Callable[[Tensor, float], Tensor]) -> Verdict:
    """Exercise 1: the ideal low-pass of one picture."""
    x, (h, w) = numbers(*SIZE), SIZE
    shift, back = torch.fft.fftshift, torch.fft.ifftshift
    spectrum, (rows, columns) = torch.fft.fft2(x), _axes(SIZE)
    passes = torch.hypot(rows, columns) <= CUTOFF
    expected = filtered(x[None, None], low_pass(CUTOFF))[0, 0]

    def by(mask: Tensor) -> Tensor:
        return torch.fft.ifft2(spectrum * mask).real

    axes = {0: torch.hypot(rows, columns * w / h), 1: torch.hypot(rows * h / w, columns)}
    mistakes = {
        "Your mask has zero frequency in the middle, the spectrum has it in the corner: fft2 begins with it. Make the mask "
        "from torch.fft.fftfreq, or shift the spectrum before and back afterwards.": by(shift(passes)),
        "You shifted the spectrum and did not shift it back: ifftshift before ifft2.": torch.fft.ifft2(
            shift(spectrum) * shift(passes)
        ).real,
        "You went back with fftshift. On an odd side it does not undo itself: ifftshift does.": torch.fft.ifft2(
            shift(shift(spectrum) * shift(passes))
        ).real,
        "Zero frequency sits at h // 2 after fftshift, also on an odd side; your circle is half a cell beside it.": by(
            back(_from_middle(SIZE, h / 2, w / 2) <= CUTOFF)
        ),
        "Your circle is around ((h - 1) / 2, (w - 1) / 2). After fftshift zero frequency sits at (h // 2, w // 2).": by(
            back(_from_middle(SIZE, (h - 1) / 2, (w - 1) / 2) <= CUTOFF)
        ),
        "You counted the frequencies from 0 up. The second half of them is negative: fftfreq, not arange / n.": by(
            _from_middle(SIZE, 0, 0) <= CUTOFF
        ),
        "This is complex. The mask is the same at f and -f, so the imaginary part is rounding: take .real.": _plain(
            torch.fft.ifft2(spectrum * passes)
        ),
        "You took the magnitude of what came back; a picture has dark parts too: .real, not .abs(). If .real looks wrong, "
        "the spectrum was shifted and not shifted back, and the magnitude only hides it.": expected.abs(),
        "You let a square through. The frequency of a wave is √(u² + v²): a disc.": by(
            (rows.abs() <= CUTOFF) & (columns.abs() <= CUTOFF)
        ),
        "Your cutoff counts in shares of Nyquist; here it is cycles per pixel, and Nyquist is at 0.5.": by(
            torch.hypot(rows, columns) <= CUTOFF / 2
        ),
        "You let through up to twice the cutoff: fftfreq is in cycles per pixel already.": by(
            torch.hypot(rows, columns) <= 2 * CUTOFF
        ),
        "You measured both axes by the height. Each has its own length: u / h and v / w.": by(axes[0] <= CUTOFF),
        "You measured both axes by the width. Each has its own length: u / h and v / w.": by(axes[1] <= CUTOFF),
        "This is what the low-pass takes away. Turn the comparison round.": x - expected,
        "The mean is lost. It is the wave of frequency 0, and passes: 0 <= f, not 0 < f.": expected - x.mean(),
        "You went forth twice: back is ifft2.": torch.fft.fft2(spectrum * passes).real,
    }
    return compare(
        lambda: _plain(yours(x.clone(), CUTOFF)),
        expected,
        mistakes,
        praise="An ideal filter: exactly the waves inside the ring, each as it was. The view does the same while you drag.",
        otherwise="Go forth with fft2, multiply by 1 where √(u² + v²) <= cutoff and by 0 elsewhere, come back with ifft2.",
    )


def rings(yours: Callable[[Tensor], Tensor]) -> Verdict:
    """Exercise 2: the mean over each ring of the plane."""
    x, (h, w), longer = numbers(*GRID, seed=4), GRID, max(GRID)
    plane, (rows, columns) = torch.fft.fft2(x).abs(), _axes(GRID)
    expected = ring_means(torch.fft.rfft2(x).abs(), GRID)

    def by(radius: Tensor, values: Tensor = plane, *, mean: bool = True) -> Tensor:
        ring = radius.expand(values.shape).long().flatten()
        total = torch.zeros(int(ring.max()) + 1).double().index_add(0, ring, values.flatten())
        return total / torch.bincount(ring).clamp_min(1) if mean else total

    f = torch.hypot(rows, columns)
    half = (slice(None), slice(None, w // 2 + 1))
    mistakes = {
        "These are the sums. Further rings have more cells: divide by how many.": by((f * longer).round(), mean=False),
        "You rounded down. A cell belongs to the ring whose middle is nearest.": by(f * longer),
        "You took the plane's middle for zero frequency; here it comes first, in the corner. (Or you shifted a plane that "
        "was to stay.)": by((_from_middle(GRID, h // 2, w // 2) * longer).round()),
        "You counted the frequencies from 0 up. The second half of them is negative: fftfreq, not arange / n.": by(
            (_from_middle(GRID, 0, 0) * longer).round()
        ),
        "You took distances in cells. On an oblong grid a step down and a step across are not the same frequency: "
        "u / h and v / w.": by(torch.hypot(rows * h, columns * w).round()),
        "You counted by the shorter side. The rings are those of the longer one, k / max(h, w).": by(
            (f * min(GRID)).round()
        ),
        "You stopped at Nyquist. The corners go on to 0.71.": expected[: longer // 2 + 1],
        "Half of the plane is not enough: most of its columns stand for two.": by(
            (f * longer).round()[half], plane[half]
        ),
        "You squared first: this is the mean of the power, and amplitudes were given.": by(
            (f * longer).round(), plane.square()
        ),
        "You took the mean first and left it out: ring 0 is zero frequency itself.": expected[1:],
    }
    return compare(
        lambda: yours(plane.clone()),
        expected,
        mistakes,
        praise="One number a ring: this is the curve under every spectrum of this lab.",
        otherwise="f = √(u² + v²) for every cell, ring = f · max(h, w) to the nearest whole number, then the mean of each ring.",
    )


def gain(yours: Callable[[Tensor, tuple[int, int]], Tensor]) -> Verdict:
    """Exercise 3: the transfer function of a depthwise kernel."""
    kernel = numbers(3, 5, seed=7)
    expected = kernel_response(kernel[None, None], GRID).gain[0]
    whole = torch.fft.fft2(kernel, s=GRID)
    mistakes = {
        "The kernel has to lie on the whole grid, zeros around it: fft2(kernel, s=grid).": torch.fft.fft2(kernel).abs(),
        "This is complex: amplitude and phase. The gain is the amplitude alone: .abs().": _plain(whole),
        "This is the real part. Where the kernel lies turns the phase and changes it; the amplitude stays: .abs().": (
            whole.real
        ),
        "This is the gain in power, its square. Asked is amplitude out for amplitude in.": whole.abs().square(),
        "You shifted it: here zero frequency comes first.": torch.fft.fftshift(whole.abs()),
        "You divided by the kernel's sum. That is the gain *of* the mean, and part of what the kernel does.": (
            whole.abs() / kernel.sum().abs()
        ),
        "You divided by the largest. The gain is amplitude out for amplitude in, and may well exceed 1.": (
            whole.abs() / whole.abs().max()
        ),
        "You divided by the number of cells. fft2 of a kernel is its gain as it stands.": whole.abs() / whole.numel(),
        "With norm='ortho' the gain is too small by √(h w).": torch.fft.fft2(kernel, s=GRID, norm="ortho").abs(),
        "This is the half plane of rfft2. The other half is its mirror; give the whole of it: fft2.": torch.fft.rfft2(
            kernel, s=GRID
        ).abs(),
        "You took the weights without their sign: then every kernel is a low-pass.": torch.fft.fft2(
            kernel.abs(), s=GRID
        ).abs(),
    }
    return compare(
        lambda: _plain(yours(kernel.clone(), GRID)),
        expected,
        mistakes,
        praise="This is a plane of the view, but for its colours. At zero frequency it is |Σ weights|, as it must be.",
        otherwise="Zero-pad the kernel to the grid, transform it, take the magnitude.",
    )
