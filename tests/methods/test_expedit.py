"""Expedit's two steps one number after the other in float64, where they lose nothing, and what they leave alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from labkit.experiments import expedit as lesson
from labkit.experiments._mixers import macs
from labkit.experiments._objects import reader
from labkit.experiments.expedit import enlarged, error, inside, overlap
from labkit.methods.tokens.expedit import (
    Clustering,
    Expedit,
    Reconstruction,
    distances,
    expedit,
    saved_in_blocks,
    within_reach,
)
from labkit.models.backbones.vit import ViT


def small(**changes: int) -> ViT:
    """A ViT with positions and a class token that can be told from its cells; in double precision."""
    vit = ViT(**{"dim": 8, "depth": 3, "heads": 2, "classes": 5, "image": 20, "patch": 4} | changes).double().eval()
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.normal_(std=0.4)
    return vit


def pooled(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Means of `h w c` over the cells under each cell of a coarser grid; those cut by an edge count on both sides."""
    h, w, _ = x.shape
    rows, columns = grid
    return torch.stack(
        [
            x[i * h // rows : -(-(i + 1) * h // rows), j * w // columns : -(-(j + 1) * w // columns)].mean(dim=(0, 1))
            for i in range(rows)
            for j in range(columns)
        ]
    )


def given(x: Tensor, centres: Tensor, grid: tuple[int, int], *, tau: float, window: int) -> dict[tuple, float]:
    """(row, column, centre) -> what the cell of `h w c` gives to that of the centres `m c`."""
    h, w, _ = x.shape
    x, centres, shares = x.tolist(), centres.tolist(), {}
    for row in range(h):
        for column in range(w):
            over = row * grid[0] // h, column * grid[1] // w
            near = {}
            for m, centre in enumerate(centres):
                i, j = divmod(m, grid[1])
                if max(abs(i - over[0]), abs(j - over[1])) <= window // 2:
                    far = sum((a - b) ** 2 for a, b in zip(x[row][column], centre, strict=True))
                    near[m] = math.exp(-tau * far)
            shares |= {(row, column, m): value / sum(near.values()) for m, value in near.items()}
    return shares


def clustered(x: Tensor, grid: tuple[int, int], *, tau: float, window: int, steps: int) -> Tensor:
    centres = pooled(x, grid)
    for _ in range(steps):
        sums, totals = torch.zeros_like(centres), torch.zeros(len(centres)).double()
        for (row, column, m), share in given(x, centres, grid, tau=tau, window=window).items():
            sums[m] += share * x[row, column]
            totals[m] += share
        centres = sums / totals[:, None]
    return centres


@pytest.mark.parametrize(("grid", "window"), [((3, 2), 3), ((4, 5), 3), ((2, 2), 5), ((3, 4), 1)])
def test_clustering_is_its_equation(grid, window):
    x = torch.randn(2, 5, 7, 3).double()
    layer = Clustering(grid, tau=0.4, window=window, steps=2)
    found, owners = layer(x), layer.owners(x)
    assert found.shape == (2, *grid, 3)
    for one, centres, owner in zip(x, found.flatten(1, 2), owners, strict=True):
        torch.testing.assert_close(centres, clustered(one, grid, tau=0.4, window=window, steps=2))
        shares = given(one, centres, grid, tau=0.4, window=window)
        for cell, most in enumerate(owner.tolist()):
            row, column = divmod(cell, 7)
            theirs = {m: share for (i, j, m), share in shares.items() if (i, j) == (row, column)}
            assert most == max(theirs, key=theirs.__getitem__)


def test_the_paper_moves_centres_five_times_among_five_by_five():
    x = torch.randn(1, 7, 6, 3).double()
    found = Clustering((6, 5), tau=0.7)(x)[0].flatten(0, 1)
    torch.testing.assert_close(found, clustered(x[0], (6, 5), tau=0.7, window=5, steps=5))


def test_a_centre_by_hand():
    # Tokens 0, 1, 3, 4 and centres 0.5 and 3.5; |0 - 0.5|² = 0.25 and |0 - 3.5|² = 12.25 and so on, mirrored.
    x = torch.tensor([0.0, 1.0, 3.0, 4.0]).double().view(1, 1, 4, 1)
    near = [1 / (1 + math.exp(-0.1 * far)) for far in (12, 6)]  # what 0 and 1 give to the first
    wanted = (near[1] * 1 + (1 - near[1]) * 3 + (1 - near[0]) * 4) / 2
    found = Clustering((1, 2), tau=0.1, steps=1)(x)
    assert found.flatten().tolist() == pytest.approx([wanted, 4 - wanted])


def test_who_may_join_what():
    found = within_reach((5, 8), (3, 4), window=3)
    for n, row in enumerate(found.view(5, 8, 3, 4).flatten(0, 1)):
        i, j = divmod(n, 8)
        for y in range(3):
            for x in range(4):
                assert row[y, x] == (abs(i * 3 // 5 - y) <= 1 and abs(j * 4 // 8 - x) <= 1)


def test_without_steps_and_without_sharpness_centres_are_means():
    x = torch.randn(1, 6, 4, 3).double()
    squares = x.unflatten(1, (3, 2)).unflatten(3, (2, 2)).mean(dim=(2, 4))
    torch.testing.assert_close(Clustering((3, 2), steps=0)(x), squares)
    torch.testing.assert_close(Clustering((3, 2), window=1)(x), squares, msg="with one centre in reach, all of it")
    torch.testing.assert_close(Clustering((3, 2), tau=0)(x), x.mean(dim=(1, 2), keepdim=True).expand(1, 3, 2, 3))


@pytest.mark.parametrize("grid", [(6, 2), (2, 5)])
def test_more_centres_than_cells_are_refused(grid):
    with pytest.raises(ValueError, match=r"got 5 x 4 cells: give it fewer centres, or a larger picture"):
        Clustering(grid)(torch.randn(1, 5, 4, 3))


def test_a_centre_that_nothing_goes_to_stays():
    # The middle one starts at 5, but its cells are as those of its neighbours.
    x = torch.tensor([0.0, 0, 0, 10, 10, 10]).view(1, 1, 6, 1)
    assert Clustering((1, 3), tau=100)(x).flatten().tolist() == [0, 5, 10]


@pytest.mark.parametrize("wrong", [{"window": 4}, {"tau": -0.1}, {"steps": -1}, {"grid": (3, 0)}])
def test_what_makes_no_sense_for_clustering_is_refused(wrong):
    with pytest.raises(ValueError, match="and an odd window"):
        Clustering(**{"grid": (3, 2)} | wrong)


@pytest.mark.parametrize("wrong", [{"keep": 0}, {"tau": -0.1}, {"norm": 3}])
def test_what_makes_no_sense_for_reconstruction_is_refused(wrong):
    with pytest.raises(ValueError, match="and a norm of 1 or 2"):
        Reconstruction(**wrong)


@pytest.mark.parametrize(("keep", "norm"), [(20, 1), (3, 1), (3, 2), (1, 1)])
def test_reconstruction_is_its_equation(keep, norm):
    x, centres, refined = (torch.randn(2, *size).double() for size in ((3, 5, 4), (2, 3, 4), (2, 3, 4)))
    found = Reconstruction(tau=0.3, keep=keep, norm=norm)(x, centres, refined)
    for b in range(2):
        for row in range(3):
            for column in range(5):
                off = [((x[b, row, column] - centre) ** 2).sum().item() for centre in centres[b].flatten(0, 1)]
                kept = sorted(range(6), key=lambda m: off[m])[:keep]
                weights = {m: math.exp(-0.3 * off[m]) for m in kept}
                length = sum(value**norm for value in weights.values()) ** (1 / norm)
                wanted = sum(value / length * refined[b].flatten(0, 1)[m] for m, value in weights.items())
                torch.testing.assert_close(found[b, row, column], wanted)


def test_weights_sum_to_one_and_by_the_released_code_to_more():
    x, centres, ones = torch.randn(2, 4, 3, 5), torch.randn(2, 2, 2, 5), torch.ones(2, 2, 2, 5)
    torch.testing.assert_close(Reconstruction()(x, centres, ones), torch.ones_like(x))
    flat = Reconstruction(tau=0, norm=2)(x, centres, ones)
    torch.testing.assert_close(flat, torch.full_like(x, 2.0), msg="four alike, each 1 / √4: twice too long")
    sharp = [Reconstruction(tau=1e3, norm=norm)(x, centres, centres) for norm in (1, 2)]
    torch.testing.assert_close(*sharp, msg="where one weight is all, both are the same")


def test_of_thirty_centres_twenty_count():
    refined = torch.arange(30.0).view(1, 5, 6, 1)
    found = Reconstruction(tau=0)(torch.zeros(1, 1, 1, 1), refined, refined)
    assert found.item() == pytest.approx(sum(range(20)) / 20), "the nearest are 0 to 19"


def test_ties_are_kept_and_tokens_far_from_every_centre_are_restored():
    centres, refined = torch.zeros(1, 1, 3, 2), torch.tensor([1.0, 2.0, 6.0]).view(1, 1, 3, 1).expand(1, 1, 3, 2)
    found = Reconstruction(keep=1)(torch.ones(1, 2, 1, 2), centres, refined)
    torch.testing.assert_close(found, torch.full((1, 2, 1, 2), 3.0))
    centres = torch.tensor([0.0, 1.0]).view(1, 1, 2, 1)
    far = Reconstruction(tau=1)(torch.full((1, 1, 1, 1), 1e3), centres, centres)
    assert far.item() == pytest.approx(1), "exp(-10⁶) is nothing, but the nearer of two is the nearer"


def test_distances_by_hand_and_never_below_zero():
    x = torch.tensor([[[0.0, 0.0], [3.0, 1.0]]])
    assert distances(x, torch.tensor([[[3.0, 4.0]]])).tolist() == [[[25], [9]]]
    same = 100 + torch.randn(1, 40, 16)
    assert distances(same, same).min() == 0


@torch.no_grad()
def test_where_every_cell_is_a_cluster_it_is_the_plain_model():
    vit, image = small(), torch.randn(2, 3, 20, 12).double()
    last = vit.norm(vit.blocks(vit.embed(image)))
    sharp = {"shrink": Clustering((5, 3), tau=1e4), "restore": Reconstruction(tau=1e4)}
    for location in range(4):
        for parts in (sharp, {"shrink": Clustering((5, 3), steps=0), "restore": enlarged}):
            model = Expedit(vit, location=location, **parts)
            torch.testing.assert_close(model.late(model.early(image), columns=3), last)
            torch.testing.assert_close(model(image), vit.head(last[:, 1:]).view(2, 5, 3, 5).movedim(-1, 1))
    torch.testing.assert_close(vit.head(last[:, 0]), vit(image))


@torch.no_grad()
def test_the_later_blocks_are_given_the_class_token_and_the_centres():
    vit, image, seen = small(), torch.randn(1, 3, 20, 12).double(), []
    for block in vit.blocks:
        block.tokens.register_forward_hook(lambda part, args, out: seen.append(out))
    clusters, back = Clustering((3, 2), tau=0.3), Reconstruction(tau=0.3)
    model = Expedit(vit, location=2, shrink=clusters, restore=back)
    found = model.late(model.early(image), columns=3)
    assert [one.shape[1] for one in seen] == [16, 16, 7]
    fine = seen[1][:, 1:].view(1, 5, 3, 8)
    centres = clusters(fine)
    z = vit.norm(vit.blocks[2](torch.cat([seen[1][:, :1], centres.flatten(1, 2)], dim=1)))
    torch.testing.assert_close(found[:, :1], z[:, :1])
    torch.testing.assert_close(found[:, 1:].view(1, 5, 3, 8), back(fine, centres, z[:, 1:].view(1, 3, 2, 8)))


@torch.no_grad()
def test_a_picture_of_two_colours_loses_nothing():
    # Without positions a token is what its colour is: the halves are two clusters, or two colours of eight.
    vit = small(depth=1)
    vit.positions.table.zero_()
    image = torch.randn(1, 3, 1, 2).double().repeat_interleave(16, dim=2).repeat_interleave(8, dim=3)
    for grid in ((1, 2), (2, 4)):
        sharp = {"shrink": Clustering(grid, tau=1e4), "restore": Reconstruction(tau=1e4)}
        found = Expedit(vit, location=1, **sharp)(image)
        plain = vit.head(vit.norm(vit.blocks(vit.embed(image)))[:, 1:]).view(1, 4, 4, 5).movedim(-1, 1)
        torch.testing.assert_close(found, plain)


@pytest.mark.parametrize("location", [-1, 4])
def test_blocks_that_are_not_there_are_refused(location):
    with pytest.raises(ValueError, match=rf"Expedit\(location={location}\): the model has 3 blocks"):
        Expedit(small(), location=location, shrink=Clustering((2, 2)))


def test_the_paper_s_encoder():
    model = expedit(dim=4, depth=12, heads=1)  # narrower, and half as deep
    assert model.location == 10
    assert model.shrink == Clustering((28, 28), tau=0.02, window=5, steps=5)
    assert model.restore == Reconstruction(tau=0.02, keep=20, norm=1)
    assert model.vit.positions.table.shape[-2:] == (40, 40)


# The experiment's instruments


def test_what_is_saved_by_hand():
    # Two blocks of width 8: 12 dim² a token, 2 dim for each pair; 26 tokens or 7, once; 12 n m dim for both layers.
    vit, image = small(depth=2), torch.randn(1, 3, 20, 20).double()
    whole = Expedit(vit, location=1, shrink=Clustering((5, 5), steps=0), restore=enlarged)
    clusters = Expedit(vit, location=1, shrink=Clustering((3, 2)))
    less = (26 - 7) * 12 * 64 + (26**2 - 7**2) * 2 * 8 - 12 * 25 * 6 * 8
    assert macs(whole, image) - macs(clusters, image) == less
    blocks = 2 * (12 * 64 * 26 + 2 * 8 * 26**2)
    share = saved_in_blocks(cells=25, centres=6, dim=8, depth=2, location=1)
    assert share == pytest.approx(less / blocks)


def test_the_plain_rival_by_hand():
    x = torch.arange(24.0).view(1, 4, 6, 1)
    grid = Clustering((2, 3), steps=0)(x)
    torch.testing.assert_close(grid[0], pooled(x[0], (2, 3)).view(2, 3, 1))
    again = enlarged(x, grid, grid)
    assert again.shape == x.shape
    assert again[0, 1, 1].item() == pytest.approx(3.5 + 2 / 4 + 12 / 4), "a quarter of the way to both neighbours"


def test_an_error_of_one_is_the_mean_token_and_the_class_token_does_not_count():
    full = torch.randn(3, 11, 4)
    mean = torch.cat([full[:, :1], full[:, 1:].mean(dim=1, keepdim=True).expand(3, 10, 4)], dim=1)
    torch.testing.assert_close(error(mean, full), torch.ones(3))
    assert error(torch.cat([mean[:, :1] + 9, full[:, 1:]], dim=1), full).tolist() == [0, 0, 0]


def test_what_lies_in_mostly_object_by_hand():
    # Of cluster 0 three quarters of two cells, of cluster 2 a quarter, of cluster 5 exactly one half: not most of it.
    owners = torch.tensor([[0, 0, 2, 5, 5, 5], [0, 1, 2, 3, 4, 5]])
    covered = torch.tensor([[1.0, 0.5, 0.25, 1.0, 0.5, 0.0], [0.0, 0.0, 0.75, 0.0, 0.25, 0.0]])
    torch.testing.assert_close(inside(owners, covered), torch.tensor([1.5 / 3.25, 0.75]))


def test_a_reader_finds_a_plane_and_overlap_counts_cells():
    tokens = torch.randn(3, 40, 2, generator=torch.Generator().manual_seed(0))
    on = tokens[..., 0] > 0.3
    assert overlap(reader(tokens, on)(tokens), on) > 0.8, "the plane that fits best is nearly that"
    there = torch.tensor([[-3.0, 0.0], [3.0, 0.0]])
    assert reader(tokens, on)(there).tolist() == [False, True]
    found, truth = torch.tensor([[True, True, False, False]]), torch.tensor([[False, True, True, False]])
    assert overlap(found, truth) == pytest.approx(1 / 3)


def test_a_mosaic_is_the_mean_colour_of_each_token():
    view = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    owners = torch.arange(256) // 100 * 7  # not every number is a token's
    found = lesson.mosaic(view, owners)[0]
    for token in (0, 7, 14):
        cells = [divmod(cell, 16) for cell in range(256) if cell // 100 * 7 == token]
        mean = np.mean([view[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] for i, j in cells], axis=(0, 1, 2)) / 255
        for i, j in cells:
            np.testing.assert_allclose(found[i, j], mean)


def test_a_larger_picture_has_its_objects_in_the_same_place():
    masks = torch.zeros(1, 64, 64, dtype=torch.bool)
    masks[0, 8:16, 24:40] = True
    book = lesson.Objects(torch.full((1, 3, 64, 64), 0.5), masks, torch.tensor([0]), photos=True)
    found = lesson.upsampled(book)
    assert torch.equal(found.masks.nonzero().amin(dim=0), torch.tensor([0, 16, 48]))
    assert torch.equal(found.masks.nonzero().amax(dim=0), torch.tensor([0, 31, 79]))
    torch.testing.assert_close(found.images, torch.full((1, 3, 128, 128), 0.5))
