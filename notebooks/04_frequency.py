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
# # 4 · Which frequencies does a network see, and which does it lose?
#
# A photo is a sum of waves: slow ones for light and shade, quick ones for fur and edges. A layer lets some of them pass and damps others.
# **Which waves does a network live on, and which are lost on the way?** After this lesson you can
#
# * take a photo apart into its waves and let some of them pass, without the usual accidents of `fftshift`,
# * read off any kernel, learned or not, which waves it lets through, and say why every *averaging* kernel is a low-pass,
# * say which part of the sentence "attention is a low-pass filter" is a theorem, which is a measurement, and what does *not* follow,
# * compare a convolutional network with a transformer, trained with untrained, and tell how much of the usual story holds here.
#
# *Takes 30 to 45 minutes, of which the computer takes about a quarter of one. Needs no network: models and photos are on your disk. Run
# the cells from top to bottom, with* <kbd>Shift</kbd> + <kbd>Enter</kbd>.

# %%
# %matplotlib inline
import torch
from checks import frequency as checks
from desk import FrequencyDesk
from matplotlib.figure import Figure

from labkit.data.images import photo_names
from labkit.probes.filters import attention_responses, conv_responses
from labkit.probes.frequency import high_frequency
from labkit.probes.rings import frequencies, ring_means
from labkit.session import sit
from labkit.session.tunings import crossings, photos
from labkit.viz.theme import style

# %% [markdown]
# ## Look first
#
# Left what the model is given, beside it the spectrum of the photo: one point a wave, bright where there is much of it. In the middle
# sits the mean, the wave of frequency 0; the further out, the finer. Only what lies between the two rings passes. It is not much now: the
# model is handed nothing finer than ten pixels a wave.
#
# > **Predict, before you touch it.** This is a cup of coffee. Will the model know it from the coarse waves alone? And from the fine ones
# > alone, the very edges you would draw?

# %%
MODELS = {
    "lab/vit": ("lab/vit", "default"),
    "lab/resnet": ("lab/resnet", "default"),
    "lab/vit, untrained": ("lab/vit", None),
    "lab/resnet, untrained": ("lab/resnet", None),
}
first_photos = ["coffee", "rocket", "chelsea", "brick"]
other_photos = [name for name in photo_names() if name not in first_photos]
desk = FrequencyDesk(models=MODELS, photos=first_photos + other_photos)
desk

# %% [markdown]
# Drag a ring, or choose `coarse` and `fine`. Pass over the photo with the pointer: left of it hangs the whole photo. The
# filtering is done in your browser; when your hand rests, the model is asked.
#
# **Find, and note down:**
#
# 1. how far you can pull the *high* ring in until *lab/vit* no longer says *espresso*. Is there one such border?
# 2. the preset `fine`, with the mean and without it. Which of the two still says *espresso*?
# 3. under *What the filters of this layer let through*, the planes of four heads. Where is the light?
# 4. the curves by depth on the left. Do the fine waves become fewer from block to block?
#
# <details><summary>What came out</summary>
#
# 1. With everything up to 0.08 cycles per pixel it says *espresso* (76 %), surer than of the whole photo (52 %). Below, there is no
#    single border: at 0.06 it says *orange*, at 0.05 *espresso* once more, at 0.04 *orange*.
# 2. Without the mean: *espresso*, 26 %. With the mean it says *rocking chair*. Both look alike to you, apart from a shade of brown. So
#    "the fine half of the photo" is no answer as long as nobody says where the mean went; the lab gives it a switch of its own.
# 3. In one cell: the mean. More below.
# 4. Hardly. That is the surprise of this lesson.
# </details>
#
# ## Waves
#
# Every picture $x$ of $h \times w$ pixels is a sum of $h \cdot w$ waves, and the Fourier transform says how much of each:
#
# $$X_{u,v} = \sum_{i,j} x_{i,j} \, e^{-2 \pi \mathrm{i} \left(\frac{u i}{h} + \frac{v j}{w}\right)}, \qquad
# x_{i,j} = \frac{1}{h w} \sum_{u,v} X_{u,v} \, e^{+2 \pi \mathrm{i} \left(\frac{u i}{h} + \frac{v j}{w}\right)} .$$
#
# The wave $(u, v)$ goes up and down $u$ times on the way down the picture and $v$ times across, so its frequency is
# $f = \sqrt{(u/h)^2 + (v/w)^2}$ **cycles per pixel**. At $f = 0$ sits the mean (times $h w$). No wave along an axis is faster than one pixel
# light, one pixel dark: $f = 0.5$, **Nyquist**. The checkerboard in the corner has $0.71$. And beyond the middle of the array $u$ counts
# backwards: $u = h - 1$ *is* the slow wave $-1$.
#
# > **Predict.** You keep only $f \le 0.1$. What share of the 64 x 64 coefficients is that? And what share of the photo's variance?

