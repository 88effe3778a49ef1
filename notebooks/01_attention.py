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
# # 1 · How a vision transformer looks
#
# A network says *tabby cat*. **Which patches told which, and in what order?** After this lesson you can
#
# * read an attention map, head by head, and say what one row of it is,
# * put three numbers on a head: how far it looks, how widely, and how much depends on who asks,
# * tell local, hybrid and global layers apart, and say where the border between them comes from,
# * chain the layers to one picture, and say what that picture does *not* prove.
#
# *Takes 30 to 45 minutes, of which the computer takes about one, even on two busy cores. Needs no network: model and photos
# are on your disk. Run the cells from top to bottom, with* <kbd>Shift</kbd> + <kbd>Enter</kbd>.

# %%
# %matplotlib inline
import numpy as np
import torch
from checks import attention as checks
from desk import AttentionDesk
from matplotlib.figure import Figure
from PIL import ImageOps

from labkit.data.images import open_image, photo_names
from labkit.pretrained import load
from labkit.probes.attention import AttentionMap, measure
from labkit.probes.rollout import gradient_rollout
from labkit.probes.rollout import rollout as labkit_rollout
from labkit.session import Look, look
from labkit.viz.attention import lay_over
from labkit.viz.theme import style
from labkit.widgets import figures
from labkit.widgets.attention import AttentionView

# %% [markdown]
# ## Look first
#
# Below is a photo as a small vision transformer gets it: cut into square patches, each a *token*. In every layer each
# token asks all others a question, and takes from each as much as the answer is worth. Your pointer is the one who asks.
#
# > **Predict, before you touch it.** You will put the pointer on the astronaut's face. In the *first* layer, where will it
# > look most: at itself, at the patches around it, at something far off? And in the *last*?

# %%
MODELS = {
    "lab/vit": ("lab/vit", "default"),
    "lab/vit, untrained": ("lab/vit", None),
    "timm ViT-Ti/16, untrained": ("timm/vit_tiny_patch16_224", None),
}
first_photos = ["astronaut", "chelsea", "coffee", "rocket"]
desk = AttentionDesk(models=MODELS, photos=first_photos + [name for name in photo_names() if name not in first_photos])
desk

# %% [markdown]
# (The model knows fifty kinds of things, and a person is not among them. It says what comes nearest.)
#
# Each small tile on the wall is one head of one layer: the same question, asked by that head. Click a tile to bring it to
# the photo; click the photo to hold the question still while you do.
#
# **Find, and note down:**
#
# 1. a head that looks the same wherever you point: what does it look at, her or the background?
# 2. a head whose look moves with you: does it follow you to the edge of the photo?
# 3. is there a head that looks to *one side* of you? Convolutions do this with a kernel; how could a head know where it is?
# 4. who *looks at* her face? Press `looked at by`: a column of the matrix instead of a row. Do its numbers have to sum
#    to one?
#
# <details><summary>What to expect of 3 and 4</summary>
#
# Position is added to the tokens before the first layer, so a query can ask for "the place left of me" as it can ask for
# "something furry". And only rows are distributions: a patch can be looked at by everybody, or by nobody.
# </details>

# %% [markdown]
# ## What you saw
#
# Every head makes from each token $x_i$ a query $q_i = W_q x_i$, a key $k_j = W_k x_j$ and a value $v_j = W_v x_j$, $d$ numbers
# each. The **attention matrix** holds how much token $i$ takes from token $j$,
#
# $$A_{ij} = \frac{\exp(q_i \cdot k_j / \sqrt d)}{\sum_{j'} \exp(q_i \cdot k_{j'} / \sqrt d)}
# \qquad\text{and what it takes is}\qquad \sum_j A_{ij}\, v_j .$$
#
# One row of $A$ is what the photo showed: where *this* place looks, shared out over all keys, summing to one. In
# `labkit/models/backbones/vit.py` the same is one line,
#
# ```python
# attn = (q @ k.transpose(-2, -1) * self.scale).softmax(dim=-1)
# ```
#
# ### Exercise 1
# Write it. `q` is `heads n_q d`, `k` is `heads n_k d`; give back `heads n_q n_k`.


# %%
def my_attention(q, k): ...


# %%
checks.attention(my_attention)

