"""CutMix and its rivals pixel by pixel: labels are the pixels that are to be seen, counted; and how large a box is."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import v2

from labkit.data.scenes import scene
from labkit.experiments import cutmix as lesson
from labkit.experiments._lessons import Lesson, learn, seeded
from labkit.methods.objectives.cutmix import Mixed, beta, box, cutmix, hole, mixup
from labkit.models.backbones.resnet import ResNet

EVERY = pytest.mark.parametrize("way", [cutmix, mixup, hole], ids=lambda way: way.__name__)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(b: int, h: int, w: int) -> Tensor:
    """Pictures whose pixels all are their number, from 1: so that one sees whose they are."""
    return torch.arange(1.0, b + 1).view(b, 1, 1, 1).expand(b, 3, h, w)


# CutMix


@pytest.mark.parametrize("seed", range(8))
def test_a_label_is_the_share_of_the_pixels_counted(seed):
    b, h, w = 6, 11, 17
    mixed, soft = cutmix(numbered(b, h, w), torch.eye(b), alpha=1.0, rng=generator(seed))
    for n in range(b):
        for other in range(b):
            count = sum(int(mixed[n, c, i, j]) == other + 1 for c in range(3) for i in range(h) for j in range(w))
            assert soft[n, other] == pytest.approx(count / (3 * h * w), abs=1e-6)
    pasted = [(mixed[n, 0] != n + 1) for n in range(b) if (mixed[n, 0] != n + 1).any()]
    for mask in pasted:  # one box, the same in the whole batch
        rows, columns = mask.any(dim=1).sum(), mask.any(dim=0).sum()
        assert mask.sum() == rows * columns
        assert torch.equal(mask, pasted[0])


def test_a_pixel_stays_where_it_was():
    x = torch.randn(5, 3, 9, 14)
    mixed, soft = cutmix(x, torch.eye(5), alpha=1.0, rng=generator(1))
    one = next(n for n in range(5) if 0 < soft[n, n] < 1)
    partner = int(soft[one].masked_fill(F.one_hot(torch.tensor(one), 5).bool(), 0).argmax())
    kept = mixed[one] == x[one]
    assert 0 < kept.sum() < kept.numel()
    assert torch.equal(mixed[one][~kept], x[partner][~kept])


def test_draws_come_in_their_order_share_partner_row_column():
    """Recipes that were trained before are trained the same again."""
    rng, again = generator(3), generator(3)
    mixed, soft = cutmix(numbered(4, 12, 8), torch.eye(4), alpha=0.7, rng=rng)
    area = 1 - beta(0.7, rng=again)
    other = torch.randperm(4, generator=again)
    rows, columns = box(12, 8, area=area, rng=again)
    wanted = numbered(4, 12, 8).clone()
    for n in range(4):
        wanted[n, :, rows, columns] = 1 + other[n]
    assert torch.equal(mixed, wanted)
    assert torch.equal(rng.get_state(), again.get_state())
    assert soft[0, 0] == 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / 96


def test_torchvision_pastes_and_mixes_the_same():
    """In a batch of two the other one is the only partner; the box and the shares are ours."""
    x, labels = torch.randn(2, 3, 10, 16), torch.tensor([2, 0])
    targets = F.one_hot(labels, 3).float()
    seed = next(seed for seed in range(9) if (cutmix(x, targets, rng=generator(seed))[0] != x).any())

    mixed, soft = cutmix(x, targets, rng=generator(seed))
    rows, columns = ((mixed != x)[0, 0].any(dim=axis).nonzero()[:, 0].tolist() for axis in (1, 0))
    edges = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    asked = {"labels": labels, "batch_size": 2, "box": edges, "lam_adjusted": float(soft[0, 2])}
    theirs = v2.CutMix(num_classes=3)
    assert torch.equal(theirs.transform(x, asked), mixed)
    torch.testing.assert_close(theirs.transform(labels, asked), soft)

    mixed, soft = mixup(x, targets, rng=generator(seed))
    asked = {"labels": labels, "batch_size": 2, "lam": float(soft[0, 2])}
    theirs = v2.MixUp(num_classes=3)
    torch.testing.assert_close(theirs.transform(x, asked), mixed)
    torch.testing.assert_close(theirs.transform(labels, asked), soft)


# The rivals


def test_mixup_mixes_pictures_and_targets_alike():
    b = 7
    x, targets = torch.randn(b, 3, 5, 8, generator=generator(3)), torch.eye(b)
    mixed, soft = mixup(x, targets, alpha=0.4, rng=generator(4))
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(b))
    # The target matrix is the mixing matrix itself, for one-hot targets that are all different.
    torch.testing.assert_close(mixed, torch.einsum("ij,jchw->ichw", soft, x))
    shares = soft.diagonal()[soft.diagonal() < 1]
    assert len(shares) > 0
    assert shares.max() - shares.min() < 1e-6
    assert shares[0] == pytest.approx(beta(0.4, rng=generator(4)))


def test_a_hole_is_the_mean_colour_in_one_box_and_the_label_stays():
    rng, again = generator(6), generator(6)
    x, targets = numbered(4, 11, 8), torch.eye(4)
    holed, same = hole(x, targets, alpha=2.0, rng=rng)
    rows, columns = box(11, 8, area=1 - beta(2.0, rng=again), rng=again)
    for i in range(11):
        for j in range(8):
            inside = rows.start <= i < rows.stop and columns.start <= j < columns.stop
            assert holed[:, :, i, j].tolist() == [[0.0 if inside else n] * 3 for n in (1, 2, 3, 4)]
    assert 0 < (holed == 0).sum() < holed.numel()
    assert torch.equal(same, targets)


@EVERY
def test_what_is_given_is_left_alone_and_the_dice_too_where_others_are_given(way):
    x, targets = torch.randn(4, 3, 6, 9), torch.eye(4)
    before, dice = (x.clone(), targets.clone()), torch.get_rng_state()
    mixed, _ = way(x, targets, alpha=1.0, rng=generator(6))
    assert not torch.equal(mixed, x)
    assert torch.equal(x, before[0])
    assert torch.equal(targets, before[1])
    assert torch.equal(torch.get_rng_state(), dice)
    with seeded(6):
        own = way(x, targets)
    assert torch.equal(own[0], way(x, targets, alpha=1.0, rng=generator(6))[0]), "the paper's α is 1"


# How large a box is


def test_a_box_by_hand():
    # Of a quarter of 8 x 6 pixels the sides are 4 and 3; the centre is any pixel: 2, 3, five times 4, 3 rows.
    rows = {(max(0, i - 2), min(8, i + 2)) for i in range(8)}
    columns = {(0, 2), (0, 4), (2, 4), (2, 6), (4, 6)}  # j - 1.5 .. j + 1.5: halves go to the even number
    found = [box(8, 6, area=0.25, rng=generator(seed)) for seed in range(300)]
    assert {(one.start, one.stop) for one, _ in found} == rows
    assert {(one.start, one.stop) for _, one in found} == columns
    turned = [box(6, 8, area=0.25, rng=generator(seed)) for seed in range(300)]
    assert {(one.start, one.stop) for one, _ in turned} == columns


def test_boxes_have_the_shape_of_the_picture_and_the_ends_of_the_range():
    for seed in range(30):
        rows, columns = box(13, 7, area=0, rng=generator(seed))
        assert (rows.stop - rows.start, columns.stop - columns.start) == (0, 0)
        rows, columns = box(400, 200, area=1, rng=generator(seed))
        assert 200 <= rows.stop - rows.start <= 400
        assert 100 <= columns.stop - columns.start <= 200
        assert rows.start == 0 or rows.stop == 400, "as large as the picture, it sticks out somewhere"
    inner = [box(400, 200, area=0.01, rng=generator(seed)) for seed in range(30)]
    whole = {(a.stop - a.start, b.stop - b.start) for a, b in inner if min(a.start, b.start) > 0 and a.stop < 400}
    assert (40, 20) in whole


def test_the_mean_share_that_is_pasted_is_the_integral_s():
    # A side of the share s keeps s - s²/4 of it on average over the centres; s² is uniform for α = 1:
    # ∫ (√u - u/4)² du = 1/2 - 1/5 + 1/48.
    wanted, rng, draws = 1 / 2 - 1 / 5 + 1 / 48, generator(8), 4000
    shares = []
    for _ in range(draws):
        rows, columns = box(224, 192, area=1 - beta(1.0, rng=rng), rng=rng)
        shares.append((rows.stop - rows.start) * (columns.stop - columns.start) / (224 * 192))
    shares = torch.tensor(shares)
    assert shares.mean() == pytest.approx(wanted, abs=4 * shares.std().item() / math.sqrt(draws))


@pytest.mark.parametrize(("down", "wanted"), [(False, 0.32), (True, 0.30)])
def test_rounding_down_pastes_less_of_a_small_picture(down, wanted):
    """Every centre of 32 and 200 areas, counted: what the label on the wall says of the released code."""
    total = 0.0
    for n in range(200):
        side = math.sqrt((n + 0.5) / 200)
        if down:
            half = int(32 * side) // 2
            lengths = [min(32, at + half) - max(0, at - half) for at in range(32)]
        else:
            lengths = [min(32, round(at + 16 * side)) - max(0, round(at - 16 * side)) for at in range(32)]
        total += (sum(lengths) / 32**2) ** 2
    assert total / 200 == pytest.approx(wanted, abs=0.003)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_shares_have_the_moments_of_a_beta(alpha):
    rng = generator(7)
    draws = torch.tensor([beta(alpha, rng=rng) for _ in range(4000)])
    variance = 1 / (4 * (2 * alpha + 1))
    assert draws.mean() == pytest.approx(0.5, abs=4 * math.sqrt(variance / 4000))
    assert draws.var() == pytest.approx(variance, rel=0.1)


# The objective


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 7 * 4, 5))


def test_the_loss_is_shared_as_the_picture_is():
    model, x, labels = linear(), torch.randn(6, 3, 7, 4), torch.tensor([0, 4, 2, 1, 3, 3])
    task = Mixed(model, classes=5, alpha=2.0)
    found = task.loss(x, labels, rng=generator(11))
    rng = generator(11)
    torch.rand((), generator=rng)
    mixed, soft = cutmix(x, torch.eye(6), alpha=2.0, rng=rng)
    assert 0 < soft.diagonal().min() < 1
    logits = model(mixed)
    wanted = sum(soft[i, j] * F.cross_entropy(logits[i], labels[j]) for i in range(6) for j in range(6)) / 6
    torch.testing.assert_close(found, wanted)
    assert torch.equal(task(x), model(x)), "asked, it is the model"


@EVERY
def test_without_a_chance_it_is_plain_cross_entropy(way):
    model, x, labels = linear(), torch.randn(6, 3, 7, 4), torch.tensor([0, 4, 2, 1, 3, 3])
    found = Mixed(model, classes=5, way=way, chance=0).loss(x, labels)
    torch.testing.assert_close(found, F.cross_entropy(model(x), labels))


def test_the_chance_is_that_a_batch_is_mixed_as_a_whole():
    calls = []

    def spy(x: Tensor, targets: Tensor, *, alpha: float, rng: torch.Generator | None) -> tuple[Tensor, Tensor]:
        calls.append(len(x))
        return x, targets

    task, rng = Mixed(linear(), classes=5, way=spy, chance=0.3), generator(12)
    for _ in range(400):
        task.loss(torch.zeros(2, 3, 7, 4), torch.tensor([0, 1]), rng=rng)
    assert 84 < len(calls) < 156  # 120 +- 4 standard deviations
    assert set(calls) == {2}


def test_the_paper_mixes_every_batch_of_imagenet():
    task = Mixed(linear(), classes=5)
    assert (task.way, task.alpha, task.chance) == (cutmix, 1.0, 1.0)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: box(8, 8, area=1.2), r"box\(area=1.2\): expected the share of the picture"),
        (lambda: box(8, 8, area=-0.1), r"0\.\.1"),
        (lambda: beta(0.0), r"beta\(alpha=0.0\): expected alpha > 0"),
        (lambda: beta(math.nan), "expected alpha > 0"),
        (lambda: Mixed(linear(), classes=5, chance=2), r"Mixed\(chance=2\): expected the chance"),
        (lambda: Mixed(linear(), classes=5, chance=-1), r"0\.\.1"),
    ],
)
def test_what_is_no_share_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


# The experiment's instruments


def test_a_model_is_taught_by_the_loss_that_is_given():
    book = Lesson(torch.randn(8, 3, 7, 4), torch.arange(8) % 5, torch.randn(4, 3, 7, 4), torch.arange(4), 5)

    def weights(**how) -> Tensor:
        with seeded(3):
            model = linear()
            learn(model, book, steps=4, batch=4, **({} if not how else {"loss": how["loss"](model)}))
        return model[1].weight.detach()

    plain = weights()
    assert torch.equal(plain, weights(loss=lambda model: lambda x, y: F.cross_entropy(model(x), y)))
    assert not torch.allclose(plain, weights(loss=lambda model: Mixed(model, classes=5).loss))


def test_each_model_is_taught_in_its_way_from_the_same_weights():
    book, told = (
        Lesson(torch.randn(8, 3, 20, 16), torch.arange(8) % 5, torch.randn(4, 3, 20, 16), torch.arange(4), 5),
        [],
    )

    def spy(x: Tensor, targets: Tensor, *, alpha: float, rng: torch.Generator | None) -> tuple[Tensor, Tensor]:
        told.append((len(x), alpha))
        return x, targets

    lesson.taught(spy, book, alpha=2.0, chance=1, steps=4, seed=3)
    assert told == [(lesson.BATCH, 2.0)] * 4
    lesson.taught(spy, book, alpha=2.0, chance=0, steps=4, seed=3)
    assert len(told) == 4
    with seeded(3):
        wanted = ResNet(widths=lesson.WIDTHS, depths=lesson.DEPTHS, classes=5)
        learn(wanted, book, steps=4, batch=lesson.BATCH, rate=lesson.RATE)
    plain = lesson.taught(None, book, alpha=2.0, chance=1, steps=4, seed=3)
    assert torch.equal(plain.head.weight, wanted.head.weight)
    holed = lesson.taught(hole, book, alpha=2.0, chance=1, steps=4, seed=3)
    assert not torch.allclose(plain.head.weight, holed.head.weight)


def seen(count: int = 24) -> lesson.Asked:
    return lesson.Asked.of([scene(i, size=(lesson.SIDE, lesson.SIDE), others=1) for i in range(count)])


@pytest.mark.parametrize("share", [0, 0.25, 0.5, 1])
def test_so_much_of_the_object_gives_way_to_the_ground_from_one_side(share):
    asked = seen()
    left = lesson.without(asked, share, seed=2)
    changed = (left != asked.images).any(dim=1)
    assert not (changed & ~asked.masks).any()
    assert torch.equal(left[changed[:, None].expand_as(left)], asked.grounds[changed[:, None].expand_as(left)])
    for gone, mask in zip(changed, asked.masks, strict=True):
        assert gone.sum() == round(share * int(mask.sum())), "the ground has no colour that an object has"
        if 0 < share < 1:
            # A line parts what is gone from what is left: their middles lie apart.
            places = mask.nonzero().float()
            is_gone = gone[mask]
            apart = (places[is_gone].mean(dim=0) - places[~is_gone].mean(dim=0)).norm()
            assert apart > 0.3 * mask.sum().sqrt()


def test_a_half_beside_a_half_holds_two_kinds_and_their_objects():
    asked = seen(40)
    halves, pairs = lesson.half_and_half(asked, seed=1)
    assert len(pairs) > 20
    assert (pairs[:, 0] != pairs[:, 1]).all()
    for picture, labels in zip(halves[:20], pairs[:20], strict=True):
        for side, label in ((slice(0, 16), labels[0]), (slice(16, 32), labels[1])):
            (source,) = (asked.images[..., side] == picture[..., side]).all(dim=(1, 2, 3)).nonzero()[:, 0].tolist()
            assert asked.labels[source] == label
            mask = asked.masks[source]
            assert mask[:, side].sum() >= 0.8 * mask.sum()


def test_both_of_two_and_being_sure_by_hand():
    shares = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6], [0.4, 0.35, 0.25]])
    assert lesson.two(shares, torch.tensor([[1, 0], [1, 2], [0, 2]])) == pytest.approx(2 / 3)
    assert lesson.sure(shares) == pytest.approx(0.5)


def test_no_scene_is_learned_and_asked_about(monkeypatch):
    monkeypatch.setattr(lesson, "ASK", 40)
    book, asked, kinds = lesson.lesson.__wrapped__(seed=1, pictures=64)
    assert (len(book.images), len(asked.images), book.classes) == (64, 40, len(kinds))
    assert torch.equal(book.asked, asked.images)
    assert not (book.images[:, None, 0] == asked.images[None, :, 0]).all(dim=(2, 3)).any()
