"""Every kind of picture comes in upright and RGB; every bad one gets one sentence."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labkit.data.images import MAX_PIXELS, MIN_SIDE, BadImage, open_image, photo_names


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def ramp(width: int = 23, height: int = 14) -> np.ndarray:
    """An asymmetric RGB picture: no mirror or turn of it looks the same."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 9, y * 15, (x * y) % 200], axis=-1).astype(np.uint8)


def header_only_png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels to speak of: what a decompression bomb looks like from outside."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def message(source: object) -> str:
    """The sentence open_image refuses `source` with: one line, one full stop at its end."""
    with pytest.raises(BadImage) as caught:
        open_image(source)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith((".", "?"))
    return text


@pytest.mark.parametrize("name", photo_names())
def test_every_photo_opens_without_a_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a photo reached for the network"))
    photo = open_image(name)
    assert photo.mode == "RGB"
    assert min(photo.size) >= 300
    assert np.asarray(photo).std() > 10


def test_the_photos_of_the_tour_are_there() -> None:
    assert {"astronaut", "chelsea", "coffee", "rocket"} <= set(photo_names())


def test_photos_of_ones_own_come_first_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(ramp()).save(tmp_path / "My bike.PNG")
    Image.fromarray(ramp()).save(tmp_path / "coffee.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "album.png").mkdir()
    monkeypatch.setenv("LABKIT_PHOTOS", str(tmp_path))
    names = photo_names()
    assert names[:2] == ("My bike", "coffee")
    assert len(names) == len(set(names))
    assert {"astronaut", "notes", "album"} & set(names) == {"astronaut"}
    for name in names[:2]:
        np.testing.assert_array_equal(np.asarray(open_image(name)), ramp())
    monkeypatch.setenv("LABKIT_PHOTOS", str(tmp_path / "nowhere"))
    assert photo_names()[0] == "astronaut"


def test_photos_agree_with_scikit_image() -> None:
    from skimage import data

    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        np.testing.assert_array_equal(np.asarray(open_image(name)), getattr(data, name)())


@pytest.mark.parametrize("wrap", ["path", "string", "bytes", "file", "pillow"])
def test_all_sources_give_the_same_pixels(wrap: str, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(ramp()))
    (path := tmp_path / "ramp.png").write_bytes(data)
    source = {
        "path": path,
        "string": str(path),
        "bytes": data,
        "file": io.BytesIO(data),
        "pillow": Image.fromarray(ramp()),
    }
    np.testing.assert_array_equal(np.asarray(open_image(source[wrap])), ramp())


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    levels = np.linspace(0, 65535, 23 * 14).reshape(14, 23).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        opened = np.asarray(open_image(encoded(Image.fromarray(levels), kind)))
        np.testing.assert_allclose(opened[..., 0], levels / 65535 * 255, atol=0.51)
        assert (opened == opened[..., :1]).all()
    # By hand: 65535 is white, 257 is the first grey, 32896 = 128 * 257 the middle.
    by_hand = np.full((9, 9), 32896, np.uint16)
    by_hand[0, :2] = 65535, 257
    assert np.asarray(open_image(encoded(Image.fromarray(by_hand))))[0, :3, 0].tolist() == [255, 1, 128]


def test_grey_becomes_three_equal_channels() -> None:
    grey = ramp()[..., 0]
    opened = np.asarray(open_image(encoded(Image.fromarray(grey))))
    np.testing.assert_array_equal(opened, np.repeat(grey[..., None], 3, axis=2))


def test_palette_gives_its_colours() -> None:
    palette = Image.new("P", (12, 9), 1)
    palette.putpalette([0, 0, 0, 200, 30, 60])
    assert np.unique(np.asarray(open_image(encoded(palette))).reshape(-1, 3), axis=0).tolist() == [[200, 30, 60]]


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_transparency_is_laid_on_white(alpha: int) -> None:
    clear = Image.new("RGBA", (11, 9), (200, 40, 0, alpha))
    expected = np.array([200, 40, 0]) * alpha / 255 + 255 * (1 - alpha / 255)
    np.testing.assert_allclose(np.asarray(open_image(encoded(clear)))[4, 4], expected, atol=1)


def test_a_transparent_palette_is_laid_on_white() -> None:
    palette = Image.new("P", (12, 9), 0)
    palette.putpalette([10, 20, 30])
    data = encoded(palette, transparency=0)
    assert np.asarray(open_image(data)).min() == 255


def test_cmyk_keeps_its_colours() -> None:
    colours = Image.fromarray(np.full((16, 24, 3), (210, 60, 30), np.uint8)).convert("CMYK")
    np.testing.assert_allclose(
        np.asarray(open_image(encoded(colours, "JPEG", quality=95)))[8, 8], [210, 60, 30], atol=4
    )


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (20, 12), colour) for colour in ("red", "blue", "lime")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(np.asarray(open_image(data))[5, 5], [255, 0, 0], atol=4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_undone(orientation: int) -> None:
    # What a camera held in that orientation would have stored, by the table of the EXIF standard.
    upright = ramp()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(np.asarray(open_image(data)), upright)


def test_a_bomb_is_refused_from_its_header() -> None:
    assert f"{MAX_PIXELS // 10**6} million" in message(header_only_png(20_000, 20_000))
    # Between our limit and Pillow's own.
    assert "8000 x 8000" in message(header_only_png(8_000, 8_000))
    assert "million" in message(header_only_png(10_000, 12_000))


def test_a_bomb_costs_no_memory() -> None:
    import tracemalloc

    data = header_only_png(20_000, 20_000)
    tracemalloc.start()
    message(data)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_bad_files_get_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.txt").write_text("not a picture at all\n")
    (tmp_path / "cut.png").write_bytes(encoded(Image.fromarray(ramp(200, 150)))[:-300])
    (tmp_path / "cut.jpg").write_bytes(encoded(Image.fromarray(ramp(200, 150)), "JPEG")[:900])
    (tmp_path / "head.png").write_bytes(encoded(Image.fromarray(ramp()))[:20])
    assert "empty" in message(tmp_path / "empty.png")
    assert "not a picture" in message(tmp_path / "notes.txt")
    for name in ("cut.png", "cut.jpg"):
        text = message(tmp_path / name)
        assert "damaged" in text
        assert name in text
    assert "head.png" in message(tmp_path / "head.png")
    assert "folder" in message(tmp_path)
    assert "no file" in message(tmp_path / "nothing.png")
    assert "x" * 50 in message("x" * 5000)
    assert "no file" in message("a\0b.png")


def test_wrong_numbers_are_refused() -> None:
    assert "32-bit" in message(encoded(Image.fromarray(np.full((9, 9), 70_000, np.int32)), "TIFF"))
    assert "floating" in message(encoded(Image.fromarray(np.full((9, 9), 0.5, np.float32)), "TIFF"))


def test_tiny_pictures_are_refused_and_the_least_is_named() -> None:
    for size in ((1, 1), (MIN_SIDE - 1, 50), (50, MIN_SIDE - 1)):
        text = message(encoded(Image.new("RGB", size)))
        assert "too small" in text
        assert f"{MIN_SIDE} x {MIN_SIDE}" in text
    assert open_image(encoded(Image.new("RGB", (MIN_SIDE, MIN_SIDE)))).size == (MIN_SIDE, MIN_SIDE)


def test_an_unknown_name_gets_the_nearest() -> None:
    assert "chelsea" in message("chelsae")
    assert "astronaut" in message("Astronaut_")
    assert "coffee" in message("zzz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a POSIX thing")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "regular file" in message(tmp_path / "pipe")


def test_postscript_never_reaches_an_interpreter() -> None:
    eps = encoded(Image.fromarray(ramp()), "EPS")
    assert "not a picture" in message(eps)


def test_the_callers_picture_is_left_alone() -> None:
    picture = Image.fromarray(ramp()).convert("RGBA")
    before = picture.copy()
    open_image(picture)
    assert picture == before
