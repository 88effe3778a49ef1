"""Adversarial learning of a linear model in closed form, ranks and shares by hand, and the table method by method."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import pearsonr, rankdata
from torch import Tensor, nn

from labkit.experiments import _explained as explained
from labkit.experiments import robust_explain as lesson
from labkit.experiments._explained import Explained, table
from labkit.experiments._objects import Objects
from labkit.methods.objectives.robust_explain import Robust, per_confidence, ranked, robust_explain, tiny
from labkit.probes.attribution import Gradient, attribute
from labkit.probes.bootstrap import Interval
from labkit.probes.faithfulness import curves
from labkit.probes.localisation import localisation
from labkit.probes.rise import rise
from labkit.probes.saliency import Saliency
from labkit.training.recipes import RECIPES
from labkit.viz import experiments as draw


class Linear(nn.Module):
    """Two classes, told by one weight a pixel and colour."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.head = nn.Linear(pixels, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Learning from attacked pictures


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("radius", [0.0, 0.07])
def test_the_loss_of_a_linear_model_is_that_of_a_smaller_margin(radius, steps):
    torch.manual_seed(1)
    std, labels = (0.5, 0.25, 2.0), torch.tensor([0, 1, 1])
    model, x = Linear(3 * 4 * 5).double(), torch.randn(3, 3, 4, 5, dtype=torch.float64)
    found = Robust(model, radius=radius, steps=steps, std=std).loss(x, labels, rng=generator())
    apart = (model.head.weight[1] - model.head.weight[0]).view(3, 4, 5)
    losses = []
    for picture, label in zip(x, labels.tolist(), strict=True):
        sign = 1 if label else -1
        margin = sign * ((apart * picture).sum() + model.head.bias[1] - model.head.bias[0])
        # Each pixel moves by radius / std against its weight: the margin falls by the weights' magnitudes.
        lost = sum(radius / std[c] * apart[c].abs().sum() for c in range(3))
        losses.append(math.log1p(math.exp(-(margin - lost).item())))
    # (The attacked pictures' loss is taken in single precision.)
    assert found.item() == pytest.approx(sum(losses) / 3, rel=1e-6)


def test_the_worst_pictures_lie_in_the_box_and_leave_no_trace():
    torch.manual_seed(2)
    model, x = tiny()
    model.std, model.radius = (0.5, 0.25, 2.0), 0.02
    model.eval()
    labels = torch.tensor([1, 4])
    dice = torch.get_rng_state()
    worst = model.worst(x, labels, rng=generator(3))
    assert torch.equal(torch.get_rng_state(), dice)
    assert torch.equal(worst, model.worst(x, labels, rng=generator(3)))
    assert not torch.equal(worst, model.worst(x, labels, rng=generator(4))), "the start is thrown"
    moved = (worst - x).abs().amax(dim=(0, 2, 3)) * torch.tensor(model.std)
    torch.testing.assert_close(moved, torch.full((3,), 0.02), rtol=1e-4, atol=1e-6)
    assert F.cross_entropy(model(worst), labels) > F.cross_entropy(model(x), labels)
    assert all(weight.grad is None for weight in model.parameters())
    assert not worst.requires_grad


@pytest.mark.parametrize("std", [(0.2, 0.2), (0.2, 0.0, 0.2)])
def test_a_wrong_scale_is_refused(std):
    with pytest.raises(ValueError, match="three numbers above 0, one a colour"):
        Robust(nn.Identity(), std=std)


def test_it_is_the_cnn_of_the_three_trainings():
    with torch.device("meta"):
        ours = robust_explain(classes=50)
        theirs = [RECIPES[f"cnn-{name}"].build(50) for name in lesson.TRAININGS]
    shapes = {name: weight.shape for name, weight in ours.model.state_dict().items()}
    assert all({name: weight.shape for name, weight in one.state_dict().items()} == shapes for one in theirs)
    assert (ours.radius, ours.steps) == (RECIPES["cnn-robust"].attack, RECIPES["cnn-robust"].attack_steps)


# The measures


def test_half_as_sure_has_half_of_the_area_and_the_same_share():
    areas, confidence = torch.tensor([0.4, 0.3, 0.6]), torch.tensor([0.8, 0.3, 0.5])
    torch.testing.assert_close(per_confidence(areas, confidence), torch.tensor([0.5, 1.0, 1.2]))
    torch.testing.assert_close(per_confidence(areas / 2, confidence / 2), per_confidence(areas, confidence))
    for bad in (0.0, 1.1):
        with pytest.raises(ValueError, match=f"above 0, at most 1, got {bad if bad < 1 else 0.3:.3g} to"):
            per_confidence(areas, torch.tensor([0.8, 0.3, bad]))


