"""Patch tokens that a middle block's class map calls alike are pulled together at the end, the others pushed apart.

Paper    Ru et al., "Token Contrast for Weakly-Supervised Semantic Segmentation", CVPR 2023
Adds     patch token contrast (PTC), against tokens that all become alike; class token contrast (CTC), which compares
         small uncertain crops with the whole picture
Reads    cam = relu(W z_m)  ->  0..1                       b classes h w    z_m: patch tokens of a middle block
         label of a cell: background <= 0.25 < unsure < 0.7 <= the class
         A_ij = 1 alike, 0 not; left out where either is unsure, and where i = j                            b n n
         PTC = ½ (1 - Σ_{A=1} |cos(f_i, f_j)| / (n₁ + 1)) + ½ Σ_{A=0} |cos(f_i, f_j)| / (n₀ + 1)       f: last tokens
         CTC = - log(pos / (pos + Σ neg)), of exp(teacher · student / 0.5)
Costs    one product n x n a picture, and one linear classifier; CTC: a pass of the model for each crop
Departs  one class a picture, so cross-entropy and not the multi-label margin; the classifier of the last tokens is
         asked about the class token, too; maps of one scale, where the paper sums three, each with its mirror image;
         of CTC there is the equation, no projector and no crops; the segmentation branch with its pixel refinement is
         left out. The authors' code adds a term without a positive to CTC; this is the equation of the paper
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.models.backbones.vit import ViT
from labkit.paper import Paper, Size

PAPER = Paper(
    number=1,
    id="toco",
    title="Token Contrast for Weakly-Supervised Semantic Segmentation",
    year=2023,
    arxiv="2303.01267",
    claim="A ViT's last patch tokens become alike, while a middle block still tells objects apart: if its class map "
    "says which of the last tokens belong together, they stay apart, and their class map lies better on the object.",
)

# ViT-B/16 with the classifiers of the last and of a middle block; 20 classes are those of PASCAL VOC, 80 of COCO.
SIZES = {
    "b16_voc": Size({"classes": 20}, 85_829_376, 78.494e9, pixels=448),
    "b16_coco": Size({"classes": 80}, 85_921_536, 78.495e9, pixels=448),
}

BACKGROUND, UNSURE = 0, -1
"""Cell labels beside the classes, which count from 1."""


def class_maps(
    tokens: Float[Tensor, "b n c"], weight: Float[Tensor, "classes c"], *, grid: tuple[int, int]
) -> Float[Tensor, "b classes h w"]:
    """How much each cell speaks for each class: relu of its logit, from 0 (least) to 1 (most) in each map."""
    maps = (tokens @ weight.T).relu().mT.unflatten(-1, grid)
    low = maps.amin(dim=(2, 3), keepdim=True)
    return (maps - low) / (maps.amax(dim=(2, 3), keepdim=True) - low + 1e-5)


def cell_labels(
    maps: Float[Tensor, "b classes h w"], labels: Int64[Tensor, "b"], *, low: float = 0.25, high: float = 0.7
) -> Int64[Tensor, "b n"]:
    """BACKGROUND, UNSURE or 1 + the picture's own class, cell by cell."""
    if not 0 <= low <= high <= 1:
        raise ValueError(f"cell_labels(low={low}, high={high}): expected 0 <= low <= high <= 1.")
    own = maps[torch.arange(len(maps), device=maps.device), labels].flatten(1)
    sure = torch.where(own >= high, labels[:, None] + 1, BACKGROUND)
    return torch.where((own > low) & (own < high), UNSURE, sure)


def affinity(cells: Int64[Tensor, "b n"]) -> Int64[Tensor, "b n n"]:
    """1 where two cells have one label, 0 where not, UNSURE where either is unsure, and for a cell with itself."""
    alike = (cells[:, :, None] == cells[:, None]).long()
    unsure = cells == UNSURE
    left_out = unsure[:, :, None] | unsure[:, None] | torch.eye(cells.shape[1], dtype=torch.bool, device=cells.device)
    return torch.where(left_out, UNSURE, alike)


