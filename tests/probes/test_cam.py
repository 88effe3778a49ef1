"""The class activation maps, derived again with loops, compared with others, and the classic faults proved absent."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from labkit.models.backbones.resnet import ResNet
from labkit.models.backbones.vit import ViT
from labkit.probes import cam_methods as methods_of
from labkit.probes.cam import METHODS, cam, cams
from labkit.probes.cam_layers import reach
from labkit.probes.inputs import Refused
from labkit.taps import Unreadable, replacing
from tests.taps.test_passes import InPlace, traces

GRADIENTS = ("gradcam", "gradcam++", "xgradcam", "layercam", "hirescam")


def shaken(model: nn.Module, scale: float = 0.4) -> nn.Module:
    """Far from the tame initial weights, so that every channel and every cell differs."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=scale)
    return model.eval()


@pytest.fixture
def resnet() -> nn.Module:
    torch.manual_seed(5)
    return shaken(ResNet(widths=(6, 10), depths=(1, 1), classes=5))


@pytest.fixture
def vit() -> nn.Module:
    torch.manual_seed(3)
    return shaken(ViT(dim=12, depth=3, heads=2, classes=4, image=16, patch=4))


def photo(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 19, 26)  # the last map is 5 x 7


def by_loops(name: str, activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """The definitions, one cell and one channel at a time, for one image `c h w`, in float64."""
    a, g = activations.double(), gradients.double()
    channels, h, w = a.shape
    cells = [(i, j) for i in range(h) for j in range(w)]
    out = torch.zeros(h, w, dtype=torch.float64)
    for k in range(channels):
        total = sum(a[k, i, j] for i, j in cells)
        if name == "gradcam":
            weight = sum(g[k, i, j] for i, j in cells) / len(cells)
        elif name == "xgradcam":
            weight = sum(a[k, i, j] / total * g[k, i, j] for i, j in cells)
        elif name == "gradcam++":
            alpha = {
                (i, j): g[k, i, j] ** 2 / (2 * g[k, i, j] ** 2 + total * g[k, i, j] ** 3)
                for i, j in cells
                if g[k, i, j]
            }
            weight = sum(alpha[cell] * max(g[(k, *cell)].item(), 0) for cell in alpha)
        for i, j in cells:
            if name == "layercam":
                weight = max(g[k, i, j].item(), 0)
            elif name == "hirescam":
                weight = g[k, i, j]
            out[i, j] += weight * a[k, i, j]
    return out


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("scale", [1.0, 1e-12])
def test_every_method_equals_its_definition(name, scale):
    activations, gradients = torch.rand(2, 4, 3, 5), torch.randn(2, 4, 3, 5) * scale
    gradients[0, 1, 2, 3] = 0
    raw = methods_of.OF_GRADIENTS[name](activations, gradients)
    for image in range(2):
        expected = by_loops(name, activations[image], gradients[image])
        torch.testing.assert_close(raw[image].double() / scale, expected / scale, atol=1e-5, rtol=1e-4)


def test_by_hand_two_channels_of_two_cells():
    activations = torch.tensor([[[[1.0, 3.0]], [[2.0, 0.0]]]])
    gradients = torch.tensor([[[[2.0, 0.0]], [[-1.0, -3.0]]]])
    expected = {
        "gradcam": [1 * 1 - 2 * 2, 1 * 3 - 2 * 0],  # weights 1 and -2
        "xgradcam": [0.5 * 1 - 1 * 2, 0.5 * 3 - 0],  # weights 2/4 and -2/2
        "gradcam++": [0.2 * 1, 0.2 * 3],  # α = 4 / (2·4 + 4·8) at the first cell of the first channel, times 2
        "layercam": [2 * 1, 0],
        "hirescam": [2 * 1 - 1 * 2, 0],
    }
    for name, values in expected.items():
        torch.testing.assert_close(
            methods_of.OF_GRADIENTS[name](activations, gradients)[0, 0], torch.tensor(values) * 1.0
        )


@pytest.mark.parametrize("shape", [(2, 20, 3, 5), (2, 4, 5, 7)])
@pytest.mark.parametrize("scale", [1.0, 1e-25, 1e25])
def test_eigencam_is_the_projection_on_the_first_singular_vector(shape, scale):
    activations = torch.randn(shape)
    raw = methods_of.eigencam(activations * scale)
    for image in range(shape[0]):
        rows = activations[image].double().flatten(1).T
        vector = torch.linalg.svd(rows, full_matrices=False).Vh[0]
        expected = (rows @ vector).view(shape[2:])
        expected = expected * expected.flatten()[expected.abs().argmax()].sign()
        torch.testing.assert_close(raw[image].double() / scale, expected, atol=1e-4, rtol=1e-3)
    assert (methods_of.eigencam(torch.rand(shape)) >= 0).all()
    assert torch.equal(methods_of.eigencam(torch.zeros(shape)), torch.zeros(shape[0], *shape[2:]))


def test_limits_constant_maps_and_zero_channels_give_no_nan():
    ones, zeros = torch.ones(1, 3, 2, 4), torch.zeros(1, 3, 2, 4)
    for name, method in methods_of.OF_GRADIENTS.items():
        for activations in (ones, zeros):
            for gradients in (ones, zeros, -ones):
                assert torch.isfinite(method(activations, gradients)).all(), name
    assert torch.isfinite(methods_of.eigencam(ones)).all()
    assert methods_of.gradcam(ones.half(), ones.half()).dtype == torch.float32


# Against others


def as_pytorch_grad_cam(raw: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """What it makes of a raw map: ReLU, least to 0 and largest to 1 with an epsilon, bilinear, and the same again."""
    import cv2

    found = []
    for one in raw.relu().double().numpy():
        one = one - one.min()
        one = cv2.resize((one / (1e-7 + one.max())).astype(np.float32), size[::-1])
        one = np.maximum(one, 0)
        one = one - one.min()
        found.append(one / (1e-7 + one.max()))
    return np.stack(found)


PEERS = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "xgradcam": "XGradCAM",
    "layercam": "LayerCAM",
    "hirescam": "HiResCAM",
    "ablationcam": "AblationCAM",
}


@pytest.mark.parametrize("name", PEERS)
def test_the_maps_are_those_of_pytorch_grad_cam(resnet, name, capsys):
    peers = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with torch.no_grad():
        resnet.head.weight *= 100  # its epsilons count against gradients of the usual size
    x = photo()
    logits = resnet(x)
    asked = logits.argmax(1).tolist()  # AblationCAM: a score above 0, because theirs divides by it with its sign
    with getattr(peers, PEERS[name])(model=resnet, target_layers=[resnet.stages]) as theirs:
        expected = theirs(x, [ClassifierOutputTarget(one) for one in asked])
    resnet.zero_grad(set_to_none=True)
    ours = cam(resnet, x, method=name, targets=asked, layer="stages.1.0")
    np.testing.assert_allclose(as_pytorch_grad_cam(ours.raw, (19, 26)), expected, atol=2e-4)


def test_scorecam_is_that_of_pytorch_grad_cam_where_nothing_is_enlarged():
    # It enlarges the maps with aligned corners; the paper's own code, as we do, without.
    peers = pytest.importorskip("pytorch_grad_cam")
    layers = (nn.Conv2d(3, 7, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 4))
    model, x = shaken(nn.Sequential(*layers), 1.0), torch.randn(2, 3, 9, 14)
    with peers.ScoreCAM(model=model, target_layers=[model[1]]) as theirs:
        expected = theirs(x, None)
    ours = cam(model, x, method="scorecam", layer="1")
    np.testing.assert_allclose(as_pytorch_grad_cam(ours.raw, (9, 14)), expected, atol=1e-5)


def test_eigencam_is_that_of_pytorch_grad_cam_which_takes_the_means_off(resnet):
    peers = pytest.importorskip("pytorch_grad_cam")
    activations = torch.rand(2, 9, 4, 5)
    expected = peers.utils.svd_on_activations.get_2d_projection(activations.numpy())
    ours = methods_of.eigencam(activations - activations.mean((2, 3), keepdim=True)).numpy()
    for one, theirs in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one * np.sign((one * theirs).sum()), theirs, atol=1e-4)


