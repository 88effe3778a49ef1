"""RISE against its formula mask by mask, the spread over seeds, and the way in which the released code makes masks."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from labkit.probes.inputs import Refused
from labkit.probes.question import Question
from labkit.probes.rise import Rise, rise
from labkit.probes.rise_masks import Masks

SIZE = (13, 21)


def linear(size: tuple[int, int] = SIZE, classes: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * size[0] * size[1], classes), nn.Dropout(0.5)).train()


def images(b: int = 2, size: tuple[int, int] = SIZE) -> torch.Tensor:
    return torch.rand(b, 3, *size, generator=torch.Generator().manual_seed(7))


def last(model: nn.Module, pictures: torch.Tensor, **options: object) -> Rise:
    *_, state = rise(model, pictures, **options)
    return state


def terms(model: nn.Module, pictures: torch.Tensor, n: int, **options: object) -> torch.Tensor:
    """score · mask / p for every mask, `b n classes h w`, in float64: the summands of the paper's equation 6."""
    masks = Masks(tuple(pictures.shape[-2:]), **options)
    painted = masks.paint(*masks.draw(n))
    with torch.no_grad():
        scores = torch.stack([model.eval()(one * painted[:, None]).softmax(1) for one in pictures])
    return torch.einsum("bnk,nhw->bnkhw", scores.double(), painted.double()) / masks.keep


