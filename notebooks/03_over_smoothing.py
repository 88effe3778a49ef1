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
# # 3 · Do the tokens become alike with depth?
#
# Attention gives each token a weighted mean of all tokens, and the next layer takes means of these. **Do the patches of a photo become
# one grey mash in the end?** Papers call it *over-smoothing*. After this lesson you can
#
# * put three numbers on how alike tokens are, and say where each of them misleads,
# * show why attention *alone* has to make all tokens the same, and how fast,
# * take a transformer apart and see which of its parts prevents it,
# * tell which of the usual claims hold on the models here, and which do not.
#
# *Takes 30 to 45 minutes, of which the computer takes less than half of one. Needs no network: models and photos are on your disk.
# Run the cells from top to bottom, with* <kbd>Shift</kbd> + <kbd>Enter</kbd>.

# %%
# %matplotlib inline
import torch
from checks import smoothing as checks
from desk import SmoothingDesk
from matplotlib.figure import Figure

from labkit.data.images import photo_names
from labkit.pretrained import load
from labkit.probes.attention import attention_maps
from labkit.probes.lesion import lesions
from labkit.probes.similarity import effective_rank, likeness, smoothness
from labkit.session import sit
from labkit.session.fields import inputs
from labkit.taps import calls
from labkit.viz import similarity as draw
from labkit.viz.theme import style
from labkit.widgets import smoothing_figures as figures

# %% [markdown]
# ## Look first
#
# The photo, cut into patches; each is a *token*, a row of numbers that every block rewrites. Mark one. Red patches are like it: their
# tokens point the same way, the cosine is near 1. White is 0, nothing in common; blue points the other way. Beside it stands the matrix of
# *all* pairs; the marked patch is one row of it. Below, what becomes of it from block to block.
#
# > **Predict, before you move the layer.** You mark the astronaut's face. From the first block to the last: do more patches
# > turn red, or fewer? Which go last? And in a model that was never trained?

# %%
MODELS = {
    "lab/vit": ("lab/vit", "default"),
    "lab/vit, untrained": ("lab/vit", None),
    "lab/resnet": ("lab/resnet", "default"),
    "timm ViT-Ti/16, untrained": ("timm/vit_tiny_patch16_224", None),
}
first_photos = ["astronaut", "chelsea", "coffee", "grass"]
photos = first_photos + [name for name in photo_names() if name not in first_photos]
desk = SmoothingDesk(models=MODELS, photos=photos)
desk

# %% [markdown]
# Now move the layer: with the slider, with <kbd>,</kbd> and <kbd>.</kbd> on the photo, or by a click on a curve.
#
# **Find, and note down:**
#
# 1. the mean cosine behind the first block of *lab/vit* and behind its last. Then the same for *untrained*.
# 2. a photo on which everything is alike from the start. Is that the model's doing?
# 3. press `less their mean`: what all tokens share is taken away first. What of the red was only that?
# 4. *lab/resnet* has no attention at all. Are its tokens less alike?
#
# <details><summary>What came out</summary>
#
# 1. On the astronaut 0.46 and 0.52: hardly anything happens. Untrained 0.80 and 0.90: much more alike from the start, and more so with
#    every block.
# 2. The lawn, *grass*: 0.84 and 0.91. All patches *are* alike there. Compare models on the same photos, and take the mean of many.
# 3. Most of it, and blue appears: the mean of these cosines is about −1/63, whatever the tokens are, so read their spread.
# 4. No. As the mean of all fourteen photos its last block has 0.69, and so has that of *lab/vit*. A high cosine does not prove that attention
#    was at work.
# </details>
#
# ## A ruler for likeness
#
# Let $x_1 \dots x_n$ be the tokens behind one block, $u_i = x_i / \lVert x_i \rVert$. Their **mean cosine** is the mean over all pairs of
# two *different* tokens,
#
# $$\bar c = \frac{1}{n(n-1)} \sum_{i \neq j} u_i \cdot u_j
# = \frac{\lVert \sum_i u_i \rVert^2 - n}{n(n-1)} .$$
#
# The second form needs no $n \times n$ matrix: the square of the sum has all pairs in it, and each token's product with itself, which is 1.
#
# ### Exercise 1
# Write it. `x` is `n c`; give back one number.


# %%
def my_cosine(x): ...


# %%
checks.cosine(my_cosine)