def test_gradcam_is_captums_on_a_real_network():
    captum = pytest.importorskip("captum.attr")
    model, x = timm.create_model("resnet18").eval(), torch.randn(2, 3, 96, 160)
    expected = captum.LayerGradCam(model, model.layer3).attribute(x, target=[3, 700])[:, 0].detach()
    torch.testing.assert_close(cam(model, x, targets=[3, 700], layer=model.layer3).raw, expected, atol=1e-6, rtol=1e-4)


# Perturbing the channels


def without_channel(model: nn.Module, name: str, x: torch.Tensor, prefix: int, channel: int) -> torch.Tensor:
    def edit(value: torch.Tensor) -> torch.Tensor:
        value = value.clone()
        if value.ndim == 3:
            value[:, prefix:, channel] = 0
        else:
            value[:, channel] = 0
        return value

    with torch.no_grad(), replacing(model, {name: edit}):
        return model(x)


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_ablationcam_equals_running_the_whole_model_without_each_channel(resnet, vit, chunk):
    for model, name, prefix, x in (
        (resnet, "stages.0.0", 0, photo(3)),
        (vit, "blocks.1", 1, torch.randn(3, 3, 12, 20)),
    ):
        logits = model(x)
        asked = [0, 2, logits[2].argmin().item()]  # scores of both signs
        score = logits[torch.arange(3), torch.tensor(asked)].detach()
        with torch.no_grad():
            names = {}
            with replacing(model, {name: lambda value, names=names: names.setdefault("value", value)}):
                model(x)
        value = names["value"] if prefix == 0 else names["value"][:, 1:].mT.unflatten(2, (3, 5))
        expected = torch.zeros(3, *value.shape[2:])
        for channel in range(value.shape[1]):
            dropped = without_channel(model, name, x, prefix, channel)[torch.arange(3), torch.tensor(asked)]
            expected += ((score - dropped) / score.abs())[:, None, None] * value[:, channel]
        ours = cam(model, x, method="ablationcam", targets=asked, layer=name, chunk=chunk)
        torch.testing.assert_close(ours.raw, expected.detach(), atol=1e-5, rtol=1e-3)
        assert ours.targets.tolist() == asked