# %% [markdown]
# ## A ruler for looking
#
# Looking at 24 heads is a pleasure, at 24,000 it is not. Three numbers, each per head, over the patches alone:
#
# | | reads | range |
# | --- | --- | --- |
# | **distance** | mean distance from the asking patch to what it looks at | in patches; 0 = itself, about half the side = everywhere |
# | **entropy** | $-\sum_j A_{ij} \log A_{ij}$, mean over $i$: how widely | in nats; 0 = one patch, $\log N$ = all alike |
# | **NMI** | how much of *where it looks* depends on *who asks* | 0 = all ask for the same places, 1 = each for its own |
#
# The third needs a line of thought. Draw a query at random, $p(q) = 1/N$; let it draw the key it looks at from its row. Then
#
# $$p(q,k) = \tfrac1N A_{qk}, \qquad p(k) = \sum_q p(q,k), \qquad
# I = \sum_{q,k} p(q,k) \log \frac{p(q,k)}{p(q)\,p(k)}, \qquad
# \mathrm{NMI} = \frac{I}{\sqrt{H(q)\,H(k)}} .$$
#
# $I$ is what hearing the key tells you about the query. If every query looks at the same places, the rows are alike,
# $p(q,k) = p(q)\,p(k)$ and $I = 0$: **global**. If each looks at itself only, the key gives the query away, $I = H(q) = H(k)$ and the
# NMI is 1: as **local** as can be. Distance and entropy cannot see the difference that matters here: a head that always looks at the cat,
# and a head that looks at a patch chosen by the query, may look equally far and equally widely.
#
# ### Attention made to order
# To learn to read a ruler, measure something you know. Here every head is built, not trained: a Gaussian around the query,
# wider from layer to layer, and from head 0 to head 4 more and more of the attention goes to one fixed place, the cat's eye.
#
# > **Predict.** Which is called *hybrid*: a wide Gaussian of 3 patches, or a sharp one of 1 patch that gives four fifths of
# > its attention to the eye?

# %%
SIGMAS, SHARES, SIDE = (0.5, 1, 2, 3, 5, 8), (0.0, 0.2, 0.4, 0.6, 0.8), 14


def made_to_order(sigma):
    """Heads as in SHARES: a Gaussian of `sigma` patches around the query, the rest of the attention on the eye."""
    places = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)).float()
    around = (-(torch.cdist(places, places) ** 2) / (2 * sigma**2)).softmax(dim=-1)
    eye = ((places - torch.tensor([4.0, 4.0])).abs() <= 2).all(dim=-1)
    on_eye = (eye / eye.sum()).expand_as(around)
    heads = torch.stack([(1 - share) * around + share * on_eye for share in SHARES])
    cells = torch.arange(SIDE**2)[None]
    return AttentionMap(f"σ = {sigma} patches", heads[None, None], (SIDE, SIDE), (SIDE, SIDE), cells, cells)


maps = tuple(made_to_order(sigma) for sigma in SIGMAS)
cat = ImageOps.fit(open_image("chelsea"), (448, 448))
made = Look("made to order", cat, cat, maps, tuple(measure(one) for one in maps), (), 0.0)
AttentionView.of(made, layer=1, head=4)

# %% [markdown]
# <details><summary>What came out</summary>
#
# The wide Gaussian is still *local* (NMI 0.16): it moves with the query. The sharp one that keeps to the eye is *hybrid*
# (0.10): most of what it does is the same for everybody, and a little is its own.
# </details>
#
# ### Where the borders come from
# *UNIP* (2025) found these three kinds of layers in pre-trained transformers, and that for finding objects the hybrid ones are the
# ones to copy from: it takes the layer whose NMI lies nearest 0.09, and any target from 0.06 to 0.12 picked the same layers. That
# range is our default band. It is a convention with a reason, not a law: the slider under the first view moves it.
#
# ### Exercise 2
# Write the NMI of one matrix `a`, `n n`, rows summing to one. Mind $0 \log 0 = 0$.


# %%
def my_nmi(a): ...


# %%
checks.nmi(my_nmi)

# %% [markdown]
# ## What becomes of it with depth
#
# > **Predict.** Sketch three curves over the layers of the trained model: distance, entropy, NMI. Then the same for a model
# > that was **never trained**.
#
# The figures follow the desk at the top: go back, choose *lab/vit, untrained*, and come here again. Move the band, and the
# colours follow too.

# %%
desk.drawn(figures.by_depth, alt="NMI, distance and entropy of every head, layer by layer")

# %%
desk.drawn(figures.pattern_strip, alt="the pattern of every layer and head: local, hybrid or global")

# %% [markdown]
# **What to notice**
#
# * Do all heads of a layer do the same, or does the mean hide a division of labour?
# * In an untrained model all three lie flat: NMI at 0, distance and entropy at the value of an *even look*, the same for every
#   patch. Whatever departs from it in the trained model was learnt from photos.
# * Do entropy and distance run together? Find a head where they do not: sharp but far, or wide but near.
#
# ### Whose pattern is it, the head's or the picture's?
# The papers speak of a layer's pattern as if it were a property of the model. Ask the same 24 heads about other photos.
#
# > **Predict.** Does a lawn bring out the same patterns as a portrait?

