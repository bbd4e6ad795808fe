"""Penalties on the discriminator: gradient penalty averaged over scales, and drift. Unweighted.

Paper, section 2: "we modified the gradient penalty to be the average of the penalties over each
input". Written with torch.autograd (double backward): the reference for any faster form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Discriminator = Callable[[Sequence[Tensor]], Tensor]


def interpolate(reals: Sequence[Tensor], fakes: Sequence[Tensor], u: Tensor) -> list[Tensor]:
    """x_hat_s = u * real_s + (1 - u) * fake_s at every scale s (WGAN-GP, algorithm 1, line 6).

    `reals`, `fakes`: lists of [N, 3, R, R]; `u`: [N] in [0, 1]. The u of a sample is shared by all
    of its scales, so that x_hat is one image seen at several scales. The results are leaves
    that require gradients: no scale is a function of another one.
    """
    assert u.shape == (len(reals[0]),), f"one u per sample, not {tuple(u.shape)}"
    x_hats = []
    for real, fake in zip(reals, fakes, strict=True):
        assert real.shape == fake.shape, f"{tuple(real.shape)} against {tuple(fake.shape)}"
        mix = u.to(real.dtype).view(-1, *[1] * (real.dim() - 1))
        x_hats.append((mix * real + (1 - mix) * fake).detach().requires_grad_())
    return x_hats


def gradient_norms(D: Discriminator, x_hats: Sequence[Tensor]) -> Tensor:
    """||d(sum of scores) / d x_hat_s||_2 of every sample and scale: [N, S], differentiable.

    The sum over the batch is ProGAN's choice: with MinBatchStd in D a sample's gradient also holds
    its effect on the scores of its group.

    The norm of a zero gradient is 0, and its derivative is taken as 0 (the subgradient that
    torch.linalg.vector_norm uses): a dead sample contributes (0 - target)^2 to a penalty and
    nothing to the gradient of the parameters, never NaN. No epsilon stands under the root, so that
    norms are exact. In float32, squares lose digits for norms below 1e-19, where the norm is noise.
    """
    scores = D(x_hats)
    gradients = torch.autograd.grad(scores.sum(), list(x_hats), create_graph=True)
    return torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients], dim=1)


def norm_penalty(norms: Tensor, target: float) -> Tensor:
    """Mean over samples of (1/S) sum_s (norm_s - target)^2, of `norms` [N, S] (paper, section 2)."""
    return (norms - target).square().mean(dim=1).mean()


def gradient_penalty(
    D: Discriminator,
    reals: Sequence[Tensor],
    fakes: Sequence[Tensor],
    u: Tensor,
    target: float = 1.0,
) -> Tensor:
    """Two-sided gradient penalty, averaged over scales and batch, without its weight.

    `reals`, `fakes`: lists of [N, 3, R, R], lowest resolution first; `u`: [N] in [0, 1]. Only inputs
    that D uses may be given: torch raises RuntimeError for a scale that D does not look at.
    """
    return norm_penalty(gradient_norms(D, interpolate(reals, fakes, u)), target)


def drift(real_scores: Tensor) -> Tensor:
    """Mean square of the scores [N] of reals, which keeps them near 0 (ProGAN, appendix A.1)."""
    return real_scores.square().mean()