# %%
vit = sit("lab/vit", "coffee")
pictures = photos(vit)
side = pictures.shape[-1]
spectrum = torch.fft.fft2(pictures).abs().square().mean(dim=1)
spectrum[:, 0, 0] = 0  # the mean is not variance
f = torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.fftfreq(side)[None])
coarse = f <= 0.1
kept = (spectrum * coarse).sum(dim=(1, 2)) / spectrum.sum(dim=(1, 2))
print(f"{coarse.float().mean():.1%} of the waves hold")
print(" · ".join(f"{name} {share:.0%}" for name, share in zip(photo_names(), kept, strict=True)))

# %% [markdown]
# <details><summary>What came out</summary>
#
# 3.1 % of the waves hold 63 to 95 % of the variance of most photos: pictures of things are coarse. Of the textures *brick*, *grass* and
# *gravel*, which have no large parts, they hold 3 to 14 %, and of the stars of *hubble* 16 %. That is why a filter at the same cutoff is mild to one
# photo and cruel to another, and why the view says what share has passed.
# </details>
#
# ### Exercise 1
# Write the filter. `x` is `h w`; give back `h w` with nothing but the waves of $f \le$ `cutoff`, in cycles per pixel. The mean passes.
# (`fft2` gives zero frequency *first*, in the corner; `fftshift` brings it to the middle, `ifftshift` back. You can do without both.)


# %%
def my_lowpass(x, cutoff): ...


# %%
checks.lowpass(my_lowpass)

# %% [markdown]
# ### A plane becomes a curve
# The direction of a wave rarely matters, its frequency does. So average the plane ring by ring, ring $k$ around $f = k / \max(h, w)$.
#
# ### Exercise 2
# Write it. `plane` is `h w`, zero frequency first; a cell belongs to the ring whose middle is nearest. Give back the mean of each ring, from ring 0 out to the corners.


# %%
def my_rings(plane): ...


# %%
checks.rings(my_rings)

# %% [markdown]
# Photos have a famous curve: their amplitude falls about like $1/f$. A line in a doubly logarithmic plot, with the slope $-1$.
#
# > **Predict.** Which of the lab's photos do not?

# %%
amplitude = ring_means(torch.fft.rfft2(pictures).abs().mean(dim=1), (side, side))[:, 2:33]
cycles = frequencies((side, side))[2:33].float()
x = cycles.log() - cycles.log().mean()
slopes = (x * amplitude.log()).sum(dim=1) / x.square().sum()
textures = ("brick", "grass", "gravel", "hubble")
with style():
    figure = Figure(figsize=(6.6, 3.7), layout="constrained")
    axes = figure.subplots()
    for name, curve in zip(photo_names(), amplitude / amplitude[:, :1], strict=True):
        axes.loglog(cycles, curve, color="#b3500a" if name in textures else "#1c66ad", lw=1.3, alpha=0.7)
    axes.loglog(cycles, cycles[0] / cycles, color="black", ls=(0, (5, 5)), lw=1.2)
    axes.set(xlabel="frequency (cycles per pixel)", ylabel="amplitude, of the second wave's")
    axes.set_title("14 photos; orange: brick, grass, gravel, hubble; dashed: 1 / f", loc="left")
print(" · ".join(f"{name} {slope:.1f}" for name, slope in zip(photo_names(), slopes, strict=True)))
figure

