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
# # 0 · Welcome: what goes in, what comes out
#
# A vision model is handed a photo and says *espresso*. **What exactly was it handed, what exactly did it say, and which part of the
# photo made it say so?** After this lesson you can
#
# * hide a part of a photo and read off what the answer rested on, and say what that does *not* show,
# * turn a photo into the tensor that a model takes, and its logits into chances,
# * cut the photo into the tokens that a transformer mixes: what all later lessons are about,
# * open any model, and find the room of this lab that has your question on its door.
#
# *Takes 30 to 45 minutes, of which the computer takes about a quarter of one. Needs no network: model and photos are on your disk.
# Run the cells from top to bottom, with* <kbd>Shift</kbd> + <kbd>Enter</kbd>.

# %%
# %matplotlib inline
import torch
from checks import welcome as checks
from desk import CoverDesk
from matplotlib.figure import Figure

from labkit.data.images import open_image, photo_names
from labkit.pretrained import available, load
from labkit.session import cover, sit
from labkit.viz.theme import style

# %% [markdown]
# ## Look first
#
# Below is a photo, and what a small vision transformer says of it. Your pointer carries a patch of plain grey-brown: the mean colour of
# the photos that the model learnt from. Whatever lies under it, the model does not see.
#
# > **Predict, before you touch it.** You may put it down once. Where do you put the patch so that the model no
# > longer says *espresso*: on the coffee, on the rim, on the spoon, on the table?

# %%
MODELS = {
    "lab/vit": ("lab/vit", "default"),
    "lab/resnet": ("lab/resnet", "default"),
    "lab/vit, untrained": ("lab/vit", None),
}
first_photos = ["coffee", "rocket", "chelsea", "motorcycle"]
desk = CoverDesk(models=MODELS, photos=first_photos + [name for name in photo_names() if name not in first_photos])
desk

# %% [markdown]
# The bars follow your pointer; the small upright tick on each is what the model said of the whole photo. (It knows fifty kinds of
# things, and a motorcycle is not among them. It says what comes nearest.)
#
# **Find, and note down:**
#
# 1. the smallest cover that changes the answer, and where it lies;
# 2. a place where covering *raises* the bar of the winner above its tick. What has the model been spared there?
# 3. on *rocket*, a cover that changes the answer. How long do you try before you believe that there is none?
# 4. the same with *lab/resnet*, a convolutional network: is it the same place?
#
# <details><summary>What came out</summary>
#
# For *lab/vit* the answer lies on the surface of the coffee, between the rim and the spoon: a cover of 16 x 16 pixels there takes
# *espresso* from 52 % to 7 %, and it says *teapot*. On the saucer the same cover raises *espresso* to 68 %.
#
# On *rocket* (*beacon*, 80 %) no cover of any of the three sizes changes the answer, at none of the 144 places: the tower, the sky and the light all say the same, and one at a
# time they can be spared. **That a part is not needed does not mean that it is not used.**
#
# *lab/resnet* is surer of its cup (92 %) and only the largest cover, at 7 of the 144 places, shakes it.
# </details>
#
# ### All places at once
# You have moved one cover by hand. Put it everywhere, and write down at each place how far the winner's chance falls: a map of what the
# answer rests on. This was the first way to look into a network from outside (Zeiler & Fergus, 2014); [lesson 2](02_explaining_decisions.ipynb) has its descendants.


# %%
def falls(covered, size=1):
    """`h w`: by how much the winner's chance falls when this place is covered; below 0 where it rises."""
    winner = int(covered.whole.argmax())
    return (covered.whole[winner] - covered.answers[size][:, winner]).reshape(covered.grid).numpy()


def draw_falls(covered):
    fall = falls(covered)
    with style():
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        photo, map_ = figure.subplots(1, 2)
        photo.imshow(covered.sitting.picture)
        photo.set_title("the photo", loc="left")
        shown = map_.imshow(fall, cmap="RdBu_r", vmin=-abs(fall).max(), vmax=abs(fall).max())
        map_.set_title(f"what {covered.top[0][0]} loses here", loc="left")
        figure.colorbar(shown, ax=map_, label="fall of the probability")
        for axes in (photo, map_):
            axes.set_axis_off()
    return figure


desk.drawn(draw_falls, alt="the photo, and beside it how far the winner's chance falls when each place is covered")

# %% [markdown]
# ## What goes in
#
# The model never sees the file. It takes a square of fixed size, three numbers a pixel, each brought to about mean 0 and spread 1 with
# the mean $\mu_c$ and the spread $\sigma_c$ of the photos it learnt from, channel by channel:
#
# $$x_{c,i,j} = \frac{p_{i,j,c} / 255 - \mu_c}{\sigma_c} .$$
#
# `p` is a picture as files have it, height × width × colour, whole numbers from 0 to 255; `x` is what PyTorch wants, colour first.
#
# > **Predict.** What number is a pixel of exactly the mean colour? So what does a cover of zeros look like?

# %%
opened = load("lab/vit")
opened.transform

# %%
photo = open_image("coffee")
x = opened.transform(photo)
print("a photo of", photo.size, "becomes", tuple(x.shape), f"from {x.min():.2f} to {x.max():.2f}")
opened.transform.view(photo).resize((256, 256), 0)