# %%
for name in ("astronaut", "motorcycle", "coffee", "chelsea", "grass"):
    rows = look("lab/vit", name).rows()
    counts = [sum(row["pattern"] == pattern for row in rows) for pattern in ("local", "hybrid", "global")]
    print(f"{name:12} {counts[0]:2} local {counts[1]:2} hybrid {counts[2]:2} global")

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# The NMI asks how much the answer depends on the query. On a lawn all patches ask alike, so they get the same answer, and every head
# counts as global; a person before a flag and a space ship gives the queries something to differ about. Average over many pictures
# before you call a layer anything, as the papers do, and compare models on the same ones.
# </details>
#
# The same question for one place, through all layers: here for the patch that you asked about last.

# %%
layer = desk.view.layer
figures.overview(desk.seen, layer=layer, head=-1, query=desk.view.query)

# %% [markdown]
# ## Through all layers at once
#
# A token of layer 6 looks at tokens that have themselves looked around: "patch 40" in the last layer is no longer the picture's
# patch 40 alone. **Rollout** chains the layers. Half of each block's output is its input, carried past by the skip
# connection, so
#
# $$\hat A_l = \tfrac12 I + \tfrac12 A_l, \qquad R = \hat A_L \cdots \hat A_2\, \hat A_1 ,$$
#
# with $A_l$ the mean over heads. Row $i$ of $R$ says from which input patches token $i$ of the last layer is made, *if*
# values mixed as plainly as attention says.
#
# ### Exercise 3
# Write it. `layers` is a list of matrices `n n`, the first layer first.


# %%
def my_rollout(layers): ...


# %%
checks.rollout(my_rollout)

# %% [markdown]
# ### What the answer was read from
#
# The class token is what the classifier reads. On the left, its rollout: where its contents came from. On the right each layer's
# attention is weighted with how much it would raise the winning class (*gradient rollout*).
#
# > **Predict.** Which of the two changes when you ask for another class?

# %%
name, weights = MODELS[desk.model.value]
opened = load(name, weights=weights)
images = opened.transform(desk.seen.picture)[None].to(next(opened.model.parameters()).device)
plain = labkit_rollout(desk.seen.maps)[0, 0]
for_class = gradient_rollout(opened.model, images)[0, 0].cpu()

grid = desk.seen.maps[-1].grid
cells = grid[0] * grid[1]
shares = [row[-cells:].reshape(grid).numpy() / float(row[-cells:].sum()) for row in (plain, for_class)]
winner = desk.seen.top[0][0] if desk.seen.top else "class"
with style():
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    titles = ("rollout", f"gradient rollout: {winner}")
    for axes, share, title in zip(figure.subplots(1, 2), shares, titles, strict=True):
        lay_over(axes, np.asarray(desk.seen.picture), share, query=None, grid=grid)
        axes.set_title(title)
figure

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# Rollout knows nothing of the class: it is the same whichever class you ask for. Only the gradient asks *what for*.
#
# And neither is a proof. Attention says from where a token **takes**, not what the network **does** with it: the values, the
# MLPs and everything after have a say too. To claim that a patch *decided*, change the patch and measure what happens.
# </details>
#
# ## Your own picture
#
# Go back to the desk and press **a picture of yours**. Before you look: which head from your notes will still do what it did on
# the cat? A head whose pattern survives ten pictures is a *habit* of the model; one that does not answers to the picture.
#
# ## Read on
#
# * Dosovitskiy et al., *An Image is Worth 16x16 Words*, ICLR 2021: the model; its figure 7 is the mean attention distance.
# * Raghu et al., *Do Vision Transformers See Like Convolutional Neural Networks?*, NeurIPS 2021: distance by depth, and what little
#   data does to it.
# * Park et al., *What Do Self-Supervised Vision Transformers Learn?*, ICLR 2023: the NMI of attention.
# * Zhang et al., *UNIP: Rethinking Pre-trained Attention Patterns for Infrared Semantic Segmentation*, ICLR 2025: local, hybrid, global.
# * Abnar & Zuidema, *Quantifying Attention Flow in Transformers*, ACL 2020 · Chefer, Gur & Wolf, *Generic Attention-model
#   Explainability*, ICCV 2021: the two rollouts.
# * Jain & Wallace, *Attention is not Explanation*, NAACL 2019: the warning at the end, at length.
#
# The answers to the exercises are in `solutions/exercises_01.py`, each with its reason.