@pytest.mark.parametrize("chunk", [1, 64])
def test_scorecam_equals_masking_the_picture_with_one_channel_at_a_time(resnet, chunk):
    x = photo()
    with torch.no_grad():
        value = resnet.stages[0](resnet.stem(x))
        value[:, 2] = 1.5  # a constant channel shows nothing
        asked = resnet(x).argmax(1)
        scores = torch.zeros(2, value.shape[1])
        for image in range(2):
            for channel in range(value.shape[1]):
                mask = F.interpolate(value[image, channel][None, None], (19, 26), mode="bilinear")
                mask = (mask - mask.min()) / (mask.max() - mask.min()) if channel != 2 else mask * 0
                scores[image, channel] = resnet(x[image : image + 1] * mask)[0, asked[image]]
        expected = (scores.softmax(1)[:, :, None, None] * value).sum(1)
    from labkit.probes.cam_channels import scorecam

    raw, classes = scorecam(resnet, x, value, chunk=chunk)
    torch.testing.assert_close(raw, expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(classes, asked)


# The linear head


def test_cam_is_the_weights_of_the_head_over_the_map_and_its_mean_is_the_score(resnet):
    x = photo()
    found = cam(resnet, x, method="cam", targets=[1, 3])
    with torch.no_grad():
        value = resnet.stages(resnet.stem(x))
        expected = torch.einsum("bchw,bc->bhw", value, resnet.head.weight[[1, 3]])
        torch.testing.assert_close(found.raw, expected, atol=1e-5, rtol=1e-4)
        score = resnet(x)[[0, 1], [1, 3]] - resnet.head.bias[[1, 3]]
    torch.testing.assert_close(found.raw.mean((1, 2)), score, atol=1e-5, rtol=1e-4)
    hires = cam(resnet, x, method="hirescam", targets=[1, 3])
    torch.testing.assert_close(hires.raw.sum((1, 2)), score, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(cam(resnet, x, targets=[1, 3]).raw * 35, found.raw, atol=1e-4, rtol=1e-4)


class Normed(nn.Module):
    """A LayerNorm between the pooling and the head: the gradient is even over the cells, and yet no CAM."""

    def __init__(self, *, after_pooling: bool) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 6, 3), nn.LayerNorm(6), nn.Linear(6, 4)
        self.after_pooling = after_pooling

    def forward(self, x):
        x = self.conv(x)
        return self.head(self.norm(x.mean((2, 3))) if self.after_pooling else x.relu().mean((2, 3)))


@pytest.mark.parametrize(("after_pooling", "reason"), [(True, "not linear in their mean"), (False, "do not all count")])
def test_cam_is_refused_where_it_would_be_a_lie(after_pooling, reason):
    with pytest.raises(Refused, match=f"linear head of a pooled map; behind layer 'conv' .*{reason}.*use gradcam"):
        cam(shaken(Normed(after_pooling=after_pooling)), photo(), method="cam")


def test_cam_is_refused_for_a_class_token(vit):
    with pytest.raises(Refused, match="no gradient of the score reaches its patches"):
        cam(vit, torch.randn(1, 3, 12, 20), method="cam")


# Layers


def test_a_class_token_is_read_one_block_earlier_and_says_so(vit):
    x = torch.randn(2, 3, 12, 20)
    found = cams(vit, x, methods=[name for name in METHODS if name not in ("cam", "hirescam")])
    for name, one in found.items():
        assert one.layer == "blocks.1", name
        assert one.raw.shape == (2, 3, 5)
        assert one.raw.abs().amax((1, 2)).min() > 0, name
        assert one.note == (
            "No gradient reaches the patches at blocks.2, because behind it the class token alone is read; "
            "this map is taken at blocks.1."
        )
    # By hand: the tokens behind block 1, and what is left of the network.
    with torch.no_grad():
        tokens = {}
        with replacing(vit, {"blocks.1": lambda value: tokens.setdefault(0, value)}):
            best = vit(x).argmax(1)
    leaf = tokens[0].clone().requires_grad_()
    score = vit.head(vit.norm(vit.blocks[2](leaf))[:, 0])[torch.arange(2), best].sum()
    (gradient,) = torch.autograd.grad(score, leaf)
    expected = (leaf * gradient[:, 1:].mean(1, keepdim=True))[:, 1:].sum(-1).unflatten(1, (3, 5)).detach()
    torch.testing.assert_close(found["gradcam"].raw, expected, atol=1e-6, rtol=1e-4)


def test_a_named_layer_without_a_gradient_is_refused_with_what_to_name(vit):
    x = torch.randn(1, 3, 12, 20)
    with pytest.raises(
        Refused, match=r"layer 'blocks\.2', because behind it the class token alone.* example 'blocks\.1'"
    ):
        cam(vit, x, layer="blocks.2")
    assert cam(vit, x, layer=vit.blocks[2].norm1).layer == "blocks.2.norm1"
    assert cam(vit, x, method="eigencam", layer="blocks.2").raw.abs().max() > 0
    with pytest.raises(Unreadable, match=r"no layer 'block\.2'; did you mean blocks\.2"):
        cam(vit, x, layer="block.2")


def test_where_the_mean_of_the_patches_is_read_the_last_block_is_taken():
    model = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=48, global_pool="avg", class_token=False)
    found = cam(model, torch.randn(1, 3, 48, 48))
    assert (found.layer, found.note) == ("blocks.1", None)
    assert reach(model, (48, 48)).read.all()


