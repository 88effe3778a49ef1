"""A card says what was stored, measured on what was stored; two files appear, or none."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from labkit.data.tiny_imagenet import TinyImages
from labkit.training import cards
from labkit.training.loop import predict, top1
from labkit.training.recipes import RECIPES

RECIPE = RECIPES["resnet"]
HOW = {
    "archive": "tiny-imagenet-3.zip",
    "command": "labkit train resnet",
    "seed": 4,
    "device": "cpu",
    "minutes": 1.234,
}


@pytest.fixture(scope="module")
def images() -> TinyImages:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (12, 3, 64, 64), generator=generator, dtype=torch.uint8)
    return TinyImages(
        pixels, torch.arange(12) % 3, torch.zeros(12, 4, dtype=torch.int64), ("a", "b", "c"), ("n1", "n2", "n3")
    )


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return RECIPE.build(3).eval()


def test_the_card_tells_the_truth(model: torch.nn.Module, images: TinyImages, tmp_path: Path) -> None:
    file = tmp_path / "deeper" / "mine.safetensors"
    card = cards.write(model, RECIPE, file=file, train=images, val=images, **HOW)
    assert json.loads(file.with_suffix(".json").read_text()) == card
    data = file.read_bytes()
    assert card["sha256"] == hashlib.sha256(data).hexdigest()
    assert card["bytes"] == len(data)
    assert card["params"] == sum(parameter.numel() for parameter in model.parameters())
    assert card["data"] == {"archive": "tiny-imagenet-3.zip", "classes": 3, "train": 12, "val": 12}
    assert (card["name"], card["recipe"], card["seed"], card["minutes"]) == ("mine", "resnet", 4, 1.2)
    assert card["epochs"] == sum(stage["epochs"] for stage in card["stages"])
    assert card["settings"]["lr"] == RECIPE.lr
    assert card["torch"] == torch.__version__
    restored, _ = cards.restore(file)
    assert card["top1"] == pytest.approx(top1(predict(restored, images.images, size=64), images.labels), abs=1e-4)
    assert sorted(path.name for path in file.parent.iterdir()) == ["mine.json", "mine.safetensors"]


def test_weights_are_stored_as_float16_and_come_back_as_float32(
    model: torch.nn.Module, images: TinyImages, tmp_path: Path
) -> None:
    file = tmp_path / "mine.safetensors"
    cards.write(model, RECIPE, file=file, train=images, val=images, **HOW)
    assert {x.dtype for x in load_file(file).values()} == {torch.float16, torch.int64}
    restored, _ = cards.restore(file)
    for (name, ours), theirs in zip(model.state_dict().items(), restored.state_dict().values(), strict=True):
        assert theirs.dtype == ours.dtype
        torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-6, msg=name)
    assert not restored.training


def test_what_is_measured_is_what_is_stored(
    model: torch.nn.Module, images: TinyImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []

    def spy(asked: torch.nn.Module, *rest: object, **options: object) -> torch.Tensor:
        measured.append({name: x.clone() for name, x in asked.state_dict().items()})
        return predict(asked, *rest, **options)

    monkeypatch.setattr(cards, "predict", spy)
    cards.write(model, RECIPE, file=tmp_path / "mine.safetensors", train=images, val=images, **HOW)
    for x in measured[0].values():
        assert torch.equal(x, x.half().to(x.dtype) if x.is_floating_point() else x)


def test_confusion_by_hand() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
    answers = torch.tensor([0, 1, 1, 2, 1, 1, 0, 2, 2, 2])
    found = cards._confusion(answers, labels, ("cat", "dog", "cup"))
    assert found["worst"] == [
        {"category": "cat", "accuracy": 0.25},
        {"category": "cup", "accuracy": 0.75},
        {"category": "dog", "accuracy": 1.0},
    ]
    assert found["mistakes"] == [
        {"label": "cat", "answer": "dog", "times": 2},
        {"label": "cat", "answer": "cup", "times": 1},
        {"label": "cup", "answer": "cat", "times": 1},
    ]


def test_a_full_disk_leaves_the_old_files_whole(
    model: torch.nn.Module, images: TinyImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.safetensors"
    cards.write(model, RECIPE, file=file, train=images, val=images, **HOW)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    whole = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if ".json" in path.name:
            whole(path, data[:10])
            raise OSError(28, "No space left on device")
        return whole(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        cards.write(model, RECIPE, file=file, train=images, val=images, **HOW | {"seed": 5})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
