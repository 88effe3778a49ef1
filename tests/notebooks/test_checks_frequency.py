"""The check cells of lesson 4: the solution passes, and every usual mistake is told by its name."""

from __future__ import annotations

import pytest
import torch
from torch.fft import fft2, fftfreq, fftshift, ifft2, ifftshift, rfft2

from notebooks.checks import frequency as checks
from notebooks.solutions import exercises_04 as solutions


@pytest.mark.parametrize("exercise", ["lowpass", "rings", "gain"])
def test_the_solution_is_right(exercise):
    verdict = getattr(checks, exercise)(getattr(solutions, exercise))
    assert verdict.right, verdict.text
    assert verdict.text
    assert "replace the … by your lines" in getattr(checks, exercise)(lambda *_: None).text


def test_a_shift_there_and_back_is_as_good():
    def shifted(x, cutoff):
        middle = centred(x.shape, lambda n: n // 2)
        return ifft2(ifftshift(fftshift(fft2(x)) * (middle <= cutoff))).real

    assert checks.lowpass(shifted).right


def radius(shape):
    return torch.hypot(fftfreq(shape[0])[:, None], fftfreq(shape[1])[None])


def centred(shape, zero):
    rows, columns = ((torch.arange(n) - zero(n)) / n for n in shape)
    return torch.hypot(rows[:, None], columns[None])


def masked(mask):
    return lambda x, cutoff: ifft2(fft2(x) * mask(x.shape, cutoff)).real


def square(shape, cutoff):
    return (fftfreq(shape[0]).abs()[:, None] <= cutoff) & (fftfreq(shape[1]).abs()[None] <= cutoff)


def by_one_side(which):
    def mask(shape, cutoff):
        u, v = (fftfreq(n, d=1 / n) for n in shape)
        return torch.hypot(u[:, None], v[None]) / shape[which] <= cutoff

    return masked(mask)


def ring_mean(distance, values=lambda p: p, mean=True):
    def rings(plane):
        ring = distance(plane).long().flatten()
        total = torch.zeros(int(ring.max()) + 1, dtype=plane.dtype).index_add(0, ring, values(plane).flatten())
        return total / torch.bincount(ring).clamp_min(1) if mean else total

    return rings


def in_rings(plane):
    return (radius(plane.shape) * max(plane.shape)).round()


def half(plane):
    columns = plane.shape[1] // 2 + 1
    rows = fftfreq(plane.shape[0])[:, None]
    f = torch.hypot(rows, torch.arange(columns)[None] / plane.shape[1])
    ring = (f * max(plane.shape)).round().long().flatten()
    total = torch.zeros(int(ring.max()) + 1, dtype=plane.dtype).index_add(0, ring, plane[:, :columns].flatten())
    return total / torch.bincount(ring)


def cells(plane):
    u, v = (fftfreq(n, d=1 / n) for n in plane.shape)
    return torch.hypot(u[:, None], v[None]).round()


MISTAKES = [
    ("lowpass", masked(lambda s, c: fftshift(radius(s) <= c)), "fft2 begins with it"),
    ("lowpass", lambda x, c: ifft2(fftshift(fft2(x)) * fftshift(radius(x.shape) <= c)).real, "did not shift it back"),
    ("lowpass", lambda x, c: ifft2(fftshift(fft2(x)) * fftshift(radius(x.shape) <= c)).abs(), "only hides it"),
    (
        "lowpass",
        lambda x, c: ifft2(fftshift(fftshift(fft2(x)) * fftshift(radius(x.shape) <= c))).real,
        "does not undo itself",
    ),
    ("lowpass", masked(lambda s, c: ifftshift(centred(s, lambda n: n / 2) <= c)), "half a cell beside"),
    ("lowpass", masked(lambda s, c: ifftshift(centred(s, lambda n: (n - 1) / 2) <= c)), "(h - 1) / 2"),
    ("lowpass", masked(lambda s, c: centred(s, lambda n: 0) <= c), "not arange"),
    ("lowpass", lambda x, c: ifft2(fft2(x) * (radius(x.shape) <= c)), "take .real"),
    ("lowpass", lambda x, c: solutions.lowpass(x, c).abs(), "dark parts"),
    ("lowpass", masked(square), "a disc"),
    ("lowpass", lambda x, c: solutions.lowpass(x, c / 2), "shares of Nyquist"),
    ("lowpass", lambda x, c: solutions.lowpass(x, 2 * c), "twice the cutoff"),
    ("lowpass", by_one_side(0), "by the height"),
    ("lowpass", by_one_side(1), "by the width"),
    ("lowpass", masked(lambda s, c: radius(s) > c), "Turn the comparison"),
    ("lowpass", masked(lambda s, c: (radius(s) <= c) & (radius(s) > 0)), "The mean is lost"),
    ("lowpass", lambda x, c: fft2(fft2(x) * (radius(x.shape) <= c)).real, "forth twice"),
    ("lowpass", lambda x, c: x, "Go forth with fft2"),
    ("lowpass", lambda x, c: fft2(x), "Expected the shape (15, 22), got (15, 22, 2)"),
    ("rings", ring_mean(in_rings, mean=False), "how many"),
    ("rings", ring_mean(lambda p: (radius(p.shape) * max(p.shape)).floor()), "rounded down"),
    ("rings", ring_mean(lambda p: (centred(p.shape, lambda n: n // 2) * max(p.shape)).round()), "in the corner"),
    ("rings", ring_mean(lambda p: (centred(p.shape, lambda n: 0) * max(p.shape)).round()), "not arange"),
    ("rings", ring_mean(cells), "oblong"),
    ("rings", ring_mean(lambda p: (radius(p.shape) * min(p.shape)).round()), "shorter side"),
    ("rings", lambda p: solutions.rings(p)[: max(p.shape) // 2 + 1], "stopped at Nyquist"),
    ("rings", half, "stand for two"),
    ("rings", ring_mean(in_rings, values=torch.square), "squared first"),
    ("rings", lambda p: solutions.rings(p)[1:], "ring 0"),
    ("rings", lambda p: 2 * solutions.rings(p), "then the mean of each ring"),
    ("gain", lambda k, grid: fft2(k).abs(), "zeros around it"),
    ("gain", lambda k, grid: fft2(k, s=grid), "amplitude alone"),
    ("gain", lambda k, grid: fft2(k, s=grid).real, "the real part"),
    ("gain", lambda k, grid: fft2(k, s=grid).abs() ** 2, "in power"),
    ("gain", lambda k, grid: fftshift(fft2(k, s=grid).abs()), "zero frequency comes first"),
    ("gain", lambda k, grid: fft2(k, s=grid).abs() / k.sum().abs(), "the kernel's sum"),
    ("gain", lambda k, grid: solutions.gain(k, grid) / solutions.gain(k, grid).max(), "by the largest"),
    ("gain", lambda k, grid: fft2(k, s=grid).abs() / 126, "number of cells"),
    ("gain", lambda k, grid: fft2(k, s=grid, norm="ortho").abs(), "ortho"),
    ("gain", lambda k, grid: rfft2(k, s=grid).abs(), "half plane"),
    ("gain", lambda k, grid: fft2(k.abs(), s=grid).abs(), "without their sign"),
    ("gain", lambda k, grid: torch.ones(grid), "Zero-pad"),
]


@pytest.mark.parametrize(("exercise", "mistake", "told"), MISTAKES, ids=[told for *_, told in MISTAKES])
def test_a_usual_mistake_is_told_by_its_name(exercise, mistake, told):
    verdict = getattr(checks, exercise)(mistake)
    assert not verdict.right
    assert told in verdict.text