class Dead(nn.Module):
    """Its second block answers nothing for pictures that are dark."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)) for _ in range(2)))
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        first = self.blocks[0](x)
        second = self.blocks[1](first)
        return self.head((first + second * (x.mean() > 0)).mean((2, 3)))


def test_where_the_gradient_vanishes_for_these_pictures_the_block_before_is_taken():
    model = shaken(Dead())
    assert cam(model, photo().abs()).note is None
    found = cam(model, -photo().abs())
    assert found.layer == "blocks.0.1"
    assert found.note == "No gradient reaches the patches at blocks.1.1; this map is taken at blocks.0.1."
    with pytest.raises(Refused, match="no gradient at any block of this Dead"):
        cam(model, photo(), targets=lambda logits: (logits[:, 0] > 0).float())


@pytest.mark.parametrize("family", ["vit", "swin"])
def test_hirescam_before_a_norm_of_each_cell_is_zero_and_names_the_norm(family, vit):
    if family == "vit":
        model, norm, size = vit, "blocks.2.norm1", (12, 20)
    else:
        model = timm.create_model(
            "swin_tiny_patch4_window7_224", img_size=56, depths=(1,), num_heads=(2,), embed_dim=16, num_classes=5
        )
        norm, size = "norm", (56, 56)
    x = torch.randn(2, 3, *size)
    found = cam(model, x, method="hirescam")
    assert torch.equal(found.raw, torch.zeros_like(found.raw))
    assert "HiResCAM is zero in every cell: what follows reads each cell through a norm" in found.note
    assert f"Name that norm ({norm})" in found.note
    named = cam(model, x, method="hirescam", layer=norm)
    assert named.note is None
    assert named.raw.abs().amax((1, 2)).min() > 0


def test_channels_last_maps_are_read_on_the_right_axes():
    model = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=(56, 84), depths=(2,), num_heads=(2,), embed_dim=16, num_classes=5
    ).eval()
    x = torch.randn(2, 3, 56, 84)
    tokens = model.forward_features(x).detach().requires_grad_()  # b h w c
    (gradient,) = torch.autograd.grad(model.forward_head(tokens)[:, 3].sum(), tokens)
    expected = (tokens * gradient.mean((1, 2), keepdim=True)).sum(-1).detach()
    found = cam(model, x, targets=3, layer="norm")
    assert found.raw.shape == (2, 14, 21)
    torch.testing.assert_close(found.raw, expected, atol=1e-6, rtol=1e-4)


class Corner(nn.Module):
    """Reads its map at one cell alone: row 1, column 6."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(F.relu(self.conv(x))[:, :, 1, 6])


