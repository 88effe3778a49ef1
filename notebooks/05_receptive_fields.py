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
# # 5 · How far does one unit see?
#
# Deep in a network sits a unit, one place on a small grid. **Which pixels of the photo can it know of, and which does it
# listen to?** After this lesson you can
#
# * compute the square that a unit can see at most, from kernels, strides and dilations alone,
# * measure by one gradient what it does see, and put a number on it,
# * say why the second is so much smaller than the first, and how each grows with depth,
# * tell what training, an initialisation and attention do to it, and which of the usual claims hold on the models here.
#
# *Takes 30 to 45 minutes, of which the computer takes about half of one. Needs no network: models and photos are on your disk. Run
# the cells from top to bottom, with* <kbd>Shift</kbd> + <kbd>Enter</kbd>.

# %%
# %matplotlib inline
import torch
from checks import fields as checks
from desk import FieldDesk
from matplotlib.figure import Figure
from torch import nn

from labkit.data.images import photo_names
from labkit.pretrained import load
from labkit.probes.receptive_field import effective_fields, measure_field
from labkit.session import sit
from labkit.session.fields import fields, horizons, inputs, unit_field
from labkit.viz.theme import style

# %% [markdown]
# ## Look first
#
# Two models with the same photo before them. The small blue frame is a unit: one place on the grid of a layer. The white line is
# the square of pixels that this unit *can* see, computed without looking at any weight. The heat is what it *does* see: how
# strongly the unit would move if this pixel changed a little. The dashed square holds nine tenths of the heat.
#
# > **Predict, before you touch it.** You will click the astronaut's face. In the *first* block of each model, can the unit
# > under your pointer know of the flag in the upper left corner?

# %%
MODELS = {
    "lab/resnet": ("lab/resnet", "default"),
    "lab/resnet, untrained": ("lab/resnet", None),
    "lab/vit": ("lab/vit", "default"),
    "lab/vit, untrained": ("lab/vit", None),
}
first_photos = ["astronaut", "chelsea", "coffee", "rocket"]
photos = first_photos + [name for name in photo_names() if name not in first_photos]
desk = FieldDesk(models=MODELS, beside="lab/vit", photos=photos)
desk

# %% [markdown]
# Click a photo to choose the unit, or move it with the arrow keys. The sliders go through the blocks, and so does a click on the
# chart. All blocks are computed at once: one forward pass, and one backward pass a block.
#
# **Find, and note down:**
#
# 1. the first block of *lab/resnet* whose units can see more than the whole photo. Do they use it?
# 2. the difference between `log` and `linear`. What share of the strongest pixel do you overlook in the linear picture?
# 3. a unit at the very edge of the photo. What becomes of its square, and of its heat?
# 4. in *lab/resnet*, is the unit in the middle of its square? Look at a deep block.
#
# <details><summary>What came out</summary>
#
# 1. *stages.2.1*, 95 pixels of 64. Nine tenths of its heat lie within 43 (the mean of all photos, the unit in the middle).
# 2. The linear picture shows a few pixels; what moves the unit by less than a tenth of the strongest is nearly black, and
#    there are very many of it.
# 3. The square goes on beyond the border, into the padding, where there is nothing to see.
# 4. No: it sits up to the left. Every convolution of stride 2 that is padded by one on both sides shifts it by half a step, and the
#    steps get larger with depth: the middle unit of the last block, row 2, column 2 of 4, sits over pixel 40 and looks around pixel 32.
# </details>
#
# ## What a unit can see
#
# Layer $l$ has a kernel of $k_l$ cells, a stride $s_l$ and a dilation $d_l$. Write $r_l$ for the side of a unit's square in pixels, and
# $j_l$ for its **jump**: how many pixels lie between the squares of two neighbours. A pixel sees itself, $r_0 = j_0 = 1$. A kernel
# brings together $k_l$ neighbours of the layer before; each further one adds what lies between them:
#
# $$r_l = r_{l-1} + (k_l - 1)\, d_l\, j_{l-1}, \qquad j_l = j_{l-1}\, s_l .$$
#
# That is all. The side grows by a sum in which every stride so far multiplies what the later kernels add. No weight occurs in it: this is
# what a unit can see *at most*, however it is trained. (Branches: take the longest way. Attention over all tokens: everything, at once.)
#
# > **Predict.** A stack of ten 3 × 3 convolutions without strides: how far does a unit see? Now put a stride of 2 into the first: and now?
#
# ### Exercise 1
# Write it. `layers` is a list of (kernel, stride, dilation), the first layer first; give back one row a layer: side and jump.


