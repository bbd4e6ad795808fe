"""One discriminator step and one generator step of WGAN-GP over all scales (paper, section 2)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from msgbench.config import RunSpec
from msgbench.errors import TrainingError
from msgbench.losses.adversarial import wgan_g_loss
from msgbench.losses.wgan_gp import DiscriminatorLoss, wgan_gp_d_loss
from msgbench.training.networks import Networks, seeded
from msgbench.units import nimg_to_kimg

StepStats = dict[str, float]


def discriminator_step(
    nets: Networks, reals: Sequence[Tensor], run: RunSpec, cur_nimg: int
) -> StepStats:
    """Update D on `reals` (list of [N, 3, R, R] in [-1, 1], lowest R first) and as many fresh fakes.

    Raises TrainingError, naming term, scale and kimg, when the loss is not finite; D is then unchanged.
    """
    loss_spec, batch = run.spec.loss, len(reals[0])
    z = draw_latents(run, batch, cur_nimg, "latents-d", reals[0].device)
    u = torch.rand(batch, generator=seeded(run.seed, cur_nimg, "interpolation"))
    with torch.no_grad():
        fakes = nets.G(z)
    loss = wgan_gp_d_loss(
        nets.D,
        reals,
        fakes,
        u.to(reals[0].device),
        gp_weight=loss_spec.gp_weight,
        gp_target=loss_spec.gp_target,
        drift_weight=loss_spec.drift_weight,
    )
    stats = discriminator_stats(loss)
    if not all(math.isfinite(value) for value in stats.values()):
        raise TrainingError(_not_finite(run, cur_nimg, loss, fakes))
    nets.opt_D.zero_grad(set_to_none=True)
    loss.total.backward()
    nets.opt_D.step()
    return stats


def generator_step(nets: Networks, run: RunSpec, batch: int, cur_nimg: int) -> StepStats:
    """Update G on fresh latents through a frozen D.

    Raises TrainingError, naming scale and kimg, when the loss is not finite; G is then unchanged.
    """
    device = next(nets.G.parameters()).device
    z = draw_latents(run, batch, cur_nimg, "latents-g", device)
    with frozen(nets.D):
        fakes = nets.G(z)
        loss = wgan_g_loss(nets.D(fakes))
        value = loss.item()
        if not math.isfinite(value):
            where = _first_bad_scale(fakes) or "the scores"
            raise TrainingError(
                f"{run.run_id}: the generator loss is {value} at {nimg_to_kimg(cur_nimg):g} kimg "
                f"(first not finite in {where}); lower optimizer.lr or look at the last grids"
            )
        nets.opt_G.zero_grad(set_to_none=True)
        loss.backward()
    nets.opt_G.step()
    return {"loss_g": value}


def draw_latents(
    run: RunSpec, batch: int, cur_nimg: int, purpose: str, device: torch.device
) -> Tensor:
    """Standard normal latents [batch, latent_size] of one moment (the generator puts them on the sphere)."""
    z = torch.randn(
        batch, run.spec.model.latent_size, generator=seeded(run.seed, cur_nimg, purpose)
    )
    return z.to(device)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """No gradients for the parameters of `network`: the generator step pays only for its own."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def discriminator_stats(loss: DiscriminatorLoss) -> StepStats:
    """What a discriminator step reports: total, terms, mean scores, mean gradient norm of every scale."""
    names = ["loss_d", *loss.terms, "score_real", "score_fake"]
    values = [loss.total, *loss.terms.values(), loss.real_scores.mean(), loss.fake_scores.mean()]
    norms = loss.gradient_norms.mean(dim=0)
    numbers = torch.cat([torch.stack([value.detach() for value in values]), norms]).tolist()
    stats = dict(zip(names, numbers, strict=False))
    for index, norm in enumerate(numbers[len(names) :]):
        stats[f"gradient_norm_{4 * 2**index}px"] = norm
    return stats


def _not_finite(
    run: RunSpec, cur_nimg: int, loss: DiscriminatorLoss, fakes: Sequence[Tensor]
) -> str:
    bad = [name for name, term in loss.terms.items() if not bool(torch.isfinite(term))]
    scale = _first_bad_scale(fakes)
    if scale is None:
        columns = torch.isfinite(loss.gradient_norms).all(dim=0).tolist()
        if not all(columns):
            scale = f"the gradient at scale {4 * 2 ** columns.index(False)}"
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
