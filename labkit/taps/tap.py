"""The named identity through which our own models show a value worth seeing."""

from __future__ import annotations

from torch import Tensor, nn

AXES = ("b heads q k", "b n c", "b c h w")


class Tap(nn.Identity):
    """`self.attn = Tap("b heads q k")`: hands its input on, and says what the axes of that value mean.

    axes   "b heads q k"  attention after the softmax, rows (q) over keys (k)
           "b n c"        tokens after a block
           "b c h w"      a feature map after a block
    """

    def __init__(self, axes: str) -> None:
        super().__init__()
        if axes not in AXES:
            raise ValueError(f"Tap({axes!r}): expected one of {', '.join(map(repr, AXES))}.")
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x

    def extra_repr(self) -> str:
        return repr(self.axes)