# %%
def my_squares(layers): ...


# %%
checks.squares(my_squares)

# %% [markdown]
# With branches, padding, windows and squeezes a table of layers is soon out of breath. labkit asks the model itself: it
# runs the structure with noise for weights and everything open that can block a gradient; then a unit depends on exactly the
# pixels at which its gradient is not zero. For *lab/resnet*, whose stem is a 3 × 3 convolution of stride 2, and each block two 3 × 3
# convolutions, the recursion must come to the same: $3, 2$ after the stem, $3 + 4 + 4 = 11$ after the first block, and so on.

# %%
resnet = sit("lab/resnet", "chelsea")
*_, reach = horizons(resnet)
for one in reach:
    size, jump = one.field.size[0], one.field.jump[0]
    print(f"{one.site.name:12} grid {one.site.after.grid[0]:2}   can see {size:3} px   jump {jump:2.0f} px")

# %% [markdown]
# ## What it does see
#
# Let $y_c(i)$ be channel $c$ of the unit $i$, and $x_k(p)$ colour $k$ of the pixel $p$. The **effective field** asks how much the unit moves
# when the pixel does:
#
# $$h_i(p) = \sum_k \left| \frac{\partial}{\partial x_k(p)} \sum_c y_c(i) \right| .$$
#
# One backward pass gives it for all pixels at once. It is the field of *this* unit for *this* photo: where a ReLU is shut, nothing
# passes. The mean over many photos is closer to a property of the model.
#
# ### Exercise 2
# Write it. `net` takes `1 3 h w` to maps `1 c rows columns`; `image` is `3 h w`. Give back `h w`: how strongly each pixel moves the
# unit at (`row`, `column`).


# %%
def my_heat(net, image, row, column): ...


# %%
checks.heat(my_heat)

# %% [markdown]
# ### A ruler for heat
# The heat has no edge; where it ends is a matter of how much of it you want. So we say how much: the side of the smallest square around
# the unit's middle that holds a share of all the heat. This is how *RepLKNet* (2022) compares models.
#
# ### Exercise 3
# Write it. `heat` is `h w`, `centre` is (row, column), `part` a share from 0 to 1; give back the side in pixels, an odd number. The square may
# leave the picture.


# %%
def my_side(heat, centre, part): ...


# %%
checks.side(my_side)

# %% [markdown]
# ## Why it is so much smaller
#
# Take the plainest network there is: $n$ convolutions of 3 × 3, all weights alike, nothing else. The gradient counts **paths**: in each
# layer the way from the unit back to the picture goes one cell up, stays, or goes one down, with equal chance. After $n$ layers the place
# where it arrives is a sum of $n$ throws of a die with the faces $-1, 0, 1$, and sums of throws become a bell:
#
# $$\sigma_n^2 = n\, \frac{k^2 - 1}{12} = \tfrac23\, n \quad (k = 3), \qquad \text{while} \qquad r_n = 1 + n\,(k - 1) = 1 + 2n .$$
#
# There is but one path to each corner of the square, and very many to its middle. What a unit *can* see grows like $n$; what it *does* see
# like $\sqrt n$. So its share of the square falls like $1/\sqrt n$ (Luo et al. 2016).
#
# > **Predict.** Weights are not all alike: draw them at random, then the signs of the paths differ, and they cancel. Does the bell get
# > narrower or wider? And with ReLUs, which shut half of the ways?


