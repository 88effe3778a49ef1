from __future__ import annotations

import numpy as np
import pytest

from labkit.session import Look
from labkit.widgets import figures


def test_the_shares_of_a_query_are_its_row_of_the_dense_matrix(seen: Look) -> None:
    attention = seen.maps[0]
    dense = attention.dense()[0, :, :, 2:].numpy()
    for query in (-2, -1, 0, 8, 14):
        row = query + 2 if query >= 0 else -1 - query
        np.testing.assert_array_equal(figures.shares_of(attention, query), dense[:, row].reshape(3, 3, 5))


def test_outside_its_window_a_query_sees_nothing(seen: Look) -> None:
    shares = figures.shares_of(
        seen.maps[1], 4
    )  # row 0, column 4: the upper right window, columns 3 and 4 of rows 0 and 1
    seen_cells = ~np.isnan(shares[0])
    np.testing.assert_array_equal(np.argwhere(seen_cells), [[0, 3], [0, 4], [1, 3], [1, 4]])


def test_a_query_that_the_layer_does_not_have_sees_nothing_at_all(seen: Look) -> None:
    assert np.isnan(figures.shares_of(seen.maps[3], 3)).all()


@pytest.mark.parametrize("query", [8, -1])
def test_every_figure_of_a_mixed_model_can_be_drawn(seen: Look, query: int) -> None:
    for figure in (
        figures.overview(seen, layer=0, head=1, query=query),
        figures.overview(seen, layer=0, head=-1, query=query),
        figures.attention_grid(seen, layer=0, query=query),
        figures.pattern_strip(seen),
        figures.by_depth(seen),
    ):
        figure.canvas.draw()
    assert len(figures.by_depth_to_touch(seen).data) > 0


def test_queries_have_names_counted_from_zero(seen: Look) -> None:
    assert figures.query_name(seen, 0, 8) == "query row 1, column 3"
    assert figures.query_name(seen, 0, -1) == "query class token"
    assert figures.query_name(seen, 0, -3) == "query extra token 2"