def test_places_by_hand_and_by_scipy():
    torch.testing.assert_close(ranked(torch.tensor([0.1, 0.9, 0.5])), torch.tensor([3.0, 1.0, 2.0]))
    torch.testing.assert_close(ranked(torch.tensor([0.0, 1.0, 1.0, 0.0])), torch.tensor([3.5, 1.5, 1.5, 3.5]))
    torch.testing.assert_close(ranked(torch.zeros(2, 5)), torch.full((2, 5), 3.0))
    scores = torch.randint(0, 4, (3, 7, 6), generator=generator())
    expected = rankdata(-scores.numpy(), axis=-1)
    np.testing.assert_allclose(ranked(scores.float()).numpy(), expected)


def scored() -> Explained:
    """Three methods on two pictures, the number of each a plain one."""
    numbers = {
        "energy": ([0.5, 0.1], [0.4, 0.2], [0.3, 0.3]),
        "pointing": ([1.0, 0.0], [0.0, 0.0], [0.0, 1.0]),
        "insertion": ([0.6, 0.2], [0.7, 0.4], [0.8, 0.3]),
        "deletion": ([0.1, 0.4], [0.2, 0.2], [0.3, 0.3]),
    }
    scores = {m: {n: torch.tensor(rows[i]) for n, rows in numbers.items()} for i, m in enumerate("abc")}
    maps = {name: Saliency(torch.zeros(2, 1, 1), name) for name in "abc"}
    return Explained(torch.tensor([0.8, 0.5]), maps, scores | {"random": dict(scores["a"])})


def test_what_is_asked_of_the_scores_by_hand():
    one = scored()
    torch.testing.assert_close(one.mean("insertion"), torch.tensor([0.7, 0.3]))
    torch.testing.assert_close(one.mean("insertion", ["a", "c"]), torch.tensor([0.7, 0.25]))
    torch.testing.assert_close(one.share("insertion"), torch.tensor([0.875, 0.6]))
    torch.testing.assert_close(one.share("insertion", ["a"]), torch.tensor([0.75, 0.4]))
    # Picture 0: a is 1, 1, 3, 1 by the four; picture 1: 3, 2.5, 3, 3. Low deletion is good.
    places = one.places()
    assert list(places) == ["a", "b", "c"], "maps of dice have no place"
    torch.testing.assert_close(places["a"], torch.tensor([6 / 4, 11.5 / 4]))
    torch.testing.assert_close(places["b"], torch.tensor([8.5 / 4, (2 + 2.5 + 1 + 1) / 4]))
    torch.testing.assert_close(places["c"], torch.tensor([9.5 / 4, (1 + 1 + 2 + 2) / 4]))


def test_differences_and_correlations_are_over_pictures_of_all_models():
    first, second = scored(), scored()
    second.confidence.copy_(torch.tensor([0.2, 0.9]))
    for values in second.scores.values():
        values["energy"] = values["energy"] + torch.tensor([0.25, -0.1])
    found = {"x": first, "y": second}
    torch.testing.assert_close(explained.difference(found, "y", "x", "energy"), torch.tensor([0.25, -0.1]))
    torch.testing.assert_close(explained.difference(found, "x", "y", "energy", ["random"]), torch.tensor([-0.25, 0.1]))
    wanted = pearsonr([0.8, 0.5, 0.2, 0.9], [0.4, 0.2, 0.65, 0.1]).statistic
    assert explained.correlation(found, "energy") == pytest.approx(wanted, rel=1e-5)


def test_less_deletion_is_better():
    values = torch.tensor([0.25, -0.1])
    assert torch.equal(explained.better(values, "energy"), values)
    assert torch.equal(explained.better(values, "deletion"), -values)


def test_the_rows_of_the_table_are_means_and_the_widest_interval(monkeypatch):
    monkeypatch.setattr(explained, "UNITS", {"energy": "heat"})
    rows = {name: one.value for name, one in explained.worth({"x": scored()}).items()}
    # With two pictures an interval goes from the one to the other: [0.1, 0.5], [0.2, 0.4].
    wanted = {"energy, x, a": 0.3, "energy, x, b": 0.3, "energy, x, c": 0.3, "energy, ± at most": 0.2}
    assert rows == pytest.approx(wanted)


# The table


def seen() -> tuple[nn.Module, Objects]:
    torch.manual_seed(4)
    model, images = tiny()
    masks = torch.zeros(2, 19, 26, dtype=torch.bool)
    masks[0, 3:9, 10:20], masks[1, 8:, :12] = True, True
    labels = 4 - model.eval()(images).argmax(dim=1).clamp(max=3)  # not the answers
    return model, Objects(images, masks, labels, photos=True)


