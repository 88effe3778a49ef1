"""What the session knows of mixing: all blocks of a model before a photo, and attention taken apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from labkit.probes.attention import AttentionMap
from labkit.probes.mixing import EXACT, mixing_maps
from labkit.session import mixtures as session
from labkit.session import sit
from labkit.session.mixtures import attention_layers, coarse_attention, mixing_sites, mixtures, taken_apart


@pytest.fixture
def sitting():
    """A small model nobody else looks at."""
    from labkit.models.backbones.resnet import ResNet
    from labkit.models.backbones.vit import ViT

    def before(model: nn.Module):
        real = sit("lab/vit", "chelsea")
        return replace(real, opened=replace(real.opened, model=model.eval()), images=real.images[:, :, :32, :32])

    torch.manual_seed(0)
    vit = ViT(dim=12, depth=2, heads=2, classes=5, image=32, patch=8)
    for layer in vit.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.4)
    return {"vit": before(vit), "resnet": before(ResNet(widths=(4, 8), depths=(1, 1), classes=5))}


def test_each_step_has_one_block_more_the_one_asked_for_first(sitting):
    found = list(mixtures(sitting["vit"], first=1))
    assert [[*one] for one in found] == [["blocks.1"], ["blocks.0", "blocks.1"]]
    (exact,) = mixing_maps(
        sitting["vit"].opened.model, sitting["vit"].images, layers=["blocks.1"], probes=EXACT, identity=False
    )
    assert (found[-1]["blocks.1"].map.squared.sum() / exact.squared.sum()).item() == pytest.approx(1, abs=0.25)


def test_the_skip_connection_is_left_out_where_there_is_one(sitting):
    *_, found = mixtures(sitting["resnet"])
    assert [one.skip for one in found.values()] == [
        (site.before.grid, site.before.channels) != (site.after.grid, site.after.channels)
        for site in mixing_sites(sitting["resnet"])
    ]
    *_, whole = mixtures(sitting["vit"], skip=True)
    *_, added = mixtures(sitting["vit"])
    assert all(one.skip for one in whole.values())
    assert whole["blocks.0"].measures.own > added["blocks.0"].measures.own


def test_what_is_known_is_not_asked_again(sitting, monkeypatch):
    *_, first = mixtures(sitting["vit"])
    monkeypatch.setattr(session, "mixing_maps", lambda *_, **__: pytest.fail("asked again"))
    *_, again = mixtures(sitting["vit"])
    assert again == first
    with pytest.raises(pytest.fail.Exception):
        next(mixtures(replace(sitting["vit"], images=-sitting["vit"].images)))


def test_attention_is_found_in_its_block_and_taken_apart(sitting):
    assert attention_layers(sitting["vit"]) == {"blocks.0": "blocks.0.attn", "blocks.1": "blocks.1.attn"}
    assert attention_layers(sitting["resnet"]) == {}
    assert list(taken_apart(sitting["resnet"])) == []
    first, both = taken_apart(sitting["vit"], first="blocks.1")
    assert ([*first], [*both]) == (["blocks.1"], ["blocks.0", "blocks.1"])
    one = both["blocks.1"]
    assert one.grid == (4, 4)
    assert 0 < one.softmax < 1
    norms = {part: rows.norm() for part, rows in one.rows.items()}
    assert one.softmax == pytest.approx((norms["softmax"] / (norms["softmax"] + norms["values"])).item(), abs=1e-5)
    shares = one.rows["values"] / one.rows["values"].sum(dim=1, keepdim=True)
    assert one.own["values"] == pytest.approx(shares.diagonal().mean().item(), abs=1e-6)


def test_coarse_attention_sums_keys_and_averages_those_who_ask():
    grid, n = (3, 4), 12
    weights = torch.rand(1, 1, 2, n + 1, n + 1, generator=torch.Generator().manual_seed(0)).softmax(dim=-1)
    tokens = torch.cat([torch.tensor([-1]), torch.arange(n)])[None]
    found = coarse_attention(AttentionMap("a", weights, grid, grid, tokens, tokens), side=2)
    assert found.shape == (4, 4)
    mean = weights[0, 0].mean(dim=0)[1:, 1:]
    asking, asked = [2 * 4 + 2, 2 * 4 + 3], [0, 1, 4, 5]  # the lower right cell is cut: one row of two
    assert found[3, 0].item() == pytest.approx(mean[asking][:, asked].sum(dim=1).mean().item(), abs=1e-6)
    assert torch.equal(coarse_attention(AttentionMap("a", weights, grid, grid, tokens, tokens)), mean)
