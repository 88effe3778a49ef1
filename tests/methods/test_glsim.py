"""GLSim's cosine, box and second look one number after the other in float64, and what the choice costs."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from labkit.experiments import glsim as lesson
from labkit.methods.selection.glsim import box_around, cropped, glsim, similarity
from labkit.probes.attention import attention_maps
from labkit.probes.rollout import rollout

SMALL = {"dim": 8, "depth": 2, "heads": 2, "patch": 3, "image": 15, "classes": 5}


def test_the_cosine_by_hand_and_by_loops():
    tokens = torch.tensor([[[3.0, 4.0], [8.0, 6.0], [-3.0, -4.0], [4.0, -3.0]]])
    torch.testing.assert_close(similarity(tokens), torch.tensor([[24 / 25, -1, 0]]))  # lengths tell nothing
    tokens = torch.randn(2, 6, 5, dtype=torch.float64)
    for sample, found in zip(tokens, similarity(tokens), strict=True):
        for patch, value in zip(sample[1:], found, strict=True):
            product = sum(a * b for a, b in zip(sample[0], patch, strict=True))
            lengths = math.sqrt(sum(a * a for a in sample[0])) * math.sqrt(sum(b * b for b in patch))
            torch.testing.assert_close(value, product / lengths)


def test_the_box_holds_all_chosen_patches_the_last_included():
    # On 5 columns 6 is (1, 1), 8 is (1, 3), 12 is (2, 2): rows 1 to 2, columns 1 to 3, of 3 pixels each.
    chosen = torch.tensor([[12, 8, 6], [19, 19, 19]])
    assert box_around(chosen, columns=5, patch=3).tolist() == [[3, 3, 8, 11], [9, 12, 11, 14]]


def enlarged(image: Tensor, box: list[int]) -> Tensor:
    """The box of one picture, `3 h w`, at the picture's size, pixel by pixel, corners on corners."""
    _, height, width = image.shape
    top, left, bottom, right = box
    out = torch.zeros_like(image)
    for i in range(height):
        for j in range(width):
            y, x = top + (bottom - top) * i / (height - 1), left + (right - left) * j / (width - 1)
            row, column = min(int(y), height - 2), min(int(x), width - 2)
            down, aside = y - row, x - column
            for r, share in ((row, 1 - down), (row + 1, down)):
                out[:, i, j] += share * ((1 - aside) * image[:, r, column] + aside * image[:, r, column + 1])
    return out


def test_the_region_is_bilinear_and_the_whole_is_the_picture():
    images = torch.randn(3, 3, 7, 10, dtype=torch.float64)
    boxes = [[0, 2, 3, 4], [4, 7, 6, 9], [0, 0, 6, 9]]
    found = cropped(images, torch.tensor(boxes))
    for image, box, region in zip(images, boxes, found, strict=True):
        torch.testing.assert_close(region, enlarged(image, box))
        top, left, bottom, right = box
        cut = image[None, :, top : bottom + 1, left : right + 1]
        torch.testing.assert_close(region, F.interpolate(cut, (7, 10), mode="bilinear", align_corners=True)[0])
    torch.testing.assert_close(found[2], images[2])


def refined(model, pair: list[Tensor]) -> Tensor:
    """The logits from two class tokens, by the equation of one block of attention; only the first is asked."""
    block = model.refine
    normed = torch.stack([block.norm1(one) for one in pair])
    q, k, v = (normed @ block.attn.qkv.weight.T + block.attn.qkv.bias).split(8, dim=1)
    mixed = torch.zeros(8, dtype=torch.float64)
    for head in (slice(0, 4), slice(4, 8)):
        near, far = (math.exp(sum(q[0, head] * k[key, head]) / 2) for key in (0, 1))
        mixed[head] = (near * v[0, head] + far * v[1, head]) / (near + far)
    x = pair[0] + block.attn.proj(mixed)
    x = x + block.mlp(block.norm2(x))
    return model.vit.head(model.norm(x))


@torch.no_grad()
def test_the_model_is_two_looks_and_one_block():
    model = glsim(**SMALL, top=2).double().eval()
    image = torch.randn(2, 3, 12, 15, dtype=torch.float64)
    seen = []
    model.boxes.register_forward_hook(lambda module, args, out: seen.append(out))
    found = model(image)
    for sample, box, logits in zip(image, seen[0].tolist(), found, strict=True):
        x = model.encode(sample[None])[0]
        cosines = [(x[0] @ x[i] / x[0].norm() / x[i].norm()).item() for i in range(1, 21)]
        best = sorted(range(20), key=cosines.__getitem__)[-2:]
        rows, columns = [i // 5 for i in best], [i % 5 for i in best]
        assert box == [3 * min(rows), 3 * min(columns), 3 * max(rows) + 2, 3 * max(columns) + 2]
        closer = model.encode(enlarged(sample, box)[None])[0]
        torch.testing.assert_close(logits, refined(model, [x[0], closer[0]]))


@torch.no_grad()
def test_where_all_patches_are_chosen_the_second_look_tells_nothing_new():
    model = glsim(**SMALL, top=20).double().eval()
    image = torch.randn(2, 3, 15, 12, dtype=torch.float64)
    first = model.encode(image)[:, :1]
    torch.testing.assert_close(model(image), model.vit.head(model.norm(model.refine(first))[:, 0]))


def test_more_patches_than_there_are_cannot_be_chosen():
    with pytest.raises(ValueError, match=r"GlSim\(top=21\) got a picture of 20 patches"):
        glsim(**SMALL, top=21)(torch.randn(1, 3, 15, 12))


def test_what_the_choice_costs():
    model = glsim(**SMALL | {"depth": 3}).vit
    image = torch.randn(1, 3, 15, 12)
    maps = attention_maps(model, image)
    wanted = lesson.multiplications(20, dim=8, depth=3)
    with FlopCounterMode(display=False) as counter:
        rollout(maps)
    assert counter.get_total_flops() / 2 == wanted["rollout"] == 2 * 21**3
    with FlopCounterMode(display=False) as counter:
        similarity(model.embed(image).detach())
    stem = 20 * 27 * 8
    assert counter.get_total_flops() / 2 == stem + 20 * 8, "the products; the counter leaves the lengths out"
    assert wanted["GLSim"] == 20 * 8 + 21 * 8
    assert wanted["one row of rollout"] == 2 * 21**2


def test_what_is_found_is_the_share_of_the_highest_that_is_object():
    covered = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.25, 1.0]])
    scores = torch.tensor([[3.0, 2.0, 1.0], [2.0, 1.0, 0.0]])
    assert lesson.found(scores, covered, top=2) == (1 + 0.5 + 0 + 0.25) / 4