@pytest.mark.parametrize("name", ["hirescam", "layercam"])
def test_the_map_peaks_where_the_model_looks_on_an_oblong_picture(name):
    model, x = shaken(Corner(), 1.0), torch.randn(8, 3, 3, 9)
    raw = cam(model, x, method=name, layer="conv").raw
    assert raw.shape == (8, 3, 9)
    elsewhere = raw.clone()
    elsewhere[:, 1, 6] = 0
    assert elsewhere.abs().max() == 0
    assert raw[:, 1, 6].abs().max() > 0


# Targets


def test_targets_are_an_int_a_list_a_tensor_a_function_or_the_highest(resnet):
    x = photo(3)
    for name in ("gradcam", "ablationcam", "scorecam"):
        one = cam(resnet, x, method=name, targets=2)
        assert one.targets.tolist() == [2, 2, 2]
        for same in ([2, 2, 2], torch.tensor([2, 2, 2]), lambda logits: logits[torch.arange(3), 2]):
            torch.testing.assert_close(cam(resnet, x, method=name, targets=same).raw, one.raw)
        assert cam(resnet, x, method=name, targets=lambda logits: logits[:, 2]).targets is None
        best = resnet(x).argmax(1)
        highest = cam(resnet, x, method=name)
        assert torch.equal(highest.targets, best)
        torch.testing.assert_close(highest.raw, cam(resnet, x, method=name, targets=best.tolist()).raw)
    assert cam(resnet, x, method="eigencam").targets is None
    with pytest.raises(Refused, match=r"targets=5: expected classes in 0\.\.4"):
        cam(resnet, x, targets=5)
    with pytest.raises(Refused, match=r"methods=\('grad',\): expected one or more of cam, gradcam"):
        cam(resnet, x, method="grad")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model, x: (nn.DataParallel(model), x), "pass `model.module`"),
        (lambda model, x: (model, x[0]), "Add the batch axis"),
        (lambda model, x: (model, x[:0]), "none of them 0"),
        (lambda model, x: (model, x.masked_fill(x > 2, torch.nan)), "NaN or infinity"),
        (lambda model, x: (model.half(), x.half()), "float16 on the CPU"),
    ],
)
def test_bad_input_is_explained(resnet, change, message):
    from labkit.probes import cam as module

    model, x = change(resnet, photo())
    bare = getattr(module.cams, "__wrapped__", module.cams)  # as people run it, without type checks
    with pytest.raises(ValueError, match=message):
        bare(model, x, methods=("gradcam",))


# Nothing is left behind


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_frozen_or_not_in_any_mode_with_operations_in_place(frozen, mode):
    torch.manual_seed(2)
    model, x = shaken(InPlace()), torch.randn(2, 3, 5, 7)
    expected = cams(model, x, methods=METHODS[1:], targets=3, layer="second")
    second = model.second(F.relu(model.first(x))).detach().requires_grad_()
    logits = model.head(F.relu(second + F.relu(model.first(x))).mean((2, 3)))
    (gradient,) = torch.autograd.grad(logits[:, 3].sum(), second)
    torch.testing.assert_close(expected["hirescam"].raw, (gradient * second).sum(1).detach())
    model.requires_grad_(not frozen).train()
    before, weights = x.clone(), [parameter.clone() for parameter in model.parameters()]
    dice = torch.get_rng_state()
    with mode():
        found = cams(model, x, methods=METHODS[1:], targets=3, layer="second")
        assert torch.is_grad_enabled() == (mode is torch.enable_grad)
    for name, one in found.items():
        torch.testing.assert_close(one.raw, expected[name].raw, msg=name)
        assert not one.raw.requires_grad, name
        one.display((5, 7)).numpy()
    assert model.training
    assert traces(model) == []
    assert torch.equal(dice, torch.get_rng_state())
    assert torch.equal(x, before)
    assert x.grad is None
    assert all(parameter.requires_grad != frozen for parameter in model.parameters())
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), weights, strict=True))


