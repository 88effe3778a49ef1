"""Tiny-ImageNet, read straight from its official zip: images, labels and one bounding box per image.

Source: Le & Yang, "Tiny ImageNet Visual Recognition Challenge", Stanford CS 231N, 2015: 200 ImageNet classes at 64 x 64
pixels, 500 training and 50 validation images each. A zip with fewer classes in the same layout works too.
"""

from __future__ import annotations

import hashlib
import io
import os
import urllib.request
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from platformdirs import user_cache_path
from torch import Tensor

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"

Split = Literal["train", "val"]


@dataclass(frozen=True)
class TinyImages:
    """One split of Tiny-ImageNet, held in memory (about 300 MB for 25,000 training images).

    images       uint8, RGB, `n 3 64 64`, 0..255
    labels       int64, `n`, an index into `categories`
    boxes        int64, `n 4`, the object as (top, left, bottom, right) in pixels, ends included
    categories   the first English name of each class, in the order of `wnids.txt`
    wnids        the WordNet id of each class, same order
    """

    images: UInt8[Tensor, "n 3 height width"]
    labels: Int64[Tensor, "n"]
    boxes: Int64[Tensor, "n 4"]
    categories: tuple[str, ...]
    wnids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, *, per_class: int) -> TinyImages:
        """The first `per_class` images of every class, in class order: a fixed, balanced sample."""
        chosen = [(self.labels == label).nonzero().flatten()[:per_class] for label in range(len(self.categories))]
        index = torch.cat(chosen)
        return TinyImages(self.images[index], self.labels[index], self.boxes[index], self.categories, self.wnids)


def find_archive() -> Path:
    """The Tiny-ImageNet zip: `$LABKIT_DATA` (the file, or a folder that holds it), else the user's cache.

    Raises FileNotFoundError that says where it looked and how to get the file.
    """
    places = [Path(os.environ["LABKIT_DATA"])] if os.environ.get("LABKIT_DATA") else []
    places.append(user_cache_path("labkit"))
    for place in places:
        if place.is_file():
            return place
        archives = sorted(place.glob("tiny-imagenet*.zip"))
        if archives:
            return archives[-1] if len(archives) == 1 else max(archives, key=lambda path: path.stat().st_size)
    looked = " and ".join(str(place) for place in places)
    raise FileNotFoundError(
        f"no Tiny-ImageNet archive found: looked for tiny-imagenet*.zip in {looked}. "
        "Set LABKIT_DATA to the zip or to its folder, or fetch it (237 MB) with "
        "`labkit data --download` / `labkit.data.download_tiny_imagenet()`."
    )


def download_tiny_imagenet(
    to: Path | None = None, *, url: str = URL, md5: str = MD5, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Fetch the official zip into the user's cache (or the folder `to`) and check its MD5 sum.

    progress   called with (bytes so far, bytes in all; 0 when unknown)

    The file appears under its name only when it is whole and right; ValueError when the sum differs.
    """
    folder = to or user_cache_path("labkit")
    folder.mkdir(parents=True, exist_ok=True)
    target, partial = folder / "tiny-imagenet-200.zip", folder / "tiny-imagenet-200.zip.part"
    digest, done = hashlib.md5(usedforsecurity=False), 0
    try:
        with urllib.request.urlopen(url, timeout=60) as response, partial.open("wb") as file:
            total = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(1 << 20):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                if progress:
                    progress(done, total)
        if digest.hexdigest() != md5:
            raise ValueError(
                f"{url} came with MD5 {digest.hexdigest()}, expected {md5}: the download is damaged or has changed."
            )
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def tiny_imagenet(split: Split = "train", *, path: Path | str | None = None) -> TinyImages:
    """Read one split into memory; `path` names the zip, by default the one `find_archive()` finds."""
    if split not in ("train", "val"):
        raise ValueError(f"split={split!r}: expected 'train' or 'val' (the official test split has no labels).")
    archive = Path(path) if path else find_archive()
    try:
        with zipfile.ZipFile(archive) as pack:
            return _read(pack, split)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{archive} is not a Tiny-ImageNet zip in the official layout: {error}") from error


def _read(pack: zipfile.ZipFile, split: Split) -> TinyImages:
    root = "tiny-imagenet-200"
    wnids = tuple(pack.read(f"{root}/wnids.txt").decode().split())
    words = dict(line.split("\t", 1) for line in pack.read(f"{root}/words.txt").decode().splitlines() if "\t" in line)
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    if split == "val":
        rows = [
            (f"{root}/val/images/{name}", wnid, box)
            for name, wnid, *box in _table(pack, f"{root}/val/val_annotations.txt")
        ]
    else:
        rows = [
            (f"{root}/train/{wnid}/images/{name}", wnid, box)
            for wnid in wnids
            for name, *box in _table(pack, f"{root}/train/{wnid}/{wnid}_boxes.txt")
        ]
    images = torch.from_numpy(np.stack([_decode(pack.read(name)) for name, _, _ in rows]))
    left, top, right, bottom = torch.tensor([[int(side) for side in box] for _, _, box in rows]).unbind(1)
    return TinyImages(
        images=images.permute(0, 3, 1, 2).contiguous(),
        labels=torch.tensor([label_of[wnid] for _, wnid, _ in rows]),
        boxes=torch.stack([top, left, bottom, right], dim=1),
        categories=tuple(words[wnid].split(",")[0] for wnid in wnids),
        wnids=wnids,
    )


def _table(pack: zipfile.ZipFile, name: str) -> Iterable[list[str]]:
    return [line.split() for line in pack.read(PurePosixPath(name).as_posix()).decode().splitlines() if line.strip()]


def _decode(jpeg: bytes) -> np.ndarray:
    # A few hundred Tiny-ImageNet files are grey: convert gives every image its three channels.
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
