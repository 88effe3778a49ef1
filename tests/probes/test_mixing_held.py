"""Attention held fixed: the two parts of the Jacobian add up, in every dialect of attention, and values do not move."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.models.backbones import resnet, vit
from labkit.probes.inputs import Refused
from labkit.probes.mixing import EXACT, mixing_map
from labkit.probes.mixing_held import HeldAttention, attention_parts
from labkit.taps import Form

FORM = Form("b n c", (2, 3), 8)


class Written(nn.Module):
    """One attention in several spellings, with the same weights."""

    def __init__(self, spelling: str) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.spelling = spelling
        self.multi = nn.MultiheadAttention(8, 2, batch_first=True).double()

    def forward(self, x: Tensor) -> Tensor:
        if self.spelling == "nn.MultiheadAttention":
            return self.multi(x, x, x, need_weights=False)[0]
        qkv = F.linear(x, self.multi.in_proj_weight, self.multi.in_proj_bias)
        q, k, v = (one.unflatten(-1, (2, 4)).transpose(1, 2) for one in qkv.chunk(3, dim=-1))
        if self.spelling == "fused":
            y = F.scaled_dot_product_attention(q, k, v)
        elif self.spelling == "fused, by name":
            y = F.scaled_dot_product_attention(value=v, key=k, query=q)
        else:
            y = (q @ k.mT / 2).softmax(dim=-1) @ v
        return self.multi.out_proj(y.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("spelling", ["nn.MultiheadAttention", "fused", "fused, by name", "in the open"])
def test_every_spelling_is_held(spelling):
    part = Written(spelling).eval()
    x = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(0)).double()

    def held(value: Tensor) -> Tensor:
        with HeldAttention():
            return part(value)

    torch.testing.assert_close(held(x), part(x))
    found = mixing_map(held, x, before=FORM, after=FORM, probes=EXACT)
    attn = part.multi(x, x, x, need_weights=True, average_attn_weights=False)[1][0].detach()
    value = part.multi.in_proj_weight.detach()[16:].view(2, 4, 8)
    out = part.multi.out_proj.weight.detach().view(8, 2, 4).transpose(0, 1)
    whole = torch.einsum("hqk,hod,hdc->qkoc", attn, out, value)
    torch.testing.assert_close(found.squared[0], whole.square().sum(dim=(2, 3)))


def test_the_two_parts_add_up_to_the_whole():
    model, images = vit.tiny()
    for parameter in model.parameters():
        parameter.data.normal_(std=0.5)
    parts = attention_parts(model, images, "blocks.1.attn", probes=EXACT)
    live, held, softmax = (part.norms for part in (parts.live, parts.held, parts.softmax))
    assert (live <= held + softmax + 1e-5).all()
    assert (live >= (held - softmax).abs() - 1e-5).all()
    assert (softmax > 0).all()
    share = parts.share_of_softmax
    assert share.shape == (2,)
    assert ((share > 0) & (share < 1)).all()
    # Without queries every head looks evenly, whatever the picture: the softmax adds nothing.
    model.blocks[1].attn.qkv.weight.data[:16] = 0
    with pytest.raises(Refused, match="no softmax attention"):
        attention_parts(model, images, "blocks.1.attn", probes=1)


def test_a_block_without_attention_is_refused():
    model, images = resnet.tiny()
    with pytest.raises(Refused, match="nothing to hold fixed"):
        attention_parts(model, images, "stages.0.0", probes=1)


def test_the_mode_ends_also_after_an_error():
    with pytest.raises(ArithmeticError), HeldAttention():
        raise ArithmeticError
    x = torch.randn(1, 1, 3, requires_grad=True)
    assert x.softmax(dim=-1).requires_grad
