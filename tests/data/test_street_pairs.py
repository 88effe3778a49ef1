"""Pairs of streets are read from a zip, drawn by the seed, and stay aligned."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from labkit.data.street_pairs import find_street_pairs, street_pairs


def picture(value: int, *, width: int, height: int, mode: str) -> bytes:
    pixels = np.full((height, width), value, dtype=np.uint8)
    pixels[:, : (width - height) // 2] = 255  # what the middle square leaves out
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "roadscene-few.zip"
    with zipfile.ZipFile(path, "w") as pack:
        for i in range(5):
            pack.writestr(f"roadscene/visible/{i}.jpg", picture(10 * i, width=40, height=24, mode="RGB"))
            if i != 3:
                pack.writestr(f"roadscene/thermal/{i}.jpg", picture(100 + 10 * i, width=40, height=24, mode="L"))
    return path


def test_pairs_stay_together_and_are_squares_of_the_middle(archive: Path) -> None:
    pairs = street_pairs(count=10, side=8, seed=0, path=archive)
    assert pairs.visible.shape == pairs.thermal.shape == (4, 3, 8, 8)
    values = pairs.visible[:, 0, 4, 4]
    assert sorted(values.tolist()) == [0, 10, 20, 40], "who has no partner is left out"
    assert torch.equal(pairs.thermal[..., 2:], 100 + pairs.visible[..., 2:]), "the same street in both"
    assert pairs.visible.max() < 128, "no more than the seam of what lies outside of the middle"


def test_the_seed_draws(archive: Path) -> None:
    def drawn(seed: int) -> list[int]:
        return street_pairs(count=2, side=4, seed=seed, path=archive).visible[:, 0, 0, 0].tolist()

    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(8)}) > 1
    assert all(len(drawn(seed)) == 2 for seed in range(8))


def test_where_it_is_looked_for(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    assert find_street_pairs() == archive
    monkeypatch.setenv("LABKIT_DATA", str(archive))
    assert find_street_pairs() == archive
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        find_street_pairs()
    monkeypatch.setenv("LABKIT_DATA", "")
    with pytest.raises(FileNotFoundError, match="set LABKIT_DATA"):
        street_pairs(count=1, side=8, seed=0)


def test_what_is_no_archive_of_pairs_is_said(tmp_path: Path, archive: Path) -> None:
    broken, empty = tmp_path / "broken.zip", tmp_path / "empty.zip"
    broken.write_bytes(b"no zip")
    with zipfile.ZipFile(empty, "w") as pack:
        pack.writestr("roadscene/visible/1.jpg", b"")
    with pytest.raises(ValueError, match="cannot be read as a zip"):
        street_pairs(count=1, side=8, seed=0, path=broken)
    with pytest.raises(ValueError, match="holds no pairs"):
        street_pairs(count=1, side=8, seed=0, path=empty)
    with pytest.raises(ValueError, match="at least one pair"):
        street_pairs(count=0, side=8, seed=0, path=archive)
