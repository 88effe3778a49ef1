"""The layers of one pass: what each block of a model makes of the pictures, and how it lies on the picture."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from labkit.probes.inputs import check_call
from labkit.taps import Form, Site, blocks, holding


@dataclass(frozen=True)
class Layer:
    """What one block made of the pictures: `value` in its own axes, and its `form`, which says what they mean."""

    name: str
    form: Form
    value: Tensor

    @property
    def grid(self) -> tuple[int, int]:
        return self.form.grid

    @property
    def tokens(self) -> Float[Tensor, "b n c"]:
        """The patches, row by row; in half precision they come as float32."""
        return _single(self.form.to_tokens(self.value))

    @property
    def map(self) -> Float[Tensor, "b c h w"]:
        """The same as a map."""
        return _single(self.form.to_map(self.value))

    @property
    def prefix(self) -> Float[Tensor, "b prefix c"]:
        """Class, distillation and register tokens; none of them where the layer is a map."""
        return _single(self.form.prefix_of(self.value))


def layers(model: nn.Module, images: Float[Tensor, "b 3 height width"]) -> tuple[Layer, ...]:
    """Every block's output, in forward order, from one pass without a graph in eval mode.

    Raises Refused for images that the model cannot take, and Unreadable when nothing in it lies on the picture.
    """
    return run(model, images)[1]


def run(model: nn.Module, images: Float[Tensor, "b 3 height width"]) -> tuple[Tensor, tuple[Layer, ...]]:
    """What the model returns for the images, and its layers; see `layers`."""
    there = sites_of(model, images)
    with holding(model, [site.name for site in there]) as held:
        output = model(images)
    return output, tuple(Layer(site.name, site.after, held[site.name]) for site in there)


def sites_of(model: nn.Module, images: Float[Tensor, "b 3 height width"]) -> list[Site]:
    """The model's blocks for images of this size, after a look at whether the images can go into the model."""
    check_call(model, images)
    return blocks(model, tuple(images.shape[-2:]))


def _single(value: Tensor) -> Tensor:
    # Spectra and eigenvalues have no half precision.
    return value if value.itemsize >= 4 else value.float()
