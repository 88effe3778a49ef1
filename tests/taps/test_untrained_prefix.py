"""A class token that starts at zero is a token without a place, not padding."""

from __future__ import annotations

import torch
import torchvision

from labkit.taps import layouts


def test_an_untrained_class_token_is_a_prefix_token_in_every_layer():
    # torchvision starts its class token at zero and hands it to the encoder before the positions are added.
    model = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=8, mlp_dim=8, num_classes=3
    )
    found = layouts(model, (32, 32))
    assert len(found) == 3
    for layout in found.values():
        assert layout.grid == layout.key_grid == (4, 4)
        for places in (layout.queries, layout.keys):
            torch.testing.assert_close(places, torch.arange(-1, 16)[None])
