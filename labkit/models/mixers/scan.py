"""The selective scan: a memory of n numbers a channel that each token fades, writes to and reads from, in its own way.

    h_t = exp(Δ_t A) ∘ h_(t-1) + Δ_t B_t x_t          h: d n, zero before the first token
    y_t = C_t · h_t + D ∘ x_t

    in code   step Δ `b l d`   rate A `d n`   write B `b l n`   read C `b l n`   skip D `d`          x, y: `b l d`

Source: Gu & Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, equations 2 and 4; A is
discretised exactly and B by Euler, as their code does. The same numbers three ways: `recurrence` is the equation, token
by token; `scan_matrix` is the matrix that it amounts to; `selective_scan` is the one to use.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.models.mixers.scan_blocks import ScanInBlocks


def selective_scan(
    x: Tensor,
    *,
    step: Tensor,
    rate: Tensor,
    write: Tensor,
    read: Tensor,
    skip: Tensor | None = None,
    block: int | None = None,
) -> Float[Tensor, "b l d"]:
    """y of all tokens `b l d`, in time that grows with their number; differentiable in all its tensors, once.

    step    Δ, `b l d`, positive: how much a token counts; 0 leaves the memory as it is
    rate    A, `d n`, negative: the memory fades to exp(Δ A); a positive rate grows, as the equation has it
    write   B and `read` C, `b l n`: where in its memory a channel writes its token, and reads its answer
    skip    D, `d`: what passes by the memory; None: nothing
    block   tokens that are worked on at once; None: as many as fit into the caches

    Raises ValueError for shapes and dtypes that do not fit together.
    """
    _check(x, step, rate, write, read, skip, block)
    # Time first, so that a token is one piece of memory; channels last, so that every row of it is long.
    first = [value.transpose(0, 1).contiguous() for value in (x, step, write, read)]
    y = ScanInBlocks.apply(*first, rate.T.contiguous(), block).transpose(0, 1)
    return y if skip is None else y + skip * x


def recurrence(
    x: Tensor,
    *,
    step: Tensor,
    rate: Tensor,
    write: Tensor,
    read: Tensor,
    skip: Tensor | None = None,
) -> Float[Tensor, "b l d"]:
    """The same as `selective_scan`, as the equation reads: one token after the other. Slow; for comparison."""
    _check(x, step, rate, write, read, skip)
    state = x.new_zeros(len(x), *rate.shape)
    outputs = []
    for x_t, step_t, write_t, read_t in zip(*(v.unbind(1) for v in (x, step, write, read)), strict=True):
        state = (step_t[..., None] * rate).exp() * state + (step_t * x_t)[..., None] * write_t[:, None]
        outputs.append((state * read_t[:, None]).sum(dim=-1))
    y = torch.stack(outputs, dim=1)
    return y if skip is None else y + skip * x


def scan_matrix(*, step: Tensor, rate: Tensor, write: Tensor, read: Tensor) -> Float[Tensor, "b d l l"]:
    """The scan as the matrix that it is: y = M x for each channel, lower triangular; `skip` would be its diagonal.

        M[t, s] = Σ_n C_t[n] exp(A[n] (Δ_(s+1) + … + Δ_t)) Δ_s B_s[n]          s <= t

    Memory grows with the square of the tokens: for looking, on short sequences. (Ali et al., "The Hidden Attention of
    Mamba Models", 2024.)
    """
    _check(step, step, rate, write, read, None)
    faded = step.mT.cumsum(dim=-1)
    gone = (faded[..., :, None] - faded[..., None, :]).tril()  # b d t s; above the diagonal 0, so that exp stays small
    matrix = torch.zeros_like(gone)
    for n in range(rate.shape[1]):
        pairs = read[:, None, :, None, n] * write[:, None, None, :, n]
        matrix = matrix + pairs * (rate[:, n, None, None] * gone).exp()
    return (matrix * step.mT[..., None, :]).tril()


def _check(
    x: Tensor, step: Tensor, rate: Tensor, write: Tensor, read: Tensor, skip: Tensor | None, block: int | None = None
) -> None:
    """Raises ValueError with what was expected, what came, and the likely mistake."""
    if x.ndim != 3 or rate.ndim != 2 or rate.shape[0] != x.shape[2] or x.shape[1] == 0:
        raise ValueError(
            f"the scan goes over x `b l d`, with l >= 1, and has a rate `d n`; got x {tuple(x.shape)} and rate "
            f"{tuple(rate.shape)}: a map `b h w c` is made a sequence first, and A has a row for each channel."
        )
    (b, l, d), n = x.shape, rate.shape[1]  # noqa: E741  the length, as in the equation
    wanted = {"step": (b, l, d), "write": (b, l, n), "read": (b, l, n), "skip": (d,)}
    for name, value in {"step": step, "write": write, "read": read, "skip": skip}.items():
        if value is None:
            continue
        shape = tuple(value.shape)
        if shape != wanted[name]:
            turned = shape == (b, *reversed(wanted[name][1:]))
            hint = "it has its length last; transpose it" if turned else "each token has its own, in the order of x"
            raise ValueError(
                f"the scan of x {(b, l, d)} with {n} states a channel expected {name} {wanted[name]}, got {shape}: "
                f"{hint if name != 'skip' else 'it is one factor a channel'}."
            )
    if len({value.dtype for value in (x, step, rate, write, read)}) > 1 or not x.is_floating_point():
        raise ValueError(
            f"the scan works in one floating dtype, got x {x.dtype}, step {step.dtype}, rate {rate.dtype}, write "
            f"{write.dtype}, read {read.dtype}: under autocast, bring all to float32 first."
        )
    if block is not None and block < 1:
        raise ValueError(f"selective_scan(block={block}): expected at least one token at once, or None.")
