"""Focal modulation by loops, against timm, and how far it sees."""

from __future__ import annotations

import math
import re

import pytest
import timm
import torch
from torch.nn import functional as F

from labkit.models.backbones.focalnet import FocalModulation, focalnet
from labkit.probes.mixing import EXACT, mixing_map
from labkit.taps import Form


def gelu(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def by_loops(mixer: FocalModulation, x: torch.Tensor) -> torch.Tensor:
    """Cell by cell and level by level, from the equations."""
    _, h, w, c = x.shape
    query, context, gates = (x @ mixer.split.weight.T + mixer.split.bias).tensor_split((c, 2 * c), dim=-1)
    gathered = torch.zeros_like(query)
    for level, focus in enumerate(mixer.focus):
        kernel, following = focus.part.weight[:, 0], torch.zeros_like(context)
        reach = kernel.shape[-1] // 2
        for row in range(h):
            for column in range(w):
                for i in range(max(0, row - reach), min(h, row + reach + 1)):
                    for j in range(max(0, column - reach), min(w, column + reach + 1)):
                        following[:, row, column] += context[:, i, j] * kernel[:, i - row + reach, j - column + reach]
        context = gelu(following)
        gathered += context * gates[..., level : level + 1]
    gathered += gelu(context.mean(dim=(1, 2), keepdim=True)) * gates[..., -1:]
    modulator = gathered @ mixer.h.weight.T + mixer.h.bias
    return (query * modulator) @ mixer.proj.weight.T + mixer.proj.bias


def test_focal_modulation_is_its_equation():
    mixer = FocalModulation(3, levels=2).double()
    x = torch.randn(2, 4, 5, 3, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(mixer(x), by_loops(mixer, x))


def test_focalnet_equals_timms_after_copying_its_weights():
    theirs = timm.models.FocalNet(
        depths=(1, 2), embed_dim=8, focal_levels=(3, 3), focal_windows=(3, 3), num_classes=7
    ).eval()
    for name, value in theirs.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(value)
    ours = focalnet(dim=8, depths=(1, 2), levels=3, classes=7).eval()
    weights, names = list(theirs.state_dict().items()), dict(ours.state_dict())
    renamed = {ours_name(name): value for name, value in weights}
    ours.load_state_dict({name: value.reshape(names[name].shape) for name, value in renamed.items()})
    x = torch.randn(2, 3, 40, 24)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-4)


def ours_name(name: str) -> str:
    """Where a parameter of timm's lies here."""
    for theirs, ours in (
        (r"^norm", "head.norm"),
        (r"^layers\.(\d)\.downsample", r"stages.\1.0"),
        (r"^layers\.0\.blocks\.", "stages.0."),
        (r"^layers\.1\.blocks\.(\d)", lambda found: f"stages.1.{int(found[1]) + 1}"),
        (r"modulation\.focal_layers\.(\d)\.0", r"mixer.focus.\1.part"),
        (r"modulation\.f\.", "mixer.split."),
        (r"modulation\.", "mixer."),
        (r"(stem|stages\.1\.0)\.proj", r"\1.proj.part"),
    ):
        name = re.sub(theirs, ours, name)
    return name


@pytest.mark.parametrize(("levels", "side"), [(1, 3), (2, 7), (3, 13)])
def test_it_sees_as_far_as_its_kernels_add_up_to_and_everything_with_the_whole_map(levels, side):
    mixer = FocalModulation(2, levels=levels)
    grid = (15, 17)
    form = Form("b h w c", grid, 2)

    def seen() -> torch.Tensor:
        x = torch.randn(1, *grid, 2)
        row = mixing_map(mixer, x, before=form, after=form, probes=2, side=17).norms[0, 7 * 17 + 8].view(grid)
        return row > 1e-7 * row.max()

    assert seen().all(), "the mean of the whole map comes from everywhere"
    mixer.whole = False
    near = seen()
    assert (near.any(dim=1).sum(), near.any(dim=0).sum()) == (side, side)


def test_gates_differ_from_place_to_place_and_have_no_activation():
    mixer = FocalModulation(6)
    gates = {}
    mixer.gates.register_forward_hook(lambda _module, _given, value: gates.update(value=value))
    mixer(torch.randn(1, 5, 4, 6))
    assert gates["value"].shape == (1, 5, 4, 3)
    assert gates["value"].std(dim=(1, 2)).min() > 0.01
    assert gates["value"].min() < 0 < gates["value"].max()


def test_a_gate_of_one_level_alone_gives_that_level_alone():
    mixer = FocalModulation(2, levels=1, whole=False)
    with torch.no_grad():
        mixer.split.weight.zero_()
        mixer.split.bias.copy_(torch.tensor([1.0, 1, 0.5, 0.5, 1, 7]))  # query, context, gates
        mixer.focus[0].part.weight.fill_(1 / 9)
        mixer.h.weight.copy_(torch.eye(2))
        mixer.h.bias.zero_()
        mixer.proj.weight.copy_(torch.eye(2))
        mixer.proj.bias.zero_()
    assert mixer(torch.randn(1, 3, 3, 2))[0, 1, 1, 0].item() == pytest.approx(F.gelu(torch.tensor(0.5)).item())


def test_bad_ranges_are_refused():
    with pytest.raises(ValueError, match=r"FocalModulation\(levels=0, window=3\)"):
        FocalModulation(4, levels=0)
    with pytest.raises(ValueError, match="an odd window"):
        FocalModulation(4, window=4)


def test_the_mixing_map_is_exact_for_one_small_map():
    form = Form("b h w c", (2, 3), 2)
    mixer, x = FocalModulation(2), torch.randn(1, 2, 3, 2)
    found = mixing_map(mixer, x, before=form, after=form, probes=EXACT)
    jacobian = torch.autograd.functional.jacobian(lambda y: mixer(y)[0].flatten(0, 1), x)[:, :, 0].flatten(2, 3)
    torch.testing.assert_close(found.squared[0], jacobian.square().sum(dim=(1, 3)))