class Gated(nn.Module):
    """Multiplies its map with the picture: the backward pass needs the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 1), nn.Linear(3, 2)

    def forward(self, x):
        return self.head((self.conv(x) * x).mean((2, 3)))


def test_images_that_were_made_in_inference_mode_are_taken(resnet):
    gated = shaken(Gated())
    with torch.inference_mode():
        x = photo()
        found = cam(gated, x, method="hirescam", layer="conv", targets=1).raw
    expected = torch.einsum("bchw,bchw,c->bhw", gated.conv(x.clone()), x.clone(), gated.head.weight[1]) / (19 * 26)
    torch.testing.assert_close(found, expected.detach())
    with torch.inference_mode():
        x = photo()
        found = cams(resnet, x, methods=METHODS)
    again = cams(resnet, x.clone(), methods=METHODS)
    for name, one in found.items():
        torch.testing.assert_close(one.raw, again[name].raw, msg=name)


def test_nothing_stays_after_an_error(resnet):
    resnet.train()

    def fail(logits: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no")

    for name in METHODS:
        if name != "eigencam":
            with pytest.raises(RuntimeError, match="no"):
                cam(resnet, photo(), method=name, targets=fail)
    assert resnet.training
    assert traces(resnet) == []


@pytest.mark.slow
def test_memory_does_not_grow_over_200_calls(resnet):
    x = torch.randn(1, 3, 9, 12)

    def calls(count: int) -> int:
        for turn in range(count):
            cam(resnet, x, method=("gradcam", "eigencam", "ablationcam", "scorecam")[turn % 4])
        gc.collect()
        return len(gc.get_objects())

    before = calls(8)
    assert calls(200) - before < 50
    assert traces(resnet) == []


def test_a_batch_is_its_images_one_by_one_in_any_memory_format_and_precision(resnet):
    x = photo(3)
    whole = cams(resnet, x, methods=METHODS, targets=[0, 1, 2])
    single = cams(resnet, x[1:2], methods=METHODS, targets=1)
    last = cams(
        resnet.to(memory_format=torch.channels_last),
        x.to(memory_format=torch.channels_last),
        methods=METHODS,
        targets=[0, 1, 2],
    )
    double = cams(resnet.double(), x.double(), methods=METHODS, targets=[0, 1, 2])
    for name, one in whole.items():
        torch.testing.assert_close(one.raw[1:2], single[name].raw, atol=1e-4, rtol=1e-3, msg=name)
        torch.testing.assert_close(one.raw, last[name].raw, atol=1e-4, rtol=1e-3, msg=name)
        assert double[name].raw.dtype == torch.float64, name
        torch.testing.assert_close(one.raw, double[name].raw.float(), atol=1e-4, rtol=1e-3, msg=name)
    low = cams(resnet.bfloat16(), x.bfloat16(), methods=("gradcam", "eigencam", "scorecam", "ablationcam"))
    assert all(one.raw.dtype == torch.float32 for one in low.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "convnext_atto",
        "mambaout_femto",
        "swin_tiny_patch4_window7_224",
        "efficientnet_lite0",
        "pvt_v2_b0",
        "cait_xxs24_224",
        "deit_tiny_distilled_patch16_224",
        "levit_128s",
        "xcit_nano_12_p16_224",
    ],
)
def test_any_family_answers(name):
    model = timm.create_model(name)
    for method, one in cams(
        model, torch.randn(1, 3, 224, 224), methods=[*GRADIENTS, "eigencam", "ablationcam"]
    ).items():
        assert torch.isfinite(one.raw).all(), method
        assert one.raw.abs().max() > 0 or "HiResCAM is zero" in one.note, method
    assert traces(model) == []
