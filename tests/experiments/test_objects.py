"""Pictures with known objects: drawn by the seed, cut into the model's patches, and made up where there is no pack."""

from __future__ import annotations

import torch

from labkit.data.tiny_imagenet import TinyImages
from labkit.experiments import _objects, experiment_of, run
from labkit.experiments._objects import Objects, objects, picture
from labkit.pretrained import load


def pack(opened) -> TinyImages:
    """Six photos of 64 pixels: of three categories the model knows the first and the last."""
    names = (opened.categories[3], "a thing it never saw", opened.categories[1])
    images = torch.randint(256, (6, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    box, wide = [8, 16, 15, 47], [0, 0, 63, 63]
    boxes = torch.tensor([box, box, box, box, box, wide])
    return TinyImages(images, torch.tensor([0, 1, 2, 0, 2, 2]), boxes, names, ("a", "b", "c"))


def test_photos_of_known_categories_with_small_objects_are_drawn(monkeypatch):
    opened = load("lab/vit", device="cpu")
    photos = pack(opened)
    monkeypatch.setattr(_objects, "validation", lambda: photos)
    found = objects(opened, count=9, seed=1, largest=0.5)
    assert found.photos
    assert sorted(found.labels.tolist()) == [1, 1, 3, 3], "no stranger, and not the one that fills its picture"
    assert torch.equal(found.labels, objects(opened, count=9, seed=1, largest=0.5).labels)
    shown = {picture(one, opened.transform).tobytes() for one in found.images}
    assert shown == {photos.images[i].movedim(0, -1).numpy().tobytes() for i in (0, 2, 3, 4)}
    assert found.masks[0].nonzero().tolist()[0] == [8, 16]
    assert found.masks.sum(dim=(1, 2)).tolist() == [8 * 32] * 4


def test_cells_are_covered_by_shares():
    mask = torch.zeros(1, 4, 6, dtype=torch.bool)
    mask[0, :3, 2:5] = True
    one = Objects(torch.zeros(1, 3, 4, 6), mask, torch.tensor([0]), photos=False)
    assert one.cells(2).tolist() == [[0, 1, 0.5, 0, 0.5, 0.25]]


def test_without_the_pack_scenes_are_made_up(monkeypatch):
    def missing():
        raise FileNotFoundError

    monkeypatch.setattr(_objects, "validation", missing)
    found = run(experiment_of("glsim"), {"pictures": 100})
    assert "made-up scenes" in found.because
    assert found.numbers["accuracy, whole picture"].value == 1, "its own answer is the label"
    assert 0 < found.numbers["object, the object itself"].value <= 1
