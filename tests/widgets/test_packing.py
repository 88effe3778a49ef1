from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from labkit.probes.attention import AttentionMap
from labkit.session import Look
from labkit.taps import PADDING
from labkit.widgets import packing
from labkit.widgets.packing import TooLarge, pack, pack_layer


def unpack(info: dict, body: bytes) -> dict[str, np.ndarray]:
    """The layout as `pack_layer` documents it, read by another hand."""
    windows, heads, q, k = (info[name] for name in ("windows", "heads", "q", "k"))
    extra = len(info["prefix"])
    parts, at = {}, 0
    for name, kind, shape in (
        ("queries", "<i4", (windows, q)),
        ("keys", "<i4", (windows, k)),
        ("peaks", "<f4", (windows, heads, q)),
        ("extras", "<f4", (windows, heads, q, extra)),
        ("levels", "u1", (windows, heads, q, k)),
    ):
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        parts[name] = np.frombuffer(body[at : at + size], kind).reshape(shape)
        at += size
    assert at == len(body)
    return parts


def info_of(attention: AttentionMap, seen: Look) -> dict:
    return pack(replace(seen, maps=(attention,), measures=(seen.measures[0],))).head["layers"][0]


def test_a_packed_layer_holds_every_share_to_half_a_percent_of_its_rows_peak(
    attention: AttentionMap, seen: Look
) -> None:
    info = info_of(attention, seen)
    parts = unpack(info, pack_layer(attention))
    weights, keys = attention.weights[0].numpy(), attention.keys.numpy()
    np.testing.assert_array_equal(parts["queries"], attention.queries.numpy())
    np.testing.assert_array_equal(parts["keys"], keys)
    shares = parts["peaks"][..., None] * (parts["levels"] / 255.0) ** 2
    on_grid = np.broadcast_to((keys >= 0)[:, None, None, :], weights.shape)
    error = np.abs(shares - weights)[on_grid]
    peaks = np.broadcast_to(parts["peaks"][..., None], weights.shape)[on_grid]
    assert (error <= peaks / 255 + 1e-7).all()
    assert (shares[~on_grid] == 0).all()


def test_the_row_peaks_and_the_prefix_shares_are_exact(attention: AttentionMap, seen: Look) -> None:
    info = info_of(attention, seen)
    parts = unpack(info, pack_layer(attention))
    for window, heads in enumerate(attention.weights[0]):
        keys = attention.keys[window]
        expected = heads[..., keys >= 0].max(dim=-1).values if (keys >= 0).any() else torch.zeros(heads.shape[:2])
        np.testing.assert_array_equal(parts["peaks"][window], expected)
        for column, token in enumerate(info["prefix"]):
            expected = heads[..., keys == token].sum(dim=-1)
            np.testing.assert_allclose(parts["extras"][window, ..., column], expected, rtol=1e-6)


def test_a_greedy_class_token_does_not_blur_the_cells(seen: Look) -> None:
    # Head 0 of the global map gives nearly everything to the class token: on its scale the levels would end at 20.
    attention = seen.maps[0]
    levels = unpack(info_of(attention, seen), pack_layer(attention))["levels"][0, 0]
    assert attention.weights[0, 0, 0, :, 0].min() > 0.99
    assert (levels.max(axis=-1) == 255).all()
    assert len(np.unique(levels)) > 50


def test_the_packed_rows_agree_with_the_dense_matrix(seen: Look) -> None:
    attention = seen.maps[1]
    dense = attention.dense()[0].numpy()
    parts = unpack(info_of(attention, seen), pack_layer(attention))
    rebuilt = np.zeros_like(dense)
    for window, row in np.argwhere(parts["queries"] >= 0):
        keys = parts["keys"][window]
        shares = parts["peaks"][window, :, row, None] * (parts["levels"][window, :, row] / 255.0) ** 2
        rebuilt[:, parts["queries"][window, row], keys[keys >= 0]] = shares[:, keys >= 0]
    np.testing.assert_allclose(rebuilt, dense, atol=1 / 255)


def test_all_layers_travel_together_while_they_are_small(seen: Look) -> None:
    packed = pack(seen)
    assert all(packed.layers)
    assert [info["prefix"] for info in packed.head["layers"]] == [[-1, -2], [PADDING], [], [-1]]
    assert [info["asking"] for info in packed.head["layers"]] == [[-1, -2], [], [], [-1]]
    assert json.loads(json.dumps(packed.head, allow_nan=False)) == packed.head


def test_a_measure_that_is_not_defined_travels_as_null(seen: Look) -> None:
    assert pack(seen).head["layers"][3]["nmi"] == [None, None]


def test_above_the_limit_only_the_chosen_layer_travels(seen: Look) -> None:
    packed = pack(seen, chosen=2, limit=100)
    assert [body is not None for body in packed.layers] == [False, False, True, False]
    assert packed.layers[2] == pack_layer(seen.maps[2])


def test_a_layer_that_no_browser_takes_in_is_refused_by_name(seen: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "LAYER_BYTES", 300)
    with pytest.raises(TooLarge, match=r"blocks\.0\.attn .* smaller picture or larger patches"):
        pack(seen)


def test_padding_is_called_the_same_as_in_taps() -> None:
    assert packing.PADDING == PADDING


@pytest.mark.parametrize(("side", "kind"), [(64, "png"), (300, "jpeg")])
def test_small_pictures_travel_lossless(side: int, kind: str) -> None:
    from PIL import Image

    assert packing.data_url(Image.new("RGB", (side, side))).startswith(f"data:image/{kind};base64,")
