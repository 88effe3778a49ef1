"""One look for every window: what it holds, what it keeps loaded, and what it says when it cannot look."""

from __future__ import annotations

import threading

import pytest
import torch
from PIL import Image

from labkit import session
from labkit.data.images import BadImage, open_image
from labkit.pretrained import UnknownModel
from labkit.probes.attention import Bands
from labkit.session import look, sitting
from labkit.taps import Unreadable

TINY = "timm/vit_tiny_patch16_224"


@pytest.fixture(autouse=True)
def empty_shelf(monkeypatch):
    monkeypatch.setattr(sitting, "_models", type(sitting._models)())


def test_a_look_holds_the_square_the_maps_and_the_answer():
    seen = look(TINY, "chelsea", weights=None)
    assert seen.seen.size == (224, 224)
    assert seen.picture.size == (300, 300)  # chelsea is 451 x 300: as sharp as the photo allows
    assert len(seen.maps) == len(seen.measures) == 12
    assert seen.maps[0].weights.shape == (1, 1, 3, 197, 197)
    assert len(seen.top) == 5
    assert [chance for _, chance in seen.top] == sorted((chance for _, chance in seen.top), reverse=True)
    rows = seen.rows()
    assert [(row["layer"], row["head"]) for row in rows[:4]] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert rows[35]["nmi"] == pytest.approx(seen.measures[11].nmi[0, 2].item())


def test_other_bands_rename_without_looking_again():
    seen = look(TINY, "chelsea", weights=None)
    renamed = seen.with_bands(Bands(hybrid=(0.0, 1.0)))
    assert {row["pattern"] for row in renamed.rows()} == {"hybrid"}
    assert renamed.maps is seen.maps


@pytest.mark.slow
def test_where_no_patch_asks_the_row_has_no_number():
    rows = look("timm/cait_xxs24_224", "coffee", weights=None).rows()
    assert rows[-1] == {"layer": 25, "head": 3, "nmi": None, "distance": None, "entropy": None, "pattern": None}


def test_pictures_bytes_and_names_are_all_ways_in(tmp_path):
    file = tmp_path / "photo.png"
    open_image("chelsea").save(file)
    by_name, by_path, by_bytes, by_picture = (
        look(TINY, way, weights=None) for way in ("chelsea", file, file.read_bytes(), Image.open(file))
    )
    for other in (by_path, by_bytes, by_picture):
        torch.testing.assert_close(other.maps[3].weights, by_name.maps[3].weights)


@pytest.mark.slow
def test_only_the_last_few_models_stay_loaded_and_each_is_loaded_once(monkeypatch):
    loaded = []
    load = sitting.pretrained.load
    monkeypatch.setattr(sitting.pretrained, "load", lambda name, **rest: (loaded.append(name), load(name, **rest))[1])
    monkeypatch.setattr(sitting, "MOST_MODELS", 2)
    names = [TINY, "timm/deit_tiny_patch16_224", TINY, "timm/vit_tiny_patch16_384"]
    for name in names:
        look(name, "chelsea", weights=None)
    assert loaded == [TINY, names[1], names[3]]
    assert [key[0] for key in sitting._models] == [TINY, names[3]]


@pytest.mark.slow
def test_visitors_at_once_get_their_own_pictures():
    photos = ["chelsea", "coffee", "astronaut", "rocket"]
    alone = {photo: look(TINY, photo, weights=None).maps[0].weights for photo in photos}
    together = {}

    def visit(photo: str) -> None:
        together[photo] = look(TINY, photo, weights=None).maps[0].weights

    visitors = [threading.Thread(target=visit, args=(photo,)) for photo in photos]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(timeout=120)
    for photo in photos:
        torch.testing.assert_close(together[photo], alone[photo], msg=photo)


def test_what_cannot_be_looked_at_says_why():
    with pytest.raises(BadImage, match="chelsea"):
        look(TINY, "chelsee", weights=None)
    with pytest.raises(UnknownModel, match="vit_tiny_patch16_224"):
        look("timm/vit_tiny_patch16_225", "chelsea", weights=None)
    with pytest.raises(Unreadable, match="no attention to read"):
        look("timm/resnet18", "chelsea", weights=None)


def test_a_sitting_has_the_picture_as_the_model_takes_it_and_names_what_it_is_taken_for():
    seat = session.sit(TINY, "chelsea", weights=None)
    assert seat.images.shape == (1, 3, 224, 224)
    with seat.turn() as model, torch.no_grad():
        logits = model(seat.images)
    top = seat.top(logits, most=3)
    chances = logits[0].softmax(dim=0).topk(3).values.tolist()
    assert [chance for _, chance in top] == pytest.approx(chances)


def test_others_are_served_between_the_steps_of_a_long_work():
    seat = session.sit(TINY, "chelsea", weights=None)
    busy = []

    def work():
        for step in range(3):
            busy.append(seat.lock.locked())
            yield step

    for step in seat.in_turns(work()):
        assert not seat.lock.locked(), step
    assert busy == [True] * 3


def test_a_gpu_that_is_full_is_asked_for_half_as_much_and_that_is_said():
    tried = []

    def work(batch: int) -> str:
        tried.append(batch)
        if batch > 8:
            raise torch.OutOfMemoryError
        return f"done {batch}"

    fitted = session.halving(work, 32)
    assert tried == [32, 16, 8]
    assert (fitted.result, fitted.batch) == ("done 8", 8)
    assert fitted.note == "The GPU is short of memory: 8 images at a time, not 32."
    assert session.halving(work, 4).note == ""


def test_what_does_not_fit_even_alone_is_an_error():
    def work(batch: int) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        session.halving(work, 2)


def test_a_covered_picture_is_asked_about_at_every_place():
    covered = session.cover(session.sit(TINY, "chelsea", weights=None), grid=(2, 3), parts=(0.25,))
    assert covered.windows == ((56, 56),)
    assert covered.answers[0].shape == (6, 1000)
    torch.testing.assert_close(covered.answers[0].sum(dim=1), torch.ones(6))
    assert covered.top[0][1] == pytest.approx(float(covered.whole.max()), rel=1e-4)
