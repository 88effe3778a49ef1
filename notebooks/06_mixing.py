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
# # 6 · What is mixing, and is attention all of it?
#
# A network for pictures does two things in turn: it thinks about each place by itself, and it **mixes** places. Attention is one way to mix,
# convolution another. **Who mixes whom, and does an attention map tell us?** After this lesson you can
#
# * write down who mixes whom for *any* layer, as one matrix made of derivatives,
# * split the Jacobian of attention into what the map shows and what it does not, and say which is larger,
# * put every block of every model on one plane, from local to global,
# * tell what training does to all this, and what it does not.
#
# *Takes 30 to 45 minutes, of which the computer takes about one. Needs no network: models and photos are on your disk. Run
# the cells from top to bottom, with* <kbd>Shift</kbd> + <kbd>Enter</kbd>.

# %%
# %matplotlib inline
from copy import deepcopy

import numpy as np
import torch
from checks import mixing as checks
from desk import MixingDesk

from labkit.data.images import photo_names
from labkit.probes.mixing import mixing_map
from labkit.probes.mixing_closed import of_convolution
from labkit.session import sit
from labkit.session.mixtures import mixtures, taken_apart
from labkit.taps import Form
from labkit.viz.mixing import Series, mixing_chart

# %% [markdown]
# ## Look first
#
# Two models with the same photo before them. The small blue frame is a place in the output of one block; the colours say how much
# each place of the block's *input* adds to it. Move the pointer, click to hold a place, go through the blocks by the sliders.
#
# > **Predict, before you touch it.** On the left a transformer, on the right a network of convolutions. What will the map look like on
# > each side, and what happens to it when you move the pointer?

# %%
MODELS = {
    "lab/vit": ("lab/vit", "default"),
    "lab/vit, untrained": ("lab/vit", None),
    "lab/resnet": ("lab/resnet", "default"),
    "lab/resnet, untrained": ("lab/resnet", None),
}
first_photos = ["chelsea", "astronaut", "coffee", "rocket"]
photos = first_photos + [name for name in photo_names() if name not in first_photos]
desk = MixingDesk(models=MODELS, beside="lab/resnet", photos=photos)
desk

# %% [markdown]
# **Find, and note down:**
#
# 1. a block of *lab/resnet* whose map is a square with a sharp edge. How many cells wide? Which kernels made it?
# 2. `goes to` instead of `made of`. In *lab/vit*, is the one the mirror image of the other?
# 3. tick *with the skip connection*. Where do the blocks of *lab/vit* go on the plane?
# 4. the four small maps at the bottom, for *lab/vit*. Which of them lights up the framed place itself?
#
# <details><summary>What came out</summary>
#
# 1. *stages.1.1*: 5 × 5 cells of one token each, two kernels of 3 × 3 in a row. Inside the square the weights decide, outside nothing can pass.
# 2. No. A row says of what a place is made, a column who takes from it. Without the diagonal, $M$ and its mirror image differ by 0.7 to 0.9 of
#    $M$'s own norm in every block (*chelsea*).
# 3. Up and to the left, into the local zone, all six (NMI 0.35 to 0.54, *chelsea*): $y = x + f(x)$ hands each token on as it is, and that drowns the rest.
# 4. The last two. The attention map does not, nor does the path through the values. That is what this lesson is about.
# </details>
#
# ## One matrix for every mixer
#
# Let a block take tokens $x_1 \dots x_n$ to tokens $y_1 \dots y_n$, each a vector of channels. How much does $y_q$ depend on $x_k$? To first
# order that is the block of the Jacobian between the two, and its size is one number:
#
# $$M_{qk} = \left\lVert \frac{\partial y_q}{\partial x_k} \right\rVert_F
# = \sqrt{\textstyle\sum_{a,b} \left( \frac{\partial y_{q,a}}{\partial x_{k,b}} \right)^{2}} .$$
#
# Nothing in it asks what kind of layer it is. A row says what $y_q$ is made of, a column where $x_k$ goes. On the photos you see a row divided by
# its sum.
#
# ### Exercise 1
# Write it. `mixer` takes tokens `n c` to tokens `n c`; give back `n n`, the output's place first.


# %%
def my_mixing(mixer, x): ...


# %%
checks.mixing(my_mixing)

# %% [markdown]
# Exactly, that costs one backward pass for each channel of each token. Random signs are cheaper: for a vector $v$ of them,
# $E \lVert J^\top v \rVert^2 = \lVert J \rVert_F^2$ (Hutchinson 1989), so a few passes a token will do. The view takes four.
#
# ### A convolution, seen so
# For a convolution no derivative is needed: it is linear, and $M_{qk} = \lVert W_{\cdot\,\cdot\,k-q} \rVert_F$, the norm of the kernel at that offset.
#
# > **Predict.** In what do two rows of a convolution's matrix differ? And two rows of attention's?

