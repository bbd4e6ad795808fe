"""Adversarial terms: functions of scores alone. Each is the mean over the batch of its formula."""

from __future__ import annotations

from torch import Tensor


def wgan_d_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Critic loss E[D(fake)] - E[D(real)] of scores [N] (WGAN-GP, equation 3 without its penalty)."""
    return fake_scores.mean() - real_scores.mean()


def wgan_g_loss(fake_scores: Tensor) -> Tensor:
    """Generator loss -E[D(fake)] of scores [N] (WGAN-GP, algorithm 1)."""
    return -fake_scores.mean()