def test_the_table_asks_every_method_about_the_labels():
    model, pictures = seen()
    methods = ("rise", "gradient", "gradcam")
    found = table(
        {"it": model}, pictures, methods=methods, settings={"gradient": Gradient()}, masks=9, pixels=100, seed=5
    )
    one = found["it"]
    assert tuple(one.maps) == methods
    assert set(one.scores) == {*methods, "random", "centre"}
    sure = model(pictures.images).softmax(dim=1)[[0, 1], pictures.labels]
    torch.testing.assert_close(one.confidence, sure.detach())
    *_, last = rise(model, pictures.images, masks=9, targets=pictures.labels, seed=5)
    gradient = attribute(model, pictures.images, method="gradient", targets=pictures.labels).raw
    for name, raw in (("rise", last.map()), ("gradient", gradient)):
        torch.testing.assert_close(one.maps[name].raw, raw)
        way = curves(model, pictures.images, {name: raw}, targets=pictures.labels, pixels=100, seed=5)[name]
        on = localisation(raw, pictures.masks)
        torch.testing.assert_close(one.scores[name]["insertion"], way.insertion_area)
        torch.testing.assert_close(one.scores[name]["deletion"], way.deletion_area)
        torch.testing.assert_close(one.scores[name]["energy"], on.energy)
        torch.testing.assert_close(one.scores[name]["pointing"], on.pointing)


def test_settings_are_those_of_the_methods_that_have_them():
    model, pictures = seen()
    found = table({"it": model}, pictures, methods=("occlusion",), pixels=247)["it"].maps["occlusion"].raw
    wanted = attribute(model, pictures.images, method=explained.LIGHTER["occlusion"], targets=pictures.labels).raw
    torch.testing.assert_close(found, wanted)
    papers = table({"it": model}, pictures, methods=("occlusion",), settings={}, pixels=247)["it"].maps["occlusion"].raw
    torch.testing.assert_close(
        papers, attribute(model, pictures.images, method="occlusion", targets=pictures.labels).raw
    )
    assert not torch.allclose(found, papers)


# The experiment's own parts


def test_those_that_all_tell_come_first_in_their_order():
    right = torch.tensor([[True, False, True, True, False], [False, False, True, True, True]])
    images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 2, 3)
    drawn = Objects(images, torch.ones(5, 2, 3, dtype=torch.bool), torch.arange(5), photos=False)
    for count, wanted in ((2, [2, 3]), (4, [2, 3, 0, 4]), (9, [2, 3, 0, 4, 1])):
        chosen = lesson.told_by_most(drawn, right, count=count)
        assert chosen.labels.tolist() == chosen.images[:, 0, 0, 0].tolist() == wanted
        assert (len(chosen.masks), chosen.photos) == (len(wanted), False)


def test_an_attack_takes_what_has_a_small_margin():
    model = Linear(3)
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[-1.0] * 3, [1.0] * 3]))
        model.head.bias.zero_()
    x = torch.tensor([0.05, 0.2, -0.05, -0.2]).view(4, 1, 1, 1).expand(4, 3, 1, 1)
    drawn = Objects(x, torch.ones(4, 1, 1, dtype=torch.bool), torch.tensor([1, 1, 0, 1]), photos=True)
    assert lesson.tells(model, drawn).tolist() == [True, True, True, False]
    assert lesson.resists(Robust(model, radius=0.1), drawn, seed=0).tolist() == [False, True, False, False]


def test_a_box_is_framed_on_a_copy():
    photo, mask = np.zeros((5, 7, 3), dtype=np.uint8), torch.zeros(5, 7, dtype=torch.bool)
    mask[1:4, 2:6] = True
    white = lesson.framed(photo, mask)[..., 0] == 255
    inner = np.zeros((5, 7), dtype=bool)
    inner[2, 3:5] = True
    assert (white == (mask.numpy() & ~inner)).all()
    assert not photo.any()


def test_intervals_in_words_and_rows():
    found = {"a": Interval(0.5, 0.25, 0.7), "b": Interval(-0.125, -0.5, 0.0)}
    assert lesson.listed(found) == "a 0.500 [0.250, 0.700], b -0.125 [-0.500, 0.000]"
    assert lesson.listed(found, "+").startswith("a +0.500 [")
    rows = lesson.rows("gain", found, "0..1")
    assert {name: one.value for name, one in rows.items()} == {
        "gain, a": 0.5,
        "gain, a, ±": pytest.approx(0.225),
        "gain, b": -0.125,
        "gain, b, ±": 0.25,
    }


def test_intervals_are_drawn_where_they_are():
    panel = {
        "rise": {"plain": (0.5, 0.4, 0.7), "robust": (0.2, 0.1, 0.3)},
        "dice": {"plain": (0, -1, 1), "robust": (1, 1, 1)},
    }
    figure = draw.intervals({"energy": panel, "area": panel}, labels={"energy": "heat", "area": "share"}, title="toy")
    first, second = figure.axes
    assert [text.get_text() for text in first.get_yticklabels()] == ["rise", "dice"]
    assert (first.get_xlabel(), second.get_title(loc="left")) == ("heat", "area")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["plain", "robust"]
    plain, robust = first.lines
    assert (plain.get_xdata().tolist(), robust.get_xdata().tolist()) == ([0.5, 0], [0.2, 1])
    assert (plain.get_ydata() < robust.get_ydata()).all(), "groups of a row lie below each other"
    whiskers = first.collections[0].get_segments()
    np.testing.assert_allclose([one[:, 0] for one in whiskers], [[0.4, 0.7], [-1, 1]])
    np.testing.assert_allclose([one[0, 1] for one in whiskers], plain.get_ydata())