# %%
resnet = sit("lab/resnet", "chelsea")
conv = deepcopy(resnet.opened.model.get_submodule("stages.1.1.conv1")).cpu()
grid, channels = (8, 8), conv.in_channels
form = Form("b c h w", grid, channels)
picture = torch.randn(1, channels, *grid, generator=torch.Generator().manual_seed(0))
probed = mixing_map(conv, picture, before=form, after=form, probes=64).norms[0]
closed = of_convolution(conv, grid).norms[0]
print(f"probed against the formula: {((probed - closed).norm() / closed.norm()).item():.1%} apart\n")
row = closed[3 * 8 + 4].view(grid)
print("what place (3, 4) is made of, around it:")
print(np.round(row[1:6, 2:7].numpy(), 2))
same = torch.equal(closed[3 * 8 + 4].view(grid)[2:5, 3:6], closed[5 * 8 + 2].view(grid)[4:7, 1:4])
print(f"\nthe same around place (5, 2): {same}")

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# All rows of a convolution are one pattern, moved along: it depends on $k - q$ alone, and not on the photo. Attention's rows depend on the photo, on the
# place, on everything. That is all the difference there is between the two, as mixers.
# </details>
#
# ## Attention has two ways
#
# Take one head. Token $i$ asks with $q_i = W_Q x_i$, token $j$ answers with $k_j = W_K x_j$ and gives $v_j = W_V x_j$:
#
# $$y_i = \sum_j A_{ij}\, v_j, \qquad A_{ij} = \mathrm{softmax}_j\, s_{ij}, \qquad s_{ij} = \frac{q_i^\top k_j}{\sqrt d} .$$
#
# The input occurs **twice**: in the values, and in $A$. The product rule gives two paths,
#
# $$\frac{\partial y_i}{\partial x_j} = \underbrace{A_{ij}\, W_V}_{\text{through the values}}
# + \underbrace{\sum_m v_m\, \frac{\partial A_{im}}{\partial x_j}}_{\text{through the softmax}} ,$$
#
# and the first is what an attention map shows. For the second, the derivative of a softmax is
# $\partial A_{im} / \partial s_{ij} = A_{im} (\delta_{mj} - A_{ij})$, so when one score rises,
#
# $$\frac{\partial y_i}{\partial s_{ij}} = A_{ij}\, (v_j - y_i) :$$
#
# the mean $y_i$ moves towards $v_j$, the more the further away $v_j$ is. A score moves with its key *and* with its query:
#
# $$\text{softmax path} = \frac{1}{\sqrt d} \left[ A_{ij}\, (v_j - y_i)\, (W_K^\top q_i)^\top
# + \delta_{ij} \sum_m A_{im}\, (v_m - y_i)\, (W_Q^\top k_m)^\top \right].$$
#
# Look at the second term. It stands on the diagonal alone: only $x_i$ makes the query of row $i$. And what it sums is a covariance, of values and
# keys, weighed by attention. **A token that asks something else hears something else**: this is how it acts on itself, and no attention map
# has it.
#
# > **Predict.** Which part is larger in *lab/vit*? And in the same model before training, whose $W_Q$ and $W_K$ are small random numbers?
#
# ### Exercise 2
# Write the softmax path. `x` is `n c`, the three maps are `d c`; give back `n n d c`: place and place, channel of $y$ and channel of $x$.


# %%
def my_softmax_path(x, w_q, w_k, w_v): ...


# %%
checks.softmax_path(my_softmax_path)

# %% [markdown]
# Now in the real model, layer by layer: the share of the softmax path, $\lVert \text{softmax} \rVert / (\lVert \text{softmax} \rVert + \lVert
# \text{values} \rVert)$ over the whole layer with all its heads, the mean of three photos; and how much of a row lies at the token's own place.


# %%
def apart(photo, weights):
    *_, found = taken_apart(sit("lab/vit", photo, weights=weights))
    return list(found.values())


print(f"{'layer':16}{'weights':>10}{'softmax share':>16}   own place:{'values':>9}{'softmax':>9}{'both':>7}")
for weights in ("default", None):
    seen = zip(*(apart(photo, weights) for photo in first_photos[:3]), strict=True)
    for layers in seen:
        name = "trained" if weights else "untrained"
        share = np.mean([one.softmax for one in layers])
        own = [np.mean([one.own[part] for one in layers]) for part in ("values", "softmax", "layer")]
        print(f"{layers[0].layer:16}{name:>10}{share:16.0%}{own[0]:22.1%}{own[1]:9.0%}{own[2]:7.0%}")

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# **Trained, the softmax path is the larger one in every layer:** 60 to 72 % of the two norms' sum (58 to 74 % over single photos). What an attention map
# shows is the smaller part of what the layer does with a small change.
#
# **Untrained, it is next to nothing,** 2 to 3 %: it has the factors $W_Q$ and $W_K$, which start small, so all scores are near zero and $A$ is nearly
# the same everywhere. This part is learned, not given by the architecture.
#
# And it lies elsewhere. An even look would give a token's own place 1/64 of a row, 1.6 %; that is what it gets through the values (1.3 to 2.3 %).
# Through the softmax it gets 18 to 28 %: the second term above, the token's own query.
# </details>
#
# Does it matter *where* things are? Compare rows: half the sum of the differences of two rows is the share that would have to be moved to
# make one the other, 0 when they agree, 1 when they have nothing in common.


