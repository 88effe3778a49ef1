"""What the class token looks at inside the encoder is kept, and a reader behind it has to answer from that alone.

Paper    Wang et al., "[CLS] Token Tells Everything Needed for Training-free Efficient MLLMs", 2024
Adds     an importance that is there before a question is: the class token's attention, of several blocks together
Reads    a_l    = mean over heads of softmax(q_cls Kᵀ / √d), without its own column    b n       n patches, block l
         score  = Σ a_l, or the largest or smallest of them                            l = first, …, last but one
         kept   = the k highest of the patch tokens which leave the last block but one, in the order of the picture
         answer = reader([project(kept); question])                                    b k+t c   t: text
Costs    nothing where the attention is at hand. The reader has (k + t) (4 dim² + MLP) + 2 (k + t)² dim multiplications
         a block (see `prefill`): a ninth of the patches leaves more than a ninth of that, the more so with much text
Departs  the paper's reader is a language model of 7 billion parameters; here it is any part that takes tokens, and
         `Reader`, a few blocks, whose question is one token and whose patches see each other both ways. The positions
         that a language model would add, by which it can tell the order, are left out. The first block of the sum is
         given anew with each data set in the released code; here it is the encoder's first, if nothing else is said
"""

from __future__ import annotations

from copy import deepcopy

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labkit.models.backbones.vit import Block, ViT
from labkit.paper import Paper
from labkit.taps import reading

PAPER = Paper(
    number=44,
    id="vtc_cls",
    title="[CLS] Token Tells Everything Needed for Training-free Efficient MLLMs",
    year=2024,
    arxiv="2412.05819",
    claim="What the encoder's class token looks at, in several blocks together, is what a reader behind it needs, "
    "whatever it is asked: with a quarter of the patches and nothing taught anew its answers stay, and they are better "
    "than with patches chosen by the last block alone or by the question's own attention.",
)

JOINS = {"sum": torch.sum, "max": torch.amax, "min": torch.amin}
"""What can be made of several blocks."""


def importance(looks: Float[Tensor, "blocks b cells"], *, how: str = "sum") -> Float[Tensor, "b cells"]:
    """How much each patch matters: what the class token gives it in all these blocks; up to the number of blocks.

    how   "sum" of the blocks, or the "max" or "min" of them, 0..1. Raises ValueError for another word
    """
    if how not in JOINS:
        raise ValueError(f"importance(how={how!r}): expected one of {', '.join(JOINS)}.")
    return JOINS[how](looks, dim=0)


def keep(tokens: Float[Tensor, "b n c"], scores: Float[Tensor, "b n"], *, kept: int) -> Float[Tensor, "b kept c"]:
    """The tokens of the highest scores, in the order in which they were. Raises ValueError when there are not so many.

    With all of them kept nothing has changed, to the bit.
    """
    if not 1 <= kept <= tokens.shape[1]:
        raise ValueError(f"keep(kept={kept}) got {tokens.shape[1]} patches: keep at least one and no more than those.")
    chosen = scores.topk(kept, dim=1).indices.sort(dim=1).values
    return tokens.gather(1, chosen[..., None].expand(-1, -1, tokens.shape[2]))


def prefill(tokens: int, *, dim: int, depth: int, mlp: int) -> int:
    """Multiply-adds with which a language model takes in so many tokens, before it says a word.

    mlp   those of one token in one block's MLP. A causal mask is counted as if it saved nothing, as it mostly does
    """
    return depth * (tokens * (4 * dim**2 + mlp) + 2 * tokens**2 * dim)


def without_last(vit: ViT) -> ViT:
    """A copy which ends behind the last block but one, without norm and head: whose tokens a reader is given."""
    encoder = deepcopy(vit)
    encoder.blocks = encoder.blocks[:-1]
    encoder.norm, encoder.head = nn.Identity(), nn.Identity()
    return encoder


def watched(
    encoder: ViT, image: Float[Tensor, "b 3 height width"]
) -> tuple[Float[Tensor, "b cells c"], Float[Tensor, "blocks b cells"]]:
    """The patch tokens which leave the last block, and how much the class token looks at each patch in every block.

    That is the mean over the heads, 0..1; what is missing to one it gives to itself.
    """
    x = encoder.embed(image)
    with reading(encoder.blocks, "b heads q k") as maps:
        x = encoder.blocks(x)
    looks = torch.stack([attn.mean(dim=1)[:, 0, 1:] for attn in maps.values()])
    return x[:, 1:], looks


class Reader(nn.Module):
    """Tokens `b k channels` and the number of a question to `b answers` logits, for any k from 1.

    A projector as LLaVA has it, then blocks over the patches and the question, which comes last and is asked.
    """

    def __init__(self, channels: int, *, dim: int, heads: int, depth: int, questions: int, answers: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(channels, dim), nn.GELU(), nn.Linear(dim, dim))
        self.questions = nn.Parameter(torch.randn(questions, dim) * 0.02)
        self.blocks = nn.Sequential(*(Block(dim, heads=heads, drop_path=0.0) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, answers)

    def forward(
        self, tokens: Float[Tensor, "b k channels"], question: Int64[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b answers"]:
        if question is None:  # the first one, for all
            question = torch.zeros(len(tokens), dtype=torch.long, device=tokens.device)
        x = torch.cat([self.project(tokens), self.questions[question][:, None]], dim=1)
        x = self.blocks(x)
        return self.head(self.norm(x[:, -1]))


class VtcCls(nn.Module):
    """`b 3 H W`, and the number of a question, to what the reader says of the kept patches.

    encoder   its blocks are those whose tokens are used (see `without_last`)
    kept      how many patches go on; `first`: the block, from 0, with which the sum over blocks begins
    """

    def __init__(self, encoder: ViT, reader: nn.Module, *, kept: int, first: int = 0, how: str = "sum") -> None:
        super().__init__()
        if not 0 <= first < len(encoder.blocks):
            raise ValueError(f"VtcCls(first={first}): expected one of the blocks 0 to {len(encoder.blocks) - 1}.")
        self.encoder = encoder
        self.reader = reader
        self.kept, self.first, self.how = kept, first, how
        self.scores = nn.Identity()  # named, so that they can be watched: `b cells`

    def forward(
        self, image: Float[Tensor, "b 3 height width"], question: Int64[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b answers"]:
        tokens, looks = watched(self.encoder, image)
        scores = self.scores(importance(looks[self.first :], how=self.how))
        return self.reader(keep(tokens, scores, kept=self.kept), question)


def vtc_cls(
    reader: nn.Module,
    *,
    dim: int = 1024,
    depth: int = 24,
    heads: int = 16,
    patch: int = 14,
    image: int = 336,
    kept: int = 64,
    first: int = 0,
    how: str = "sum",
) -> VtcCls:
    """Before any reader, an encoder of the shape of CLIP's ViT-L/14 at 336 pixels: 64 of 576 patches go on."""
    vit = ViT(dim=dim, depth=depth, heads=heads, patch=patch, image=image)
    return VtcCls(without_last(vit), reader, kept=kept, first=first, how=how)


def tiny() -> tuple[nn.Module, Tensor]:
    """The smallest honest pair of model and input: three blocks, of which two are used; 7 of 5 x 4 patches kept."""
    reader = Reader(8, dim=6, heads=2, depth=1, questions=1, answers=5)
    return vtc_cls(reader, dim=8, depth=3, heads=2, patch=3, image=15, kept=7), torch.randn(2, 3, 15, 12)
