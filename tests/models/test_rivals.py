"""Ten mixers in one frame: nothing but the mixer differs; what ships is what the table says."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from labkit.data.images import open_image, photo_names
from labkit.models.mixers.tokens import TokenMlp
from labkit.models.rivals import MIXERS, PIXELS, rival
from labkit.models.scaffold import Block
from labkit.pretrained import load

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("rivals_page", ROOT / "scripts/rivals.py")
SCRIPT = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(SCRIPT)
STORED = json.loads(SCRIPT.STORED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("mixer", MIXERS)
def test_it_answers_and_nothing_but_the_mixer_differs(mixer):
    model, bare = rival(mixer, classes=5).eval(), rival("identity", classes=5)
    assert model(torch.randn(1, 3, PIXELS, PIXELS)).shape == (1, 5)
    blocks = [block for block in model.modules() if isinstance(block, Block)]
    assert len(blocks) == 4
    for block in blocks:
        block.mixer = nn.Identity()
    assert [(n, p.shape) for n, p in model.named_parameters()] == [(n, p.shape) for n, p in bare.named_parameters()]


def test_a_name_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no rival mixes by 'magic': expected identity, pooling"):
        rival("magic", classes=5)


def test_a_token_mlp_by_loops():
    mixer = TokenMlp(grid=(2, 3), ratio=0.5).double()
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64)
    w1, b1, w2, b2 = mixer.mlp.fc1.weight, mixer.mlp.fc1.bias, mixer.mlp.fc2.weight, mixer.mlp.fc2.bias
    assert w1.shape == (3, 6)
    expected = torch.zeros_like(x)
    for b in range(2):
        for c in range(4):
            row = x[b, :, :, c].flatten()
            expected[b, :, :, c] = (w2 @ nn.functional.gelu(w1 @ row + b1) + b2).view(2, 3)
    torch.testing.assert_close(mixer(x), expected)
    with pytest.raises(ValueError, match=r"a grid of 2 x 3 cells, got 3 x 2: resize"):
        mixer(x.transpose(1, 2))


# What ships, and what is said of it


def test_the_table_is_made_of_what_was_measured():
    assert SCRIPT.PAGE.read_text(encoding="utf-8") == SCRIPT.page(STORED), "run `python scripts/rivals.py table`"


@pytest.mark.parametrize("mixer", MIXERS)
def test_weights_ship_for_each_and_are_those_of_the_table(mixer):
    opened, row = load(f"lab/mix-{mixer}"), STORED["mixers"][mixer]
    assert sum(p.numel() for p in opened.model.parameters()) == row["parameters"]
    assert opened.card["top1"] == row["top1"][0]
    assert opened.card["epochs"] == STORED["about"]["epochs"]
    assert len(row["top1"]) == len(STORED["about"]["seeds"]) >= 3
    assert (SCRIPT.SHIPPED / f"mix-{mixer}.safetensors").stat().st_size < 1e6


def test_all_weights_together_are_less_than_25_mb():
    assert sum(file.stat().st_size for file in SCRIPT.SHIPPED.glob("*.safetensors")) < 25e6


@pytest.mark.slow
@pytest.mark.parametrize("mixer", ["pooling", "attention"])
def test_what_they_mix_is_as_the_table_says(mixer):
    """Measured again, of the weights that ship; other machines round differently in the last digits."""
    images = SCRIPT.pictures(photo_names(), open_image)
    model, row = load(f"lab/mix-{mixer}").model, STORED["mixers"][mixer]
    assert SCRIPT.counted(model) == {"parameters": row["parameters"], "macs": row["macs"]}
    found = SCRIPT.looked(model, images)
    for key, value in found.items():
        assert value == pytest.approx(row[key][0], abs=2 if key.startswith("field") else 0.01), key
