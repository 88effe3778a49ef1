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
# # 2 · Which pixels decided?
#
# A network says *espresso*. Ask by what, and it will show you a coloured map. There are dozens of ways to ask. **Do they agree, and how
# would you know which of them is right?** After this lesson you can
#
# * compute a map from what a layer holds (GradCAM), and another from answers alone (RISE),
# * put an error on a map, and say how many questions it takes to halve it,
# * test a map by taking pixels away, and say what this test rewards that nobody wants,
# * tell a map of what was learnt from one of the architecture, and a map of the pixels from one of a layer.
#
# *Takes 30 to 45 minutes, of which the computer takes about one and a half. Needs no network: models and photos are on your disk. Run the cells
# from top to bottom, with* <kbd>Shift</kbd> + <kbd>Enter</kbd>.

# %%
# %matplotlib inline
import numpy as np
import torch
from checks import explaining as checks
from desk import ExplainDesk
from matplotlib.figure import Figure
from torch import nn

from labkit.data.images import photo_names
from labkit.pretrained import load
from labkit.probes.explain import explain
from labkit.probes.faithfulness import curves
from labkit.probes.ranking import baselines
from labkit.probes.rise import rise
from labkit.probes.road import road
from labkit.probes.saliency import resized
from labkit.probes.sanity import spearman
from labkit.session import sit
from labkit.session.fields import inputs
from labkit.viz.saliency import side_by_side
from labkit.viz.theme import style

# %% [markdown]
# ## Look first
#
# One photo, one answer, two maps of it: what speaks for the answer lies warm over the photo. Left of the divider GradCAM has painted, right
# of it RISE. Drag the divider. Beside it the same maps are put to work: the pixels that a map calls the most important go first, and the
# curve says what the model still thinks.
#
# > **Predict, before you touch it.** Cover the photo with your hand, all but one part of it, so that you would still say *espresso*. Is
# > this the part that the model needs? And which of the two maps will have its peak there?

# %%
MODELS = {
    "lab/resnet": ("lab/resnet", "default"),
    "lab/resnet, untrained": ("lab/resnet", None),
    "lab/vit": ("lab/vit", "default"),
    "lab/vit, untrained": ("lab/vit", None),
}
first_photos = ["coffee", "astronaut", "rocket", "chelsea"]
desk = ExplainDesk(models=MODELS, photos=first_photos + [name for name in photo_names() if name not in first_photos])
desk

# %% [markdown]
# (The model knows fifty kinds of things. A person is not among them, nor a rocket; it says what comes nearest. That is a fine thing to ask
# about.)
#
# **Find, and note down:**
#
# 1. how many numbers is GradCAM's map of *lab/resnet* made of? Guess, then ask `desk.seen.sides[0].raw.shape` in a cell of your own.
# 2. the share of the pixels that have to go until *espresso* has lost half of its probability, by either map.
# 3. press `other masks`. What moves in RISE's map, and what stays? Is that within the ± that you read off under your pointer?
# 4. *astronaut*: the model says *basketball*. Ask for its second class, *teddy*. Then the same by EigenCAM.
# 5. *astronaut* with *lab/vit*: play the deletion of both.
#
# <details><summary>What came out</summary>
#
# 1. Sixteen, 4 × 4. What looks so smooth between them is interpolation.
# 2. By RISE 3 %, by GradCAM 14 %. Both peak on the cup; their rank correlation over 8 × 8 patches is 0.62.
# 3. The whole map gets a little brighter or darker, its top goes from 0.29 to 0.27, and small hills come and go. The cup stays, and its
#    peak moves by three pixels. The ± is 0.01 nearly everywhere, so two runs may well differ by 0.02.
# 4. Another map altogether: the two have a rank correlation of 0.07 by GradCAM and 0.00 by RISE. EigenCAM's stays as it is, to the last
#    digit. It asks for what is strongest in the layer, and never hears which class you asked about.
# 5. By RISE half of it is gone with 6 % of the pixels (with other masks 14 %). By GradCAM it stays until 98 % are gone, and if you turn the
#    map round it is no better: here it has nothing to do with the answer.
# </details>
#
# ## Reading a layer: GradCAM
#
# Let $A^k$ be channel $k$ of the last map of the network, a small picture, and $y$ the score (logit) of a class. How much does $y$ grow
# with channel $k$? Its gradient says so for each cell; take the mean over all $Z$ cells. Then add the channels up, each with its weight,
# and keep what speaks *for* the class:
#
# $$\alpha_k = \frac1Z \sum_{i,j} \frac{\partial y}{\partial A^k_{ij}}, \qquad L = \mathrm{ReLU}\Big(\sum_k \alpha_k A^k\Big) .$$
#
# Why the mean? Say the network ends as *lab/resnet* does: the mean of each channel over the cells, then a matrix $W$. Then
# $y = \sum_k W_k \frac1Z \sum_{ij} A^k_{ij} + b$, its gradient is $W_k / Z$ in *every* cell, and
# $\sum_{ij} \sum_k \alpha_k A^k_{ij} = y - b$: the map (before the ReLU) shares the score out among the cells, and nothing is left over.
# Behind any other head the mean is an approximation, and nobody promises anything. Ask the view for HiResCAM, which multiplies gradient and
# activation cell by cell: for *lab/resnet* it is the same map, for *lab/vit* it is zero in every cell, and the note under its bar says why.
#
# ### Exercise 1
# Write it. `activations` and `gradients` are `k h w`; give back `h w`.


