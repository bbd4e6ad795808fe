"""The step of the authors' PyTorch code (BMSG-GAN), from a checkout of it, to be timed beside ours.

Nothing of it is here.

Their recipe of the first version: networks of their code, relativistic average hinge loss, Adam, average 0.999, and the
same latents and images for both updates. Their program as it is trains from files; its two updates are called here.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from msgbench.errors import ConfigError
from msgbench.training.networks import seeded

LATENT_SIZE = 512
SOURCES = "sourcecode"


def authors_label(checkout: Path) -> str:
    """`authors' code COMMIT`; raises ConfigError when `checkout` holds no such code."""
    if not (checkout / SOURCES / "MSG_GAN" / "GAN.py").exists():
        raise ConfigError(
            f"--beside: {str(checkout)!r} is not allowed; allowed: a checkout of BMSG-GAN, with "
            f"{SOURCES}/MSG_GAN/GAN.py"
        )
    said = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "--short=7", "HEAD"],
        capture_output=True,
        text=True,
    )
    return f"authors' code {said.stdout.strip() or '(unknown commit)'}"


def authors_step(
    checkout: Path, resolution: int, batch: int, device: torch.device
) -> Callable[[], None]:
    """One update of their discriminator and one of their generator, float32, on made-up images."""
    sys.path.insert(0, str(checkout / SOURCES))
    try:
        from MSG_GAN.GAN import MSG_GAN  # type: ignore[import-not-found]
        from MSG_GAN.Losses import (  # type: ignore[import-not-found]
            RelativisticAverageHingeGAN,
        )
    finally:
        sys.path.pop(0)
    depth = resolution.bit_length() - 2
    gan = MSG_GAN(depth=depth, latent_size=LATENT_SIZE, device=device)
    gan.gen.train()
    gan.dis.train()
    loss = RelativisticAverageHingeGAN(gan.dis)
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=0.003, betas=(0.0, 0.99))
        for network in (gan.gen, gan.dis)
    ]
    generator = seeded(0, 0, "bench")
    x = (torch.rand(batch, 3, resolution, resolution, generator=generator) * 2 - 1).to(device)

    def step() -> None:
        images = [F.avg_pool2d(x, 2**level) if level else x for level in reversed(range(depth))]
        z = torch.randn(batch, LATENT_SIZE, generator=generator).to(device)
        z = z / z.norm(dim=-1, keepdim=True) * LATENT_SIZE**0.5
        gan.optimize_discriminator(optimizers[1], z, images, loss)
        gan.optimize_generator(optimizers[0], z, images, loss)

    return step