# %% [markdown]
# ### A second opinion
# The cosine falls for a simple trick: add one large constant to all tokens, and all point that way, however different they are
# beside it. So we also count in how **many directions** the tokens lie. Let $\sigma_1, \sigma_2, \dots$ be the singular values of the matrix whose
# rows are the tokens. As shares they are a distribution, and its entropy says over how many it spreads (Roy & Vetterli 2007):
#
# $$p_k = \frac{\sigma_k}{\sum_j \sigma_j}, \qquad \mathrm{erank} = \exp\Big(-\sum_k p_k \ln p_k\Big) .$$
#
# ### Exercise 2
# Write it. `x` is `n c`. Mind $0 \ln 0 = 0$.


# %%
def my_rank(x): ...


# %%
checks.rank(my_rank)

# %% [markdown]
# ## Why attention alone must smooth
#
# Take attention without skip connections and without an MLP: $y = A x$. The rows of $A$ come from a softmax, so $A_{ij} > 0$ and
# $\sum_j A_{ij} = 1$: each new token is a *mean* of the old ones, and lies among them. Look at one channel. The highest value and the lowest
# lie a range $\max_i x_i - \min_i x_i$ apart. Two rows $i, i'$ of $A$ overlap: what they share, $\sum_j \min(A_{ij}, A_{i'j})$,
# adds the same to both. Only the rest can tell $y_i$ from $y_{i'}$, and so
#
# $$\mathrm{range}(A x) \le \delta(A)\, \mathrm{range}(x), \qquad
# \delta(A) = \max_{i, i'} \tfrac12 \sum_j \lvert A_{ij} - A_{i'j} \rvert < 1 .$$
#
# After $L$ layers no more is left than $\delta(A_1) \cdots \delta(A_L)$ times what there was: it vanishes **exponentially**, and all rows become
# the same row, a matrix of rank one. Weights for the values, $A x W$, stretch what differs and what is shared, but
# what is equal stays equal. With real attention it goes faster still: the more alike the tokens, the more even $A$, the smaller $\delta$ (Dong et al. 2021).
#
# What is left after each layer is the distance to the nearest matrix with equal rows, as a share:
#
# $$r(y) = \frac{\lVert y - \mathbf 1 \bar y^\top \rVert}{\lVert y \rVert}, \qquad \bar y = \frac1n \sum_i y_i .$$
#
# For tokens of equal length this is the cosine again, $\bar c = 1 - \tfrac{n}{n-1}\, r^2$: $r = 0$ means that all are the same.
#
# ### Exercise 3
# Write it. `layers` is a list of matrices `n n`, the first layer first, and `x` is `n c`. Give back $r$ before the first layer and after
# each, `layers + 1` numbers.


# %%
def my_residuals(layers, x): ...


# %%
checks.residuals(my_residuals)

# %% [markdown]
# ### The chain, with real attention
# We take the attention matrices that *lab/vit* makes on our photos (the mean over its heads) and chain them: `y = a @ y`. Then the same with
# half of each token carried past, as rollout has it: `y = (y + a @ y) / 2`.
#
# > **Predict.** How many layers until the tokens differ by less than a hundredth? Is it the trained model that smooths more, or the
# > untrained one? And does half a skip connection stop it?

# %%
chelsea = sit("lab/vit", "chelsea")
images = inputs(chelsea, "photos")  # all photos of the lab
vits = {"trained": chelsea.opened.model, "untrained": load("lab/vit", weights=None).model.to(images.device).eval()}


def share_left(y):
    """‖y - its mean token‖ / ‖y‖, one number a photo."""
    return (y - y.mean(dim=1, keepdim=True)).flatten(1).norm(dim=1) / y.flatten(1).norm(dim=1)


def chain(model, past):
    """What is left after each layer of attention alone; `past`: the share of each token that is carried past."""
    y = calls(model, ["blocks.0"], images)["blocks.0"].x.double()
    left = [share_left(y)]
    for one in attention_maps(model, images):
        a = one.dense().mean(dim=1).double()
        a /= a.sum(dim=-1, keepdim=True)  # its rows summed to one in single precision only
        y = past * y + (1 - past) * (a @ y)
        left.append(share_left(y))
    return torch.stack(left).mean(dim=1).cpu()


def delta(model):
    """δ of each layer's matrix, the mean over the photos."""
    matrices = [one.dense().mean(dim=1) for one in attention_maps(model, images)]
    return [torch.cdist(a, a, p=1).amax(dim=(1, 2)).mean().item() / 2 for a in matrices]


COLOURS = {"trained": "#1c66ad", "untrained": "#b3500a"}
with style():
    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axes = figure.subplots()
    for name, model in vits.items():
        for past, line, words in ((0, "o-", "attention alone"), (0.5, "o--", "half carried past")):
            axes.plot(chain(model, past), line, ms=4, color=COLOURS[name], label=f"{name}, {words}")
    axes.set(yscale="log", ylim=(1e-8, 2), xlabel="layers", title="what is left of the differences")
    axes.legend()
