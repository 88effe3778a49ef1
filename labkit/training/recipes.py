"""The recipes of the shipped checkpoints: everything that decides a training run, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from labkit.models.backbones.resnet import ResNet
from labkit.models.backbones.vit import ViT
from labkit.models.layers import ConvStem
from labkit.models.rivals import MIXERS, PIXELS, rival


@dataclass(frozen=True)
class Stage:
    """`epochs` passes over the data at `size` x `size` pixels: small pictures first, because they cost little."""

    size: int
    epochs: int


@dataclass(frozen=True)
class Recipe:
    """How one checkpoint is made.

    build        classes -> fresh model
    stages       the picture sizes, in order; the last one is the size the model ships for
    lr           peak learning rate of AdamW: linear warm-up over `warmup` epochs, then half a cosine to zero
    min_area     random crops keep at least this share of the picture
    mixup        Beta(a, a) of mixup (Zhang et al. 2018); 0 = off
    cutmix       Beta(a, a) of CutMix (Yun et al. 2019); 0 = off; with both, each batch draws one of them
    mix_share    share of the batches that are mixed
    ema          decay a step of the averaged weights that ship; its warm-up is min(ema, (1 + t) / (10 + t))
    teacher      a checkpoint to distil from: the loss is half KL(teacher || student), half the labels
    task         what the model is asked: see labkit.training.tasks
    attack       L-inf radius of adversarial training in RGB 0..1, by `attack_steps` of PGD; 0 = off
    contrast     weight of patch token contrast, for the task of that name
    bfloat16     compute the forward passes in it on a CPU too (on CUDA always)
    """

    name: str
    build: Callable[[int], nn.Module]
    stages: tuple[Stage, ...]
    batch: int = 128
    lr: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 2.0
    smoothing: float = 0.1
    min_area: float = 0.35
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_share: float = 0.5
    ema: float = 0.999
    teacher: str | None = None
    task: str = "labels"
    attack: float = 0.0
    attack_steps: int = 3
    contrast: float = 0.0
    bfloat16: bool = False

    @property
    def epochs(self) -> int:
        return sum(stage.epochs for stage in self.stages)

    @property
    def size(self) -> int:
        return self.stages[-1].size

    def size_at(self, epoch: int) -> int:
        """The picture size of epoch 0, 1, … (pixels a side)."""
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage.size
            epoch -= stage.epochs
        return self.size


def _resnet(classes: int) -> nn.Module:
    return ResNet(widths=(32, 64, 128, 192), depths=(1, 2, 2, 2), classes=classes)


def _vit(classes: int) -> nn.Module:
    return ViT(
        dim=128, depth=6, heads=4, classes=classes, image=64, patch=8, stem=ConvStem(128, patch=8), drop_path=0.05
    )


def _vit_fine(classes: int) -> nn.Module:
    return ViT(
        dim=128, depth=6, heads=4, classes=classes, image=64, patch=4, stem=ConvStem(128, patch=4), drop_path=0.1
    )


def _rival(mixer: str) -> Recipe:
    """One budget for all mixers, so small that ten of them and three seeds are an afternoon on two cores."""
    build = partial(_rival_of, mixer)
    how = {"warmup": 1.0, "min_area": 0.5, "ema": 0.99, "bfloat16": True}
    return Recipe(f"mix-{mixer}", build, stages=(Stage(PIXELS, 5),), **how)


def _rival_of(mixer: str, classes: int) -> nn.Module:
    return rival(mixer, classes=classes)


def _upbringing(name: str, task: str, *epochs: int, **how: Any) -> Recipe:
    """One ViT, of patches that do not overlap, so that a hidden one is hidden; what it is asked is what differs."""
    how = {"lr": 1e-3, "warmup": 1.0, "ema": 0.995} | how
    return Recipe(f"vit-{name}", _vit_plain, stages=_small_first(*epochs), task=task, **how)


def _vit_plain(classes: int) -> nn.Module:
    return ViT(dim=64, depth=6, heads=4, classes=classes, image=64, patch=8, drop_path=0.05)


def _training(name: str, **how: Any) -> Recipe:
    """One CNN, and three ways to bring it up."""
    return Recipe(f"cnn-{name}", _cnn, stages=_small_first(4, 4), **{"warmup": 1.0, "ema": 0.995} | how)


def _cnn(classes: int) -> nn.Module:
    return ResNet(widths=(24, 48, 96, 144), depths=(1, 1, 1, 1), classes=classes)


def _small_first(small: int, large: int) -> tuple[Stage, ...]:
    return Stage(32, small), Stage(64, large)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("resnet", _resnet, stages=(Stage(32, 8), Stage(48, 8), Stage(64, 8))),
        Recipe(
            "vit",
            _vit,
            stages=(Stage(32, 6), Stage(48, 6), Stage(64, 4)),
            lr=1.5e-3,
            teacher="lab/resnet",
            smoothing=0.0,
        ),
        Recipe("resnet-gpu", _resnet, stages=(Stage(64, 120),), batch=256, cutmix=1.0, mixup=0.2, ema=0.9995, warmup=5),
        Recipe(
            "vit-gpu",
            _vit_fine,
            stages=(Stage(64, 200),),
            batch=256,
            cutmix=1.0,
            mixup=0.2,
            lr=1.5e-3,
            ema=0.9995,
            warmup=10,
            teacher="lab/resnet",
        ),
        *(_rival(mixer) for mixer in MIXERS),
        _upbringing("supervised", "labels", 5, 5),
        _upbringing("masked", "masked", 12, 6),
        _upbringing("selves", "selves", 4, 2),
        _upbringing("turns", "turns", 5, 4),
        _upbringing("tokens", "contrast", 5, 5),
        _upbringing("contrast", "contrast", 5, 5, contrast=0.5),
        _training("plain"),
        _training("cutmix", cutmix=1.0, mix_share=1.0),
        _training("robust", attack=4 / 255, attack_steps=2),
    )
}

UPBRINGINGS = {
    "labels": "vit-supervised",
    "hidden patches": "vit-masked",
    "itself": "vit-selves",
    "turns": "vit-turns",
    "token contrast": "vit-contrast",
}
"""What one ViT was taught -> its checkpoint. Token contrast comes on top of labels."""

TRAININGS = {"as they are": "cnn-plain", "mixed": "cnn-cutmix", "attacked": "cnn-robust"}
"""How one CNN was trained -> its checkpoint."""