# %% [markdown]
# That is all there is: 64 x 64 pixels. Whatever you see in the large photo and not in this one, the model cannot have used.
#
# ### Exercise 1
# Write it. `pixels` is `h w 3`, whole numbers (`torch.uint8`); `mean` and `std` hold three numbers each. Give back `3 h w`.


# %%
def my_tensor(pixels, mean, std): ...


# %%
checks.tensor(my_tensor)

# %% [markdown]
# ## What comes out
#
# One number for each class, of any size and sign: the **logits** $z_k$. Only their differences mean anything. The softmax makes chances
# of them, above 0 and summing to one,
#
# $$p_k = \frac{e^{z_k}}{\sum_{k'} e^{z_{k'}}} .$$
#
# > **Predict.** Add 5 to every logit. What becomes of the chances? And if you *double* every logit?

# %%
with torch.no_grad():
    logits = opened.model(x[None])[0]
for name, change in (("as they are", logits), ("plus 5", logits + 5), ("doubled", 2 * logits)):
    chance, best = change.softmax(dim=0).max(dim=0)
    print(f"{name:12} {opened.categories[int(best)]:10} {chance:.0%}")

# %% [markdown]
# <details><summary>What came out</summary>
#
# Adding changes nothing: $e^5$ stands above and below the line. Doubling makes the model surer without its knowing any more (here
# from 52 % to 89 %). *Surer* is a matter of scale. That is why two models' percentages must not be compared like temperatures, and why
# the lab's instruments say whether they read logits or probabilities.
# </details>
#
# ### Exercise 2
# Give the `most` likeliest classes and their chances: `z` is `classes`; give back a tensor `most 2` with rows (class, chance), the likeliest first.


# %%
def my_top(z, most): ...


# %%
checks.top(my_top)

# %% [markdown]
# ## What is mixed: tokens
#
# A transformer cuts the square into patches of $P$ x $P$ pixels, row by row as you read, and makes one **token** of each. From
# here on it knows no pixels, only these $N = \tfrac{H}{P} \cdot \tfrac{W}{P}$ tokens, and all its layers do is let them look at each other
# (*mixing*) and think for themselves (the MLP). For *lab/vit*, $64 / 8 = 8$: a grid of 8 x 8 places, which you will meet in every room.
#
# > **Predict.** What is lost if the patches are shuffled before they go in: nothing, little, everything? (Lesson 1 tells how the model knows where a patch was.)

# %%
P = 8
with style():
    figure = Figure(figsize=(4.4, 4.4))
    for place, axes in enumerate(figure.subplots(8, 8).flat):
        row, column = divmod(place, 8)
        axes.imshow(opened.transform.view(photo).crop((P * column, P * row, P * column + P, P * row + P)))
        axes.set_axis_off()
figure

# %% [markdown]
# ### Exercise 3
# Cut the picture. `x` is `3 h w`, both sides multiples of `p`; give back `n (3 p p)`: one row a patch, row by row, and within a patch first the
# red pixels row by row, then green, then blue.


# %%
def my_patches(x, p): ...


# %%
checks.patches(my_patches)

# %% [markdown]
# ## Any model, any photo
#
# `load(name)` opens a model with all that belongs to it: the model, its transform, its categories. `lab/…` are ours and lie on your disk.
# `timm/…` is any model of timm, with its weights where the hub can be reached, or untrained (`weights=None`), which is often the better
# question: *what does the architecture do before it has learnt anything?*

# %%
for one in available("lab/"):
    print(f"{one.name:14} {one.params / 1e6:5.2f} million parameters, {one.input} pixels a side")

# %%
untrained = cover(sit("timm/resnet18", "coffee", weights=None), grid=(4, 4), parts=(0.25,))
print(f"an untrained resnet18 is sure of nothing: its best class of 1000 has {untrained.top[0][1]:.1%}")

# %% [markdown]
# Go back to the desk, press **a picture of yours**, and ask the first question again: which part may go?
#
# ## Where to go from here
#
# | your question | lesson | room in the browser (`labkit app …`) |
# | --- | --- | --- |
# | who looks at whom? | [1 · attention](01_attention.ipynb) | `attention` |
# | which pixels decided? | [2 · explaining decisions](02_explaining_decisions.ipynb) | `explain` |
# | do the tokens become alike with depth? | [3 · over-smoothing](03_over_smoothing.ipynb) | `smoothing` |
# | which frequencies does it see, which does it lose? | [4 · frequency](04_frequency.ipynb) | `frequency` |
# | how far does one unit see? | [5 · receptive fields](05_receptive_fields.ipynb) | `field` |
# | of what is each token made, with attention or without? | [6 · mixing](06_mixing.ipynb) | `mixing` |
# | which model answers how, and at what cost? | – | `compare` |
# | what did this paper add, and does it hold? | – | `papers` |
#
# ## Read on
#
# * Zeiler & Fergus, *Visualizing and Understanding Convolutional Networks*, ECCV 2014: the cover, moved over the whole photo.
# * Dosovitskiy et al., *An Image is Worth 16x16 Words*, ICLR 2021: patches as tokens.
# * Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017: how sure a network should be, and how to scale it.
#
# The answers to the exercises are in `solutions/exercises_00.py`, each with its reason.
