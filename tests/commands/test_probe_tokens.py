"""`labkit probe similarity`, `frequency` and `embedding`, as a person and as a program ask them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labkit.cli import run

pytestmark = pytest.mark.slow  # whole commands, each a second or two

Said = tuple[int, str, str]
RANDOM = ("--weights", "none", "--device", "cpu")


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def said(*args: str) -> Said:
        capsys.readouterr()
        code = run(["probe", *args, *RANDOM])
        return code, *capsys.readouterr()

    return said


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    pixels = np.zeros((300, 451, 3), np.uint8)  # of chelsea's size
    pixels[100:220, 150:300] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def test_similarity_as_json_with_a_mask(say: Callable[..., Said], mask: Path) -> None:
    code, out, _ = say("similarity", "--json", "--mask", str(mask))
    rows = json.loads(out)
    assert code == 0
    assert len(rows) == 6
    assert set(rows[0]) >= {"layer", "name", "grid", "similarity", "similarity_centred", "effective_rank", "cls"}
    assert set(rows[0]) >= {"high_frequency", "lesion_drop"}
    assert all(-1 <= row["same"] <= 1 and row["grid"] == "8x8" for row in rows)


def test_similarity_of_a_pyramid_in_a_table(say: Callable[..., Said]) -> None:
    code, out, _ = say("similarity", "--model", "lab/resnet")
    assert code == 0
    assert "stages.3.1" in out
    assert "–" in out  # no class token; stages that change the shape
    assert "cosine of" in out


def test_cka_against_another_model(say: Callable[..., Said]) -> None:
    code, out, _ = say("similarity", "--against", "lab/resnet", "--json")
    rows = json.loads(out)
    assert code == 0
    assert len(rows) == 6 * 7
    assert all(0 <= row["cka"] <= 1 for row in rows)


def test_frequency_as_json_and_filtered(say: Callable[..., Said]) -> None:
    code, out, _ = say("frequency", "--json")
    rows = json.loads(out)
    assert code == 0
    assert set(rows[0]) >= {"layer", "name", "grid", "low", "mid", "high", "relative_high", "delta"}
    code, out, _ = say("frequency", "--filter", "low", "--json", "--image", "coffee", "--image", "rocket")
    rows = json.loads(out)
    assert len(rows) == 20
    assert rows[9]["passes"] > 0.98
    code, out, _ = say("frequency", "--filter", "band", "--cutoff", "0.05:0.2", "--json")
    assert [(row["above"], row["below"]) for row in json.loads(out)] == [(0.05, 0.2)]


@pytest.mark.slow
def test_embedding_of_tokens_and_of_pictures(say: Callable[..., Said]) -> None:
    code, out, _ = say("embedding", "--json")
    rows = json.loads(out)
    assert code == 0
    assert len(rows) == 64
    assert (rows[10]["row"], rows[10]["column"]) == (1, 2)
    assert rows[0]["umap_x"] is None
    assert all(row["nearest"] != index for index, row in enumerate(rows))
    images = [part for name in ("chelsea", "coffee", "rocket") for part in ("--image", name)]
    code, out, _ = say("embedding", "--json", "--layer", "blocks.2", *images)
    rows = json.loads(out)
    assert [row["picture"] for row in rows] == ["chelsea", "coffee", "rocket"]
    assert rows[0]["row"] is None
    code, out, _ = say("embedding", "--layer", "1")
    assert "and 44 more" in out


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("frequency", "--cutoff", "0.1"), "--cutoff belongs to --filter"),
        (("frequency", "--filter", "low", "--cutoff", "0.1:0.2"), "--filter low needs one number, as 0.1"),
        (("frequency", "--filter", "band", "--cutoff", "x"), "--filter band needs two numbers, as 0.05:0.2"),
        (("frequency", "--filter", "high", "--cutoff", "2"), "expected cycles per pixel in 0..0.71"),
        (("embedding", "--layer", "9"), "lab/vit has layers 0 to 5, from blocks.0 to blocks.5"),
        (("embedding", "--of", "pictures"), "expected at least 2 vectors"),
        (("similarity", "--target", "1000000"), "expected classes in 0.."),
        (("similarity", "--against", "lab/nothing"), "lab/nothing"),
    ],
)
def test_wrong_questions_get_a_sentence(args: tuple[str, ...], expected: str, say: Callable[..., Said]) -> None:
    code, out, err = say(*args)
    assert code == 2
    assert out == ""
    assert expected in " ".join(err.split())
    assert "Traceback" not in err


def test_a_mask_of_another_size_is_one_sentence(say: Callable[..., Said], tmp_path: Path) -> None:
    Image.new("RGB", (20, 30)).save(tmp_path / "mask.png")
    code, _, err = say("similarity", "--mask", str(tmp_path / "mask.png"))
    assert code == 2
    assert "20 x 30 pixels, the picture 451 x 300" in " ".join(err.split())


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lab/vit", "timm/convnext_atto"])
def test_attention_and_convolutions_write_their_figures(model: str, say: Callable[..., Said], tmp_path: Path) -> None:
    expected = {
        "similarity": {"depth.png", "matrices.svg", "lesions.png", "cka.png", "similarity.csv"},
        "frequency": {"spectrum.png", "half_diagonal.png", "kernels.png", "frequency.json"},
        "embedding": {"tokens.png", "pca.png", "neighbours.png", "embedding.csv"},
    }
    for name, files in expected.items():
        code, _, err = say(name, "--model", model, "--out", str(tmp_path / name))
        assert code == 0, err
        assert files <= {path.name for path in (tmp_path / name).iterdir()}
    code, _, err = say("frequency", "--model", model, "--filter", "high", "--out", str(tmp_path / "high"))
    assert code == 0, err
    assert (tmp_path / "high" / "passband.png").is_file()