# %%
def moved(one, other):
    """The mean share of a row that has to be moved to make `one` the `other`."""
    one, other = (rows / rows.sum(dim=1, keepdim=True) for rows in (one, other))
    return (one - other).abs().sum(dim=1).mean().item() / 2


print(f"{'layer':16}{'map, values':>14}{'map, softmax':>14}{'map, whole':>14}")
for one in apart("chelsea", "default"):
    told = [moved(one.rows["attention"], one.rows[part]) for part in ("values", "softmax", "layer")]
    print(f"{one.layer:16}" + "".join(f"{share:14.0%}" for share in told))

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# The map agrees well with the path through the values, as it must: 4 to 6 % differ, since the map takes all heads alike, and their values do not weigh
# alike. Of the whole layer, 14 to 23 % of a row lie elsewhere than the map says.
#
# Most of that is one place, the token's own: the whole layer gives it 9 to 21 % of a row more than the map does. So the map is a fair
# picture of which *other* places are heard, in this model, and a poor one of how much a token listens to itself.
#
# Be careful with what this means. The Jacobian asks about small changes; take a token away altogether, and something else may come out.
# </details>
#
# ## All blocks on one plane
#
# A matrix has many numbers; two of them tell much. **Reach** is the mean distance from a place to what it is made of, divided by that of an even look:
#
# $$\mathrm{reach} = \frac{\frac1n \sum_q \sum_k P_{qk}\, d_{qk}}{\frac1{n^2} \sum_{q,k} d_{qk}}, \qquad P_{qk} = \frac{M_{qk}}{\sum_m M_{qm}} .$$
#
# **NMI**, the normalised mutual information of lesson 1, says how much it depends on *who asks*: 1 when each place is made of itself, 0 when all
# are made of the same. UNIP (2025) calls what lies between 0.06 and 0.12 hybrid, above it local, below it global; the names belong to grids of about
# 14 × 14, ours have 8 × 8 and less.
#
# ### Exercise 3
# Write reach. `norms` is `n n`, `grid` (rows, columns); distances are straight, in cells.


# %%
def my_reach(norms, grid): ...


# %%
checks.reach(my_reach)

# %% [markdown]
# > **Predict.** Four models: a transformer and a network of convolutions, each trained and not. Sketch where their blocks lie. Which pair
# > is closer together: same weights, or same architecture?

# %%
series = {}
for name, (model, weights) in MODELS.items():
    *_, found = mixtures(sit(model, "chelsea", weights=weights))
    measures = [one.measures for one in found.values()]
    series[name] = Series(*(np.array([getattr(one, what).item() for one in measures]) for what in ("nmi", "reach")))
    print(f"{name:24}NMI " + " ".join(f"{value:.2f}" for value in series[name].nmi))
    print(f"{'':22}reach " + " ".join(f"{value:.2f}" for value in series[name].reach))
mixing_chart(series, title="chelsea: what each block adds")

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# Same architecture. All six blocks of the transformer reach further than any of the convolutions (0.71 to 0.88 of an even look; at most 0.45),
# and untrained it lies between the two: NMI 0.25 to 0.34, reach 0.51 to 0.60. There each place keeps 42 to 50 % of a row to itself, though the attention layer
# alone gives it 2 %: what is local in it is the MLP, which works on each place by itself, and *training makes attention louder beside it*.
#
# The convolutions go the other way with depth: the same kernels on a coarser grid reach further across the photo. And the untrained
# ones sit in the corner, NMI 1. That is no finding: the last scale of each branch starts at zero, so nothing is mixed. Where the shape changes, a stride alone is
# left; elsewhere $y - x$ is what the closing ReLU cuts off.
#
# One photo, one network of each kind, small grids, four random probes: enough to see where things lie, not to say how all transformers are.
# </details>
#
# ## Your own picture
#
# Go back to the desk and press **a picture of yours**. Hold a place in the sky and one on an edge. Which of the maps follows the picture, and which stays a
# square? The room *Mixing* of the lab (`labkit app`) puts any *timm* model there, poolers and state-space models too.
#
# ## Read on
#
# * Yu et al., *MetaFormer Is Actually What You Need for Vision*, CVPR 2022: replace attention by a mean over 3 × 3 places, and it still works.
# * Zhang et al., *UNIP: Rethinking Pre-trained Attention Patterns for Infrared Semantic Segmentation*, ICLR 2025: local, hybrid, global.
# * Hutchinson, *A stochastic estimator of the trace of the influence matrix*, Comm. Statist. 1989: the random signs.
# * Jain & Wallace, *Attention is not Explanation*, NAACL 2019, and the answer by Wiegreffe & Pinter, *Attention is not not Explanation*, EMNLP 2019.
#
# The answers to the exercises are in `solutions/exercises_06.py`, each with its reason.
