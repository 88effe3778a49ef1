"""The device a command runs on."""

from __future__ import annotations

from labkit.commands._output import BadInput


def checked(device: str | None) -> str:
    """The device's name if it can be used, CUDA where there is one for None; BadInput says what there is instead."""
    import torch

    there = ["cpu", *(["cuda"] if torch.cuda.is_available() else []), *(["mps"] if torch.mps.is_available() else [])]
    if device is None:
        return "cuda" if "cuda" in there else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BadInput(f"--device {device}: not on this machine, which has {' and '.join(there)}.") from error
    return device