# %%
def my_gradcam(activations, gradients): ...


# %%
checks.gradcam(my_gradcam)

# %% [markdown]
# ## Asking by covering: RISE
#
# RISE never looks inside. It covers the photo $I$ with random masks $M_1 \dots M_N$ (1 = kept, 0 = grey; each place is kept with
# probability $p$, here one half), and notes the probability $f$ of the class each time. The map is the mean of the masks, weighted with
# what the model said:
#
# $$S(x) = \frac{1}{N p} \sum_{i=1}^N f(I \odot M_i)\, M_i(x) \;\longrightarrow\; \mathbb E\,[\, f(I \odot M) \mid x \text{ kept} \,] .$$
#
# So $S(x)$ is a probability: the answer to be expected when this pixel is kept (masks with soft edges keep some of it). A pixel that does
# not matter has *not* $S = 0$: then $f$ and $M(x)$ know nothing of each other, and $S(x) = \mathbb E f$, the mean over all masks. Its zero
# lies there.
#
# It is a mean of $N$ independent numbers $f(I \odot M_i)\, M_i(x) / p$. So we know how far it may be off: with $s(x)$ the standard
# deviation of these numbers ($N - 1$ below), its **standard error** is
#
# $$e(x) = \frac{s(x)}{\sqrt N} .$$
#
# ### Exercise 2
# Write both. `masks` is `n h w`, `scores` is `n`, `keep` is $p$; give back `2 h w`: first the map, then its standard error.


# %%
def my_rise(masks, scores, keep): ...


# %%
checks.rise(my_rise)

# %% [markdown]
# ### How many masks are enough?
# Three runs with other masks each; we look at the map as it grows.
#
# > **Predict.** From 64 masks to 2048, 32 times as many: by what does the error fall? The view shows it as a *share of the map's range*.
# > Does that fall as fast?

# %%
resnet, vit = sit("lab/resnet", "coffee"), sit("lab/vit", "coffee")
COUNTS = (64, 128, 256, 512, 1024, 2048)


def growing(seed):
    """RISE's map and its standard error after each number of masks."""
    states = rise(resnet.opened.model, resnet.images, masks=COUNTS[-1], every=COUNTS[0], seed=seed)
    return [(now.map(), now.error()) for now in states if now.n in COUNTS]


