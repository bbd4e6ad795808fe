"""The complete critic loss of MSG-ProGAN: WGAN-GP over all scales, with drift.

L_D = E[D(fake)] - E[D(real)] + gp_weight / target^2 * penalty + drift_weight * E[D(real)^2]
(WGAN-GP, equation 3; ProGAN, appendix A.1; penalty averaged over scales as the paper's section 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from msgbench.losses.adversarial import wgan_d_loss
from msgbench.losses.penalties import (
    Discriminator,
    drift,
    gradient_norms,
    interpolate,
    norm_penalty,
)


@dataclass(frozen=True)
class DiscriminatorLoss:
    """What a discriminator step minimises, and what it reports.

    `terms` are the weighted addends by name: their sum is `total`. The other fields are detached:
    `gradient_norms` [N, S] (column s is the s-th lowest scale), `real_scores` [N], `fake_scores` [N].
    """

    total: Tensor
    terms: dict[str, Tensor]
    gradient_norms: Tensor
    real_scores: Tensor
    fake_scores: Tensor


def wgan_gp_d_loss(
    D: Discriminator,
    reals: Sequence[Tensor],
    fakes: Sequence[Tensor],
    u: Tensor,
    *,
    gp_weight: float = 10.0,
    gp_target: float = 1.0,
    drift_weight: float = 0.001,
) -> DiscriminatorLoss:
    """Loss of one discriminator step; terms `adversarial`, `gradient_penalty`, `drift`.

    `reals`, `fakes`: lists of [N, 3, R, R], lowest resolution first; `u`: [N] in [0, 1]. Gradients
    stop at the fakes: nothing reaches G. The penalty's weight is divided by target^2, as in
    ProGAN's code, so that the term keeps its size when the target is not 1.
    """
    fakes = [fake.detach() for fake in fakes]
    real_scores = D(reals)
    fake_scores = D(fakes)
    norms = gradient_norms(D, interpolate(reals, fakes, u))
    terms = {
        "adversarial": wgan_d_loss(real_scores, fake_scores),
        "gradient_penalty": gp_weight / gp_target**2 * norm_penalty(norms, gp_target),
        "drift": drift_weight * drift(real_scores),
    }
    return DiscriminatorLoss(
        total=terms["adversarial"] + terms["gradient_penalty"] + terms["drift"],
        terms=terms,
        gradient_norms=norms.detach(),
        real_scores=real_scores.detach(),
        fake_scores=fake_scores.detach(),
    )
