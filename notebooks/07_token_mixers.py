# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 7 · Which mixer, and what does it buy?
#
# Every backbone is a frame with a part that mixes places. The frame hardly changes; each year has its new part. **What does one part give
# that another does not, and at which price?** Here are ten of them in one frame, taught the same for the same time. After this lesson you can
#
# * swap the mixer of a network and leave the rest,
# * tell from an equation what a mixer can hear, what it costs, and on which grids it works,
# * write a recurrence as a matrix, and say how it differs from attention,
# * keep apart what a mixer *can* do, what it does when trained, and what that is worth in accuracy.
#
# *Takes about 45 minutes, of which the computer takes about one. Needs no network: models and photos are on your disk. Run
# the cells from top to bottom, with* <kbd>Shift</kbd> + <kbd>Enter</kbd>.

# %%
# %matplotlib inline
import json

import numpy as np
import torch
from checks import mixers as checks
from desk import MixingDesk
from matplotlib.figure import Figure
from torch import nn

from labkit.data.images import open_image, photo_names
from labkit.models.rivals import MIXERS, rival
from labkit.models.scaffold import Block
from labkit.pretrained import load, weights_folder
from labkit.probes.frequency import spectrum
from labkit.probes.mixing import mixing_maps
from labkit.probes.mixing_measures import measure_mixing
from labkit.probes.receptive_field import effective_fields, measure_field
from labkit.probes.sanity import spearman
from labkit.probes.speed import growth
from labkit.taps import holding
from labkit.viz.experiments import curves, rivals
from labkit.viz.receptive_field import fields_over_photo
from labkit.viz.theme import style

# %% [markdown]
# ## Look first
#
# Two of the ten with the same photo before them. The blue frame is a place in the output of one block, the colours say how much each
# place of the block's *input* adds to it (lesson 6). Each model has four blocks: two on 16 × 16 cells, two on 8 × 8.
#
# > **Predict, before you touch it.** *identity* mixes nothing. *pooling* takes the mean of 3 × 3 cells. *attention* asks everybody. What will
# > the map of each look like? And *scan*, which reads the cells row by row, like a text?

# %%
names = {f"lab/mix-{mixer}": mixer for mixer in MIXERS}
MODELS = {mixer: (name, "default") for name, mixer in names.items()}
first_photos = ["chelsea", "astronaut", "coffee", "rocket"]
photos = first_photos + [name for name in photo_names() if name not in first_photos]
desk = MixingDesk(models=MODELS, beside="attention", photos=photos)
desk

# %% [markdown]
# **Find, and note down** (set both sliders to `stages.0.1`, the last block on 16 × 16 cells):
#
# 1. three mixers whose map is a square with a sharp edge. How wide is each, and from which kernels?
# 2. the mixer whose map is a cross or a row. Why that form?
# 3. two mixers that reach everywhere. Move the pointer: whose map moves along, whose stays?
# 4. the one with the largest share at the framed place itself. Does it stay so *with the skip connection*?
#
# <details><summary>What came out</summary>
#
# *pooling* is a square of 3 × 3 cells, *sepconv* and *gatedconv* are squares of 7 × 7: their kernels, to the cell. *scan* lies along its row (three
# quarters of its map): the neighbours in reading order are those to the left and to the right, and its memory fades. *tokenmlp* and *attention* reach
# everywhere, but ask the first from two places: its map hardly moves (0.6 is the correlation of two of them, far apart; 0 with *attention*). It has one weight
# for each pair of places, and learned to collect nearly the same ones for everybody. The place itself is all of *identity*, and then most of *largekernel*
# (0.57), which has a path around its convolution of its own. With the skip connection *attention* goes from 0.30 to 0.77, and past it: what looks local in
# a block may be the skip that hands each place to itself.
# </details>
#
# ## Ten parts for one place
#
# A block is $x \leftarrow x + \mathrm{mix}(\mathrm{norm}(x))$, then an MLP for each place. With $n$ places and $c$ channels:
#
# | mixer | $y_q =$ | what it hears | its weights are | cost a place |
# | --- | --- | --- | --- | --- |
# | identity | $0$ besides the skip | itself | none | $0$ |
# | pooling | mean of 3 × 3, less $x_q$ | 3 × 3 | fixed | $0$ |
# | sepconv | $W_2\, (k * \sigma(W_1 x))_q$ | 7 × 7 | learned | $4c^2 + 98c$ |
# | gatedconv | $W_2\,(\sigma(g_q) \circ (k * v)_q)$ | 7 × 7 | learned, gated by $x_q$ | $8c^2 + 49c$ |
# | largekernel | $x_q \circ (k_3 * k_2 * k_1 * x)_q$ | 23 × 23 | learned, times $x_q$ | $3c^2 + 74c$ |
# | focal | $q_q \circ h(\sum_l g_{l}\, z_l)_q$ | 3 × 3, 7 × 7, and the mean of all | learned, gated by $x_q$ | $4c^2 + 37c$ |
# | frequency | $\mathcal F^{-1}(M(\hat x) \circ \hat x)$ | all | made of the picture | $\sim c \log n$ |
# | tokenmlp | $\sum_k W_{qk} x_k$, twice | all | learned, one a pair of places | $n c$ |
# | scan | $C_q h_q,\; h_q = a_q h_{q-1} + b_q x_q$, both ways | all, fading | made of the tokens | $6.5c^2 + 80c$, and the recurrence |
# | attention | $\sum_k \mathrm{softmax}(q_q^\top k_k)\, v_k$ | all | made of the tokens, a pair | $4c^2 + 2nc$ |
#
# ### Exercise 1
# Write the cheapest one that mixes at all. `x` is a map `c h w`; give back `c h w`: at each place the mean over the square of 3 × 3 around it, as far as
# that lies in the picture, less the place itself.


