"""WGAN terms against closed forms."""

from __future__ import annotations

import torch

from msgbench.losses.adversarial import wgan_d_loss, wgan_g_loss


def test_critic_loss_is_mean_fake_minus_mean_real():
    real = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64, requires_grad=True)
    fake = torch.tensor([-1.0, 0.5, -2.5], dtype=torch.float64, requires_grad=True)
    loss = wgan_d_loss(real, fake)
    assert loss.item() == -1.0 - 3.0
    loss.backward()
    assert real.grad.tolist() == [-1 / 3] * 3
    assert fake.grad.tolist() == [1 / 3] * 3


def test_generator_loss_is_minus_mean_fake():
    fake = torch.tensor([1.0, 2.0, -9.0, 2.0], dtype=torch.float64, requires_grad=True)
    loss = wgan_g_loss(fake)
    assert loss.item() == 1.0
    loss.backward()
    assert fake.grad.tolist() == [-0.25] * 4


def test_critic_loss_ignores_a_common_shift_of_scores():
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([4.0, 0.5])
    # Small integers and halves: exact in float32.
    assert wgan_d_loss(real + 64, fake + 64) == wgan_d_loss(real, fake)
