"""One discriminator step and one generator step over all scales, with the losses of the run's spec."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from msgbench.config import GRADIENT_PENALTIES, RunSpec
from msgbench.data.pyramid import real_pyramid
from msgbench.errors import TrainingError
from msgbench.losses.adversarial import g_loss
from msgbench.losses.discriminator import DiscriminatorLoss, discriminator_loss
from msgbench.models.generator import draw_noise
from msgbench.models.stylegan import StyleGANGenerator, StyleMixing
from msgbench.seeding import derive_seed
from msgbench.training.networks import Networks, seeded
from msgbench.units import nimg_to_kimg

StepStats = dict[str, float]


def discriminator_step(
    nets: Networks, reals: Sequence[Tensor], run: RunSpec, cur_nimg: int
) -> StepStats:
    """Update D on `reals` (list of [N, 3, R, R] in [-1, 1], lowest R first) and as many fresh fakes.

    Raises TrainingError, naming term, scale and kimg, when the loss is not finite; D is then unchanged.
    """
    batch, device = len(reals[0]), reals[0].device
    z = draw_latents(run, batch, cur_nimg, "latents-d", device)
    u = mixing(run, reals, cur_nimg)
    with torch.no_grad():
        fakes = generate(nets, run, z, cur_nimg, "d")
    reals = penalty_inputs(reals, run)
    loss = discriminator_loss(
        nets.D, reals, fakes, u, run.spec.loss, connected_scales(nets.D), enlarged(reals, run)
    )
    stats = discriminator_stats(loss)
    if not all(math.isfinite(value) for value in stats.values()):
        raise TrainingError(_not_finite(run, cur_nimg, loss, fakes))
    nets.opt_D.zero_grad(set_to_none=True)
    loss.total.backward()
    nets.opt_D.step()
    return stats


def generator_step(
    nets: Networks,
    run: RunSpec,
    batch: int,
    cur_nimg: int,
    reals: Sequence[Tensor] | None = None,
) -> StepStats:
    """Update G as `generator_gradients` says, with the same arguments and errors."""
    stats = generator_gradients(nets, run, batch, cur_nimg, reals)
    nets.opt_G.step()
    return stats


def generator_gradients(
    nets: Networks,
    run: RunSpec,
    batch: int,
    cur_nimg: int,
    reals: Sequence[Tensor] | None = None,
) -> StepStats:
    """Gradients of G through a frozen D, on fresh latents or on those of the discriminator step, as the spec says.

    `reals` (list of [N, 3, R, R] in [-1, 1], lowest R first) are needed by the relativistic losses alone. Raises
    TrainingError, naming scale and kimg, when the loss is not finite; G is then unchanged.
    """
    spec = run.spec.loss
    device = next(nets.G.parameters()).device
    purpose = "latents-g" if spec.generator_batch == "fresh" else "latents-d"
    z = draw_latents(run, batch, cur_nimg, purpose, device)
    with frozen(nets.D):
        fakes = generate(nets, run, z, cur_nimg, "g")
        real_scores = None
        if spec.relativistic:
            assert reals is not None, f"{spec.adversarial} needs reals in the generator step"
            real_scores = nets.D(reals)
        loss = g_loss(spec.adversarial, nets.D(fakes), real_scores)
        value = loss.item()
        if not math.isfinite(value):
            where = _first_bad_scale(fakes) or "the scores"
            raise TrainingError(
                f"{run.run_id}: the generator loss is {value} at {nimg_to_kimg(cur_nimg):g} kimg "
                f"(first not finite in {where}); lower optimizer.lr or look at the last grids"
            )
        nets.opt_G.zero_grad(set_to_none=True)
        loss.backward()
    return {"loss_g": value}


def both_steps(
    nets: Networks,
    reals: Sequence[Tensor],
    run: RunSpec,
    cur_nimg: int,
    beside: Sequence[Tensor] | None = None,
) -> StepStats:
    """One step of each network: the discriminator on `reals`, then the generator, with reals `beside` its fakes.

    Where the spec says `joint`, the generator's gradients go through the discriminator as it was before the step.
    """
    batch = len(reals[0])
    if run.spec.loss.generator_batch != "joint":
        stats = discriminator_step(nets, reals, run, cur_nimg)
        return stats | generator_step(nets, run, batch, cur_nimg, beside)
    of_generator = generator_gradients(nets, run, batch, cur_nimg, beside)
    stats = discriminator_step(nets, reals, run, cur_nimg)
    nets.opt_G.step()
    return stats | of_generator


def generate(nets: Networks, run: RunSpec, z: Tensor, cur_nimg: int, step: str) -> list[Tensor]:
    """Images of the training generator for latents `z` in the `step` of "d" or "g", styles mixed as the spec says."""
    noise = noise_of(nets.G, run, len(z), cur_nimg, f"noise-{step}")
    mixed = style_mixing(nets.G, run, z, cur_nimg, f"mixing-{step}")
    images: list[Tensor] = nets.G(z, noise) if mixed is None else nets.G(z, noise, mixed)
    return images


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


def enlarged(reals: Sequence[Tensor], run: RunSpec) -> int:
    """How many times the penalty's pixels are as many in a row as those of `reals`: 1 but in a growing training."""
    growing = run.spec.growing
    if growing is None or growing.penalty_pixels == "shown":
        return 1
    return run.spec.model.resolution // reals[-1].shape[-1]