runs = [growing(seed) for seed in range(3)]
errors = np.mean([[error.mean().item() for _, error in run] for run in runs], axis=0)
ranges = np.mean([[(found.max() - found.min()).item() for found, _ in run] for run in runs], axis=0)
pairs = [(runs[a], runs[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
alike = [[spearman(one, other).item() for (one, _), (other, _) in zip(*pair, strict=True)] for pair in pairs]
falling = (COUNTS[0] / np.array(COUNTS)) ** 0.5

with style():
    figure = Figure(figsize=(8.8, 3.6), layout="constrained")
    sure, same = figure.subplots(1, 2)
    sure.plot(COUNTS, ranges, "s-", ms=5, color="#b3500a", label="range of the map")
    sure.plot(COUNTS, errors, "o-", ms=5, color="#1c66ad", label="its standard error, mean over the pixels")
    sure.plot(COUNTS, errors[0] * falling, color="black", lw=1, ls=(0, (5, 5)), label="1 / √n")
    sure.set(xscale="log", yscale="log", ylim=(0.004, 0.9), xlabel="masks", title="probability")
    for line in alike:
        same.plot(COUNTS, line, "o-", ms=4, color="#0a8262", alpha=0.6)
    same.set(xscale="log", ylim=(0, 1), xlabel="masks", title="rank correlation of two runs")
    for axes in (sure, same):
        axes.set_xticks(COUNTS, labels=map(str, COUNTS))
        axes.minorticks_off()
    sure.set_yticks([0.01, 0.1], labels=["0.01", "0.1"])
    sure.legend(loc="upper right")
print("masks", *(f"{n:8}" for n in COUNTS))
print("error", *(f"{error:8.4f}" for error in errors))
print("range", *(f"{span:8.3f}" for span in ranges))
figure

# %% [markdown]
# <details><summary>What came out</summary>
#
# The error falls as $1 / \sqrt N$, to the letter: from 0.042 to 0.0071, by 5.9, and $\sqrt{32}$ is 5.7. Half the error costs four times the
# masks.
#
# But the range falls too, from 0.19 to 0.08, because at first most of it *was* noise. So the share that the view shows falls by less, from
# 0.31 to 0.11: a map with few masks looks as contrasty as any, and is wrong. Two runs of 64 masks have a rank correlation of 0.34; it takes
# 1024 to reach 0.76, and 2048 for 0.81.
#
# The ± is on the safe side. Most of it is a brightness that all pixels share. Over three seeds of 1000 masks a pixel varies by 0.008, where
# the error says 0.010, and by 0.006 when each map's mean is taken off first.
# </details>
#
# ## Do they agree?
#
# Four methods on all photos of the lab, for the class that each model says: the two from above, the **gradient** of the score at each pixel
# (its size, Simonyan et al. 2014), and **integrated gradients** (Sundararajan et al. 2017): that gradient again, with its sign, as a mean
# on the way from a grey picture to the photo, times the pixel.
#
# > **Predict.** The mean rank correlation of GradCAM and RISE over the patches of a photo: 0.9? 0.5? 0?

# %%
METHODS = ("gradcam", "rise", "gradient", "integrated-gradients")
images = inputs(resnet, "photos")  # all photos of the lab
models = {"lab/resnet": resnet.opened.model, "lab/vit": vit.opened.model}


@torch.no_grad()
def said(model):
    """The class that the model says of each photo."""
    return model(images).argmax(dim=1)


def maps_of(model, classes, methods=METHODS):
    """The map of each photo for its class, `{method: b h w}`."""
    found = explain(model, images, methods=methods, targets=classes, masks=200)
    return {method: one.raw.detach() for method, one in found.items()}


maps = {name: maps_of(model, said(model)) for name, model in models.items()}
for name, found in maps.items():
    print(f"{name:22}" + "".join(f"{method:>10}" for method in METHODS[:-1]))
    patches = {method: resized(one, (8, 8)) for method, one in found.items()}
    for i, method in enumerate(METHODS[1:], 1):
        likeness = [spearman(patches[method], patches[other]).mean() for other in METHODS[:i]]
        print(f"  {method:20}" + "".join(f"{one:10.2f}" for one in likeness))

# %% [markdown]
# <details><summary>What came out</summary>
#
# Hardly. GradCAM and RISE: 0.31 in *lab/resnet*, 0.11 in *lab/vit*. (RISE's noise takes a part of it: with 1000 masks it is 0.40 and 0.14.)
# On *coffee* it is 0.58 and 0.59, so one photo, well chosen, shows whatever you like. The gradient agrees with nobody. RISE and integrated
# gradients have the most in common in *lab/vit*, 0.34, though one looks like clouds and the other like dust.
# </details>
#
# ## Does the model believe the map?
#
# They can hardly all be right. A test that needs no human: take pixels away in the order of the map, the most important first, and follow
# the probability. If the map is right, it falls at once. Let $I_t$ be the photo without its first $t$ of $T$ portions; **deletion** is the
# area below the curve,
#
# $$D = \frac1T \sum_{t=1}^{T} \frac{f(I_{t-1}) + f(I_t)}{2} , \qquad \text{lower is better.}$$
#
# **Insertion** goes the other way: from a blurred photo, portion by portion back to the sharp one; higher is better (Petsiuk et al. 2018).
#
# ### Exercise 3
# Write the curve of deletion. `score` takes pictures `n 3 h w` to `n` probabilities, `image` is `3 h w`, `heat` is `h w`, and the pixels go
# in `steps` portions of equal size. What is taken away becomes 0, the mean colour. Give back the `steps + 1` probabilities, the whole photo
# first. (The area is then `torch.trapezoid(curve) / steps`.)


# %%
def my_deletion(score, image, heat, steps): ...


# %%
checks.deletion(my_deletion)

# %% [markdown]
# ### Four methods, and two that know nothing
# Beside the four stand two maps that never met the model: *random*, which is noise, and *centre*, the nearer to the middle the better. The
# third test is ROAD (Rong et al. 2022). It fills pixels from their neighbours, so that no holes give them away; the number is half the
# distance between taking the least important first and taking the most important first. 0 is chance, higher is better.
#
# > **Predict.** Order the six by deletion. How far behind the best is *random*?

# %%
for name, model in models.items():
    asked = {"targets": said(model), "maps": maps[name] | baselines(images)}
    taken = curves(model, images, pixels=256, **asked)
    filled = road(model, images, shares=(0.25, 0.5, 0.75), **asked)
    print(f"{name:22}{'deletion':>10}{'insertion':>11}{'ROAD':>8}{'deletes better than random on':>32}")
    for method, one in taken.items():
        areas = one.deletion_area.mean(), one.insertion_area.mean(), filled[method].combined.mean()
        wins = int((one.deletion_area < taken["random"].deletion_area).sum())
        print(f"  {method:20}" + "{:10.3f}{:11.3f}{:8.3f}".format(*areas) + f"{wins:20} of {len(images)} photos")

# %% [markdown]
# <details><summary>What came out</summary>
#
# **Noise deletes about as well as GradCAM**: 0.164 to 0.137 in *lab/resnet*, and better than it in *lab/vit*, 0.134 to 0.150. Holes
# sprinkled over a photo look like nothing that the model has learnt from, wherever they are. Insertion is kinder to real maps, and by ROAD
# noise falls to 0, where it belongs. A large study has GradCAM and RISE in front (Nourelahi et al. 2022). **Here it is integrated
# gradients, in all three tests and both models.** Only its deletion lies so far below noise that fourteen photos suffice to say so (95 %
# intervals of the paired difference: −0.155 to −0.006, −0.184 to −0.034). That of RISE does not, nor with 1000 masks, which give 0.130 and
# 0.087.
#
# Is it because integrated gradients starts from grey, and grey is what deletion puts there? In part they are the same question. But look at
# *how* it wins. Shuffle its pixels within each patch of 8 × 8, so that each patch keeps its values, and the deletion in *lab/resnet* rises
# to 0.135, ROAD falls from 0.24 to 0.02. Average it over the patches, and it is a map like others: 0.113 and 0.17. It knows what each
# single pixel does to this one model. A map can be right in a way that nobody can read.
# </details>
#
# ### Half as sure
# > **Predict.** We divide all logits by two. The model gives the same answers in the same order, and GradCAM the same map, half as strong.
# > What becomes of the two areas?


# %%
class LessSure(nn.Module):
    """A model that gives the same answers, half as sure."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x) / 2


first = models["lab/resnet"]
for words, model in (("as it is", first), ("half as sure", LessSure(first).eval())):
    found = curves(model, images, maps_of(model, said(first), ["gradcam"]), targets=said(first), pixels=256)["gradcam"]
    print(f"{words:14} deletion {found.deletion_area.mean():.3f}   insertion {found.insertion_area.mean():.3f}")

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# Deletion says that the map became twice as good, insertion that it became less than half as good. The map is the same, the order is the
# same, the ruler has moved: both areas are areas below a *probability*, and follow how sure the model is. So never compare them between
# models, nor between photos: over our fourteen, insertion by GradCAM has a correlation of 0.75 with the probability that the model started
# from. The study above found the same between models: deletion favours those that are trained to be robust, insertion the plain ones,
# because one kind is less sure than the other.
# </details>
#
# ## Is it a map of what was learnt?
#
# A drawing of the photo's edges would convince many people that it shows what the model looked at, and it knows nothing of any model. So
# take away what the model has learnt and see whether the map goes too (Adebayo et al. 2018). We have both models as they were before their
# first step. The class stays the one that the trained model says.
#
# > **Predict.** The rank correlation of the trained model's map with the untrained model's: for which method will it not be 0? And with the
# > untrained model's map of *another* photo?

# %%
QUICK = ("gradcam", "gradient", "integrated-gradients")
print(f"{'rank correlation with the untrained map of':46}{'this photo':>14}{'another photo':>16}")
for name, model in models.items():
    blank = load(name, weights=None).model.to(images.device)
    untrained = maps_of(blank, said(model), QUICK)
    for method in QUICK:
        same, other = (spearman(maps[name][method], untrained[method].roll(by, dims=0)) for by in (0, 1))
        print(f"{name:16}{method:30}" + "".join(f"{one.mean():9.2f} ± {one.std():.2f}" for one in (same, other)))

# %% [markdown]
# <details><summary>What came out</summary>
#
# The **gradient's** map survives: 0.18 and 0.33, above 0 on every single photo. Does the photo shine through, its edges? No: with the
# untrained map of *another* photo it is the same, 0.18 and 0.33. What stays is the **strides**. A 3 × 3 kernel of stride 2 reads some
# pixels up to four times as often as their neighbours, and three of them in a row make a pattern that repeats every eight pixels. It holds
# 59 % (*lab/resnet*) and 57 % (*lab/vit*) of the variance of the mean trained map. So the map shows the architecture, before anything was
# learnt. It is also the one that did least in the tests above. (Weights filled with noise, as in the paper, three seeds: 0.43 to 0.45 and
# 0.26 to 0.30.)
#
# GradCAM follows the model, as in the paper; but mind the spread of ± 0.36. Its map of *lab/resnet* has 16 cells, and two random orders of
# 16 things have a rank correlation of 0 ± 0.26. One photo tells you nothing.
#
# Integrated gradients have −0.01. Forget their signs, as pictures often do, and it becomes 0.10 and 0.26 (another photo: 0.10 and 0.14):
# the lattice again, and in *lab/vit* the photo, because each value is a gradient *times the pixel*.
# </details>
#
# ## A question whose answer we know
#
# Nobody can say which pixels decided, so every test so far asks the model about pictures that it has never seen the like of. Unless we make
# the answer ourselves: put a **blindfold** on the model. Before it sees anything, the right half of the picture becomes grey. Now it is
# certain that *no pixel on the right matters*, and heat that lies there is wrong about the pixels.
#
# > **Predict.** What share of the heat lies on the blind half, by GradCAM, by LayerCAM, by the gradient? (An even map would have 50 %.)


# %%
class Blindfold(nn.Module):
    """A model that never sees the right half of a picture."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x * (torch.arange(x.shape[-1], device=x.device) < x.shape[-1] // 2))


def on_the_right(heat):
    """The share of a heat that lies on the right half, the mean of all photos that have any."""
    return (heat[..., heat.shape[-1] // 2 :].sum(dim=(-2, -1)) / heat.sum(dim=(-2, -1))).nanmean().item()


size = tuple(images.shape[-2:])
for name, model in models.items():
    blind = Blindfold(model).eval()
    for words, classes in (("the class it says now", said(blind)), ("the class of the whole photo", said(model))):
        found = explain(blind, images, methods=("gradcam", "layercam", "gradient"), targets=classes)
        shares = [f"{method} {on_the_right(one.display(size)):.0%}" for method, one in found.items()]
        print(f"{f'{name}, {words}':44}" + ", ".join(shares))

# %%
rocket = sit("lab/resnet", "rocket")
blind = Blindfold(rocket.opened.model).eval()
methods = {"GradCAM": "gradcam", "RISE": "rise", "Integrated gradients": "integrated-gradients"}
found = explain(blind, rocket.images, methods=[*methods.values()], targets=rocket.opened.categories.index("beacon"))
heats = {title: found[method].display(size)[0] for title, method in methods.items()}
rises = found["rise"].raw[0]
zero = rises[:, size[1] // 2 :].mean()  # what a pixel has that does not matter: here we know
heats["RISE"] = (rises - zero).clamp_min(0) / (rises.max() - zero)
photo = np.array(rocket.seen)
photo[:, size[1] // 2 :] = [round(255 * part) for part in rocket.opened.transform.mean]
side_by_side(
    [photo],
    {title: [heat.cpu().numpy()] for title, heat in heats.items()},
    notes={title: f"{on_the_right(heat):.0%} on the blind half" for title, heat in heats.items()},
    title="With a blindfold on the right, lab/resnet still says beacon. Why?",
)

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# Of the class that the blindfolded *lab/resnet* says, **58 % of GradCAM's heat lies where no pixel can matter**. And yet it is not a bug.
# That class is *beer bottle* on four photos of fourteen and *remote control* on six: the grey half itself looks like something, and the
# cells over it spoke for it. For the class of the whole photo, of which grey shows nothing, it is 22 %, still not 0: a unit of the last
# block sees the whole photo (lesson 5), and its place on the grid does not say where its information comes from. **GradCAM is a map of the
# layer.** We stretch it over the pixels and forget that. LayerCAM, cell by cell, does no better, nor does what is read in the attention of
# *lab/vit* (LeGrad: 52 %).
#
# The gradient and integrated gradients have 0 for certain, by the chain rule. That the gradient passes here and fails above shows what a
# passed test is worth.
#
# RISE has its zero where the mean over all masks is, and we can see it: on the blind half the map is flat, 0.469, and varies by 0.015,
# where its error is 0.013. What spills over the border is a mask's cell of eight pixels: what is kept just right of it is kept with its
# neighbours on the left.
#
# So a map answers a question. GradCAM: where in the layer lay what spoke for the class? RISE: what is it good to keep? Integrated
# gradients: how did the score get from grey to here, pixel by pixel? Say which one you asked, show the ±, and put a map beside it that
# knows nothing.
# </details>
#
# ## Your own picture
#
# Go back to the desk and press **a picture of yours**, one that the model gets wrong. Write down what you believe it fell for, then ask two
# methods, and play the deletion. Then cover that part in a painting program and upload the picture again: does the answer change? No map
# spares you this question. The room *Explain* of the lab (`labkit app`) has any timm model.
#
# ## Read on
#
# * Selvaraju et al., *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization*, ICCV 2017 · Draelos & Carin, *Use
#   HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks*, 2020: where the mean of the gradient misleads.
# * Petsiuk, Das & Saenko, *RISE: Randomized Input Sampling for Explanation of Black-box Models*, BMVC 2018: with deletion and insertion.
# * Simonyan, Vedaldi & Zisserman, *Deep Inside Convolutional Networks*, 2014 · Sundararajan, Taly & Yan, *Axiomatic Attribution for Deep
#   Networks*, ICML 2017.
# * Adebayo et al., *Sanity Checks for Saliency Maps*, NeurIPS 2018 · Rong et al., *A Consistent and Efficient Evaluation Strategy for
#   Attribution Methods*, ICML 2022 (ROAD).
# * Nourelahi, Kotthoff, Chen & Nguyen, *How explainable are adversarially-robust CNNs?*, 2022: nine methods, twelve networks, and what the
#   tests favour.
#
# The answers to the exercises are in `solutions/exercises_02.py`, each with its reason.
