"""The archive is read as its authors laid it out; the fixture builds a small one whose pictures all differ."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from labkit.data.tiny_imagenet import download_tiny_imagenet, find_archive, tiny_imagenet

ROOT = "tiny-imagenet-200"
WNIDS = ("n02", "n01", "n09")


def jpeg(grey: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (64, 64), grey if mode == "L" else (grey, 255 - grey, grey // 2)).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "tiny-imagenet-3.zip"
    with zipfile.ZipFile(path, "w") as pack:
        pack.writestr(f"{ROOT}/wnids.txt", "\n".join(WNIDS) + "\n")
        pack.writestr(f"{ROOT}/words.txt", "n01\tcat, true cat\nn02\tdog\nn05\tnever used\nn09\tteapot\n")
        for label, wnid in enumerate(WNIDS):
            rows = []
            for index in range(4):
                name = f"{wnid}_{index}.JPEG"
                mode = "L" if (label, index) == (1, 2) else "RGB"
                pack.writestr(f"{ROOT}/train/{wnid}/images/{name}", jpeg(20 + 70 * label + 10 * index, mode))
                rows.append(f"{name}\t{index}\t{label}\t{40 + index}\t{50 + label}\n")
            pack.writestr(f"{ROOT}/train/{wnid}/{wnid}_boxes.txt", "".join(rows))
        lines = []
        for index, wnid in enumerate(("n09", "n02", "n01", "n09", "n01", "n02")):
            pack.writestr(f"{ROOT}/val/images/val_{index}.JPEG", jpeg(30 * index))
            lines.append(f"val_{index}.JPEG\t{wnid}\t{index}\t5\t62\t63\n")
        pack.writestr(f"{ROOT}/val/val_annotations.txt", "".join(lines))
    return path


def test_train_labels_boxes_and_pixels(archive: Path) -> None:
    found = tiny_imagenet("train", path=archive)
    assert found.categories == ("dog", "cat", "teapot")
    assert found.wnids == WNIDS
    assert found.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    # The file says left, top, right, bottom; rows come first here.
    assert found.boxes[5].tolist() == [1, 1, 51, 41]
    np.testing.assert_allclose(found.images[5, :, 30, 30].numpy(), [100, 155, 50], atol=4)


def test_a_grey_file_has_three_channels(archive: Path) -> None:
    grey = tiny_imagenet("train", path=archive).images[6]
    assert grey.shape == (3, 64, 64)
    assert (grey - grey[:1]).abs().max() == 0


def test_val_labels_follow_the_annotations(archive: Path) -> None:
    found = tiny_imagenet("val", path=str(archive))
    assert found.labels.tolist() == [2, 0, 1, 2, 1, 0]
    assert found.boxes[3].tolist() == [5, 3, 63, 62]
    assert len(found) == 6


def test_a_subset_is_balanced_and_in_class_order(archive: Path) -> None:
    val = tiny_imagenet("val", path=archive)
    few = val.subset(per_class=1)
    assert few.labels.tolist() == [0, 1, 2]
    assert torch.equal(few.images[2], val.images[0])
    assert torch.equal(few.boxes, val.boxes[torch.tensor([1, 2, 0])])


def test_the_archive_is_found(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_DATA", str(archive))
    assert find_archive() == archive
    (archive.parent / "tiny-imagenet-200.zip").write_bytes(b"x" * 10**5)
    monkeypatch.setenv("LABKIT_DATA", str(archive.parent))
    assert find_archive().name == "tiny-imagenet-200.zip"  # the larger one


def test_without_an_archive_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError, match="labkit data --download") as caught:
        find_archive()
    assert str(tmp_path) in str(caught.value)


def test_a_wrong_zip_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as pack:
        pack.writestr("readme", "hello")
    for name in ("text.zip", "other.zip"):
        with pytest.raises(ValueError, match=f"{name} is not a Tiny-ImageNet zip"):
            tiny_imagenet("val", path=tmp_path / name)


def test_a_download_is_checked_and_appears_whole(archive: Path, tmp_path: Path) -> None:
    data, seen = archive.read_bytes(), []
    to = tmp_path / "cache"
    path = download_tiny_imagenet(
        to, url=archive.as_uri(), md5=hashlib.md5(data).hexdigest(), progress=lambda *now: seen.append(now)
    )
    assert path.read_bytes() == data
    assert seen[-1] == (len(data), len(data))
    assert [file.name for file in to.iterdir()] == ["tiny-imagenet-200.zip"]


def test_a_damaged_download_leaves_nothing(archive: Path, tmp_path: Path) -> None:
    to = tmp_path / "cache"
    with pytest.raises(ValueError, match="the download is damaged or has changed"):
        download_tiny_imagenet(to, url=archive.as_uri(), md5="0" * 32)
    assert list(to.iterdir()) == []


@pytest.mark.shared
def test_the_real_archive_is_whole() -> None:
    val = tiny_imagenet("val")
    assert val.images.shape[1:] == (3, 64, 64)
    assert val.labels.bincount().unique().tolist() == [50]
    assert len(val.categories) == len(set(val.wnids)) >= 50
    top, left, bottom, right = val.boxes.unbind(1)
    assert (top <= bottom).all()
    assert (left <= right).all()
    assert val.boxes.min() >= 0
    assert val.boxes.max() <= 64
