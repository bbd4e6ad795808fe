"""Adversarial terms: functions of scores [N] alone. Each is the mean over the batch of its formula.

`d_loss` and `g_loss` choose one by its name in the config. The relativistic average forms compare a score
with the mean score of the other side, so their generator needs the scores of reals, too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def d_loss(name: str, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """The discriminator's loss `name` (config: loss.adversarial) of scores [N]."""
    match name:
        case "wgan":
            return wgan_d_loss(real_scores, fake_scores)
        case "non_saturating":
            return non_saturating_d_loss(real_scores, fake_scores)
        case "hinge":
            return hinge_d_loss(real_scores, fake_scores)
        case "lsgan":
            return lsgan_d_loss(real_scores, fake_scores)
        case "ra_hinge":
            return ra_hinge_d_loss(real_scores, fake_scores)
        case "ra_lsgan":
            return ra_lsgan_d_loss(real_scores, fake_scores)
        case _:
            raise AssertionError(f"unknown adversarial loss {name!r}")


def g_loss(name: str, fake_scores: Tensor, real_scores: Tensor | None = None) -> Tensor:
    """The generator's loss `name` (config: loss.adversarial) of scores [N]; reals only for ra_hinge, ra_lsgan."""
    match name:
        case "wgan" | "hinge":
            return wgan_g_loss(fake_scores)
        case "non_saturating":
            return non_saturating_g_loss(fake_scores)
        case "lsgan":
            return lsgan_g_loss(fake_scores)
    assert real_scores is not None, f"{name} needs the scores of reals"
    match name:
        # The generator's loss is the discriminator's with real and fake exchanged.
        case "ra_hinge":
            return ra_hinge_d_loss(fake_scores, real_scores)
        case "ra_lsgan":
            return ra_lsgan_d_loss(fake_scores, real_scores)
        case _:
            raise AssertionError(f"unknown adversarial loss {name!r}")


def wgan_d_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Critic loss E[D(fake)] - E[D(real)] of scores [N] (WGAN-GP, equation 3 without its penalty)."""
    return fake_scores.mean() - real_scores.mean()


def wgan_g_loss(fake_scores: Tensor) -> Tensor:
    """Generator loss -E[D(fake)] of scores [N] (WGAN-GP, algorithm 1; also the hinge loss's)."""
    return -fake_scores.mean()


def non_saturating_d_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E[softplus(f)] + E[softplus(-r)]: the logistic loss of GAN on logits (GAN, equation 1)."""
    return F.softplus(fake_scores).mean() + F.softplus(-real_scores).mean()


def non_saturating_g_loss(fake_scores: Tensor) -> Tensor:
    """E[softplus(-f)], that is -E[log sigmoid(f)] (GAN, section 3)."""
    return F.softplus(-fake_scores).mean()


def hinge_d_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E[max(0, 1 - r)] + E[max(0, 1 + f)] (Geometric GAN, section 3)."""
    return torch.relu(1 - real_scores).mean() + torch.relu(1 + fake_scores).mean()


def lsgan_d_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E[(r - 1)^2] / 2 + E[f^2] / 2 (LSGAN, equation 9).

    The first version's code squares the means of the scores instead; this is the published form.
    """
    return ((real_scores - 1).square().mean() + fake_scores.square().mean()) / 2


def lsgan_g_loss(fake_scores: Tensor) -> Tensor:
    """E[(f - 1)^2] / 2 (LSGAN, equation 9)."""
    return (fake_scores - 1).square().mean() / 2


def ra_hinge_d_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E[max(0, 1 - (r - E f))] + E[max(0, 1 + (f - E r))] (first version, equations 10 to 12)."""
    rf = real_scores - fake_scores.mean()
    fr = fake_scores - real_scores.mean()
    return torch.relu(1 - rf).mean() + torch.relu(1 + fr).mean()


def ra_lsgan_d_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E[(r - E f - 1)^2] + E[(f - E r + 1)^2] (relativistic GAN, appendix: RaLSGAN)."""
    rf = real_scores - fake_scores.mean()
    fr = fake_scores - real_scores.mean()
    return (rf - 1).square().mean() + (fr + 1).square().mean()
