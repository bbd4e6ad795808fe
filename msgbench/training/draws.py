"""What a step draws: latents, noise, mixed styles, where the gradient penalty looks; by (seed, cur_nimg, purpose).

Everything is drawn for the whole batch, and a process or micro-batch takes what belongs to its samples, so that
splitting a step changes nothing that is random.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from msgbench.config import GRADIENT_PENALTIES, RunSpec
from msgbench.device import sent
from msgbench.models.generator import draw_noise
from msgbench.models.stylegan import StyleGANGenerator, StyleMixing
from msgbench.seeding import derive_seed
from msgbench.training.networks import seeded
from msgbench.training.share import Part


@dataclass(frozen=True)
class GeneratorInputs:
    """Latents [N, latent_size] and what else a generator is given for them."""

    z: Tensor
    noise: tuple[Tensor, ...]
    mixing: StyleMixing | None = None

    def of(self, part: Part) -> GeneratorInputs:
        """Those of the samples in `part`."""
        if part.is_whole:
            return self
        mixing = self.mixing and StyleMixing(part.of(self.mixing.z), self.mixing.cutoff)
        return GeneratorInputs(
            part.of(self.z), tuple(part.of(noise) for noise in self.noise), mixing
        )

    def generate(self, G: nn.Module) -> list[Tensor]:
        """The images of `G` for them, lowest resolution first."""
        more = () if self.mixing is None else (self.mixing,)
        images: list[Tensor] = G(self.z, self.noise, *more)
        return images


def generator_inputs(
    G: nn.Module, run: RunSpec, batch: int, cur_nimg: int, step: str, latents: str | None = None
) -> GeneratorInputs:
    """For a whole batch in the `step` of "d" or "g", styles mixed as the spec says.

    `latents`: the step whose latents are taken, which the first version's generator shares with the discriminator's.
    """
    device = next(G.parameters()).device
    z = draw_latents(run, batch, cur_nimg, f"latents-{latents or step}", device)
    noise = noise_of(G, run, batch, cur_nimg, f"noise-{step}")
    return GeneratorInputs(z, noise, style_mixing(G, run, z, cur_nimg, f"mixing-{step}"))


def style_mixing(
    G: nn.Module, run: RunSpec, z: Tensor, cur_nimg: int, purpose: str
) -> StyleMixing | None:
    """With probability loss.style_mixing other latents for a random number of the last layers, for the whole batch.

    As in StyleGAN's code: the first layer that follows them is uniform from 1 to the last one that is active now.
    """
    probability = run.spec.loss.style_mixing
    if probability == 0:
        return None
    assert isinstance(G, StyleGANGenerator), (
        "a checked spec mixes styles of StyleGAN's generator alone"
    )
    generator = seeded(run.seed, cur_nimg, purpose)
    if float(torch.rand((), generator=generator)) >= probability:
        return None
    cutoff = int(torch.randint(1, G.num_layers, (), generator=generator))
    other = draw_latents(run, len(z), cur_nimg, f"{purpose}-latents", z.device)
    return StyleMixing(other, cutoff)


def mixing(
    run: RunSpec, batch: int, scales: int, cur_nimg: int, device: torch.device
) -> Tensor | None:
    """Where between real and fake the gradient penalty looks: uniform [N], or [N, S] with one for each scale."""
    spec = run.spec.loss
    if spec.penalty not in GRADIENT_PENALTIES:
        return None
    shape = (batch,) if spec.gp_mixing == "shared" else (batch, scales)
    return sent(torch.rand(shape, generator=seeded(run.seed, cur_nimg, "interpolation")), device)


def draw_latents(
    run: RunSpec, batch: int, cur_nimg: int, purpose: str, device: torch.device
) -> Tensor:
    """Standard normal latents [batch, latent_size] of one moment (the generator puts them on the sphere)."""
    z = torch.randn(
        batch, run.spec.model.latent_size, generator=seeded(run.seed, cur_nimg, purpose)
    )
    return sent(z, device)


def noise_of(
    G: nn.Module, run: RunSpec, batch: int, cur_nimg: int, purpose: str
) -> tuple[Tensor, ...]:
    """Noise of one moment for the layers of G that take any; never reused, also where latents are.

    On a GPU it is drawn there: a step at 256 px with 32 images takes 11 million numbers, 0.1 s of two CPU cores.
    """
    device = next(G.parameters()).device
    generator = torch.Generator(device if device.type == "cuda" else "cpu")
    generator.manual_seed(derive_seed(run.seed, cur_nimg, purpose))
    return tuple(draw_noise(G, batch, generator, device))