# %%
def my_pooling(x): ...


# %%
checks.pooling(my_pooling)

# %% [markdown]
# ### Swap it
# A network is made of parts, so the swap is a line. `rival` builds the frame; only the modules named `mixer` differ.

# %%
for mixer in MIXERS:
    model = rival(mixer, classes=50)
    parts = [block.mixer for block in model.modules() if isinstance(block, Block)]
    inside = sum(p.numel() for part in parts for p in part.parameters())
    whole = sum(p.numel() for p in model.parameters())
    print(
        f"{mixer:12} {type(parts[0]).__name__:16} {whole:8,} parameters, {inside / whole:4.0%} of them in the four mixers"
    )

# %% [markdown]
# ## How far does each reach?
#
# **Reach** is the mean distance from a place to what it is made of, divided by that of an even look (lesson 6). Here is that of the last block on
# 16 × 16 cells, without its skip connection: the mean of four photos.
#
# > **Predict.** Order the ten. Which of those that *can* hear everything do so? Is *largekernel* (23 × 23 on a grid of 16) nearer to *sepconv* or
# > to *attention*?

# %%
models = {mixer: load(name) for name, mixer in names.items()}
transform = models["identity"].transform
device = next(models["identity"].model.parameters()).device
images = torch.stack([transform(open_image(photo)) for photo in first_photos]).to(device)
BLOCK = "stages.0.1"

reach = {}
for mixer, opened in models.items():
    (found,) = mixing_maps(opened.model, images, layers=[BLOCK], identity=False)
    reach[mixer] = measure_mixing(found).reach.mean().item()
rivals(reach, label="reach: 0 = itself, 1 = everywhere alike", title="What a block on 16 × 16 cells is made of")

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# From the left: *identity* 0, *pooling* 0.07, then what has a kernel (*gatedconv*, *sepconv*, *focal*, *largekernel*: 0.23 to 0.36), then what could hear
# everything: *scan* 0.42, *frequency* 0.59, *attention* 0.72, *tokenmlp* 1.01. Only the last makes full use of it. A kernel of 23 × 23 on a grid of 16 stays
# nearer to the 7 × 7 of *sepconv*; and of what *focal* gives, less than a tenth comes from beyond its kernels, though its last level is the mean of the whole map.
# What a mixer *can* do is one thing, what it does after training is another.
# </details>
#
# Reach is about one block. What does a unit behind all four know of the photo? (lesson 5)
#
# > **Predict.** After four blocks and the stem, how large is the field of *identity*? It mixes nothing, after all.

# %%
picture = np.asarray(transform.view(open_image("chelsea")))
LAST = "stages.1.2"
heats, notes = [], []
for opened in models.values():
    (field,) = effective_fields(opened.model, images, layers=[LAST], how="abs")
    heat = field.heat.mean(dim=0).cpu()
    heats.append(heat.numpy())
    side = measure_field(heat, centre=field.centre, parts=(0.9,)).side.item()
    notes.append(f"90 % in {side} px")
everywhere = [np.ones((64, 64), dtype=bool)] * len(heats)
fields_over_photo(
    picture, heats, everywhere, names=list(models), notes=notes, title="What moves the middle unit of the last block"
)

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# Even *identity* sees 15 × 15 pixels: the three convolutions of the stem and of the halving mix, too. (With their padding they look seven pixels up and
# left of the unit's cell and none down and right, so that a square around the cell's middle must be 23 wide.) In most others the field after four blocks is
# most of the photo, be the kernel 7 × 7 or everything: depth widens what one block leaves narrow. *scan* shows its row once more. *tokenmlp* is even from
# edge to edge: its unit hardly knows where it is.
# </details>
#
# ## What does each let through?
#
# A mean is a low-pass filter; "attention is a low-pass filter" was said too (lesson 4). For each mixer: the amplitude of what it gives, over that of what it is
# given, ring by ring of the spectrum. 0 = the mean of the map, 0.5 = the finest along an axis.
#
# > **Predict.** Who falls with frequency? *pooling* subtracts the place itself from the mean: is it a low-pass or a high-pass?