for name, model in vits.items():
    print(f"δ of each layer, {name:9}", "  ".join(f"{value:.3f}" for value in delta(model)))
figure

# %% [markdown]
# <details><summary>What came out</summary>
#
# Alone, *trained* attention is below a hundredth after three layers, and at 0.000006 after six. The *untrained* one needs a single
# layer: it looks nearly evenly, all rows of $A$ are nearly the same, and $\delta$ is 0.006. Sharp attention smooths *less*: trained, $\delta$ is 0.35 to 0.44.
# The bound holds with room to spare: the product of the six allows 0.004 of what there was, and 0.000009 is left.
#
# Half a skip connection does not stop it. It keeps half of each difference, so a layer can at most halve them, and that is nearly what it does:
# 0.68, 0.45, 0.26, 0.14 … 0.018. It only buys time, about one layer of attention alone for three of these.
# </details>
#
# ## What keeps a transformer from it
#
# A block is $x \leftarrow x + \mathrm{attention}(\mathrm{LN}\,x)$, then $x \leftarrow x + \mathrm{MLP}(\mathrm{LN}\,x)$. There is no ½: the sum may grow,
# and what is added may point anywhere. Take one $A$, and a way in which the tokens differ that is an eigenvector of it: $A$ multiplies it with some $\lambda$,
# $\lvert \lambda \rvert < 1$. What all share has $\lambda = 1$. The values' weights multiply both with a $w$, which may be negative. So with the skip connection
#
# $$\text{what differs} \to 1 + \lambda w, \qquad \text{what all share} \to 1 + w .$$
#
# With $w > 0$ the difference still loses, only slowly; with $-1 < w < 0$ it *wins*. A skip connection makes it possible to stay different, and leaves it to the weights.
# The MLP looks at one token at a time: what is equal stays equal, but it is not linear, and can pull apart what is nearly so.
#
# > **Predict.** We take out the skip connections, or the MLPs, or both. Order the four by the mean cosine after six blocks.


# %%
@torch.no_grad()
def through(model, *, skip, mlp, rounds=1):
    """The tokens before the first block and after each; `rounds`: how often they go through all blocks."""
    x = calls(model, ["blocks.0"], images)["blocks.0"].x
    states = [x]
    for block in [*model.blocks] * rounds:
        x = skip * x + block.attn(block.norm1(x))
        if mlp:
            x = skip * x + block.mlp(block.norm2(x))
        states.append(x)
    return [state[:, 1:] for state in states]  # the patches, without the class token


ROUNDS = 1  # 4: each token goes through the six blocks four times
PARTS = {
    "all parts": (1, True, "#22222a", "o-"),
    "no MLP": (1, False, "#0a8262", "s-"),
    "no skip": (0, True, "#b3500a", "o-"),
    "attention alone": (0, False, "#4338a8", "s--"),
}
with style():
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    both = figure.subplots(1, 2, sharey=True)
    for axes, (name, model) in zip(both, vits.items(), strict=True):
        print(f"{name:20}{'mean cosine before, after':>28}{'effective rank before, after':>34}")
        for words, (skip, mlp, colour, line) in PARTS.items():
            states = through(model, skip=skip, mlp=mlp, rounds=ROUNDS)
            cosines = [likeness(state).mean.mean().item() for state in states]
            ranks = [effective_rank(state).mean().item() for state in (states[0], states[-1])]
            axes.plot(cosines, line, ms=4, lw=4 if words == "no skip" else 1.6, color=colour, label=words)
            print(f"  {words:18}{cosines[0]:20.3f}{cosines[-1]:8.3f}{ranks[0]:27.1f}{ranks[1]:7.1f}")
        axes.set(xlabel="blocks", ylim=(0.4, 1.03), title=f"lab/vit, {name}")
    both[0].set_ylabel("mean cosine")
    both[1].legend(loc="lower right")
figure

# %% [markdown]
# <details><summary>What came out</summary>
#
# Without skip connections one block is nearly enough: trained, the cosine is 0.955 after the first and 0.9998 after the second, and
# in the end one direction is left of 26. **The MLP does not help there:** with it 0.955, without it 0.954. With the skip connections it does:
# 0.69 after six blocks, and 0.81 without MLPs. So of the two it is the skip connection that prevents the collapse; the MLP comes second.
#
# Untrained: 0.93 with all parts, 0.97 without MLPs. Set `ROUNDS` to 4 for a depth of 24: the trained cosine goes on to 0.74, the
# untrained to 0.965. Slow, but it goes on: here the skip connection is a brake, no cure. (Blocks that were trained to be passed once: take it as a hint.)
# </details>
#
# ## What training does
#
# > **Predict.** Papers find that tokens grow alike with depth, and that attention takes away high spatial frequencies. Sketch three curves for
# > *lab/vit*, trained and untrained: mean cosine, effective rank, and the share of the variance in high frequencies.

