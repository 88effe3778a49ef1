"""How the selective scan is made fast in plain torch: in blocks of tokens, with its gradient written out.

- All decays a_t = exp(Δ_t A) of a block are made at once, and all that is written; then h_t += a_t ∘ h_(t-1) is left.
- That goes in pairs: the second of each pair takes in the first, the seconds alone are a sequence of half the length,
  and then each other first takes in the second before it. Down to a few tokens, which go one by one.
- The block's last state starts the next. The backward pass is given these states alone, and makes the others again.

Only products of decays occur, at most 1 where A is negative: no sums of logarithms, nothing that overflows.

Source of the pairs: Blelloch, "Prefix Sums and Their Applications", 1990; of making states again: Gu & Dao 2023, 3.3.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

CACHE, MEMORY = 2**18, 2**25
"""So many numbers have the states of a block: on a CPU they stay in its caches, on a GPU they are 128 MB in float32."""
ONE_BY_ONE = 16
"""So few tokens are as cheap one by one as in pairs, on a CPU; on a GPU calls are dear: pairs to the end."""
LOG2E = 1 / math.log(2)
"""For torch's exp2, which takes a quarter of the time of its exp on a CPU, and is as exact."""

Call = Callable[[], object]


class ScanInBlocks(torch.autograd.Function):
    """y `l b d` of x and step `l b d`, write and read `l b n`, rate `n d`; without the skip."""

    @staticmethod
    @torch.no_grad()  # torch.export comes here with gradients on
    def forward(ctx, x, step, write, read, rate, block):
        block = _block(x, len(rate)) if block is None else min(block, len(x))
        decays, states = _buffers(x, rate, block, block + 1)
        states[0] = 0  # row t + 1 holds the state after token t
        steps = _steps(decays, states)
        y, starts = torch.empty_like(x), []
        for x_, step_, write_, read_, y_ in zip(*_cut(block, x, step, write, read, y), strict=True):
            if len(y_) < len(decays):
                decays, states = decays[: len(y_)], states[: len(y_) + 1]
                steps = _steps(decays, states)
            starts.append(states[0].clone())
            _fill(decays, states, step_, rate * LOG2E, step_ * x_, write_)
            _run(steps)
            states[0].copy_(states[-1])
            # Not matmul: one small product a token, which with few states takes three times as long as this.
            torch.sum(states[1:].mul_(read_[..., None]), dim=2, out=y_)
        ctx.block = block
        ctx.save_for_backward(x, step, write, read, rate, torch.stack(starts))
        return y

    @staticmethod
    def backward(ctx, dy):
        """From the last block to the first: g_t = C_t dy_t + a_(t+1) g_(t+1) is the gradient of h_t."""
        if torch.is_grad_enabled():  # torch's once_differentiable would let second derivatives pass as zero
            raise RuntimeError("selective_scan is differentiable once; for create_graph=True take recurrence instead.")
        x, step, write, read, rate, starts = ctx.saved_tensors
        dy = dy.contiguous()
        decays, states, grads, through, by_rate = _buffers(x, rate, *[ctx.block + 1] * 3, *[ctx.block] * 2)
        by_rate.zero_()
        decay_later, grad_later = torch.zeros_like(starts[0]), torch.zeros_like(starts[0])
        dx, dstep, dwrite, dread = (torch.empty_like(value) for value in (x, step, write, read))
        outside = _cut(ctx.block, x, step, write, read, dy, dx, dstep, dwrite, dread)
        size = 0
        for start, *pieces in reversed([*zip(starts, *outside, strict=True)]):
            x_, step_, write_, read_, dy_, dx_, dstep_, dwrite_, dread_ = pieces
            if len(dy_) != size:
                size = len(dy_)
                a, h, g, q = decays[: size + 1], states[: size + 1], grads[: size + 1], through[:size]
                forth, back = _steps(a[:-1], h), _steps(a[1:], g, back=True)
            h[0].copy_(start)
            taken = step_ * x_
            _fill(a[:-1], h, step_, rate * LOG2E, taken, write_)
            _run(forth)
            a[-1].copy_(decay_later)
            g[-1].copy_(grad_later)
            torch.mul(dy_[:, :, None], read_[..., None], out=g[:-1])
            _run(back)
            decay_later.copy_(a[0])
            grad_later.copy_(g[0])
            torch.sum(torch.mul(h[1:], dy_[:, :, None], out=q), dim=3, out=dread_)
            torch.sum(torch.mul(g[:-1], taken[:, :, None], out=q), dim=3, out=dwrite_)
            dtaken = torch.mul(g[:-1], write_[..., None], out=q).sum(dim=2)
            torch.mul(a[:-1], h[:-1], out=q).mul_(g[:-1])
            by_rate[:size].addcmul_(q, step_[:, :, None])
            torch.sum(q.mul_(rate), dim=2, out=dstep_)
            dstep_.addcmul_(dtaken, x_)
            torch.mul(dtaken, step_, out=dx_)
        return dx, dstep, dwrite, dread, by_rate.sum(dim=(0, 1)), None


def _fill(decays: Tensor, states: Tensor, step: Tensor, rate: Tensor, taken: Tensor, write: Tensor) -> None:
    """The decays of a block, for a rate in powers of two, and in each state what its token writes: `l b n d`."""
    torch.mul(step[:, :, None], rate, out=decays).exp2_()
    torch.mul(taken[:, :, None], write[..., None], out=states[1:])


def _steps(between: Tensor, rows: Tensor, *, back: bool = False) -> list[Call]:
    """The calls that add between[t] ∘ rows[t] to rows[t + 1], first to last; back: rows[t + 1] to rows[t], last first.

    `between` has one row less than `rows`, and stays as it is. The calls are made once and run for every block, since
    the buffers are the same.
    """
    n = len(rows)
    if n <= (ONE_BY_ONE if rows.device.type == "cpu" else 2):
        edges, row = between.unbind(0), rows.unbind(0)
        if back:
            return [partial(row[t].addcmul_, edges[t], row[t + 1]) for t in reversed(range(n - 1))]
        return [partial(row[t + 1].addcmul_, edges[t], row[t]) for t in range(n - 1)]

    def every_second(start: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        one, next_ = rows[start::2][:count], rows[start + 1 :: 2][:count]
        to, of = (one, next_) if back else (next_, one)
        return to, between[start::2][:count], of

    start = n % 2 if back else 0
    seconds, edges, firsts = every_second(start, n // 2)
    others = every_second(1 - start, (n - 1) // 2)
    across = n % 2 if back else 1
    left, right = (between[place::2][: n // 2 - 1] for place in (across, across + 1))
    both = torch.empty_like(left, memory_format=torch.contiguous_format)
    return [
        partial(seconds.addcmul_, edges, firsts),
        partial(torch.mul, left, right, out=both),
        *_steps(both, seconds, back=back),
        partial(others[0].addcmul_, *others[1:]),
    ]


def _run(calls: list[Call]) -> None:
    for call in calls:
        call()


def _block(x: Tensor, n: int) -> int:
    """How many tokens `l b d`, with n states a channel, are worked on at once: at least eight, at most all."""
    budget = CACHE if x.device.type == "cpu" else MEMORY
    return min(len(x), max(8, budget // (x[0].numel() * n)))


def _buffers(x: Tensor, rate: Tensor, *rows: int) -> list[Tensor]:
    return [x.new_empty(count, x.shape[1], *rate.shape) for count in rows]


def _cut(block: int, *values: Tensor) -> list[tuple[Tensor, ...]]:
    return [value.split(block) for value in values]