# %%
DEPTHS = (1, 2, 4, 8, 16, 32)


def stack(depth, kind):
    """`depth` convolutions of 3 x 3: weights all alike, random, or random with ReLUs between."""
    net = nn.Sequential()
    for i in range(depth):
        net.append(nn.Conv2d(16 if i else 3, 16, 3, padding=1, bias=False))
        start = nn.init.ones_ if kind == "alike" else nn.init.kaiming_normal_
        start(net[-1].weight)
        if kind == "alike":
            net[-1].weight.data /= net[-1].weight[0].numel()  # a mean
        if kind == "random + ReLU":
            net.append(nn.ReLU())
    return net


def measured(depth, kind):
    """σ of the middle unit's heat, the mean of 8 random pictures; and the side with 90 % of it."""
    torch.manual_seed(0)
    middle = depth + 2  # the picture holds the whole square
    pictures = torch.randn(8, 3, 2 * middle + 1, 2 * middle + 1, requires_grad=True)
    unit = stack(depth, kind)(pictures)[:, :, middle, middle]
    (gradient,) = torch.autograd.grad(unit.sum(), pictures)
    heat = gradient.abs().sum(dim=1).mean(dim=0)
    found = measure_field(heat, centre=(middle, middle), parts=(0.9,))
    return found.width.mean().item(), found.side.item()


KINDS = {"alike": "#1c66ad", "random": "#b3500a", "random + ReLU": "#0a8262"}
results = {kind: [measured(depth, kind) for depth in DEPTHS] for kind in KINDS}
with style():
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    spread, share = figure.subplots(1, 2)
    for kind, colour in KINDS.items():
        spread.plot(DEPTHS, [sigma for sigma, _ in results[kind]], "o-", ms=4, color=colour, label=kind)
        sides = [side / (2 * n + 1) for n, (_, side) in zip(DEPTHS, results[kind], strict=True)]
        share.plot(DEPTHS, sides, "o-", ms=4, color=colour)
    spread.plot(DEPTHS, [(2 * n / 3) ** 0.5 for n in DEPTHS], color="black", lw=1, ls=(0, (5, 5)), label="√(2n / 3)")
    spread.set(xscale="log", yscale="log", xlabel="layers n", title="σ of the heat, in pixels")
    share.set(xscale="log", ylim=(0, 1.05), xlabel="layers n", title="side with 90 % of the heat, of 1 + 2n")
    for axes in (spread, share):
        axes.set_xticks(DEPTHS, labels=map(str, DEPTHS))
        axes.minorticks_off()
    spread.set_yticks([1, 2, 4], labels=["1", "2", "4"])
    spread.legend()
figure

# %% [markdown]
# <details><summary>What came out</summary>
#
# With weights alike the measured σ *is* √(2n / 3), to two digits: 4.62 after 32 layers, where the square has a side of 65. Random weights
# give a bell that is **wider**, by about √2: 6.6. Now it is the *squares* of the gradient that add up over the paths, and they have the
# σ of above; the magnitude, a square's root, is as wide as a bell of twice the variance. ReLUs change little (6.6): which ways are shut has
# nothing to do with where they lead.
#
# The share falls all the same: nine tenths of the heat lie within 0.29 (alike) and 0.42 (random) of the square's side after 32 layers.
# </details>
#
# ## What training does
#
# Luo et al. say that training widens the field. We have a trained network, and the same one as it was before its first step.
#
# > **Predict.** Sketch side against depth for *lab/resnet*, trained and untrained. By how much does training widen it?

# %%
pictures = inputs(resnet, "photos")
models = {
    "trained": resnet.opened.model,
    "untrained": load("lab/resnet", weights=None).model.to(pictures.device),
    "untrained, branches open": load("lab/resnet", weights=None).model.to(pictures.device),
}
for name, weight in models["untrained, branches open"].named_parameters():
    if name.endswith("bn2.weight"):
        nn.init.ones_(weight)