# %%
print(f"{'':12}{'mean cosine':>22}{'effective rank':>24}{'high frequencies':>24}")
print(f"{'':12}" + 3 * f"{'trained':>12}{'untrained':>12}")
for pair in zip(*(smoothness(model, images) for model in vits.values()), strict=True):
    columns = [
        [f"{one.raw.mean.mean():12.2f}" for one in pair],
        [f"{one.effective_rank.mean():12.1f}" for one in pair],
        [f"{one.high_frequency.mean():12.3f}" for one in pair],
    ]
    print(f"{pair[0].name:12}" + "".join(map("".join, columns)))

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# **Here the claim hardly holds.** Behind the first trained block the cosine is 0.64, behind the sixth 0.69, and on *coffee* it is 0.50 at both ends. The largest
# step is the first block, from 0.55 before it. Nor does attention eat high frequencies: their share is 0.476 behind the first block and 0.473
# behind the last. The papers measure twelve blocks and more, and trained at scale; ours has six. What we can say is that it is no law of attention with skip connections.
#
# It is the **untrained** model that smooths: 0.86 to 0.93, rank 32 to 22. Of what told its tokens apart before the first block ($r$) it keeps 64 %, the trained one 80 %. But mind the ruler: in the last block the
# untrained model has a cosine of 0.93 and a rank of 22, the trained one 0.69 and a rank of 21. By the second number they are equally rich. What the untrained tokens share
# is one long direction; beside it they still differ. A cosine alone proves nothing.
# </details>
#
# The figures of the same, for what is on your desk: they follow it.

# %%
desk.drawn(figures.by_depth, alt="cosines, effective rank and high frequencies, layer by layer")

# %% [markdown]
# ## Leave a block out
#
# Go back to the desk and press a number under **leave out**: that block hands on what it was given. Grey curves are those of the whole model.
#
# > **Predict.** Which block will the answer miss most? Are the last tokens less alike, with one smoother fewer?

# %%
vit = vits["trained"]
without = lesions(vit, images)
whole = likeness(through(vit, skip=1, mlp=True)[-1]).mean.mean()
print(f"mean cosine of the last tokens with all blocks {whole:.3f}; without")
for one in without:
    print(f"  {one.name}  {one.similarity.mean():.3f}   the model's own class loses {one.drop.mean():6.3f}")
draw.lesions(
    [one.drop.mean().item() for one in without],
    [one.turned.mean().item() for one in without],
    grids=[(8, 8)] * len(without),
    title="lab/vit without one block, mean of all photos",
)

# %% [markdown]
# <details><summary>What came out</summary>
#
# Only the first block is hard to do without: the class that the model would have said loses 0.20 of its probability, and the last tokens turn
# to a cosine of 0.71 with what they were. Any other costs 0.01 to 0.04, and 0.91 to 0.97 of the direction stays: each adds a little to a stream that
# goes on anyway (Veit et al. 2016). And a block does not simply smooth. Without block 0 the last tokens are *more* alike on nine of the fourteen photos and
# less on five (mean 0.72, not 0.69); only without the last block are they less alike on nearly all of them, thirteen, and that by 0.02.
# </details>
#
# ## Your own picture
#
# Press **a picture of yours** at the desk. Mark something that occurs twice. In which block do the two become most alike, and do they stay different from
# what lies between them? That is what over-smoothing would cost: telling objects apart. The room *Over-smoothing* of the lab (`labkit app`) has any timm model.
#
# ## Read on
#
# * Dong, Cordonnier & Loukas, *Attention is not all you need: pure attention loses rank doubly exponentially with depth*, ICML 2021.
# * Wang et al., *Anti-Oversmoothing in Deep Vision Transformers via the Fourier Domain Analysis*, ICLR 2022 · Park & Kim, *How Do Vision Transformers
#   Work?*, ICLR 2022: attention as a low-pass filter.
# * Ru et al., *Token Contrast for Weakly-Supervised Semantic Segmentation*, CVPR 2023: what it costs, and a loss against it.
# * Roy & Vetterli, *The effective rank*, EUSIPCO 2007 · Veit et al., *Residual Networks Behave Like Ensembles of Relatively
#   Shallow Networks*, NeurIPS 2016.
#
# The answers to the exercises are in `solutions/exercises_03.py`, each with its reason.
