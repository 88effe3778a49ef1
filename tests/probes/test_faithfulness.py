"""Curves pixel by pixel in loops, ROAD's filling against a direct solver, rankings, intervals, and what maps lie on."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labkit.probes.bootstrap import interval
from labkit.probes.faithfulness import Curves, blur, curves
from labkit.probes.impute import imputed
from labkit.probes.inputs import Refused
from labkit.probes.localisation import confidence, in_boxes, localisation, shown
from labkit.probes.ranking import all_ranks, baselines, ranks
from labkit.probes.road import Road, road

SIZE = (9, 14)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(3)
    layers = (nn.Conv2d(3, 8, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.LazyLinear(5))
    model = nn.Sequential(*layers)
    model(torch.zeros(1, 3, *SIZE))
    with torch.no_grad():
        model[3].weight *= 4
    return model.requires_grad_(False)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def maps() -> dict[str, torch.Tensor]:
    dice = torch.Generator().manual_seed(2)
    return {"large": torch.randn(3, *SIZE, generator=dice), "small": torch.randn(3, 2, 3, generator=dice)}


def by_loops(model, image, after, order, label, pixels) -> list[float]:
    """The released code's loop: change the next pixels, ask, again."""
    picture = image.clone()
    scores = [model(picture[None]).softmax(1)[0, label].item()]
    for start in range(0, len(order), pixels):
        for place in order[start : start + pixels]:
            row, column = divmod(int(place), picture.shape[2])
            picture[:, row, column] = after[:, row, column]
        scores.append(model(picture[None]).softmax(1)[0, label].item())
    return scores