def sides(model, part=1):
    """Block by block the side with 90 % of the heat (`part` 0: 50 %): middle unit, mean of all photos."""
    found = effective_fields(model, pictures, how="abs")
    return [
        unit_field(at, one.unit, one.mean.cpu()).measures.side[part].item()
        for at, one in zip(reach, found, strict=True)
    ]


rows = {name: sides(model) for name, model in models.items()}
print(f"{'block':12} {'at most':>8}" + "".join(f"{name:>26}" for name in rows))
for i, one in enumerate(reach):
    print(f"{one.site.name:12} {one.field.size[0]:8}" + "".join(f"{row[i]:26}" for row in rows.values()))

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# Untrained, every unit of every block sees **3 pixels**, while it could see up to 207. Look into `labkit/models/backbones/resnet.py`: each
# block is $y = x + F(x)$, and the last scale in $F$ starts at zero. So at first a block does nothing; the field is that of the stem,
# handed on. *timm*'s ConvNeXt starts much the same, with branches scaled by $10^{-6}$.
#
# It is a fact about an initialisation, not about architecture, and so a poor witness for the claim. The third column is the fairer one:
# the same random weights with that scale at one. Now nine tenths of the heat lie within 51 pixels in the last block, and training makes 59 of
# it. And with other random weights (Kaiming's normal ones, five seeds) it was 57, while in the middle of the network, *stages.2.1*, these
# untrained fields were **wider** than the trained ones: 53 pixels, not 43. **Here the claim does not hold as it stands:** training widens
# the field against the start it had, not against any start.
# </details>
#
# ## Everything, from the first block on
#
# Attention reaches all tokens in one step: in *lab/vit* the theory is the same for every block, everything. The question moves entirely to the
# measurement.
#
# > **Predict.** In block 0, how much of the heat stays in the unit's own patch: 1/64, as an even look would have it? More? And untrained?

# %%
print(f"{'':20}{'own patch':>12}{'half of the heat in':>24}{'nine tenths in':>20}")
for name, weights in (("trained", "default"), ("untrained", None)):
    seen = fields(sit("lab/vit", "chelsea", weights=weights), (0.5, 0.5), over="photos")
    for one in (seen[0], seen[-1]):
        half, most, _ = one.measures.side.tolist()
        print(f"{name:10}{one.horizon.site.name:10}{one.own:12.0%}{half:21} px{most:17} px")

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# A fifth of the heat stays at home, twelve times an even share, and *that has nothing to do with learning*: it is the same untrained. The skip
# connection hands each token on as it is, and attention adds a mean of the others, each with a small share. With depth it leaks away,
# slowly: to 13 % trained, 15 % untrained. What training adds shows in the last block: half of the heat needs 27 pixels, not 21.
#
# So "a transformer sees everything from the start" is true and says little. What differs from *lab/resnet* is the way there: the
# transformer's nine tenths fill 53 pixels after one block and 63 after six; the convolutions begin at 11 and come to 59 after seven.
# </details>
#
# ## Your own picture
#
# Go back to the desk and press **a picture of yours**. Choose a unit on an edge, then one in a flat part. Before you look: which of
# the numbers belongs to the model, and which to the picture? The room *Receptive field* of the lab (`labkit app`) has a switch for it:
# this photo, the mean of all photos, random inputs; and any timm model beside any other.
#
# ## Read on
#
# * Luo, Li, Urtasun & Zemel, *Understanding the Effective Receptive Field in Deep Convolutional Neural Networks*, NeurIPS 2016: the bell.
# * Araujo, Norris & Sim, *Computing Receptive Fields of Convolutional Neural Networks*, Distill 2019: the recursion, with branches.
# * Ding et al., *Scaling Up Your Kernels to 31x31*, CVPR 2022 (RepLKNet): large kernels against depth, and the ruler of exercise 3.
# * Raghu et al., *Do Vision Transformers See Like Convolutional Neural Networks?*, NeurIPS 2021: effective fields of both, at scale.
#
# The answers to the exercises are in `solutions/exercises_05.py`, each with its reason.