# %% [markdown]
# <details><summary>What came out</summary>
#
# Not one of the fourteen has -1. Things have -1.3 to -1.7 here, the blurred *clock* -2.0; the textures -0.3 to -0.6, the stars of *hubble* -0.7.
# The rule is about the mean of many photos; fitted to one small square at a time, from the second wave to Nyquist, it is a poor guide. What it
# gets right is the direction: coarse waves are larger.
# </details>
#
# ## What a kernel does to waves
#
# A convolution replaces each pixel by a weighted sum of its neighbours, $y = k * x$. Put a wave in: the neighbours of a wave are the same wave, a
# little turned, and a sum of such is the same wave again, only larger or smaller. So every wave goes through on its own
# (the **convolution theorem**; the borders taken as joined):
#
# $$Y_{u,v} = K_{u,v} \, X_{u,v} .$$
#
# $K$ is the kernel's own transform on the same grid, zeros around it; $|K|$ is its **gain**: amplitude out for amplitude in.
#
# ### Exercise 3
# Write it. `kernel` is one channel of a depthwise convolution, `kh kw`; give back its gain at every frequency of a `grid` $(h, w)$, zero frequency first.


# %%
def my_gain(kernel, grid): ...


# %%
checks.gain(my_gain)

# %% [markdown]
# ### Why averages are low-pass
#
# Two lines say nearly all. At frequency 0 the waves of the sum all agree, $K_0 = \sum_n k_n$. Elsewhere they point in different directions, and
# by the triangle inequality
#
# $$|K_f| = \Big| \sum_n k_n \, e^{-2 \pi \mathrm{i} f n} \Big| \le \sum_n |k_n| .$$
#
# If no weight is negative and they sum to one, as in every **average**, the right side is $K_0 = 1$: the mean goes through untouched, and *no wave goes through better
# than the mean*. For three equal weights, $K_f = (1 + 2 \cos 2 \pi f) / 3$: from 1 at the mean to $-\tfrac13$ at Nyquist.
#
# A row of attention is such an average: softmax makes weights that are positive and sum to one. So for **every** head of every transformer, trained or not, the gain is 1
# at frequency 0 and at most 1 elsewhere. This part is a theorem. How far below 1 is not: looking only at oneself is an average too, and
# its gain is 1 everywhere. And a convolution may have negative weights: then nothing forbids it to be a high-pass.
#
# > **Predict.** Three kernels: the mean of 3 x 3; the identity; a sharpening kernel (5 in the middle, -1 at four sides). What are their gains at the mean and
# > at Nyquist along an axis?