# %%
def gain(model):
    """Amplitude out over amplitude in of the mixer of one block, the geometric mean of channels and photos."""
    with holding(model, [f"{BLOCK}.norm1", f"{BLOCK}.mixer"]) as held, torch.inference_mode():
        model(images)
    given, made = (spectrum(held[f"{BLOCK}.{part}"].movedim(-1, 1)) for part in ("norm1", "mixer"))
    return given.frequencies.numpy(), (made.radial - given.radial).mean(dim=0).exp().cpu().numpy()


gains = {mixer: gain(opened.model) for mixer, opened in models.items() if mixer != "identity"}
some = ["pooling", "sepconv", "frequency", "tokenmlp", "scan", "attention"]
rings = gains["pooling"][0][1:]
relative = {mixer: gains[mixer][1][1:] / gains[mixer][1][1] for mixer in some}
figure = curves(
    rings,
    relative,
    across="frequency (cycles per cell)",
    up="gain, over that of the coarsest ring",
    title="What a mixer lets through",
)
figure.axes[0].set(yscale="log", ylim=(0.3, 20), yticks=(0.5, 1, 2, 5, 10), yticklabels=("0.5", "1", "2", "5", "10"))
figure.axes[0].minorticks_off()
figure

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# *pooling* is a high-pass: a mean of neighbours less the place itself is zero where the map is flat, and a fine pattern comes out about ten times as strong as the
# coarsest ring. (With the skip, $x + (\bar x - x)$, it is the mean again, for equal scales.) Of the trained ones drawn here *sepconv* is the one clear low-pass: half, at the
# finest. *attention* falls by a quarter: in this network the phrase "attention is a low-pass filter" is true, and says little. *scan* and *frequency* are flat.
# </details>
#
# ## What does it cost?
#
# Two costs are in attention's block: one that grows with the tokens, and one that grows with their pairs. For $n$ tokens of $c$ channels, and an MLP that is
# `ratio` times as wide inside: four linear maps ($4 n c^2$), the MLP ($2 \cdot \mathrm{ratio} \cdot n c^2$), the scores ($n^2 c$) and the mean of the values
# ($n^2 c$).
#
# ### Exercise 2
# From how many tokens on does the second kind cost more than the first? Give back a number.


# %%
def my_crossing(c, ratio): ...


# %%
checks.crossing(my_crossing)

# %% [markdown]
# That is multiplications. Now the clock: one picture of 32 to 256 pixels, all with the same weights.
#
# > **Predict.** At which size does *attention* become the slowest? One of the ten will refuse all sizes but one: which, and why?

# %%
SIDES = (32, 64, 128, 256)
times = {}
for mixer in ("pooling", "sepconv", "frequency", "tokenmlp", "scan", "attention"):
    grown = growth(models[mixer].model, SIDES, repeats=3)
    if grown.skipped:
        print(f"{mixer}, {min(grown.skipped)} px: {grown.skipped[min(grown.skipped)]}\n")
        continue
    times[mixer] = [1000 * one.seconds for one in grown.speeds]
    print(f"{mixer:12} time grows with the tokens to the power of {grown.time_exponent:.2f}")
count = [one.tokens for one in grown.speeds]
curves(
    count,
    times,
    across="tokens (cells of the first block)",
    up="milliseconds a picture",
    logarithmic=True,
    title="Time against resolution",
)

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# All but *attention* have a fixed cost at first (small maps leave the processor waiting), then grow with the tokens. *attention* is among the fastest at 64
# tokens, meets *scan* near 1,000, and at 4,096 costs several times as much as any: there the pairs of tokens are nearly all of its work (by exercise 2 they
# take over at 192 tokens, for 32 channels). *tokenmlp* has one weight for each pair of places of *one* grid, so it takes one size only, and says so.
# </details>
#
# ### A recurrence is a matrix, too
# A scan hears everything at a price that grows with $n$ alone. How can it? It keeps a memory: with one number of it,
#
# $$h_t = a_t\, h_{t-1} + b_t\, x_t, \qquad y_t = c_t\, h_t .$$
#
# Each token says how much is forgotten ($a_t$), how it is written ($b_t$) and how it is read ($c_t$). Unroll it, and $y = M x$ with a matrix like any
# other mixer's.
#
# ### Exercise 3
# Write it. `a`, `b`, `c` are `n` numbers; give back `n n`: what is read at $t$ (row) of what came in at $s$ (column).


# %%
def my_scan_matrix(a, b, c): ...