def patch_token_contrast(tokens: Float[Tensor, "b n c"], pairs: Int64[Tensor, "b n n"]) -> Float[Tensor, ""]:
    """PTC, 0..1: sums run over the whole batch. (Magnitudes: tokens that point opposite ways are alike, too.)"""
    tokens = F.normalize(tokens, dim=-1)
    cosine = (tokens @ tokens.mT).abs()
    alike, other = pairs == 1, pairs == 0
    pull = 1 - cosine[alike].sum() / (alike.sum() + 1)
    push = cosine[other].sum() / (other.sum() + 1)
    return 0.5 * pull + 0.5 * push


def class_token_contrast(
    whole: Float[Tensor, "b p c"], crops: Float[Tensor, "b m c"], positive: Tensor, *, temperature: float = 0.5
) -> Float[Tensor, ""]:
    """CTC: the teacher's answers for whole views against the student's for crops.

    positive   `b m`: True for a crop that shows the object; pictures without one add nothing
    """
    heat = torch.einsum("bpc,bmc->bpm", whole.detach(), crops).div(temperature).exp()
    against = heat.masked_fill(positive[:, None], 0).sum(dim=2, keepdim=True)
    each = (heat / (heat + against)).log().neg().mean(dim=1)
    return each[positive].mean() if positive.any() else heat.sum() * 0


class TokenContrast(nn.Module):
    """A ViT that learns labels with its class token and its patch tokens, and is held to PTC by one of its blocks.

    teacher_block   the block whose class map says which cells are alike, from 0; the paper takes the third from behind
    """

    def __init__(self, vit: ViT, *, teacher_block: int = -3) -> None:
        super().__init__()
        depth = len(vit.blocks)
        if not -depth <= teacher_block < depth:
            raise ValueError(f"TokenContrast(teacher_block={teacher_block}): the model has {depth} blocks, from 0.")
        self.vit = vit
        self.teacher_block = teacher_block % depth
        self.early = nn.Linear(vit.head.in_features, vit.head.out_features, bias=False)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b three classes"]:
        """Logits of the class token, of the strongest last and of the strongest middle patch tokens."""
        return self.answers(*self.tokens(images))

    def tokens(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b n c"], Float[Tensor, "b n c"]]:
        """What the middle block gives out, and what the last one does, behind the norm; the class token comes first."""
        x = self.vit.embed(images)
        for i, block in enumerate(self.vit.blocks):
            x = block(x)
            if i == self.teacher_block:
                middle = x
        return middle, self.vit.norm(x)

    def answers(self, middle: Float[Tensor, "b n c"], last: Float[Tensor, "b n c"]) -> Float[Tensor, "b three classes"]:
        """The logits of `forward`. Strongest: the largest value of each channel over all patches."""
        told = (
            self.vit.head(last[:, 0]),
            self.vit.head(last[:, 1:].amax(dim=1)),
            self.early(middle[:, 1:].amax(dim=1)),
        )
        return torch.stack(told, dim=1)

    def look(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor, Tensor]:
        """The logits `b 3 classes`, the last patch tokens, and the maps that say which of them belong together.

        Tokens `b n c`; maps `b classes h w` of the middle block, 0..1, without a gradient.
        """
        middle, last = self.tokens(images)
        h, w = (side // self.vit.patch for side in images.shape[-2:])
        with torch.no_grad():
            maps = class_maps(middle[:, 1:].float(), self.early.weight, grid=(h, w))
        return self.answers(middle, last), last[:, 1:], maps

    def contrast(self, last: Tensor, maps: Tensor, labels: Int64[Tensor, "b"]) -> Float[Tensor, ""]:
        """PTC of the last tokens by the middle block's class map."""
        return patch_token_contrast(last, affinity(cell_labels(maps, labels)))


def toco(
    *,
    dim: int = 768,
    depth: int = 12,
    heads: int = 12,
    patch: int = 16,
    image: int = 224,
    classes: int = 20,
    teacher_block: int = -3,
) -> TokenContrast:
    """ViT-B/16 with both classifiers; `image` is the side, in pixels, that its positions are made for.

    The classifiers have no bias: a class map is their product with every token.
    """
    vit = ViT(dim=dim, depth=depth, heads=heads, patch=patch, image=image, classes=classes)
    vit.head = nn.Linear(dim, classes, bias=False)
    return TokenContrast(vit, teacher_block=teacher_block)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: three blocks, of which the first is the teacher."""
    return toco(dim=8, depth=3, heads=2, patch=3, image=15, classes=5), torch.randn(2, 3, 15, 12)