@pytest.mark.parametrize(("pixels", "batch"), [(None, 32), (40, 5), (126, 3), (1, 64)])
def test_curves_are_the_paper_s_loop(model, images, maps, pixels, batch):
    found = curves(model, images, maps, pixels=pixels, batch=batch)
    labels = model(images).argmax(1)
    smooth = blur(images)
    placed = dict(zip(maps, all_ranks(maps, images, seed=0), strict=True))
    torch.testing.assert_close(placed["large"][1].flatten().argsort(), (-maps["large"][1]).flatten().argsort())
    for name in maps:
        for i in range(3):
            order = placed[name][i].flatten().argsort()
            for way, start, end in (
                ("deletion", images[i], torch.zeros(3, *SIZE)),
                ("insertion", smooth[i], images[i]),
            ):
                expected = by_loops(model, start, end, order, labels[i], pixels or SIZE[1])
                curve = getattr(found[name], way)[i]
                torch.testing.assert_close(curve, torch.tensor(expected), atol=1e-5, rtol=1e-4)
    per_step = pixels or SIZE[1]
    expected = [min(step * per_step, 126) / 126 for step in range(-(-126 // per_step) + 1)]
    torch.testing.assert_close(found["large"].share, torch.tensor(expected))


def test_the_default_is_the_paper_s_protocol():
    class Bright(nn.Module):
        def forward(self, x):
            return torch.stack([x.mean((1, 2, 3)), torch.zeros(len(x))], dim=1)

    found = curves(
        Bright(), torch.ones(1, 3, 32, 48), {"flat": torch.zeros(1, 32, 48)}, targets=lambda logits: logits[:, 0]
    )
    flat = found["flat"]
    assert flat.share.shape == (33,)
    # By hand: a picture of ones goes to zero in a straight line, and its blur is the picture itself.
    torch.testing.assert_close(flat.deletion[0], 1 - flat.share)
    torch.testing.assert_close(flat.insertion[0], torch.ones(33))
    assert flat.deletion_area.item() == pytest.approx(0.5)
    assert flat.insertion_area.item() == pytest.approx(1)


def test_areas_are_the_released_formula_and_numpys():
    curve = torch.tensor([[0.9, 0.5, 0.3, 0.1]])
    found = Curves(torch.linspace(0, 1, 4), curve, curve.flip(1))
    # (sum - first / 2 - last / 2) / (n - 1)
    assert found.deletion_area.item() == pytest.approx((1.8 - 0.45 - 0.05) / 3)
    uneven = Curves(torch.tensor([0, 0.4, 0.8, 1.0]), curve, curve)
    assert uneven.insertion_area.item() == pytest.approx(np.trapezoid(curve[0].numpy(), [0, 0.4, 0.8, 1.0]))


def test_the_blur_is_torchvisions(images):
    from torchvision.transforms.functional import gaussian_blur

    torch.testing.assert_close(blur(images), gaussian_blur(images, [11, 11], [5.0, 5.0]), atol=1e-5, rtol=1e-4)
    with pytest.raises(Refused, match="too small for a blur of 11 x 11"):
        blur(images[:, :, :5])


def test_ranks_and_ties():
    map = torch.tensor([[[0.1, 0.9, 0.5], [0.5, 0.5, -1.0]]])
    places = [ranks(map, seed=seed)[0] for seed in range(200)]
    for one in places:
        assert one[0, 1] == 0
        assert one[0, 0] == 4
        assert one[1, 2] == 5
        assert sorted([one[0, 2].item(), one[1, 0].item(), one[1, 1].item()]) == [1, 2, 3]
    # Equal values: each comes first about as often.
    first = torch.stack(places).float()[:, [0, 1, 1], [2, 0, 1]].eq(1).float().mean(0)
    assert (first - 1 / 3).abs().max() < 0.12
    assert torch.equal(ranks(map, seed=4), ranks(map, seed=4))
    constant = ranks(torch.zeros(2, *SIZE))
    assert torch.equal(constant[0], constant[1])
    assert not torch.equal(constant[0].flatten(), torch.arange(126))
    assert sorted(constant[0].flatten().tolist()) == list(range(126))


def sparse_filling(image: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """The linear system of the paper, written down entry by entry and solved by scipy, `c h w` in float64."""
    from scipy.sparse import lil_matrix
    from scipy.sparse.linalg import spsolve

    h, w = removed.shape
    places = {place: i for i, place in enumerate(zip(*np.nonzero(removed), strict=True))}
    system, right = lil_matrix((len(places), len(places))), np.zeros((len(places), len(image)))
    for (row, column), i in places.items():
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                there = (row + down, column + across)
                if (down, across) == (0, 0) or not (0 <= there[0] < h and 0 <= there[1] < w):
                    continue
                weight = 1 / 6 if 0 in (down, across) else 1 / 12
                system[i, i] += weight
                if there in places:
                    system[i, places[there]] -= weight
                else:
                    right[i] += weight * image[:, there[0], there[1]]
    filled = image.astype(np.float64).copy()
    filled[:, removed] = spsolve(system.tocsc(), right).reshape(len(places), -1).T
    return filled


@pytest.mark.parametrize("size", [(33, 47), (9, 14), (40, 8)])
def test_filling_is_the_direct_solution(size):
    dice = torch.Generator().manual_seed(5)
    images = F.interpolate(torch.randn(4, 3, 6, 6, generator=dice), size=size, mode="bicubic")
    heat = F.interpolate(torch.rand(4, 1, 4, 4, generator=dice), size=size, mode="bilinear")[:, 0]
    heat[3] = torch.rand(size, generator=dice)  # scattered
    removed = torch.stack(
        [one >= one.flatten().quantile(1 - share) for one, share in zip(heat, (0.1, 0.5, 0.9, 0.6), strict=False)]
    )
    found = imputed(images, removed, noise=0)
    for image, gone, filled in zip(images, removed, found, strict=True):
        np.testing.assert_allclose(filled.numpy(), sparse_filling(image.numpy(), gone.numpy()), atol=1e-3)
    assert torch.equal(found[~removed[:, None].expand(-1, 3, -1, -1)], images[~removed[:, None].expand(-1, 3, -1, -1)])


def test_filling_at_the_limits():
    ramp = torch.arange(15.0).view(1, 1, 1, 15).expand(2, 3, 11, 15).contiguous()
    middle = torch.zeros(2, 11, 15, dtype=torch.bool)
    middle[0, 3:7, 4:11] = True  # nothing is removed from the second
    torch.testing.assert_close(imputed(ramp, middle, noise=0), ramp, atol=1e-3, rtol=0)  # a plane fills itself
    almost = torch.ones(2, 11, 15, dtype=torch.bool)
    almost[:, 5, 7] = False
    torch.testing.assert_close(imputed(ramp, almost, noise=0), torch.full_like(ramp, 7), atol=0.02, rtol=0)
    noisy = imputed(torch.zeros(2, 3, 40, 40), torch.rand(2, 40, 40) < 0.8, noise=0.5, seed=1)
    assert noisy[noisy != 0].std().item() == pytest.approx(0.5, abs=0.02)
    both = (noisy[0] != 0) & (noisy[1] != 0)
    assert torch.equal(noisy[0][both], noisy[1][both])


def test_road_is_a_loop_over_images_and_shares(model, images, maps):
    found = road(model, images, maps, shares=(0.25, 0.6), noise=0.02, seed=4, batch=5)
    labels = model(images).argmax(1)
    orders = all_ranks(maps, images, seed=4)
    for m, name in enumerate(maps):
        for i in range(3):
            for t, count in enumerate((round(0.25 * 126), round(0.6 * 126))):
                for gone, curve in (
                    (orders[m, i] < count, found[name].most_first),
                    (orders[m, i] >= 126 - count, found[name].least_first),
                ):
                    assert gone.sum() == count
                    filled = imputed(images[i : i + 1], gone[None], noise=0.02, seed=4)
                    expected = model(filled).softmax(1)[0, labels[i]]
                    torch.testing.assert_close(curve[i, t], expected, atol=1e-5, rtol=1e-4)
    both = Road(torch.tensor([0.5, 0.9]), torch.tensor([[0.2, 0.0]]), torch.tensor([[0.8, 0.6]]))
    assert both.combined.item() == pytest.approx(0.3)


def test_road_agrees_with_pytorch_grad_cam(model, images):
    from pytorch_grad_cam.metrics.road import ROADCombined
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget

    heat = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(8))
    ours = road(model, images, {"map": heat}, targets=2, shares=(0.2, 0.5, 0.8), noise=0.0)["map"].combined
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs hands torch tensors to numpy
        targets = [ClassifierOutputSoftmaxTarget(2)] * 3
        theirs = ROADCombined(percentiles=[20, 50, 80])(images, heat.numpy(), targets, model)
    np.testing.assert_allclose(ours.numpy(), theirs, atol=0.02)


def test_pointing_and_energy_by_hand():
    masks = in_boxes(torch.tensor([[0, 1, 1, 2]] * 4), (3, 4))
    assert masks[0].sum() == 4
    heat = torch.tensor([[0.0, 2, 1, 0], [0, 1, 0, 4], [0, 0, 0, 0]])
    signed = torch.tensor([[-9.0, 2, 2, 0], [0, 0, 0, 0], [0, 0, 2, 2]])
    found = localisation(torch.stack([heat, signed, torch.full((3, 4), 0.7), torch.full((3, 4), -1.0)]), masks)
    # Four pixels of `signed` are highest, two of them inside; a constant map is as good as chance in both.
    torch.testing.assert_close(found.pointing, torch.tensor([0, 0.5, 1 / 3, 1 / 3]))
    torch.testing.assert_close(found.energy, torch.tensor([4 / 8, 4 / 8, 1 / 3, 1 / 3]))
    torch.testing.assert_close(found.area, torch.full((4,), 1 / 3))


def test_a_perfect_map_of_a_scene_scores_one():
    from labkit.data.scenes import scene

    one = scene(3, size=(40, 56))
    found = localisation(one.mask[None].float(), one.mask[None])
    assert found.pointing.item() == found.energy.item() == 1
    top, left, bottom, right = one.target.box
    assert in_boxes(torch.tensor([[top, left, bottom, right]]), (40, 56))[0][one.mask].all()


def test_drop_and_increase_by_hand():
    class Left(nn.Module):
        """p(class 0) is the mean of the left half."""

        def forward(self, x):
            p = x[:, 0, :, : SIZE[1] // 2].mean((1, 2))
            return torch.stack([p, 1 - p], dim=1).log()

    images = torch.full((2, 3, *SIZE), 0.8)
    images[1] = 0.4
    half = torch.zeros(2, *SIZE)
    half[:, :, SIZE[1] // 2 :] = 3  # shows the right half alone: nothing is left for class 0
    found = confidence(Left(), images, {"right": half, "left": 3 - half, "flat": torch.ones(2, *SIZE)}, targets=0)
    torch.testing.assert_close(found["right"].drop, torch.ones(2))
    torch.testing.assert_close(found["left"].drop, torch.zeros(2))
    torch.testing.assert_close(found["flat"].drop, torch.ones(2))  # a constant map shows nothing
    # Class 1 gains from hiding the left half: 0.2 -> 1.
    assert confidence(Left(), images, {"right": half}, targets=1)["right"].increase.tolist() == [1, 1]
    with pytest.raises(Refused, match="shares of a class's probability"):
        confidence(Left(), images, {"right": half}, targets=lambda logits: logits[:, 0])
    assert shown(half - 2, SIZE).unique().tolist() == [0, 1]


def test_intervals_are_scipys_and_pairs_are_narrow():
    from scipy.stats import bootstrap

    values = torch.rand(40, generator=torch.Generator().manual_seed(0))
    ours = interval(values)
    theirs = bootstrap((values.numpy(),), np.mean, method="percentile", rng=0, n_resamples=4000).confidence_interval
    assert ours.mean == pytest.approx(values.mean().item())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    harder = values - 0.1 + 0.01 * torch.randn(40)
    paired = interval(values, harder)
    assert paired.mean == pytest.approx(0.1, abs=0.01)
    assert paired.above_zero
    assert paired.high - paired.low < 0.1 * (ours.high - ours.low)
    assert interval(values) == ours
    one = interval(values[:1])
    assert (one.low, one.high, one.above_zero) == (None, None, False)
    same = interval(torch.full((5,), 0.25))
    assert (same.low, same.high) == (0.25, 0.25)
    with pytest.raises(Refused, match="the same images for both"):
        interval(values, values[:3])


def test_a_map_that_knows_beats_random_and_centre():
    # Class 0 sees a small square in a corner: insertion rises early, deletion falls early for the map that marks it.
    class Square(nn.Module):
        def forward(self, x):
            value = 6 * x[:, 0, 1:6, 1:6].mean((1, 2)) - 3
            return torch.stack([value, -value], dim=1)

    images = torch.ones(6, 3, 24, 36)
    truth = torch.zeros(6, 24, 36)
    truth[:, 1:6, 1:6] = 1
    maps = {"truth": truth, **baselines(images)}
    found = curves(Square(), images, maps, pixels=48)
    for other in ("random", "centre"):
        assert interval(found[other].deletion_area, found["truth"].deletion_area).above_zero
    filled = road(Square(), images + 0.3 * torch.randn(images.shape), maps, shares=(0.1, 0.5))
    assert filled["truth"].combined.shape == (6,)


def test_baselines():
    found = baselines(torch.zeros(2, 3, 5, 9), seed=1)
    assert found["centre"][0].argmax() == 2 * 9 + 4
    assert found["centre"][0, 2, 4] == 1
    torch.testing.assert_close(found["centre"][0], found["centre"][0].flip(0).flip(1))
    assert not torch.equal(found["random"][0], found["random"][1])
    assert torch.equal(found["random"], baselines(torch.zeros(2, 3, 5, 9), seed=1)["random"])


def test_constant_maps_make_no_nan_and_no_trace_is_left(model, images):
    model.train()
    maps = {"constant": torch.zeros(3, *SIZE), "one": torch.zeros(3, 1, 1)}
    state, copy, copies = torch.get_rng_state(), images.clone(), {name: one.clone() for name, one in maps.items()}
    numpy_state = np.random.get_state()[1].copy()
    with torch.inference_mode():
        inside = curves(model, images, maps)
    outside, filled, left = curves(model, images, maps), road(model, images, maps), confidence(model, images, maps)
    torch.testing.assert_close(inside["one"].deletion.clone(), outside["one"].deletion)
    torch.testing.assert_close(outside["constant"].deletion, outside["one"].deletion)
    for one in (*outside.values(), *filled.values(), *left.values()):
        assert all(torch.isfinite(value).all() for value in vars(one).values())
    assert torch.equal(state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()
    assert torch.equal(copy, images)
    assert all(torch.equal(copies[name], maps[name]) for name in maps)
    assert model.training
    assert not any(part._forward_hooks for part in model.modules())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: curves(m, x, {}), "maps is empty"),
        (
            lambda m, x: curves(m, x, {"cam": torch.zeros(2, 4, 4)}),
            r"maps\['cam'\] has shape \(2, 4, 4\): expected `b h w`",
        ),
        (lambda m, x: curves(m, x, {"cam": torch.full((3, 4, 4), torch.nan)}), "holds NaN or infinity"),
        (lambda m, x: curves(m, x, {"cam": torch.zeros(3, 4, 4)}, pixels=0), "expected 1 to all 126 pixels"),
        (lambda m, x: road(m, x, {"cam": torch.zeros(3, 4, 4)}, shares=(0.5, 1.0)), "shares above 0 and below 1"),
        (
            lambda m, x: localisation(torch.zeros(3, 4, 4), torch.ones(3, *SIZE, dtype=torch.bool)),
            "marks all of the pixels",
        ),
        (
            lambda m, x: localisation(torch.zeros(2, 4, 4), torch.eye(9).expand(3, -1, -1) > 0),
            r"mask of shape \(2, 9, 9\)",
        ),
    ],
)
def test_bad_input_is_explained(model, images, call, message):
    with pytest.raises(Refused, match=message):
        call(model, images)
