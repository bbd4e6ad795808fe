"""What a discriminator step minimises: adversarial term, penalty and drift, as a LossSpec says.

With the paper's WGAN-GP (MSG-ProGAN):
L_D = E[D(fake)] - E[D(real)] + gp_weight / target^2 * penalty + drift_weight * E[D(real)^2]
(WGAN-GP, equation 3; ProGAN, appendix A.1; penalty averaged over scales as the paper's section 2).
With R1 (MSG-StyleGAN): E[softplus(f)] + E[softplus(-r)] + r1_gamma / 2 * R1.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

from torch import Tensor

from msgbench.config import LossSpec
from msgbench.losses.adversarial import d_loss
from msgbench.losses.penalties import (
    Discriminator,
    ScoreGradients,
    by_enlarged_pixels,
    connected_inputs,
    drift,
    mixed,
    norm_penalty,
    norms_of,
    r1_penalty,
    score_gradients,
)

# The adversarial term of scores [N] of reals and of fakes.
AdversarialTerm = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class DiscriminatorLoss:
    """What a discriminator step minimises, and what it reports.

    `terms` are the weighted addends by name (`adversarial`, `gradient_penalty` or `r1`, `drift`; those of weight
    0 or not asked for are missing): their sum is `total`. The other fields are detached: `gradient_norms`
    [N, S], where column s belongs to resolution `penalised[s]` (no columns without a penalty, and only the largest
    scale's with `gp_norm: top`), `real_scores` [N],
    `fake_scores` [N].
    """

    total: Tensor
    terms: dict[str, Tensor]
    gradient_norms: Tensor
    penalised: tuple[int, ...]
    real_scores: Tensor
    fake_scores: Tensor


def discriminator_loss(
    D: Discriminator,
    reals: Sequence[Tensor],
    fakes: Sequence[Tensor],
    u: Tensor | None,
    spec: LossSpec,
    connected: Collection[int] | None = None,
    adversarial: AdversarialTerm | None = None,
    enlarged: int = 1,
) -> DiscriminatorLoss:
    """Loss of one discriminator step.

    `reals`, `fakes`: lists of [N, 3, R, R], lowest resolution first; `u`: [N] or [N, S] in [0, 1], read by the
    gradient penalties alone; `connected`: resolutions that D uses, None = all; `adversarial`: the adversarial term of
    scores of reals and fakes, where these are but a part of what it compares (None: the spec's); `enlarged`: the
    penalty's gradients are by the pixels of images so many times as wide and high (the growing baselines' penalties see
    images of the full resolution at all times). Gradients stop at the fakes: nothing reaches G.
    For R1 with total derivatives the reals must be one chained pyramid whose top requires gradients.
    The gradient penalty's weight is divided by target^2, as in ProGAN's code, so that the term keeps its size when
    the target is not 1.
    """
    if spec.penalty == "r1":
        reals = _r1_inputs(reals, spec)
    outputs = discriminator_outputs(D, reals, fakes, u, spec, connected, enlarged)
    return summed_up(outputs, spec, penalised_scales(reals, spec, connected), adversarial)


class Outputs(NamedTuple):
    """What D says of a batch: scores [N] of reals and fakes, and of the penalised gradients their norms [N, S].

    `penalty` is unweighted; None without one.
    """

    real_scores: Tensor
    fake_scores: Tensor
    norms: Tensor
    penalty: Tensor | None


def discriminator_outputs(
    D: Discriminator,
    reals: Sequence[Tensor],
    fakes: Sequence[Tensor],
    u: Tensor | None,
    spec: LossSpec,
    connected: Collection[int] | None = None,
    enlarged: int = 1,
    score_gradients: ScoreGradients = score_gradients,
) -> Outputs:
    """All that costs time in `discriminator_loss`, whose arguments these are: the networks' passes and the penalty.

    `score_gradients`: how scores and their gradients by the inputs are computed (penalties.py by autograd,
    functional.py in the form that can be compiled).
    """
    fakes = [fake.detach() for fake in fakes]
    if spec.penalty == "r1":
        real_scores, gradients = score_gradients(D, reals, connected)
        fake_scores = D(fakes)
        gradients = [by_enlarged_pixels(gradient, enlarged) for gradient in gradients]
        norms = norms_of([gradient.detach() for gradient in gradients])
        return Outputs(real_scores, fake_scores, norms, r1_penalty(gradients))
    real_scores = D(reals)
    fake_scores = D(fakes)
    if spec.penalty == "none":
        return Outputs(real_scores, fake_scores, real_scores.new_empty(len(real_scores), 0), None)
    assert u is not None, f"{spec.penalty} interpolates"
    if spec.gp_norm == "top":
        connected = reals[-1].shape[-1:]
    _, gradients = score_gradients(D, mixed(reals, fakes, u), connected)
    norms = by_enlarged_pixels(norms_of(gradients), enlarged)
    penalty = norm_penalty(
        norms,
        spec.gp_target,
        one_sided=spec.penalty == "one_sided",
        joint=spec.gp_norm == "joint",
    )
    return Outputs(real_scores, fake_scores, norms, penalty)


def penalised_scales(
    reals: Sequence[Tensor], spec: LossSpec, connected: Collection[int] | None
) -> tuple[int, ...]:
    """Resolutions whose gradients the penalty looks at, lowest first."""
    if spec.penalty == "none":
        return ()
    if spec.penalty != "r1" and spec.gp_norm == "top":
        connected = reals[-1].shape[-1:]
    return tuple(image.shape[-1] for image in connected_inputs(reals, connected))


def summed_up(
    outputs: Outputs,
    spec: LossSpec,
    penalised: tuple[int, ...],
    adversarial: AdversarialTerm | None = None,
) -> DiscriminatorLoss:
    """The weighted terms of what D said, and their sum; `adversarial` as in `discriminator_loss`."""
    real_scores, fake_scores, norms, penalty = outputs
    if adversarial is None:
        terms = {"adversarial": d_loss(spec.adversarial, real_scores, fake_scores)}
    else:
        terms = {"adversarial": adversarial(real_scores, fake_scores)}
    if penalty is not None and spec.penalty == "r1":
        terms["r1"] = spec.r1_gamma / 2 * penalty
    elif penalty is not None:
        terms["gradient_penalty"] = spec.gp_weight / spec.gp_target**2 * penalty
    if spec.drift_weight > 0:
        terms["drift"] = spec.drift_weight * drift(real_scores)
    return DiscriminatorLoss(
        total=reduce(Tensor.add, terms.values()),
        terms=terms,
        gradient_norms=norms.detach(),
        penalised=penalised,
        real_scores=real_scores.detach(),
        fake_scores=fake_scores.detach(),
    )


def _r1_inputs(reals: Sequence[Tensor], spec: LossSpec) -> list[Tensor]:
    if spec.r1_gradient == "partial":
        return [real.detach().requires_grad_() for real in reals]
    assert reals[-1].is_leaf, "the top of the pyramid is the leaf"
    assert all(real.requires_grad for real in reals), "total derivatives need a chained pyramid"
    return list(reals)
