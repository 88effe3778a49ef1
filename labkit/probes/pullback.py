"""Jᵀv for many v at once: the backward pass of a block, made again and again from one forward pass."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.probes.inputs import Refused
from labkit.taps import Form


class Pullback:
    """The vector-Jacobian products of y = function(x) between the tokens of y and those of x.

        pull = Pullback(block, x, before=…, after=…, wanted=196)
        gradients = pull(seeds)            # rows b n c -> rows b m c: Σ_q seeds_q · ∂y_q / ∂x_k

    wanted  how many products will be asked for; `rows` of them, at most, go into one call
    shape   (b, n, c) of y's tokens, prefix tokens left out; prefix tokens are neither asked nor asked for

    The input goes forward once, repeated `rows` times, and that graph serves every call. torch can also vectorise the
    backward pass over a single forward pass (`is_grads_batched`). It is as fast, but torch 2.15 then gives wrong
    gradients, without a word, of an eval-mode batch norm before SiLU or ReLU6 where the seeds lie channels last.
    """

    def __init__(
        self, function: Callable[[Tensor], Tensor], x: Tensor, *, before: Form, after: Form, wanted: int
    ) -> None:
        self.before, self.after, self.dtype = before, after, x.dtype
        self.shape = (len(x), prod(after.grid), after.channels)
        # As many rows as stay in the caches (beyond, each costs up to twice as much), in turns of equal length.
        budget = 2**18 if x.device.type == "cpu" else 2**26
        most = max(1, min(256, budget // max(x.numel(), prod(self.shape))))
        self.rows = -(-wanted // -(-wanted // most))
        self._x = x.detach().repeat(self.rows, *[1] * (x.ndim - 1)).requires_grad_()
        self._y = function(self._x.clone())  # a copy: the block may work in place
        found = tuple(after.to_tokens(self._y).shape)
        if found != (self.rows * len(x), *self.shape[1:]):
            raise Refused(f"the function gave {tuple(self._y.shape)} for {len(self._x)} values: expected {after}.")
        if not self._y.requires_grad:
            raise Refused("the function's output does not depend on its input: there is nothing to mix.")

    def __call__(self, seeds: Float[Tensor, "rows b n c"]) -> Float[Tensor, "rows b m c_in"]:
        """One gradient a seed, prefix tokens left out."""
        rows, b = seeds.shape[:2]
        tokens = seeds.new_zeros(self.rows * b, *seeds.shape[2:])
        tokens[: rows * b] = seeds.flatten(0, 1)
        asked = self.after.with_tokens(torch.zeros_like(self._y), tokens)
        (gradients,) = torch.autograd.grad(self._y, self._x, asked, retain_graph=True)
        return self.before.to_tokens(gradients).unflatten(0, (self.rows, b))[:rows]
