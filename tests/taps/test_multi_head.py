"""nn.MultiheadAttention: the maps that are read lie on the way to its output, so that gradients arrive at them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from labkit.taps import reading


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
def test_gradients_arrive_at_the_maps_of_multi_head_attention(batch_first, need_weights):
    model = nn.Sequential(nn.MultiheadAttention(8, 2, batch_first=batch_first)).train()
    x = torch.randn(3, 5, 8) if batch_first else torch.randn(5, 3, 8)
    with reading(model, "b heads q k") as found:
        out, weights = model[0](x, x, x, need_weights=need_weights)
    (attn,) = found.values()
    assert attn.shape == (3, 2, 5, 5)
    torch.testing.assert_close(attn.sum(-1), torch.ones(3, 2, 5))
    if need_weights:
        torch.testing.assert_close(weights, attn.mean(1))
    else:
        assert weights is None
    # By hand: out = sum over heads of (A V) W_O + b, so ∂(sum of out)/∂A[q, k] = sum over the head's channels of V W_O.
    (gradient,) = torch.autograd.grad(out.sum(), attn)
    tokens = x if batch_first else x.transpose(0, 1)
    value = tokens @ model[0].in_proj_weight[16:].T + model[0].in_proj_bias[16:]
    pulled = (value * model[0].out_proj.weight.sum(0)).view(3, 5, 2, 4).sum(-1)
    torch.testing.assert_close(gradient, pulled.permute(0, 2, 1)[:, :, None].expand(3, 2, 5, 5))


@pytest.mark.parametrize(
    "kind", ["plain", "other widths", "no bias", "masks", "boolean masks", "extra keys", "one sequence"]
)
def test_the_output_and_the_weights_are_torchs_own(kind):
    settings = {"other widths": {"kdim": 6, "vdim": 4}, "no bias": {"bias": False}, "extra keys": {"add_bias_kv": True}}
    layer = nn.MultiheadAttention(8, 2, batch_first=True, **settings.get(kind, {})).eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    query, key, value = torch.randn(3, 5, 8), torch.randn(3, 7, layer.kdim), torch.randn(3, 7, layer.vdim)
    masks = {}
    if kind == "masks":
        masks = {"attn_mask": torch.randn(6, 5, 7), "key_padding_mask": torch.randn(3, 7)}
    elif kind == "boolean masks":
        masks = {"attn_mask": torch.rand(5, 7) > 0.7, "key_padding_mask": torch.arange(7).expand(3, 7) > 4}
    if kind == "one sequence":
        query, key, value = query[0], key[0], value[0]
    for average in (True, False):
        expected = layer(query, key, value, average_attn_weights=average, **masks)
        with reading(layer, "b heads q k") as found:
            ours = layer(query, key, value, average_attn_weights=average, **masks)
        torch.testing.assert_close(ours[0], expected[0])
        torch.testing.assert_close(ours[1], expected[1])
        assert len(found) == 1
