"""Bands weighted by the picture, bands weighted once for all, and attention: what they keep, mix and tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.data.images import open_image
from labkit.data.transforms import Transform
from labkit.experiments._knobs import Slider
from labkit.experiments._lessons import SIDE, TELLS, scenes, taught
from labkit.experiments._readout import Number, Readout, verdict_of
from labkit.models.backbones.dsm import PAPER, SpectrumMixer, bands_of, dct, idct
from labkit.models.mixers.plain import SelfAttention
from labkit.probes.mixing import mixing_maps
from labkit.viz import experiments as draw

PLACE = "stages.0.1.mixer"
PICTURE = 96
"""Pixels a side of the photo whose bands are cut."""


def experiment(
    *,
    bands: Annotated[int, Slider(2, 12), "rings of frequencies that have a weight"] = 8,
    groups: Annotated[Literal["1", "4", "12"], "of channels with weights of their own"] = "4",
    keep: Annotated[float, Slider(0.05, 0.5, 0.05), "share of the photo's frequencies kept, a side"] = 0.15,
    lesson: Annotated[Literal["shape", "position", "texture", "colour"], "what the models are to tell"] = "shape",
    steps: Annotated[int, Slider(50, 1000, 50), "how long each model is taught"] = 200,
    seed: Annotated[int, Slider(0, 99), "of weights and scenes"] = 0,
) -> Readout:
    """Teach one frame with weights from the picture, with fixed ones, and with attention; cut a photo's spectrum."""
    book = scenes(seed=seed, about=lesson)
    shape = {"groups": int(groups), "bands": bands}
    makers: dict[str, Callable[[int, int], nn.Module]] = {
        "dynamic": lambda stage, dim: SpectrumMixer(dim, **shape),
        "fixed": lambda stage, dim: SpectrumMixer(dim, dynamic=False, **shape),
        "attention": lambda stage, dim: SelfAttention(dim, heads=2),
    }
    models, accuracy = {}, {}
    for name, maker in makers.items():
        models[name], accuracy[name] = taught(maker, book, steps=steps, seed=seed)
    shown = book.asked[:32]
    weights = {name: weights_on(models[name], shown) for name in ("dynamic", "fixed")}
    varies = {name: one.std(dim=0).mean().item() for name, one in weights.items()}
    fine = {name: fine_share(model, shown) for name, model in models.items()}
    read = {name: mixing_maps(model, shown[:8], layers=[PLACE])[0] for name, model in models.items()}
    reached = (read["dynamic"].shares[:, SIDE // 8 * (SIDE // 4) + SIDE // 8] > 0).float().mean().item()
    photo, waves, turns = cut(keep)

    dynamic, keeps = varies["dynamic"] > 0.01, fine["dynamic"] > fine["attention"]
    learned = book.learned(accuracy["dynamic"])
    better = learned and accuracy["dynamic"] >= accuracy["fixed"] + TELLS
    judged = "better than fixed weights" if better else "no better than fixed weights" if learned else "nothing learned"
    middle = SIDE // 8 * (SIDE // 4) + SIDE // 8
    first, fixed = weights["dynamic"].mean(dim=1), weights["fixed"][0].mean(dim=0).tolist()
    return Readout(
        claim=PAPER.claim,
        verdict=verdict_of(dynamic, reached > 0.99, keeps, better),
        because=(
            f"A band's weight varies by {varies['dynamic']:.2f} from scene to scene, and a cell is made of "
            f"{reached:.0%} of the cells. {fine['dynamic']:.0%} of what the mixer gives out is fine (attention: "
            f"{fine['attention']:.0%}). After {steps} steps the {lesson} is told in {accuracy['dynamic']:.0%} of new "
            f"scenes, with fixed weights in {accuracy['fixed']:.0%}, by attention in {accuracy['attention']:.0%}: "
            f"{judged}."
        ),
        numbers={
            **{f"weights vary, {name}": Number(value, "deviation over scenes") for name, value in varies.items()},
            **{f"fine, {name}": Number(value, "share of the output's variance") for name, value in fine.items()},
            "reached": Number(reached, "share of the cells"),
            **{f"accuracy, {name}": Number(value, "0..1") for name, value in accuracy.items()},
        },
        figures={
            "weights": draw.curves(
                range(bands),
                {f"scene {i}": first[i].tolist() for i in range(4)} | {"fixed": fixed},
                across="band, from the mean to the finest",
                up="mean weight (1 lets a band pass)",
                title="What the second block's mixer multiplies each band by",
            ),
            "mixing": draw.maps(
                [one.shares[:, middle].mean(dim=0).view(one.key_grid).sqrt().numpy() for one in read.values()],
                names=list(read),
                label="√ share of the row",
                title="Of which cells the second block's mixer makes the middle one",
            ),
            "borders": draw.maps(
                [waves, turns],
                names=["cosines", "Fourier"],
                notes=[f"error at the border {border(one, photo):.3f}" for one in (waves, turns)],
                photo=(photo[..., None].repeat(3, axis=2) * 255).astype(np.uint8),
                label="brightness, 0..1",
                title=f"Only the lowest {keep:.0%} of the frequencies: borders mirrored, and wrapped",
            ),
            "accuracy": draw.rivals(
                accuracy,
                label="share of 512 new scenes told right",
                chosen="dynamic",
                line=(book.chance, "chance"),
                top=1.0,
                title=f"The {lesson}, learned for {steps} steps in one frame",
            ),
        },
    )


def before(model: nn.Module, images: Float[Tensor, "b 3 h w"]) -> tuple[nn.Module, Tensor]:
    """The mixer of the second block, and what goes into it."""
    first, second = model.stages[0][:2]
    return second.mixer, second.norm1(first(model.stem(images.movedim(1, -1))))


def weights_on(model: nn.Module, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b groups bands"]:
    """The weights of the second block's mixer, picture by picture."""
    kept: list[Tensor] = []
    with torch.no_grad():
        mixer, x = before(model, images)
        handle = mixer.weights.register_forward_hook(lambda module, args, out: kept.append(out))
        try:
            mixer(x)
        finally:
            handle.remove()
    return kept[0]


def fine_share(model: nn.Module, images: Float[Tensor, "b 3 h w"]) -> float:
    """The share of the variance over the map that lies in the finer half of the frequencies, behind the mixer; 0..1."""
    with torch.no_grad():
        mixer, x = before(model, images)
        energy = dct(mixer(x).movedim(-1, 1)).pow(2).sum(dim=(0, 1))
    energy[0, 0] = 0
    return (energy[bands_of(*energy.shape, bands=2, like=energy) == 1].sum() / energy.sum()).item()


def cut(keep: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grey photo, 0..1, and what is left of it with only its lowest cosines, and with as many of Fourier's waves."""
    pixels = np.array(Transform(PICTURE, (0.5,) * 3, (0.5,) * 3).view(open_image("coffee")).convert("L")) / 255.0
    grey = torch.from_numpy(pixels)
    low = torch.arange(PICTURE) < keep * PICTURE
    waves = idct(dct(grey) * (low[:, None] & low))
    turn = (torch.fft.fftfreq(PICTURE).abs() * 2) < keep
    turns = torch.fft.ifft2(torch.fft.fft2(grey) * (turn[:, None] & turn)).real
    return pixels, waves.numpy(), turns.numpy()


def border(smooth: np.ndarray, photo: np.ndarray) -> float:
    """The root mean square of what a cut changed within two pixels of the border."""
    inner = np.zeros(photo.shape, dtype=bool)
    inner[2:-2, 2:-2] = True
    return float(np.sqrt(((smooth - photo)[~inner] ** 2).mean()))