@pytest.mark.parametrize(("grid", "keep"), [(3, 0.5), (8, 0.3), (1, 0.5)])
def test_map_and_error_of_every_class_are_the_sums_mask_by_mask(grid, keep):
    model, pictures = linear(), images()
    state = last(model, pictures, masks=150, targets="all", seed=3, grid=grid, keep=keep)
    expected = terms(model, pictures, 150, seed=3, grid=grid, keep=keep)
    for label in range(4):
        one = expected[:, :, label]
        torch.testing.assert_close(state.map(label).double(), one.mean(1), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(state.error(label).double(), one.std(1) / 150**0.5, atol=1e-6, rtol=1e-4)


def by_the_released_code(cells: np.ndarray, shift: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """One mask as eclique/RISE makes it: enlarge the grid to one cell more than the picture, cut out at the shift.

    There the mode is "reflect", which darkens the outer half cell, so that masks no longer keep p of it; the paper says
    bilinear, and so do we.
    """
    from skimage.transform import resize

    grid = len(cells)
    cell = [int(np.ceil(side / grid)) for side in size]
    large = resize(cells.astype(float), [(grid + 1) * side for side in cell], order=1, mode="edge", anti_aliasing=False)
    return large[shift[0] : shift[0] + size[0], shift[1] : shift[1] + size[1]]


def test_masks_are_those_of_the_released_code():
    masks = Masks((32, 45), seed=1)
    cells, shifts = masks.draw(6)
    assert shifts.max(0).values[0] < 4
    assert shifts.max(0).values[1] < 6
    for mask, cell, shift in zip(masks.paint(cells, shifts), cells, shifts, strict=True):
        expected = by_the_released_code(cell.numpy(), tuple(shift.tolist()), (32, 45))
        np.testing.assert_allclose(mask.numpy(), expected, atol=1e-5)


def test_masks_keep_what_they_should_and_every_shift_comes():
    masks = Masks((24, 40), keep=0.3, seed=0)
    cells, shifts = masks.draw(4000)
    painted = masks.paint(cells, shifts)
    assert painted.min() >= 0
    assert painted.max() <= 1
    assert (painted.mean(0) - 0.3).abs().max() < 0.05  # at every pixel, edges too
    assert set(shifts[:, 0].tolist()) == set(range(3))
    assert set(shifts[:, 1].tolist()) == set(range(5))


class Corner(nn.Module):
    """One pixel decides."""

    def forward(self, x):
        return x[:, 0, 0, 0]


def test_by_hand():
    state = last(Corner(), torch.ones(1, 3, 16, 16), masks=3000, targets=lambda score: score, grid=4)
    # Mean of the corner's own value m: E[m²] / p. Far away m is independent of it: E[m] E[m'] / p = 1/2.
    masks = Masks((16, 16), grid=4, seed=9)
    corner = masks.paint(*masks.draw(3000))[:, 0, 0]
    assert state.map()[0, 0, 0].item() == pytest.approx(((corner**2).mean() / 0.5).item(), abs=0.03)
    assert state.map()[0, -1, -1].item() == pytest.approx(0.5, abs=0.03)
    assert state.map()[0].argmax() == 0


def test_the_standard_error_is_the_spread_over_seeds():
    model, pictures = linear(), 4 * images(1)
    runs = [last(model, pictures, masks=100, targets=1, seed=seed, grid=4) for seed in range(120)]
    spread = torch.stack([run.map() for run in runs]).std(0)
    predicted = torch.stack([run.error() for run in runs]).mean(0)
    ratio = spread / predicted
    assert ratio.mean().item() == pytest.approx(1, abs=0.06)
    assert ratio.min() > 0.8
    assert ratio.max() < 1.2


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_the_answer_does_not_depend_on_the_chunk(batch):
    model, pictures = linear(), images()
    one, other = (last(model, pictures, masks=90, seed=5, batch=size) for size in (32, batch))
    torch.testing.assert_close(one.map(), other.map())
    torch.testing.assert_close(one.error(), other.error())
    assert not torch.allclose(one.map(), last(model, pictures, masks=90, seed=6).map(), rtol=1e-3)


def test_a_stream_goes_on_where_it_was_saved(tmp_path):
    from safetensors.torch import load_file, save_file

    model, pictures = linear(), images()
    for targets in (None, "all", torch.tensor([[0, 2], [3, 1]]), lambda logits: logits[:, 0] - logits[:, 1]):
        half = last(model, pictures, masks=40, targets=targets, seed=2)
        save_file(half.tensors(), tmp_path / "half")
        again = Rise.resumed(load_file(tmp_path / "half"))
        counts = [state.n for state in rise(model, pictures, masks=100, targets=targets, state=again, every=25)]
        assert counts == [65, 90, 100]
        whole = last(model, pictures, masks=100, targets=targets, seed=2)
        torch.testing.assert_close(again.map(), whole.map())
        torch.testing.assert_close(again.error(), whole.error())
        assert half.n == 40
        kept = half.tensors()
        copy = {name: value.clone() for name, value in kept.items()}
        half.step(Question(model, pictures, targets), pictures, 10)
        assert all(torch.equal(kept[name], copy[name]) for name in copy)  # what was saved is not filled further


def test_partial_results_progress_and_the_early_stop():
    model, pictures, told = Corner(), images(1), []
    states = [
        (state.n, state.noise().item())
        for state in rise(
            model,
            pictures,
            masks=2000,
            every=50,
            precision=0.06,
            targets=lambda score: score,
            progress=lambda *now: told.append(now),
            batch=20,
            grid=3,
        )
    ]
    assert [n for n, _ in states[:-1]] == [50 * turn for turn in range(1, len(states))]
    assert 1 < len(states) < 40
    assert states[-1][1] <= 0.06 < min(noise for _, noise in states[:-1])
    assert told[:4] == [(20, 2000), (40, 2000), (50, 2000), (70, 2000)]


def test_images_and_classes_share_the_masks_but_nothing_else():
    model, pictures = linear(), images(3)
    together = last(model, pictures, masks=50, targets=torch.tensor([[1, 2], [0, 2], [2, 0]]))
    alone = last(model, pictures[1:2], masks=50, targets=[2])
    torch.testing.assert_close(together.map(2)[1:2], alone.map())
    torch.testing.assert_close(together.map()[1:2], last(model, pictures[1:2], masks=50, targets=0).map())


def test_what_is_watched():
    model, pictures = linear(), images()
    top = model.eval()(pictures).argmax(1)
    for targets in (None, "all"):
        state = last(model, pictures, masks=30, targets=targets)
        answer = state.saliency()
        assert answer.method == "RISE"
        assert "Mean of 30 masks" in answer.note
        torch.testing.assert_close(answer.targets, top)
        torch.testing.assert_close(answer.raw, last(model, pictures, masks=30, targets=top.tolist()).map())


def test_a_constant_map_and_the_first_mask_make_no_nan():
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    nn.init.zeros_(model[2].weight)
    first = next(rise(model, images(1), masks=1))
    assert first.n == 1
    assert first.error().isinf().all()
    assert first.noise().isinf().all()
    state = last(model, torch.zeros(1, 3, 9, 9), masks=500, precision=1e-9)
    assert state.n == 500
    assert torch.isfinite(state.map()).all()
    assert torch.isfinite(state.error()).all()


def test_it_leaves_no_trace_also_when_it_is_left_in_the_middle():
    model, pictures = linear().requires_grad_(False), images()
    before, numpy_state, copy = torch.get_rng_state(), np.random.get_state()[1].copy(), pictures.clone()
    stream = rise(model, pictures, masks=100, every=10)
    next(stream)
    assert model.training
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    stream.close()
    with torch.inference_mode():
        inside = last(model, pictures, masks=20).map()
    torch.testing.assert_close(inside.clone(), last(model, pictures, masks=20).map())
    assert torch.equal(before, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()
    assert torch.equal(copy, pictures)
    assert not model[1]._forward_hooks

    class Broken(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls > 2:
                raise RuntimeError("the third pass")
            return x.mean((2, 3))

    broken = Broken().train()
    with pytest.raises(RuntimeError, match="third"):
        last(broken, pictures, masks=100)
    assert broken.training
    assert torch.is_grad_enabled()


def test_half_precision_is_summed_in_single():
    model, pictures = linear().to(torch.bfloat16), images().to(torch.bfloat16)
    state = last(model, pictures, masks=100)
    assert state.map().dtype == torch.float32
    torch.testing.assert_close(state.map(), last(linear(), images(), masks=100).map(), atol=0.02, rtol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 1.0}, "expected keep between 0 and 1"),
        ({"masks": 0}, "whole numbers of at least 1"),
        ({"targets": 9}, r"expected classes in 0\.\.3"),
        ({"targets": torch.zeros(5, 2, dtype=torch.int64)}, r"targets of shape \(5, 2\) for 2 images"),
    ],
)
def test_bad_input_is_refused_before_the_first_step(options, message):
    with pytest.raises(Refused, match=message):
        rise(linear(), images(), **options)


def test_a_word_that_is_no_target_is_explained():
    # The sentence is for people who run without type checks: call the function under the checker's wrapping.
    from labkit.probes import question

    check = getattr(question._chosen, "__wrapped__", question._chosen)
    with pytest.raises(Refused, match="targets='cat': expected a class's number"):
        check(torch.zeros(1, 2), "cat")


def test_a_state_of_other_images_and_a_class_that_was_not_kept_are_refused():
    state = last(linear(), images(), masks=5, targets=1)
    with pytest.raises(Refused, match=r"the state is of 2 images of \(13, 21\) pixels, these are 1"):
        rise(linear(), images(1), state=state)
    with pytest.raises(Refused, match="class 3 was not kept for every image"):
        state.map(3)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_masks():
    code = """
        import torch
        from labkit.probes.rise import rise

        def peak():
            return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

        torch.set_num_threads(1)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5, 4), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        image = torch.rand(1, 3, 224, 224)

        def run(masks):
            *_, state = rise(model, image, masks=masks, targets="all")
            state.map(), state.error(), state.noise()
            return peak()

        print(run(200), run(200), run(2000))
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    # Pages of the table of sums count from when they are first written to: 0 to 16 MB; 1800 masks would be 360 MB.
    _, few, many = map(int, run.stdout.split())
    assert many - few < 60_000, f"the peak went from {few} to {many} kB"
