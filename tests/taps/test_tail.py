"""The tail of a network equals the whole network with one value replaced, and runs nothing else."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from labkit.models.backbones import resnet
from labkit.models.backbones.vit import ViT
from labkit.taps import Tail, Unreadable, replacing
from tests.taps.test_passes import InPlace, traces


class Stem(nn.Module):
    """A part of its own that uses the model's ReLU as well."""

    def __init__(self, relu: nn.Module) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 3, 3, padding=1), relu

    def forward(self, x):
        return self.relu(self.conv(x))


class Shared(nn.Module):
    """One ReLU for every place, a skip from the picture to the end, and the windows of all pictures in one list."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.early, self.late = Stem(self.relu), nn.Conv2d(3, 3, 3, padding=1)
        self.windows = nn.Linear(3, 3)
        self.head = nn.Linear(3, 4)

    def forward(self, x):
        y = first = self.relu(self.early(x) - 0.1)
        z = self.windows(
            y.flatten(2).transpose(1, 2).reshape(-1, 5, 3)
        )  # windows of five tokens, folded into the batch
        z = z.reshape(len(x), -1, 3).transpose(1, 2).view_as(y)
        y = self.relu(self.late(y + z))
        return self.head((y + x + z + first).mean((2, 3)))


def whole(model: nn.Module, name: str, images: torch.Tensor, value: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    def edit(own):
        return (value.clone(), *own[1:]) if isinstance(own, tuple) else value.clone()

    with torch.no_grad(), replacing(model, {name: edit}):
        return model(images[rows])


MODELS = {
    "vit": (lambda: ViT(dim=12, depth=3, heads=2, classes=4, image=32, patch=8), "blocks.1", (24, 40)),
    "resnet": (lambda: resnet.tiny()[0], "stages.0.0", (19, 26)),
    "within a block": (lambda: resnet.tiny()[0], "stages.1.0.conv1", (19, 26)),
    "in place": (InPlace, "second", (5, 7)),
    "before an in-place sum": (InPlace, "first", (5, 7)),
    "shared": (Shared, "late", (5, 6)),
    "before the windows": (Shared, "early", (5, 6)),
    "timm": (lambda: timm.create_model("resnet18"), "layer2.1.bn1", (33, 47)),
    "a tuple": (lambda: timm.create_model("pit_ti_224", num_classes=3), "transformers.1", (224, 224)),
    "swin": (
        lambda: timm.create_model("swin_tiny_patch4_window7_224", depths=(2, 1, 1, 1), img_size=(56, 84)),
        "layers.0.blocks.1.mlp.fc1",
        (56, 84),
    ),
}


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("kind", MODELS)
def test_the_tail_is_the_whole_with_one_value_replaced(kind, count):
    make, name, size = MODELS[kind]
    model, images = make().eval().requires_grad_(False), torch.randn(count, 3, *size)
    tail = Tail(model, name, images)
    rows = torch.tensor([count - 1, 0, 0, count // 2])
    value = tail.value[rows] * torch.randn(4, *[1] * (tail.value.ndim - 1))
    with torch.no_grad():
        torch.testing.assert_close(tail.output, model(images))
        torch.testing.assert_close(tail(value, rows), whole(model, name, images, value, rows), rtol=1e-4, atol=1e-5)
    assert not tail.whole
    assert traces(model) == []


@pytest.mark.parametrize("whole", [False, True])
def test_of_a_layer_that_runs_twice_the_last_run_counts(whole):
    model, images = Shared().eval().requires_grad_(False), torch.randn(2, 3, 5, 6)
    tail = Tail(model, "relu", images)
    tail.whole = whole
    rows, value = torch.tensor([1, 0, 1]), torch.randn(3, 3, 5, 6)
    first = model.relu(model.early(images) - 0.1)
    windows = model.windows(first.flatten(2).transpose(1, 2)).transpose(1, 2).view_as(first)
    by_hand = model.head((value + (images + windows + first)[rows]).mean((2, 3)))
    torch.testing.assert_close(tail(value, rows), by_hand)
    torch.testing.assert_close(tail.output, model(images))
    assert (tail.value >= 0).all()


def test_only_what_lies_behind_the_layer_runs():
    model, images = timm.create_model("resnet18").eval(), torch.randn(1, 3, 32, 32)
    tail = Tail(model, "layer4", images)
    ran: list[str] = []
    for name, part in model.named_modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.register_forward_hook(lambda *_, name=name: ran.append(name))
    rows = torch.zeros(3, dtype=torch.long)
    own = {id(part): part.forward.__func__ for part in model.modules()}
    with torch.no_grad():
        tail(tail.value[rows], rows)
    assert {part for part in ran if part not in ("conv1", "fc")} == set()  # conv1 answers from memory, fc really runs
    assert all(part.forward.__func__ is own[id(part)] for part in model.modules())


def test_a_head_is_not_computed_again():
    counted = []

    class Stem(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            counted.append(len(x))
            return self.conv(x)

    model = nn.Sequential(Stem(), nn.Conv2d(3, 3, 1), nn.Flatten(), nn.Linear(60, 2))
    tail = Tail(model, "1", torch.randn(1, 3, 4, 5))
    rows = torch.zeros(9, dtype=torch.long)
    tail(tail.value[rows], rows)
    assert counted == [1]


def test_gradients_flow_to_the_value():
    model, images = InPlace().requires_grad_(False), torch.randn(2, 3, 5, 7)
    tail = Tail(model, "second", images)
    rows = torch.tensor([1, 0])
    value = tail.value[rows].clone().requires_grad_()
    tail(value, rows)[:, 2].sum().backward()
    by_hand = tail.value[rows].clone().requires_grad_()
    x = F.relu(model.first(images))[rows]
    model.head(F.relu(by_hand + x).mean((2, 3)))[:, 2].sum().backward()
    torch.testing.assert_close(value.grad, by_hand.grad)


def test_a_model_that_remembers_on_its_own_runs_whole_and_right():
    class Remembers(nn.Module):
        """Its head hands a value on behind the back of every module output."""

        def __init__(self):
            super().__init__()
            self.early, self.late = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
            self.scratch: list[torch.Tensor] = []

        def forward(self, x):
            self.scratch.clear()
            y = self.note(x)
            return self.late(y).mean((2, 3)) * self.scratch.pop()

        def note(self, x):
            return self.early(x)

    class Noting(nn.Conv2d):
        def forward(self, x):
            model.scratch.append(x.mean((1, 2, 3))[:, None])
            return super().forward(x)

    model, images = Remembers(), torch.randn(2, 3, 4, 5)
    model.early = Noting(3, 3, 1)
    tail = Tail(model, "late", images)
    rows = torch.tensor([1, 0, 1])
    with torch.no_grad():
        torch.testing.assert_close(
            tail(tail.value[rows] * 2, rows), whole(model, "late", images, tail.value[rows] * 2, rows)
        )
    assert tail.whole
    assert traces(model) == []


def test_the_callers_value_is_left_alone():
    model, images = InPlace(), torch.randn(1, 3, 5, 7)
    tail = Tail(model, "second", images)
    rows = torch.zeros(2, dtype=torch.long)
    value = torch.randn(2, 4, 5, 7)
    before = value.clone()
    with torch.no_grad():
        first, again = tail(value, rows), tail(value, rows)
    assert torch.equal(value, before)
    assert torch.equal(first, again)


def test_a_layer_that_did_not_run_and_rows_that_do_not_fit_are_refused():
    model = InPlace()
    model.spare = nn.Linear(2, 2)
    images = torch.randn(2, 3, 5, 7)
    with pytest.raises(Unreadable, match=r"layer 'spare' \(Linear\) did not run"):
        Tail(model, "spare", images)
    tail = Tail(model, "second", images)
    with pytest.raises(ValueError, match="2 values need as many rows, got 1"):
        tail(tail.value, torch.tensor([0]))
    assert traces(model) == []