# %%
checks.scan_matrix(my_scan_matrix)

# %% [markdown]
# The entry is $c_t\, (a_{s+1} \cdots a_t)\, b_s$. Attention has $q_t^\top k_s$ in that place: a reading times a writing, with no fading, and then a softmax. What
# the scan cannot have is an entry that depends on the pair *alone*: whatever it remembers of $s$ at $t$ must have passed all that lies between.
#
# ## What is it worth?
#
# Ten models, three seeds each, five epochs on 25,000 small pictures of fifty kinds of things. Chance is 2 %.
#
# > **Predict, in writing.** The best, the worst, and how far apart. Where is *attention*? Where is *pooling*, which has no weights at all?

# %%
stored = json.loads((weights_folder() / "rivals.json").read_text())
table = stored["mixers"]
order = sorted(table, key=lambda mixer: np.mean(table[mixer]["top1"]))
with style():
    figure = Figure(figsize=(8.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    for place, mixer in enumerate(order):
        scores = 100 * np.array(table[mixer]["top1"])
        left.plot([scores.min(), scores.max()], [place, place], color="#a9a9b6", lw=3, solid_capstyle="round")
        left.plot(scores, [place] * len(scores), "o", color="#7c2888", ms=5)
        right.plot(np.mean(table[mixer]["reach16"]), scores.mean(), "o", color="#7c2888", ms=6)
        right.annotate(
            mixer, (np.mean(table[mixer]["reach16"]), scores.mean()), (6, -3), textcoords="offset points", fontsize=9
        )
    left.set(yticks=range(len(order)), yticklabels=order, xlabel="top-1 in %, each seed a dot", title="Accuracy")
    right.set(xlabel="reach on 16 × 16 cells", ylabel="top-1 in %, mean of the seeds", title="Does reach pay?")
    right.set(xlim=(-0.05, 1.35))
figure


# %%
def column(name):
    return torch.tensor([[np.mean(table[mixer][name]) for mixer in order]])[None]


for name in ("reach16", "parameters"):
    print(f"rank correlation of top-1 with {name}: {spearman(column('top1'), column(name)).item():.2f}")

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# *identity* reaches 24.8 %, *pooling* 26.0: a part without weights is worth little here. *tokenmlp* comes first (38.1), before *sepconv* (34.9) and *gatedconv*
# (33.8), and *attention* only seventh (29.7, and the seeds lie 4.6 apart). Reach does not order them: its rank correlation with accuracy is 0.42, which ten points
# give by chance one time in four. The number of *weights* does: 0.96. An equal frame is not an equal budget, and to a paper's table the same question belongs.
# Also mind what was tested: objects in the middle of 64-pixel pictures, which suits weights that belong to a place, and five epochs, which
# suit what need not learn first where to look. Attention with 300 epochs on a million pictures is another story; it is not told here.
# </details>
#
# ## Your own mixer
#
# A mixer is any module that takes `b h w c` to `b h w c`. Put yours into the frame, and look at it before it has learned anything.


# %%
class Cross(nn.Module):
    """The mean of a place's row and its column: your turn to change it."""

    def forward(self, x):
        return (x.mean(dim=1, keepdim=True) + x.mean(dim=2, keepdim=True)) / 2 - x


mine = rival("identity", classes=50).to(device)
for block in mine.modules():
    if isinstance(block, Block):
        block.mixer = Cross()
(found,) = mixing_maps(mine, images, layers=[f"{BLOCK}.mixer"])
row = found.shares[0, 5 * 16 + 8].view(16, 16).cpu()
print(
    f"reach {measure_mixing(found).reach.mean():.2f};",
    f"its row and column: {1 - row[[i for i in range(16) if i != 5]][:, [i for i in range(16) if i != 8]].sum():.0%}",
)

# %% [markdown]
# `labkit papers` lists the papers behind these ten and their rivals, with what held when we tried; `labkit run metaformer` (and every other name in that list) runs the
# experiment again, and `docs/add_a_paper.md` says how to hang your own.
#
# ## Read on
#
# * Yu et al., *MetaFormer Is Actually What You Need for Vision*, CVPR 2022, and *MetaFormer Baselines for Vision*, TPAMI 2024: the frame.
# * Tolstikhin et al., *MLP-Mixer*, NeurIPS 2021: a matrix for each pair of places.
# * Yang et al., *Focal Modulation Networks*, NeurIPS 2022; Guo et al., *Visual Attention Network*, CVMJ 2023; Huang et al., *Adaptive Frequency Filters*, ICCV 2023.
# * Zhu et al., *Vision Mamba*, ICML 2024, and Yu & Wang, *MambaOut: Do We Really Need Mamba for Vision?*, CVPR 2025.
#
# The answers to the exercises are in `solutions/exercises_07.py`, each with its reason.