# %%
kernels = {
    "mean of 3 x 3": torch.full((3, 3), 1 / 9),
    "identity": torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]),
    "sharpening": torch.tensor([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
}
fft = torch.fft.fft2
x = torch.randn(1, 1, 32, 32)
joined = torch.nn.functional.pad(x, (2, 0, 2, 0), mode="circular")
for name, kernel in kernels.items():
    K = fft(kernel.flip(0, 1), s=(32, 32))  # conv2d does not turn the kernel round, the formula does
    Y = fft(torch.nn.functional.conv2d(joined, kernel[None, None]))
    error = (Y - K * fft(x)).abs().max() / Y.abs().max()
    mean, nyquist = K[0, 0].abs(), K[0, 16].abs()
    print(f"{name:14} gain {mean:.2f} at the mean, {nyquist:.2f} at Nyquist; Y = K X to {error:.0e}")

# %% [markdown]
# <details><summary>What came out</summary>
#
# 1 and 0.33; 1 and 1; 1 and 5. And $Y = K X$ holds to rounding, for any picture whatever.
# </details>
#
# ## Attention, measured
#
# > **Predict.** *lab/vit* has six blocks of four heads on a grid of 8 x 8. Sketch gain against frequency, trained and untrained.

# %%
WEIGHTS = {"trained": "default", "untrained": None}
COLOURS = {"trained": "#b3500a", "untrained": "#1c66ad"}


def opened(name, weights):
    return sit(name, "coffee", weights=weights).opened.model


heads = {name: attention_responses(opened("lab/vit", w), pictures) for name, w in WEIGHTS.items()}
with style():
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    panels = figure.subplots(1, 2)
    for name, found in heads.items():
        for one in found:
            for axes in panels:
                axes.plot(one.frequencies, one.radial.mean(dim=0), color=COLOURS[name], lw=1.5, alpha=0.8)
    for axes in panels:
        axes.set(xlabel="cycles per cell", ylabel="gain")
    panels[0].set(ylim=(0, 1.02), title="a line a block, the mean of its heads")
    panels[1].set(yscale="log", title="the same: orange trained, blue untrained")
for name, found in heads.items():
    curves = torch.stack([one.radial.mean(dim=0) for one in found])
    for place, ring in (("the mean", 0), ("the slowest wave", 1), ("Nyquist", 4)):
        print(f"{name:10} gain {curves[:, ring].min():.3f} to {curves[:, ring].max():.3f} at {place}")
figure

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# The theorem holds, of course: 1 at the mean, less elsewhere. **Untrained, attention lets pass the mean and nothing else** (0.2 %): all scores are about
# alike, each token gets the mean of all. Training lifts that to 13 to 20 % at the slowest wave and 6 to 10 % at Nyquist: fifty times as much, and still little.
#
# Note the shape. The gain does not slope down; it *drops* once, behind the mean, and then is nearly flat. A head here is not so much a blur as a
# mean of everything with a small part of looking.
# </details>
#
# ## And yet nothing becomes smooth
#
# Six such filters in a row, each letting through a tenth: there should be a millionth left. Each block is
#
# $$x' = x + \mathrm{Attention}(x), \qquad x'' = x' + \mathrm{MLP}(x').$$
#
# > **Predict.** What share of the tokens' variance lies in the fine half (beyond 0.25 cycles per cell), block by block? For comparison: white noise has 0.80 there.


# %%
def fine(tokens):
    """Share of the variance beyond 0.25 cycles per cell, mean of the photos; a class token comes first."""
    return float(high_frequency(tokens[:, 1:].transpose(1, 2).unflatten(2, (8, 8))).mean())


def sizes(tokens):
    """Of what is alike in all places, and of what differs from place to place."""
    alike = tokens[:, 1:].mean(dim=1, keepdim=True)
    return float(alike.square().mean().sqrt()), float((tokens[:, 1:] - alike).square().mean().sqrt())


def watched(parts, model):
    """(what goes in, what comes out) of each of these parts of the model, for all photos."""
    seen = []
    hooks = [part.register_forward_hook(lambda _, x, y: seen.append((x[0], y))) for part in parts]
    with torch.no_grad():
        model(pictures)
    for hook in hooks:
        hook.remove()
    return seen


for name, weights in WEIGHTS.items():
    model = opened("lab/vit", weights)
    print(f"{name:10}{'fine waves':>16}    what attention adds: alike, differing  (differs already)")
    added = [y for _, y in watched([block.attn for block in model.blocks], model)]
    for i, (given, out) in enumerate(watched(model.blocks, model)):
        alike, differing = sizes(added[i])
        print(
            f"  block {i} {fine(given):8.3f} -> {fine(out):.3f}{alike:28.3f}{differing:11.3f}  ({sizes(given)[1]:.2f})"
        )

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# 0.50 before the first block, 0.47 behind the last, and most of that step is the first block's. **The fine waves are not lost**, though every head damps them
# to a tenth. The columns on the right say why. What attention adds is nearly the same in all places: that is its mean, which a variance does not see. What
# it adds to the *differences* is a tenth to a fifth of those there before. The skip connection hands these on untouched (its gain is 1
# everywhere), and next to that the filter hardly counts.
#
# So "attention is a low-pass filter" is true of the *filter*, and "therefore transformers lose the fine waves" does **not** follow, and does not hold
# for *lab/vit*. Wang et al. (2022) prove that it must come so where nothing but attention is stacked; skips and MLPs are what prevents it.
# Lesson 3 asks the same question of the tokens' cosines and of their rank.
# </details>
#
# ## Convolutions
#
# > **Predict.** For *lab/resnet*: what share of the kernels lets the mean through more than twice as well as Nyquist? How many the other way? Untrained?

# %%
resnets = {name: opened("lab/resnet", weights) for name, weights in WEIGHTS.items()}


def kinds(found):
    """The shares of kernels that pass the mean more than twice as well as Nyquist, and the other way."""
    mean, nyquist = found.gain[:, 0, 0], (found.gain[:, 0, 16] + found.gain[:, 16, 0]) / 2
    return [f"{one.float().mean():.0%}" for one in (mean > 2 * nyquist, nyquist > 2 * mean)]


print(f"{'':18}" + "".join(f"{name + ': coarse':>20}{'fine':>7}" for name in resnets))
for pair in zip(*(conv_responses(model, pictures) for model in resnets.values()), strict=True):
    print(f"{pair[0].name:18}" + "".join("{:>20}{:>7}".format(*kinds(found)) for found in pair))

# %% [markdown]
# And what its maps hold, where a block keeps the grid (a stride changes what a cell is):

# %%
for name, model in resnets.items():
    print(f"{name}: share of the variance beyond 0.25 cycles per cell, before and behind")
    for given, out in watched([block for stage in model.stages for block in stage], model):
        if given.shape == out.shape:
            before, behind = (float(high_frequency(one).mean()) for one in (given, out))
            print(f"   {out.shape[-1]:2} x {out.shape[-1]:2} cells   {before:.2f} -> {behind:.2f}")

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# Untrained kernels are white noise and let everything through alike: no column but the first layer's has anything in it. (There three input channels are
# few, and chance shows.) Training makes **low-passes** of many: from a tenth to all of a layer's kernels, most in the last block (100 %), and a single kind of
# high-pass, in the stem, where 7 of 32 kernels look for edges.
#
# Park & Kim (2022) report that convolutions raise the fine waves and attention lowers them. *In lab/resnet it is the other way round*: within each stage the
# block that keeps the grid takes fine waves away (0.52 to 0.50, 0.55 to 0.46, 0.56 to 0.49, 0.42 to 0.36), while *lab/vit* keeps what it has. Two small networks
# do not refute a paper about large ones; but they do show that it is not a law of the operator. (Untrained, a block of this network does nothing: the last scale in its
# branch starts at zero. Lesson 5 has the consequences.)
# </details>
#
# ## Which waves does the answer hang on?
#
# What the layers hold and what the answer needs are two questions. For the second, cut all photos in two at a cutoff, and ask with each half alone whether the answer stays. The
# cutoff at which both halves keep as many answers is where the model's weight lies. It is the button *ask at all cutoffs* of the view.
#
# > **Predict.** Whose crossing lies further out, the transformer's or the convolutional network's? Does it matter what becomes of the mean?

# %%
with style():
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, mean, title in zip(panels, (True, False), ("the mean kept", "the mean lost"), strict=True):
        for name, colour in (("lab/vit", "#b3500a"), ("lab/resnet", "#1c66ad")):
            *_, (_, found) = crossings(sit(name, "coffee"), mean=mean)
            line = {"ms": 4, "color": colour}
            axes.semilogx(found.cutoffs, found.coarse_stays, "o-", label=f"{name}, coarse", **line)
            axes.semilogx(found.cutoffs, found.fine_stays, "s--", label=f"{name}, fine", **line)
            print(f"{name:12} {title}: they cross at {found.where:.3f} cycles per pixel")
        axes.set(xlabel="cutoff (cycles per pixel)", title=f"{title} on both sides")
        axes.set_xticks([0.03, 0.1, 0.3], labels=["0.03", "0.1", "0.3"])
        axes.minorticks_off()
    panels[0].set(ylabel="share of 14 photos whose answer stays", ylim=(0, 1.03))
    panels[0].legend(fontsize=8)
figure

# %% [markdown]
# <details><summary>What to make of it</summary>
#
# With the mean on both sides *lab/vit* crosses at 0.07, *lab/resnet* at 0.13 cycles per pixel: the convolutional network hangs on finer waves, as one reads.
# **Without the mean both cross at 0.18, and the difference is gone.** (Where curves meet more than once, as on the right, the last time counts.) These are 14 photos, one of them is 7 points, so read no second digit; a claim that turns on such a
# switch should be reported with it, or not at all.
#
# Take care with untrained models: choose *lab/vit, untrained* on the desk and ask. No half of any photo changes its answer, both curves lie at 100 %: it says
# the same of everything.
# </details>
#
# ## Your own picture
#
# Go back to the desk and press **a picture of yours**. Before you drag: which share of its variance lies below 0.1, is it a thing or a texture? The
# room *Frequency* of the lab (`labkit app`) does all of this with any timm model.
#
# ## Read on
#
# * Field, *Relations between the statistics of natural images and the response properties of cortical cells*, JOSA A 1987: the line of $1/f$.
# * Yin et al., *A Fourier Perspective on Model Robustness in Computer Vision*, NeurIPS 2019: filtered and perturbed inputs.
# * Park & Kim, *How Do Vision Transformers Work?*, ICLR 2022: attention as a low-pass, convolutions as a high-pass.
# * Wang et al., *Anti-Oversmoothing in Deep Vision Transformers via the Fourier Domain Analysis*, ICLR 2022: the theorem, and two remedies.
#
# The answers to the exercises are in `solutions/exercises_04.py`, each with its reason.
