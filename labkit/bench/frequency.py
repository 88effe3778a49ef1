"""Spectra of all layers, and the response of all attention, over the plain forward pass."""

from __future__ import annotations

import torch

from labkit.bench import Case

IMAGES = 8


def cases(device: str) -> list[Case]:
    """The spectra of all layers of timm's vit_tiny_patch16_224 (batch 8, 224 pixels).

    Floor: the forward pass. Peer: Park & Kim's steps by hand, on the outputs that hooks keep: the half diagonal alone.
    """
    import timm

    from labkit.probes.frequency import spectra

    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224").eval().to(device)
    images = torch.randn(IMAGES, 3, 224, 224, device=device)

    def plain() -> list[torch.Tensor]:
        kept: list[torch.Tensor] = []
        hooks = [block.register_forward_hook(lambda module, args, out: kept.append(out)) for block in model.blocks]
        with torch.inference_mode():
            model(images)
        for hook in hooks:
            hook.remove()
        return kept

    def by_hand() -> None:
        for value in plain():
            latent = value[:, 1:].mT.unflatten(-1, (14, 14))
            log = (torch.fft.fft2(latent).abs() + 1e-6).log()
            log = torch.roll(log, (7, 7), dims=(2, 3)).mean(dim=(0, 1)).diag()[7:]
            log - log[0]

    return [Case("spectra", 1.25, plain, lambda: spectra(model, images), "half diagonals by hand", by_hand)]
