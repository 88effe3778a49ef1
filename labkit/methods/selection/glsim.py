"""The patches that say what the whole picture says are cut out and seen again, larger.

Paper    Rios, Hu & Lai, "Global-Local Similarity for Efficient Fine-Grained Image Recognition with Vision
         Transformers", 2024
Adds     a cosine between the class token and each patch token, which chooses the region; one block that refines what
         the whole picture and the region say
Reads    x      = LN(encoder(picture))                              b 1+n c      class token first
         score  = x_cls · x_i / (|x_cls| |x_i|)                     b n          -1..1
         region = the box around the `top` highest patches, cut out and made as large as the picture
         y      = head(LN(block([x_cls; x'_cls]))_0)                x' = LN(encoder(region)), the same encoder
Costs    (2 n + 1) dim multiplications for the choice; rollout has (depth - 1) (n + 1)³, or (depth - 1) (n + 1)² where
         only the class token's row of it is made. The second look costs as much as the first
Departs  the box ends behind the last chosen row and column, which the released code leaves out; it also has a parameter
         that nothing uses (one vector, left out here), and starts the head at zero, where nothing else would learn yet
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.models.backbones.vit import Block, ViT
from labkit.paper import Paper, Size

PAPER = Paper(
    number=86,
    id="glsim",
    title="Global-Local Similarity for Efficient Fine-Grained Image Recognition with Vision Transformers",
    year=2024,
    arxiv="2407.12891",
    claim="The patches most like the class token lie on what tells a picture apart: they find it as well as attention "
    "rollout for a hundredth of its multiplications, and a second look at them makes the answer better.",
)

# With the 200 kinds of birds of CUB. Each has one vector less than the released model (see Departs).
SIZES = {
    "s16": Size({"dim": 384, "heads": 6, "classes": 200}, 23_517_896, 9.2e9),
    "b16": Size({"dim": 768, "heads": 12, "classes": 200}, 93_041_864, 35.14e9),
}


def similarity(tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b cells"]:
    """The cosine between the class token, which comes first, and each patch token, -1..1."""
    unit = F.normalize(tokens, dim=-1)
    return (unit[:, 1:] @ unit[:, 0, :, None])[..., 0]


def box_around(chosen: Int64[Tensor, "b k"], *, columns: int, patch: int) -> Int64[Tensor, "b 4"]:
    """The smallest box in pixels (top, left, bottom, right; ends included) that holds all chosen patches."""
    places = torch.stack([chosen // columns, chosen % columns], dim=1)
    return torch.cat([places.amin(dim=2) * patch, (places.amax(dim=2) + 1) * patch - 1], dim=1)


def cropped(image: Float[Tensor, "b 3 height width"], boxes: Int64[Tensor, "b 4"]) -> Float[Tensor, "b 3 height width"]:
    """What lies in each picture's box (see `box_around`), bilinear, as large as the picture, corners on corners."""
    height, width = image.shape[-2:]
    top, left, bottom, right = boxes.to(image).T[..., None]
    rows = top + (bottom - top) * torch.linspace(0, 1, height, dtype=image.dtype, device=image.device)
    columns = left + (right - left) * torch.linspace(0, 1, width, dtype=image.dtype, device=image.device)
    # grid_sample wants the column first, and -1..1 for first to last.
    x = (2 * columns / (width - 1) - 1)[:, None, :].expand(-1, height, -1)
    y = (2 * rows / (height - 1) - 1)[:, :, None].expand(-1, -1, width)
    return F.grid_sample(image, torch.stack([x, y], dim=-1), padding_mode="border", align_corners=True)


class GlSim(nn.Module):
    """`b 3 H W` to `b classes` logits: the encoder sees the picture, then the region that it has chosen."""

    def __init__(self, vit: ViT, *, heads: int, top: int) -> None:
        super().__init__()
        dim = vit.norm.normalized_shape[0]
        self.top = top
        self.scores = nn.Identity()  # named, so that they can be watched: `b cells`
        self.boxes = nn.Identity()  # likewise: `b 4`
        self.refine = Block(dim, heads=heads, drop_path=0.0)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.vit = vit

    def forward(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b classes"]:
        x = self.encode(image)
        closer = self.encode(cropped(image, self.choose(x, columns=image.shape[-1] // self.vit.patch)))
        pair = torch.cat([x[:, :1], closer[:, :1]], dim=1)
        pair = self.norm(self.refine(pair))
        return self.vit.head(pair[:, 0])

    def encode(self, image: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b n c"]:
        return self.vit.norm(self.vit.blocks(self.vit.embed(image)))

    def choose(self, tokens: Float[Tensor, "b n c"], *, columns: int) -> Int64[Tensor, "b 4"]:
        """The box of the patches most like the class token, in pixels (see `box_around`)."""
        scores = self.scores(similarity(tokens))
        if scores.shape[1] < self.top:
            raise ValueError(f"GlSim(top={self.top}) got a picture of {scores.shape[1]} patches: choose no more.")
        chosen = scores.topk(self.top, dim=1).indices
        return self.boxes(box_around(chosen, columns=columns, patch=self.vit.patch))


def glsim(
    *,
    dim: int = 768,
    depth: int = 12,
    heads: int = 12,
    patch: int = 16,
    image: int = 224,
    top: int = 8,
    classes: int = 1000,
) -> GlSim:
    """GLSim on ViT-B/16; `image` is the side, in pixels, that its positions are made for."""
    vit = ViT(dim=dim, depth=depth, heads=heads, patch=patch, image=image, classes=classes)
    return GlSim(vit, heads=heads, top=top)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: two blocks, two heads, three patches of 5 x 4 chosen."""
    return glsim(dim=8, depth=2, heads=2, patch=3, image=15, top=3, classes=5), torch.randn(2, 3, 15, 12)