def connected_scales(D: nn.Module) -> tuple[int, ...] | None:
    """Resolutions whose images D uses, lowest first; None = all."""
    return getattr(D, "connected", None)


def penalty_inputs(reals: Sequence[Tensor], run: RunSpec) -> Sequence[Tensor]:
    """`reals` as the penalty needs them: for R1 with total derivatives one chain from a top that has gradients."""
    spec = run.spec.loss
    if spec.penalty == "r1" and spec.r1_gradient == "total":
        top = reals[-1].detach().requires_grad_()
        return [top] if run.spec.growing else real_pyramid(top)
    return reals


def mixing(run: RunSpec, reals: Sequence[Tensor], cur_nimg: int) -> Tensor | None:
    """Where between real and fake the gradient penalty looks: uniform [N], or [N, S] with one for each scale."""
    spec = run.spec.loss
    if spec.penalty not in GRADIENT_PENALTIES:
        return None
    shape = (len(reals[0]),) if spec.gp_mixing == "shared" else (len(reals[0]), len(reals))
    u = torch.rand(shape, generator=seeded(run.seed, cur_nimg, "interpolation"))
    return u.to(reals[0].device)


def draw_latents(
    run: RunSpec, batch: int, cur_nimg: int, purpose: str, device: torch.device
) -> Tensor:
    """Standard normal latents [batch, latent_size] of one moment (the generator puts them on the sphere)."""
    z = torch.randn(
        batch, run.spec.model.latent_size, generator=seeded(run.seed, cur_nimg, purpose)
    )
    return z.to(device)


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


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """No gradients for the parameters of `network`: the generator step pays only for its own."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def discriminator_stats(loss: DiscriminatorLoss) -> StepStats:
    """What a discriminator step reports: total, terms, mean scores, mean gradient norm of every penalised scale."""
    names = ["loss_d", *loss.terms, "score_real", "score_fake"]
    values = [loss.total, *loss.terms.values(), loss.real_scores.mean(), loss.fake_scores.mean()]
    norms = loss.gradient_norms.mean(dim=0)
    numbers = torch.cat([torch.stack([value.detach() for value in values]), norms]).tolist()
    stats = dict(zip(names, numbers, strict=False))
    for resolution, norm in zip(loss.penalised, numbers[len(names) :], strict=True):
        stats[f"gradient_norm_{resolution}px"] = norm
    return stats


def _not_finite(
    run: RunSpec, cur_nimg: int, loss: DiscriminatorLoss, fakes: Sequence[Tensor]
) -> str:
    bad = [name for name, term in loss.terms.items() if not bool(torch.isfinite(term))]
    scale = _first_bad_scale(fakes)
    if scale is None:
        columns = torch.isfinite(loss.gradient_norms).all(dim=0).tolist()
        if not all(columns):
            scale = f"the gradient at scale {loss.penalised[columns.index(False)]}"
    return (
        f"{run.run_id}: the discriminator loss is not finite at {nimg_to_kimg(cur_nimg):g} kimg "
        f"(term {', '.join(bad) or 'total'}, first in {scale or 'the scores'}); "
        "lower optimizer.lr or look at the last grids"
    )


def _first_bad_scale(images: Sequence[Tensor]) -> str | None:
    for image in images:
        if not bool(torch.isfinite(image).all()):
            return f"the generated images at scale {image.shape[-1]}"
    return None
