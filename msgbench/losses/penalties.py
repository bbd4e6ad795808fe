"""Penalties on the discriminator: gradient penalty and R1, averaged over its inputs, and drift. Unweighted.

Paper, section 2: "we modified the gradient penalty to be the average of the penalties over each
input". Inputs are the scales that D is connected to; others have no gradient and are left out of the mean. (Which
inputs count is the caller's choice: `gp_norm: top` names the largest alone.)
Written with torch.autograd (double backward): the reference for the form in functional.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor

Discriminator = Callable[[Sequence[Tensor]], Tensor]

# (D, images, connected) -> scores [N] and their sum's gradients by the connected images.
ScoreGradients = Callable[
    [Discriminator, Sequence[Tensor], Collection[int] | None], tuple[Tensor, list[Tensor]]
]


def interpolate(reals: Sequence[Tensor], fakes: Sequence[Tensor], u: Tensor) -> list[Tensor]:
    """x_hat_s = u * real_s + (1 - u) * fake_s at every scale s (WGAN-GP, algorithm 1, line 6).

    `reals`, `fakes`: lists of [N, 3, R, R]; `u` in [0, 1]: [N], where the u of a sample is shared by all
    of its scales, so that x_hat is one image seen at several scales, or [N, S], one for each of the S scales.
    The results are leaves that require gradients: no scale is a function of another one.
    """
    return [x_hat.requires_grad_() for x_hat in mixed(reals, fakes, u)]


def mixed(reals: Sequence[Tensor], fakes: Sequence[Tensor], u: Tensor) -> list[Tensor]:
    """`interpolate` without asking for gradients, as torch.func has it."""
    assert u.shape in ((len(reals[0]),), (len(reals[0]), len(reals))), (
        f"one u per sample (and scale), not {tuple(u.shape)}"
    )
    x_hats = []
    for index, (real, fake) in enumerate(zip(reals, fakes, strict=True)):
        assert real.shape == fake.shape, f"{tuple(real.shape)} against {tuple(fake.shape)}"
        own = u if u.dim() == 1 else u[:, index]
        mix = own.to(real.dtype).view(-1, *[1] * (real.dim() - 1))
        x_hats.append((mix * real + (1 - mix) * fake).detach())
    return x_hats


def connected_inputs(
    images: Sequence[Tensor], connected: Collection[int] | None = None
) -> list[Tensor]:
    """Those of `images` whose resolution is in `connected`, in their order; None = all."""
    if connected is None:
        return list(images)
    return [image for image in images if image.shape[-1] in connected]


def input_gradients(scores: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """d(sum of scores) / d input for every input, differentiable.

    The sum over the batch is ProGAN's choice: with MinBatchStd in D a sample's gradient also holds
    its effect on the scores of its group. Where an input is a function of another one (a chained pyramid),
    the derivative by the latter is total: it includes the way through the former. torch raises RuntimeError for
    an input that the scores do not depend on.
    """
    return list(torch.autograd.grad(scores.sum(), list(inputs), create_graph=True))


def score_gradients(
    D: Discriminator, images: Sequence[Tensor], connected: Collection[int] | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Scores [N] of `images`, and `input_gradients` by those that D is connected to; plain images become leaves."""
    images = [x if x.requires_grad else x.detach().requires_grad_() for x in images]
    scores = D(images)
    return scores, input_gradients(scores, connected_inputs(images, connected))


def by_enlarged_pixels(gradients: Tensor, enlarged: int) -> Tensor:
    """Gradients (or their norms) as if taken by the pixels of images `enlarged` times as wide and high.

    ProGAN's and StyleGAN's code feeds a small image to D as a large one whose pixels are repeated, and D
    averages them again: each of the enlarged^2 pixels has 1 / enlarged^2 of the gradient, so that a norm
    is 1 / enlarged of that by the small image. A gradient is returned by its small pixels, with that norm.
    """
    return gradients if enlarged == 1 else gradients / enlarged


def norms_of(gradients: Sequence[Tensor]) -> Tensor:
    """L2 norm of every sample's gradient by every input: [N, S], differentiable.

    The norm of a zero gradient is 0, and its derivative is taken as 0 (the subgradient that
    torch.linalg.vector_norm uses): a dead sample contributes (0 - target)^2 to a penalty and
    nothing to the gradient of the parameters, never NaN. No epsilon stands under the root, so that
    norms are exact. In float32, squares lose digits for norms below 1e-19, where the norm is noise.
    """
    return torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients], dim=1)


def gradient_norms(
    D: Discriminator, x_hats: Sequence[Tensor], connected: Collection[int] | None = None
) -> Tensor:
    """||d(sum of scores) / d x_hat_s||_2 of every sample and connected scale: [N, S], differentiable."""
    return norms_of(score_gradients(D, x_hats, connected)[1])


def norm_penalty(
    norms: Tensor, target: float, *, one_sided: bool = False, joint: bool = False
) -> Tensor:
    """Mean over samples of (1/S) sum_s (norm_s - target)^2, of `norms` [N, S] (paper, section 2).

    `one_sided`: only norms above the target count, max(0, norm_s - target)^2 (WGAN-GP, section 4, "one-sided
    penalty"). `joint`: one norm of all scales together takes the place of the S norms.
    """
    if joint:
        norms = torch.linalg.vector_norm(norms, dim=1, keepdim=True)
    excess = norms - target
    if one_sided:
        excess = torch.relu(excess)
    return excess.square().mean(dim=1).mean()


def gradient_penalty(
    D: Discriminator,
    reals: Sequence[Tensor],
    fakes: Sequence[Tensor],
    u: Tensor,
    target: float = 1.0,
    connected: Collection[int] | None = None,
) -> Tensor:
    """Two-sided gradient penalty, averaged over connected scales and batch, without its weight.

    `reals`, `fakes`: lists of [N, 3, R, R], lowest resolution first; `u`: [N] in [0, 1]; `connected`: resolutions
    that D uses, None = all.
    """
    return norm_penalty(gradient_norms(D, interpolate(reals, fakes, u), connected), target)


def r1_penalty(gradients: Sequence[Tensor]) -> Tensor:
    """Mean over scales and batch of ||d D(real) / d real_s||^2 (MSG-StyleGAN's code; R1 of Mescheder et al.).

    `gradients`: one [N, 3, R, R] for each connected scale, from `input_gradients` at the reals: total derivatives
    when the reals are one chained pyramid, partial ones when they are leaves.
    """
    squares = [gradient.square().flatten(1).sum(dim=1) for gradient in gradients]
    return torch.stack(squares, dim=1).mean()


def drift(real_scores: Tensor) -> Tensor:
    """Mean square of the scores [N] of reals, which keeps them near 0 (ProGAN, appendix A.1)."""
    return real_scores.square().mean()
